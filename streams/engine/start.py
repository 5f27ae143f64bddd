"""From where a client asked to start, to the offsets where it does: the position, and the gaps that have to be said.

A warm stream is answered from memory; what memory cannot tell is looked up in Kafka, once for all who ask alike.
Source: wire contract, "Choosing where to start" and "Resuming".
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from streams.core.errors import KafkaUnavailable
from streams.core.plan import Start
from streams.core.positions import CLUSTER_PREFIX, END, OLDEST, Gap, Mark, TopicPartition
from streams.engine.hub import Hub
from streams.engine.partition import Partition
from streams.engine.source import Bounds, Found, SourceUnavailableError


async def resolve(hub: Hub, starts: Mapping[TopicPartition, Start]) -> tuple[dict[TopicPartition, Mark], list[Gap]]:
    """The position of each partition that the hub watches. Raises KafkaUnavailable."""
    position: dict[TopicPartition, Mark] = {}
    cold: dict[TopicPartition, Start] = {}
    for tp, start in starts.items():
        partition = hub.partitions.get(tp)
        if partition is None or partition.ring is None:
            continue
        mark = _from_memory(hub, partition, start)
        if mark is None:
            cold[tp] = start
        else:
            position[tp] = mark
    if not cold:
        return position, []
    resolver = _Resolver(hub, cold, {tp: hub.partitions[tp].mark for tp in cold})
    try:
        position |= await resolver.marks()
    except SourceUnavailableError:
        raise KafkaUnavailable from None
    return position, resolver.gaps


async def gaps_of(hub: Hub, starts: Mapping[TopicPartition, Start]) -> list[Gap]:
    """The gaps that `resolve` would find, for who will not read: no partition is watched. Raises KafkaUnavailable."""
    asked = {tp: start for tp, start in starts.items() if start.offset != END}
    if not asked:
        return []
    try:
        bounds = await hub.lookups.bounds(asked)
        resolver = _Resolver(hub, asked, {tp: Mark(0, bound.end, 0) for tp, bound in bounds.items()})
        await resolver.marks()
    except SourceUnavailableError:
        raise KafkaUnavailable from None
    return resolver.gaps


def _from_memory(hub: Hub, partition: Partition, start: Start) -> Mark | None:
    ring = partition.ring
    assert ring is not None
    if start.offset == END:
        return partition.mark
    cursor = start.cursor
    if (
        start.offset is not None
        or cursor is None
        or start.timestamp is None
        or cursor.cluster != hub.cluster_id[:CLUSTER_PREFIX]
        or not ring.floor <= cursor.offset <= ring.tip
    ):
        return None
    if cursor.offset == ring.tip and start.timestamp == partition.timestamp:
        return partition.mark
    before = ring.timestamp_before(cursor.offset)
    if before is None or before + 1 != start.timestamp:
        return None
    return Mark(partition.incarnation, cursor.offset, start.timestamp)


class _Resolver:
    """One request's lookups. `tips` are the hub's marks, taken first: a later end would skip what came between."""

    def __init__(self, hub: Hub, starts: Mapping[TopicPartition, Start], tips: Mapping[TopicPartition, Mark]) -> None:
        self.gaps: list[Gap] = []
        self._hub = hub
        self._starts = starts
        self._tips = tips
        self._bounds: Mapping[TopicPartition, Bounds] = {}
        self._oldest: Mapping[TopicPartition, Found] = {}

    async def marks(self) -> dict[TopicPartition, Mark]:
        lookups = self._hub.lookups
        self._bounds = dict(await lookups.bounds(self._starts))
        beyond = [tp for tp, start in self._starts.items() if _asked(start) > self._bounds.get(tp, Bounds(0, 0)).end]
        if beyond:
            self._bounds |= await lookups.bounds(beyond, fresh=True)
        if not self._starts.keys() <= self._bounds.keys():
            # Without a leader, or just gone: anything but an error would leave out what it holds in silence.
            raise KafkaUnavailable
        starts = self._starts
        self._oldest = await lookups.at_times(
            {tp: 0 for tp, start in starts.items() if self._bounds[tp].begin > 0 or start.offset == OLDEST}
        )
        offsets = {tp: self._offset(tp, start) for tp, start in starts.items()}
        # A cursor is believed unless the record before it is another one than the id says. To see that one, its whole
        # batch has to be read; so Kafka is asked first, for all partitions at once, what begins at the id's own time.
        times = {tp: start.timestamp for tp, start in starts.items() if start.cursor and offsets[tp] is not None}
        at = await lookups.at_times({tp: ms for tp, ms in times.items() if ms is not None})
        unsure = {tp: offset for tp, offset in offsets.items() if tp not in at or at[tp].offset != offset}
        before = await lookups.timestamps_before({tp: offset for tp, offset in unsure.items() if offset is not None})
        by_time: dict[TopicPartition, int] = {}
        marks: dict[TopicPartition, Mark] = {}
        for tp, start in starts.items():
            offset = offsets[tp]
            seen = before.get(tp)
            if offset is None or self._is_another(tp, start, offset, seen):
                by_time[tp] = self._time(start)
            else:
                marks[tp] = self._mark(tp, start, offset, seen)
        return marks | await self._at_times(by_time)

    def _offset(self, tp: TopicPartition, start: Start) -> int | None:
        """The offset to start from; None where a time decides."""
        bounds = self._bounds[tp]
        if start.offset == OLDEST:
            return bounds.begin
        asked = start.offset
        if asked is None and start.cursor is not None and start.cursor.cluster == self._hub.cluster_id[:CLUSTER_PREFIX]:
            asked = start.cursor.offset
            if asked > bounds.end:
                return None
        if asked is None:
            return None
        if asked < bounds.begin:
            self.gaps.append(Gap(*tp, asked, bounds.begin))
            return bounds.begin
        return min(asked, bounds.end)

    def _is_another(self, tp: TopicPartition, start: Start, offset: int, seen: int | None) -> bool:
        return (
            start.offset is None
            and start.cursor is not None
            and start.cursor.offset == offset
            and seen is not None
            and seen + 1 != start.timestamp
        )

    def _time(self, start: Start) -> int:
        assert start.timestamp is not None
        # An id's timestamp is that of the last event plus one: nothing may be lost, so its own is asked for.
        return max(0, start.timestamp - 1) if start.cursor else start.timestamp

    async def _at_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Mark]:
        found = await self._hub.lookups.at_times(times)
        now = int(time.time() * 1000)
        marks = {}
        for tp, ms in times.items():
            record, first = found.get(tp), self._oldest.get(tp)
            tip = self._tips[tp]
            start = self._starts[tp]
            offset = record.offset if record else tip.offset
            if first:
                is_cut = bool(record and record.offset == first.offset and ms < first.timestamp)
            else:
                # Nothing is left of what there was: nobody can tell that it was all before the asked time.
                is_cut = self._bounds[tp].begin > 0 and ms < now
            if start.cursor is not None:
                if is_cut or start.cursor.cluster == self._hub.cluster_id[:CLUSTER_PREFIX]:
                    self.gaps.append(Gap(*tp, start.cursor.offset, offset))
            elif is_cut:
                self.gaps.append(Gap(*tp, ms, first.timestamp if first else now))
            # The id says the asked time until an event has come. Kafka's answer to that is where this starts: so
            # `marks` knows the id again, and the old rules lead here too.
            marks[tp] = Mark(tip.incarnation, offset, min(ms, record.timestamp)) if record else tip
        return marks

    def _mark(self, tp: TopicPartition, start: Start, offset: int, seen: int | None) -> Mark:
        tip = self._tips[tp]
        if start.offset is None and start.timestamp is not None and start.cursor and start.cursor.offset == offset:
            timestamp = start.timestamp
        elif seen is not None:
            timestamp = seen + 1
        elif tp in self._oldest and offset <= self._oldest[tp].offset:
            timestamp = self._oldest[tp].timestamp
        else:
            # No record before it is known: what an id then says must not be later than what comes.
            timestamp = tip.timestamp if offset >= tip.offset else 0
        return Mark(tip.incarnation, offset, max(0, timestamp))


def _asked(start: Start) -> int:
    """The offset that was asked for, -1 where none was."""
    if start.offset is not None:
        return start.offset
    return start.cursor.offset if start.cursor else -1
