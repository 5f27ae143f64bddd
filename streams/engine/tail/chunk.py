"""What a client is sent next: bytes that all clients share which are as far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.core.positions import Mark, TopicPartition

Parts = tuple[bytes, ...]


class Chunk:
    """What a client is sent next: whole events or a comment, as parts that are shared where they can be.

    `framed` is for the edge: the same bytes as they go into a socket, made by the first client that writes them.
    `forms` are the chunk as compressed clients get it, by chain (streams/engine/compress/).
    """

    __slots__ = ("events", "form_bytes", "forms", "framed", "grown", "nbytes", "parts")

    def __init__(self, parts: Parts, events: int, nbytes: int | None = None) -> None:
        self.parts = parts
        self.events = events
        self.nbytes = sum(map(len, parts)) if nbytes is None else nbytes
        self.framed: bytes | None = None
        self.forms: dict[Any, Any] | None = None
        self.form_bytes = 0
        """Bytes that its forms take up in memory."""
        self.grown: Callable[[int], None] | None = None
        """Tells who keeps the chunk how many bytes it takes up more."""

    def grow(self, nbytes: int) -> None:
        """Count bytes of a form."""
        self.form_bytes += nbytes
        if self.grown is not None:
            self.grown(nbytes)

    def let_forms_go(self) -> None:
        """Drop what was made of it: who wants that has it made again."""
        self.framed = self.forms = None
        self.form_bytes = 0


class Step(Chunk):
    """A chunk of a feed that leads from block `before` to block `number`, which may be the newest.

    `after` is the position there.
    """

    __slots__ = ("after", "before", "is_newest", "number")

    def __init__(
        self,
        parts: Parts,
        events: int,
        nbytes: int | None,
        after: dict[TopicPartition, Mark],
        before: int,
        number: int,
        *,
        is_newest: bool,
    ) -> None:
        super().__init__(parts, events, nbytes)
        self.after = after
        self.before = before
        self.number = number
        self.is_newest = is_newest
