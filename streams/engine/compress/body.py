"""The compressed body of one client: which form of each chunk it gets."""

from __future__ import annotations

from streams.engine.compress.chain import NOWHERE, Chain, Form
from streams.engine.compress.codings import NO_SUMS
from streams.engine.tail.fanout import Chunk, Sink


class Body:
    """In front of a client's socket, if it has one that may be written to directly.

    `counts` are the bytes before and after compression, of all clients.
    """

    __slots__ = ("_counts", "_entered", "_name", "_place", "_reached", "_sink", "_sums", "chain")

    def __init__(self, chain: Chain, sink: Sink | None, counts: list[int]) -> None:
        self.chain = chain
        self._name = chain.name
        self._sink = sink
        self._counts = counts
        self._place = NOWHERE
        """The block up to which the client has had all pieces of the window, if it has."""
        self._sums = self._entered = self._reached = NO_SUMS
        """Of the content: up to where the client entered the chain; and of the chain, at that place and at the last."""

    def begin(self, data: bytes) -> bytes:
        """Return the beginning of the body, with what the client is told first."""
        return self.chain.coding.start + b"".join(self.written(Chunk((data,), 0)).parts)

    def end(self) -> bytes:
        """Return the end of the body."""
        self._leave()
        return self.chain.coding.end(self._sums)

    def try_write(self, chunk: Chunk) -> bool:
        """Write the chunk to the socket, if that takes it now; see Sink."""
        forms = chunk.forms
        form: Form | None = forms.get(self._name) if forms is not None else None
        if form is None or form.before != self._place:
            form, made = self._chosen(chunk)
            if self._sink is None or not self._sink.try_write(made):
                return False
            self._note(chunk, form, made)
            return True
        # The same without further calls: this is what is done for each client and event.
        made = form.stream  # type: ignore[assignment]
        if self._sink is None or not self._sink.try_write(made):
            return False
        self._place, self._reached = form.after, form.end
        counts = self._counts
        counts[0] += chunk.nbytes
        counts[1] += made.nbytes
        return True

    def written(self, chunk: Chunk) -> Chunk:
        """Return the chunk as it is written next, whatever becomes of that."""
        form, made = self._chosen(chunk)
        self._note(chunk, form, made)
        return made

    def _chosen(self, chunk: Chunk) -> tuple[Form, Chunk]:
        form = self.chain.form(chunk)
        if form.stream is not None and (form.before == self._place or form.begins):
            return form, form.stream
        return form, form.alone or self.chain.make_alone(chunk, form)

    def _note(self, chunk: Chunk, form: Form, made: Chunk) -> None:
        if made is form.stream:
            if form.before != self._place:
                self._leave()
                self._entered = form.start
            self._place, self._reached = form.after, form.end
        else:
            self._leave()
            if self.chain.coding.has_sums:
                self._sums = self._sums.moved(NO_SUMS, form.own)
        counts = self._counts
        counts[0] += chunk.nbytes
        counts[1] += made.nbytes

    def _leave(self) -> None:
        """Take over what the client has had of the chain, which it leaves."""
        if self._place != NOWHERE:
            self._place = NOWHERE
            self._sums = self._sums.moved(self._entered, self._reached)
