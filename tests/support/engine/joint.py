"""A share of sinks that have no socket: each is given the bytes of the chunk's parts."""

from __future__ import annotations

from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Share


class TextShare(Share):
    """Fits any other one."""

    def fits(self, other: Share) -> bool:
        """See Share."""
        return isinstance(other, TextShare)

    def data(self, chunk: Chunk) -> bytes | None:
        """See Share."""
        return b"".join(chunk.parts)

    def sent(self, _chunk: Chunk, _members: int) -> None:
        """See Share."""
