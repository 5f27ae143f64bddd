"""The newest events of one partition in memory, bounded by bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from streams.core.events import Event

OVERHEAD = 180
"""Bytes that an event costs beside its JSON: the object, its integers, the bytes object's head, its places in lists."""
COMPACT = 4
"""The lists are cut when one place in this many belongs to an evicted event."""
_GONE = Event(-1, -1, b"")


class Ring:
    """Events from `floor` up to, but not including, `tip`; offsets have holes, so they are bisected.

    The ring answers for every offset in floor <= offset <= tip: a record that it does not hold there does not exist
    (or is no event). `before` is the offset and timestamp of the last record known below `floor`, None where none is.
    """

    def __init__(self, start: int, max_bytes: int, before: tuple[int, int] | None = None) -> None:
        self.floor = start
        self.tip = start
        self.before = before
        self.bytes = 0
        self._max_bytes = max_bytes
        self._events: list[Event] = []
        """With `_GONE` in the place of an evicted event: what is not counted must not be held."""
        self._offsets: list[int] = []
        self._head = 0

    def extend(self, events: Sequence[Event], tip: int) -> int:
        """Append `events` (offsets rising, all below `tip`) and evict the oldest while the bytes are exceeded.

        Returns the bytes of `events`.
        """
        before = self.bytes
        for event in events:
            self._events.append(event)
            self._offsets.append(event.offset)
            self.bytes += len(event.json) + OVERHEAD
        self.tip = tip
        added = self.bytes - before - OVERHEAD * len(events)
        while self.bytes > self._max_bytes:
            oldest = self._events[self._head]
            self._events[self._head] = _GONE
            self._head += 1
            self.bytes -= len(oldest.json) + OVERHEAD
            self.floor = oldest.offset + 1
            self.before = (oldest.offset, oldest.timestamp)
        if self._head > 64 and self._head * COMPACT > len(self._events):
            del self._events[: self._head], self._offsets[: self._head]
            self._head = 0
        return added

    def forget(self) -> None:
        """Let all events go; the ring continues from its tip."""
        if self._head < len(self._events):
            newest = self._events[-1]
            self.before = (newest.offset, newest.timestamp)
        self.floor = self.tip
        self.bytes = self._head = 0
        self._events.clear()
        self._offsets.clear()

    def read(self, offset: int, limit: int, max_bytes: int) -> tuple[list[Event], int] | None:
        """Return events from `offset` on and below `limit`: at least one if there is one, then up to `max_bytes`.

        Returns them with the next offset to read, or None where `offset` is below the floor or beyond the tip.
        """
        if not self.floor <= offset <= self.tip:
            return None
        first = bisect_left(self._offsets, offset, self._head)
        end = bisect_left(self._offsets, min(limit, self.tip), first)
        size = 0
        for index in range(first, end):
            size += len(self._events[index].json)
            if size >= max_bytes and index + 1 < end:
                return self._events[first : index + 1], self._offsets[index] + 1
        return self._events[first:end], min(limit, self.tip)

    def timestamp_before(self, offset: int) -> int | None:
        """Return the timestamp (ms) of the record just before `offset`, None if the ring does not know it."""
        if self.before is not None and self.before[0] == offset - 1:
            return self.before[1]
        index = bisect_left(self._offsets, offset - 1, self._head)
        if index < len(self._offsets) and self._offsets[index] == offset - 1:
            return self._events[index].timestamp
        return None
