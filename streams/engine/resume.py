"""From where a client asked to start, to the offsets where it does: the position, and the gaps to report.

A warm stream is answered from memory; what memory cannot tell is looked up in Kafka, once for all who ask alike.
Source: wire contract, "Choosing where to start" and "Resuming".
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping
from typing import TypeVar

from streams.core.errors import KafkaUnavailable
from streams.core.plan import Start
from streams.core.positions import CLUSTER_PREFIX, END, OLDEST, Gap, Mark, TopicPartition
from streams.engine.source import (
    Bounds,
    Found,
    NotAuthorizedError,
    SourceError,
    SourceUnavailableError,
    answered,
)
from streams.engine.tail.hub import Hub
from streams.engine.tail.partition import Partition

_V = TypeVar("_V")


async def resolve(
    hub: Hub, starts: Mapping[TopicPartition, Start], needed: Collection[TopicPartition] = ()
) -> tuple[dict[TopicPartition, Mark], list[Gap]]:
    """Return the position of each partition that the hub reads, and the gaps: those it cannot read among them.

    Raises KafkaUnavailable where nothing is left, or where one that is `needed` (an id names it) cannot be read just
    now: its events must not be lost.
    """
    resolution = _Resolution(hub, starts, needed)
    await resolution.look_up()
    position, left_out = resolution.position, resolution.left_out
    if left_out and not position:
        raise KafkaUnavailable
    return position | left_out, [*resolution.gaps, *(_left_out(tp, starts[tp]) for tp in left_out)]


class _Resolution:
    """Where the partitions of one request start: out of memory where it tells, the `cold` ones by asking Kafka."""

    def __init__(self, hub: Hub, starts: Mapping[TopicPartition, Start], needed: Collection[TopicPartition]) -> None:
        self.position: dict[TopicPartition, Mark] = {}
        self.gaps: list[Gap] = []
        self.left_out: dict[TopicPartition, Mark] = {}
        """Partitions that cannot be read now, and are not waited for."""
        self._hub = hub
        self._needed = needed
        self._cold: dict[TopicPartition, Start] = {}
        for tp, start in starts.items():
            partition = hub.partitions.get(tp)
            if partition is not None:
                self._begin(partition, start)

    def _begin(self, partition: Partition, start: Start) -> None:
        tp = partition.tp
        if partition.ring is None:
            if not partition.from_beginning:
                self.gaps.append(_left_out(tp, start))
        elif partition.is_denied:
            self.left_out[tp] = partition.mark
        elif mark := _from_memory(self._hub, partition, start):
            self.position[tp] = mark
        elif partition.is_out_of_reach and tp not in self._needed:
            self.left_out[tp] = partition.mark  # the others do not wait for it
        else:
            self._cold[tp] = start

    async def look_up(self) -> None:
        """Ask Kafka for the cold partitions, again for a while where leaders move. Raises KafkaUnavailable."""
        hub, tuning = self._hub, self._hub.tuning
        began = time.monotonic()
        while self._cold:
            tips = {tp: hub.partitions[tp].mark for tp in self._cold if tp in hub.partitions}
            resolver = _Resolver(hub, self._cold, tips)
            self.position |= await resolver.marks()
            self.gaps += resolver.gaps
            self._cold = {tp: self._cold[tp] for tp in resolver.troubles}
            if self._cold and time.monotonic() - began > tuning.leader_patience_seconds:
                if any(tp in self._needed and not _is_denied(error) for tp, error in resolver.troubles.items()):
                    raise KafkaUnavailable
                self.left_out |= {tp: resolver.tips[tp] for tp in self._cold}
                return
            if self._cold:
                await asyncio.sleep(tuning.leader_retry_seconds)
                with contextlib.suppress(SourceUnavailableError):
                    await hub.refresh(tuning.leader_retry_seconds)


async def preview(hub: Hub, starts: Mapping[TopicPartition, Start]) -> tuple[dict[TopicPartition, Mark], list[Gap]]:
    """Return what `resolve` would, for a client that will not read: no partition is watched.

    Partitions that start at their end have no mark. Raises KafkaUnavailable.
    """
    asked = {tp: start for tp, start in starts.items() if start.offset != END}
    if not asked:
        return {}, []
    bounds = await hub.lookups.bounds(asked)
    resolver = _Resolver(hub, asked, {tp: Mark(0, bound.end, 0) for tp, bound in answered(bounds).items()})
    marks = await resolver.marks()
    if not marks:
        raise KafkaUnavailable
    return marks, [*resolver.gaps, *(_left_out(tp, asked[tp]) for tp in resolver.troubles)]


def _is_denied(error: SourceError) -> bool:
    return isinstance(error, NotAuthorizedError)


def _left_out(tp: TopicPartition, start: Start) -> Gap:
    """The gap of a partition that cannot be read: what was asked for, if only its end."""
    if start.offset is not None:
        return Gap(*tp, start.offset, None)
    return Gap(*tp, start.cursor.offset if start.cursor else start.timestamp or 0, None)


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
    """One request's look-ups. `tips` are the hub's marks, taken first: a later end would skip what came between.

    `troubles` are the partitions of which Kafka did not answer; they have no mark.
    """

    def __init__(self, hub: Hub, starts: Mapping[TopicPartition, Start], tips: Mapping[TopicPartition, Mark]) -> None:
        self.gaps: list[Gap] = []
        self.troubles: dict[TopicPartition, SourceError] = {}
        self.tips = tips
        self._hub = hub
        self._starts = dict(starts)
        self._bounds: dict[TopicPartition, Bounds] = {}
        self._oldest: dict[TopicPartition, Found] = {}

    async def marks(self) -> dict[TopicPartition, Mark]:
        """Return where each partition starts."""
        lookups = self._hub.lookups
        starts = self._starts
        self._bounds = self._answered(await lookups.bounds(starts))
        beyond = [tp for tp, start in starts.items() if _asked(start) > self._bounds.get(tp, Bounds(0, 0)).end]
        if beyond:
            self._bounds |= self._answered(await lookups.bounds(beyond, fresh=True))
        for tp in starts.keys() - self._bounds.keys():
            # Just gone: anything but an error would leave out what it holds in silence.
            self._without(tp, SourceUnavailableError("Kafka does not know the partition at the moment"))
        oldest = {tp: 0 for tp, start in starts.items() if self._bounds[tp].begin > 0 or start.offset == OLDEST}
        self._oldest = self._answered(await lookups.at_times(oldest))
        offsets = {tp: self._offset(tp, start) for tp, start in starts.items()}
        # A cursor is believed unless the record before it is another one than the id says. To see that one, its whole
        # batch has to be read; so Kafka is asked first, for all partitions at once, what begins at the id's own time.
        times = {tp: start.timestamp for tp, start in starts.items() if start.cursor and offsets[tp] is not None}
        at = self._answered(await lookups.at_times({tp: ms for tp, ms in times.items() if ms is not None}))
        unsure = {tp: offsets[tp] for tp in starts if tp not in at or at[tp].offset != offsets[tp]}
        wanted = {tp: offset for tp, offset in unsure.items() if offset is not None}
        before = self._answered(await lookups.timestamps_before(wanted))
        by_time: dict[TopicPartition, int] = {}
        marks: dict[TopicPartition, Mark] = {}
        for tp, start in starts.items():
            offset = offsets[tp]
            seen = before.get(tp)
            if offset is None or self._is_another(start, offset, seen):
                by_time[tp] = self._time(start)
            else:
                marks[tp] = self._mark(tp, start, offset, seen)
        marks |= await self._at_times(by_time)
        self.gaps = [gap for gap in self.gaps if TopicPartition(gap.topic, gap.partition) not in self.troubles]
        return marks

    def _answered(self, answers: Mapping[TopicPartition, _V | SourceError]) -> dict[TopicPartition, _V]:
        """The answers that are none of trouble; of a partition with trouble nothing further is asked."""
        for tp, answer in answers.items():
            if isinstance(answer, SourceError):
                self._without(tp, answer)
        return answered(answers)

    def _without(self, tp: TopicPartition, trouble: SourceError) -> None:
        self.troubles[tp] = trouble
        self._starts.pop(tp, None)

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

    def _is_another(self, start: Start, offset: int, seen: int | None) -> bool:
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
        found = self._answered(await self._hub.lookups.at_times(times))
        now = int(time.time() * 1000)
        marks = {}
        for tp, ms in times.items():
            if tp in self.troubles:
                continue
            record, first = found.get(tp), self._oldest.get(tp)
            tip = self.tips[tp]
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
        tip = self.tips[tp]
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
