"""What the hub knows of one partition that it reads."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streams.core.positions import Mark, TopicPartition
from streams.core.ring import Ring
from streams.engine.source import NotAuthorizedError, SourceError
from streams.engine.tail.track import Track
from streams.engine.tuning import Tuning

UNSEEN_MS = 10 * 60 * 1000
"""In ids, a partition without records was last seen this many ms before it was watched."""


class Partition:
    """One watched partition. `ring` is None until the hub knows where it begins."""

    def __init__(self, tp: TopicPartition, incarnation: int, tuning: Tuning, *, from_beginning: bool) -> None:
        self._trouble_seconds = tuning.trouble_seconds
        self.tp = tp
        self.from_beginning = from_beginning
        """Whether it was created while it was watched."""
        self.ring: Ring | None = None
        self.incarnation = incarnation
        self.begin = Mark(incarnation, 0, 0)
        """Where its incarnation began to be read."""
        self.timestamp = 0
        self.latest = -1
        """The greatest timestamp (ms) of all records that have been read in this incarnation."""
        self.end = 0
        self.held = 0
        """Offsets beyond `end` that an open transaction keeps from being read."""
        self._held_at = 0.0
        """Since when `end` has stood still with offsets held beyond it (time.monotonic)."""
        self.is_suspect = False
        self.was_away = False
        self.is_of_another_cluster = False
        self.tracks: list[Track] = []
        self.trouble: SourceError | None = None
        """Why it cannot be read at the moment."""
        self.watched_ms = int(time.time() * 1000)
        self.watched_end: int | None = None
        """Its end when it was first asked for, as far as Kafka said."""
        self.is_awaited = False
        """Whether clients are connected that could not be told where it begins."""
        self.is_being_placed = False
        self.retry_at = 0.0
        """When it is tried again after a failure (time.monotonic)."""
        self.read_at = time.monotonic()
        """When it was last read, or watched (time.monotonic)."""

    @property
    def mark(self) -> Mark:
        """The hub's own position."""
        assert self.ring is not None
        return Mark(self.incarnation, self.ring.tip, self.timestamp)

    @property
    def lag(self) -> int:
        """Return how many offsets Kafka is ahead, as it said last."""
        return max(0, self.end - self.ring.tip) if self.ring is not None else 0

    def saw(self, end: int, held: int) -> None:
        """Take what Kafka says of the end, and of offsets that are held beyond it."""
        if not self.held or end != self.end:
            self._held_at = time.monotonic()
        self.end, self.held = end, held

    @property
    def held_seconds(self) -> float:
        """Return for how many seconds one open transaction has kept records from being read."""
        return time.monotonic() - self._held_at if self.held else 0.0

    def lag_seconds(self, now_ms: float) -> float:
        """Return the age of the last record read, in seconds, if Kafka has more; else 0."""
        return max(0.0, (now_ms - max(self.timestamp, self.watched_ms)) / 1000) if self.lag else 0.0

    @property
    def unknown_mark(self) -> Mark:
        """In place of a position while it is not known where the partition begins: a time, and no offset."""
        return Mark(self.incarnation, -1, self.watched_ms - UNSEEN_MS)

    @property
    def is_denied(self) -> bool:
        """Whether the service is not authorised to read it."""
        return isinstance(self.trouble, NotAuthorizedError)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether it could not be read for longer than a leader's move takes."""
        return self.trouble is not None and time.monotonic() - self.read_at > self._trouble_seconds


def seconds_behind(partitions: Mapping[TopicPartition, Partition], position: Mapping[TopicPartition, Mark]) -> float:
    """Return how many seconds of events lie between a position and what has been read of the partitions."""
    behind = 0.0
    for tp, mark in position.items():
        partition = partitions.get(tp)
        if partition is not None and partition.ring is not None and mark.offset < partition.ring.tip:
            behind = max(behind, (partition.timestamp - mark.timestamp) / 1000)
    return behind
