"""The compressed body of one client: which form of each chunk it gets."""

from __future__ import annotations

from streams.engine.compress.chain import NOWHERE, Chain, Form
from streams.engine.compress.codings import NO_SUMS, Sums
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Send, Share, Sink


class ChainShare(Share):
    """What the clients of a chain get who have all had its pieces up to the block `place`.

    `reached` are the sums of the chain there, and `inner` is the share of their sockets. `counts` are the bytes before
    and after compression, of all clients.
    """

    __slots__ = ("_chain", "_counts", "inner", "place", "reached")

    def __init__(self, chain: Chain, place: int, reached: Sums, inner: Share, counts: list[int]) -> None:
        self.place = place
        self.reached = reached
        self.inner = inner
        self._chain = chain
        self._counts = counts

    def fits(self, other: Share) -> bool:
        """See Share."""
        return isinstance(other, ChainShare) and other._chain is self._chain and other.place == self.place

    def data(self, chunk: Chunk) -> bytes | None:
        """See Share."""
        form = self._chain.form(chunk)
        if form.stream is None or form.before != self.place:
            return None
        return self.inner.data(form.stream)

    def sent(self, chunk: Chunk, members: int) -> None:
        """See Share."""
        form = self._chain.form(chunk)
        assert form.stream is not None  # that is what was sent
        self.place, self.reached = form.after, form.end
        self._counts[0] += members * chunk.nbytes
        self._counts[1] += members * form.stream.nbytes
        self.inner.sent(form.stream, members)


class Body(Sink):
    """In front of a client's socket, if it has one that may be written to directly.

    `counts` are the bytes before and after compression, of all clients.
    """

    __slots__ = ("_counts", "_entered", "_place", "_reached", "_share", "_sink", "_sums", "chain")

    def __init__(self, chain: Chain, sink: Sink | None, counts: list[int]) -> None:
        self.chain = chain
        self._sink = sink
        self._counts = counts
        self._share: ChainShare | None = None
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
        form, made = self._chosen(chunk)
        if self._sink is None or not self._sink.try_write(made):
            return False
        self._note(chunk, form, made)
        return True

    def share(self) -> Share | None:
        """See Sink."""
        if self._sink is None or self._place == NOWHERE:
            return None
        inner = self._sink.share()
        if inner is None:
            return None
        return ChainShare(self.chain, self._place, self._reached, inner, self._counts)

    def join(self, share: Share) -> Send:
        """See Sink."""
        assert isinstance(share, ChainShare)  # it fits
        assert self._sink is not None
        self._share = share
        return self._sink.join(share.inner)

    def part(self) -> None:
        """See Sink."""
        assert self._share is not None  # it has joined
        assert self._sink is not None
        self._place, self._reached = self._share.place, self._share.reached
        self._share = None
        self._sink.part()

    def put_rest(self, data: bytes, taken: int) -> bool:
        """See Sink."""
        return self._sink is not None and self._sink.put_rest(data, taken)

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
