"""The pieces of one feed, in one format and coding: one for each block, made once for all clients.

Pieces belong to blocks and not to steps of the feed: clients that are served a moment later take more blocks in one
step, and none of them falls out of the window by that.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from streams.engine.compress.codings import NO_SUMS, Coding, Sums, Window
from streams.engine.tail.chunk import Chunk, Parts, Step
from streams.engine.tail.feed import Feed
from streams.engine.tuning import Tuning

NOWHERE = -2
"""In place of the number of a block: a client has not had the pieces of any window up to there."""
NO_STREAM = -3
"""In place of the number of a block: no client can be there."""


class _Piece(NamedTuple):
    """The block `number`, compressed; `begins` if a window begins with it. `start` and `end` are of the whole chain."""

    number: int
    data: bytes
    begins: bool
    start: Sums
    end: Sums


class Form:
    """A chunk as compressed clients get it.

    `stream` is for clients that have had the pieces up to block `before`, or for all if it `begins` a window; it leads
    to block `after`. `alone` is for others, made when somebody needs it; its content has the sums `own`.
    """

    __slots__ = ("after", "alone", "before", "begins", "end", "own", "start", "stream")

    def __init__(self) -> None:
        self.stream: Chunk | None = None
        self.alone: Chunk | None = None
        self.before = self.after = NO_STREAM
        self.begins = False
        self.start = self.end = self.own = NO_SUMS


class Chain:
    """One feed, format and coding. `may_open` is asked whether it may have a window (see Compression)."""

    def __init__(
        self, coding: Coding, feed: Feed, may_open: Callable[[Chain, float], bool], tuning: Tuning, *, is_sse: bool
    ) -> None:
        self.coding = coding
        self.name = coding.name
        self.clients = 0
        self.used_at = 0.0
        """When it last made a piece (time.monotonic)."""
        self.feed = feed
        self.is_sse = is_sse
        self._may_open = may_open
        self._seconds = tuning.compression_seconds
        self._piece_bytes = tuning.compression_piece_bytes
        self._window: Window | None = None
        self._renew_at = 0.0
        self._tip = NOWHERE
        """The last block that a piece was made of; of one that is not later, none is made any more."""
        self._pieces: deque[_Piece] = deque()
        self._bytes = 0
        self._sums = NO_SUMS

    def close(self) -> None:
        """Drop the window and all pieces: the next piece begins another window."""
        self._window = None
        self._drop_pieces()

    def form(self, chunk: Chunk) -> Form:
        """Return the form of a chunk, which the chunk then keeps."""
        if chunk.forms is None:
            chunk.forms = {}
        form: Form | None = chunk.forms.get(self)
        if form is None:
            form = chunk.forms[self] = Form()
            if isinstance(chunk, Step):
                self._find_stream(chunk, form)
        return form

    def make_alone(self, chunk: Chunk, form: Form) -> Chunk:
        """Return the chunk as a piece that stands alone, which the form then keeps."""
        data = b"".join(chunk.parts)
        if self.coding.has_sums:
            form.own = NO_SUMS.plus(data)
        form.alone = _made(chunk, self.coding.alone(data))
        return form.alone

    def _find_stream(self, chunk: Step, form: Form) -> None:
        first, last = chunk.before, chunk.number
        if last > self._tip:
            self._extend(chunk)
        pieces = [piece for piece in self._pieces if first < piece.number <= last]
        if len(pieces) == last - first:
            form.stream = _made(chunk, b"".join([piece.data for piece in pieces]))
            form.before, form.after, form.begins = first, last, pieces[0].begins
            form.start, form.end = pieces[0].start, pieces[-1].end
        while self._bytes > self._piece_bytes and len(self._pieces) > 1:
            self._bytes -= len(self._pieces.popleft().data)

    def _extend(self, step: Step) -> None:
        """Make the pieces up to where the step leads: from the tip on, or from its beginning if that is later."""
        first, last = step.before, step.number
        now = time.monotonic()
        if not self._may_open(self, now):
            self.close()
            return
        self.used_at = now
        if first > self._tip:
            self._renew_at = 0.0
            self._drop_pieces()
        for number in range(max(first, self._tip), last):
            parts = step.parts if number == first == last - 1 else self._parts_after(number)
            if parts is None:
                self._renew_at = 0.0
                self._drop_pieces()
                return
            self._add(number + 1, b"".join(parts), now)

    def _parts_after(self, number: int) -> Parts | None:
        """Return the block that follows block `number`; None if the feed no longer has it."""
        try:
            block = self.feed.after(number)
        except LookupError:
            return None
        if block is None:
            return None
        return block.parts if self.is_sse else block.ndjson()

    def _add(self, number: int, data: bytes, now: float) -> None:
        start, piece, begins = self._sums, b"", False
        if data:  # else it is a comment, which NDJSON does not have
            if self._window is None:
                self._window, begins = self.coding.window(), True
            elif now >= self._renew_at:
                begins = True
            piece = self._window.begin(data) if begins else self._window.follow(data)
            if begins:
                self._renew_at = now + self._seconds
            if self.coding.has_sums:
                self._sums = start.plus(data)
        self._tip = number
        self._pieces.append(_Piece(number, piece, begins, start, self._sums))
        self._bytes += len(piece)

    def _drop_pieces(self) -> None:
        self._pieces.clear()
        self._bytes = 0


def _made(chunk: Chunk, data: bytes) -> Chunk:
    made = Chunk((data,) if data else (), chunk.events)
    chunk.grow(2 * made.nbytes)  # once it is framed for a socket, its bytes are there a second time
    return made
