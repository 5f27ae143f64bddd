"""What the hub knows of one partition that it reads."""

from __future__ import annotations

from streams.core.positions import Mark, TopicPartition
from streams.core.ring import Ring
from streams.engine.feed import Feed


class Partition:
    """One watched partition. `ring` is None until the hub knows where it begins."""

    def __init__(self, tp: TopicPartition, incarnation: int, from_beginning: bool) -> None:
        self.tp = tp
        self.from_beginning = from_beginning
        self.ring: Ring | None = None
        self.incarnation = incarnation
        self.begin = Mark(incarnation, 0, 0)
        """Where its incarnation began to be read."""
        self.timestamp = 0
        self.end = 0
        self.suspect = False
        self.was_away = False
        self.feeds: list[Feed] = []

    @property
    def mark(self) -> Mark:
        """The hub's own position."""
        assert self.ring is not None
        return Mark(self.incarnation, self.ring.tip, self.timestamp)
