"""Where a stream ends: `until` as an offset of each partition, and `limit` as a number of events.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

from streams.core.errors import KafkaUnavailable
from streams.core.positions import Mark, Position, TopicPartition
from streams.engine.lookups import Lookups
from streams.engine.source import Found, NotAuthorizedError, answered
from streams.engine.tail.hub import Hub


class Place(NamedTuple):
    """An offset, and the timestamp (ms) that an id has with it: that of the record before, plus one."""

    offset: int
    timestamp: int


async def places_before(
    lookups: Lookups, partitions: Collection[TopicPartition], until: int
) -> dict[TopicPartition, Place | None]:
    """Return where each partition ends before the time `until` (ms), by Kafka's own lookup.

    None where it has no record of such a time yet and `until` is in the future; a partition of which Kafka does not
    answer just now, or that does not exist, is missing.
    """
    is_past = now_ms() >= until
    # The bounds first: what is written between the two questions is then beyond them.
    bounds = answered(await lookups.bounds(partitions, fresh=True))
    found = await lookups.at_times(dict.fromkeys(bounds, until))
    places: dict[TopicPartition, Place | None] = {}
    offsets: dict[TopicPartition, int] = {}
    for tp, bound in bounds.items():
        record = found.get(tp)
        if isinstance(record, Found):
            offsets[tp] = record.offset
        elif record is None and is_past:
            offsets[tp] = bound.end
        elif record is None:
            places[tp] = None
    before = answered(await lookups.timestamps_before(offsets))
    # Without a record before it, the time that was asked for leads to the same place.
    return places | {tp: Place(offset, before.get(tp, until - 1) + 1) for tp, offset in offsets.items()}


def now_ms() -> int:
    """Return the time in ms since the epoch."""
    return int(time.time() * 1000)


class End:
    """The end of one client's stream. `events` have been sent."""

    def __init__(self, hub: Hub, until: int | None, limit: int | None) -> None:
        self.events = 0
        self.until = until
        """The time (ms) at which it ends; None where it ends by the number of events alone."""
        self._hub = hub
        self._limit = limit
        self._marks: dict[TopicPartition, Mark] = {}
        """Where partitions end, of those of which that is known."""
        self._asked: dict[TopicPartition, int] = {}
        """Partitions of which Kafka has been asked, in which incarnation: what comes since, the hub sees."""

    @property
    def left(self) -> int | None:
        """How many events may still be sent; None for any number."""
        return None if self._limit is None else self._limit - self.events

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the clock passes `until`; None where there is none."""
        return None if self.until is None else max(0.0, self.until / 1000 - time.time())

    def stop_at(self, position: Position) -> None:
        """End at once: nothing is asked for that is before `until`."""
        self._marks = dict(position)

    def unknown(self, vector: Position) -> list[TopicPartition]:
        """Return the partitions of a feed that may have reached their ends, of which Kafka has to be asked where."""
        if self.until is None:
            return []
        is_past = now_ms() >= self.until
        return [
            tp
            for tp, mark in vector.items()
            if self._end_of(tp, mark) is None
            and not self._hub.partitions[tp].is_denied
            and (is_past or self._may_have_passed(tp, mark))
        ]

    def _may_have_passed(self, tp: TopicPartition, mark: Mark) -> bool:
        """Whether there may be a record at or after `until`, although the clock has not come there yet."""
        if mark.offset < 0:  # it is not read yet
            return False
        return self._asked.get(tp) != mark.incarnation or self._hub.partitions[tp].latest >= (self.until or 0)

    def _end_of(self, tp: TopicPartition, mark: Mark) -> Mark | None:
        end = self._marks.get(tp)
        return end if end is not None and end.incarnation == mark.incarnation else None

    async def look_up(self, partitions: Collection[TopicPartition]) -> None:
        """Ask Kafka where partitions end. Those of which it does not tell just now stay `unknown`."""
        if self.until is None:
            return
        incarnations = {tp: self._hub.partitions[tp].incarnation for tp in partitions}
        places = await places_before(self._hub.lookups, partitions, self.until)
        for tp in partitions:
            incarnation = incarnations[tp]
            if tp not in places:
                if await self._is_gone(tp):
                    self._marks[tp] = Mark(incarnation, 0, 0)  # wherever its reader is, that is the end
                continue
            place = places[tp]
            self._asked[tp] = incarnation
            if place is not None:
                self._marks[tp] = Mark(incarnation, *place)

    async def _is_gone(self, tp: TopicPartition) -> bool:
        try:
            await self._hub.topics([tp.topic], [tp])  # asks again if it is missing
        except KafkaUnavailable:
            return False
        return not self._hub.exists(tp)

    def is_near(self, vector: Position) -> bool:
        """Return whether the end may lie within what the feed, which is at `vector`, has: its steps are not for all."""
        return self.left == 0 or self.seconds_left == 0 or bool(self._marks) or bool(self.unknown(vector))

    def admits(self, events: int) -> bool:
        """Return whether a step of `events` events does not lead beyond the end."""
        return self.left is None or events <= self.left

    def target(self, position: Position, vector: Position) -> dict[TopicPartition, Mark]:
        """Return how far a client at `position` may read of what its feed, which is at `vector`, has."""
        found: dict[TopicPartition, Mark] = {}
        unknown = set(self.unknown(vector))
        for tp, mark in vector.items():
            end = self._end_of(tp, mark)
            if tp in unknown or (end is not None and position[tp][:2] >= end[:2]):
                found[tp] = position[tp]
            else:
                found[tp] = end if end is not None and end.offset < mark.offset else mark
        return found

    def moved(self, position: Position, over: Position) -> dict[TopicPartition, Mark]:
        """Return a position, moved to where `over` is beyond it, to the ends at most; not where those are not known."""
        found = dict(position)
        unknown = set(self.unknown(over))
        for tp, mark in over.items():
            if tp in unknown or tp not in position or position[tp].incarnation != mark.incarnation:
                continue
            end = self._end_of(tp, mark)
            found[tp] = max(position[tp], mark if end is None else min(mark, end, key=_place), key=_place)
        return found

    def reason(self, position: Position, vector: Position) -> str | None:
        """Return why a client at `position` is at its end, as the contract calls it; None where it is not there."""
        if self.left == 0:
            return "limit"
        return "until" if self.until is not None and self.is_past(position, vector) else None

    def is_past(self, position: Position, vector: Position) -> bool:
        """Return whether a position is at or beyond `until` in every partition that may be read."""
        for tp, mark in vector.items():
            end = self._end_of(tp, mark)
            if end is None:
                if not self._hub.partitions[tp].is_denied:
                    return False
            elif tp not in position or position[tp][:2] < end[:2]:
                return False
        return True


async def is_nothing_left(
    lookups: Lookups, partitions: Collection[TopicPartition], position: Position, until: int
) -> bool:
    """Return whether a position is at or beyond the time `until` (ms) in every partition that may be read.

    Partitions that the position does not have are read from their end on. No partition is watched for that.
    """
    places = await places_before(lookups, partitions, until)
    left = [
        tp
        for tp in partitions
        if (place := places.get(tp)) is None or (tp in position and position[tp].offset < place.offset)
    ]
    if len(left) == len(partitions):
        return False
    for tp in left:
        # Kafka tells offsets of what may not be read: only a read shows that.
        read = await lookups.timestamps_before({tp: max(1, position[tp].offset if tp in position else 1)})
        if not isinstance(read.get(tp), NotAuthorizedError):
            return False
    return True


def _place(mark: Mark) -> int:
    return mark.offset
