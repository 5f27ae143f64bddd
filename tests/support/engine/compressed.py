"""Compressed clients of one feed, without a socket: what they are sent is decoded at once."""

from __future__ import annotations

from streams.engine.compress.compression import Compression
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Sink
from streams.engine.tail.feed import Feed
from tests.support.client.compressed import decoder


class CompressedClient(Sink):
    """Takes steps of a feed, as followers and pull loops do; `plain` is what an uncompressed client would have."""

    def __init__(self, compression: Compression, feed: Feed, coding: str, number: int, *, is_sse: bool = True) -> None:
        self.number = number
        self.plain = b":ok\n\n"
        self.takes = True
        self.sent = 0
        self._coding = coding
        self._compression = compression
        self._feed = feed
        self._is_sse = is_sse
        self._body = compression.body(coding, feed, self, is_sse=is_sse)
        self._reader = decoder(coding)
        self._reader.feed(self._body.begin(b":ok\n\n"))

    def try_write(self, chunk: Chunk) -> bool:
        """Its socket."""
        if self.takes:
            self._read(chunk)
        return self.takes

    def _read(self, made: Chunk) -> None:
        data = b"".join(made.parts)
        self.sent += len(data)
        self._reader.feed(data)

    def step(self) -> None:
        """Get what the feed has next, in a round if the socket takes it, else as the pull loop writes it."""
        try:
            step = self._feed.take_step(self.number, self._is_sse)
        except LookupError:
            self.number = self._feed.tip  # as one that has caught up from elsewhere
            return
        if step is None:
            return
        self.number = step.number
        if step.parts:
            self.get(step)

    def get(self, chunk: Chunk) -> None:
        """Get a chunk, and be able to read all of it at once."""
        if not self._body.try_write(chunk):
            self._read(self._body.written(chunk))
        self.plain += b"".join(chunk.parts)
        assert self._reader.plain == self.plain
        assert not self._reader.is_whole

    def end(self) -> None:
        """End as the coding demands."""
        self._reader.feed(self._body.end())
        assert self._reader.is_whole
        assert self._reader.plain == self.plain
        self._compression.give_back(self._body)
