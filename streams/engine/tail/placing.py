"""Where each watched partition is read from: new ones are placed, and those that were recreated begin again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from streams.core.positions import Gap, TopicPartition
from streams.core.ring import Ring
from streams.engine.faults import Faults
from streams.engine.lookups import Lookups
from streams.engine.metrics import Metrics
from streams.engine.source import (
    Bounds,
    Found,
    NotAuthorizedError,
    OutOfRangeError,
    RecordSource,
    SourceError,
    SourceUnavailableError,
    UnknownPartitionError,
)
from streams.engine.tail.partition import UNSEEN_MS, Partition
from streams.engine.tail.topics import Spawn, Topics
from streams.engine.tuning import Tuning

log = logging.getLogger(__name__)

STRIKES = 3
"""Consecutive checks that must agree before a partition is treated as recreated."""
LATE_MS = 10_000
"""Maximum ms by which clocks, and what producers stamp, may be late, where a time stands for "from now on"."""
PROBE_BYTES = 1024


class Placing:
    """Works on the hub's `partitions`; `placed` is called when the tail has something more to read."""

    def __init__(
        self,
        source: RecordSource,
        topics: Topics,
        lookups: Lookups,
        partitions: Mapping[TopicPartition, Partition],
        *,
        metrics: Metrics,
        faults: Faults,
        tuning: Tuning,
        spawn: Spawn,
        placed: Callable[[], None],
    ) -> None:
        self._source = source
        self._topics = topics
        self._lookups = lookups
        self._partitions = partitions
        self._metrics = metrics
        self._faults = faults
        self._tuning = tuning
        self._spawn = spawn
        self._placed = placed
        self._wanted = asyncio.Event()
        # Never the same one twice, also where a partition is watched again: History holds blocks of the last one.
        self.incarnations: Iterator[int] = itertools.count()

    # New partitions.

    def place_soon(self) -> None:
        """Let `place_new` run: there is a partition without a ring."""
        self._wanted.set()

    async def place_new(self) -> None:
        """Wait until a partition has to be placed, and begin with those whose time it is."""
        is_waiting = any(partition.ring is None for partition in self._partitions.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tuning.retry_seconds if is_waiting else None):
                await self._wanted.wait()
        self._wanted.clear()
        now = time.monotonic()
        by_broker: defaultdict[int, list[Partition]] = defaultdict(list)
        for tp, partition in self._partitions.items():
            if partition.ring is None and not partition.is_being_placed and partition.retry_at <= now:
                by_broker[self._source.broker_of(tp)].append(partition)
        for some in by_broker.values():  # apart: none waits for another one's broker
            for partition in some:
                partition.is_being_placed = True
            self._spawn(self._place(some))

    async def _place(self, some: Sequence[Partition]) -> None:
        try:
            with self._faults.caught("placing partitions"):
                bounds = await self._lookups.bounds([partition.tp for partition in some], fresh=True)
                # A topic may be gone, so it is not watched; or its metadata come before its leader knows of it.
                absent = SourceUnavailableError("its leader does not know it yet")
                await asyncio.gather(*(self._place_one(each, bounds.get(each.tp, absent)) for each in some))
        finally:
            retry_at = time.monotonic() + self._tuning.retry_seconds
            for partition in some:
                partition.is_being_placed = False
                partition.retry_at = max(retry_at, partition.retry_at)
        self._placed()

    async def _place_one(self, partition: Partition, bounds: Bounds | SourceError) -> None:
        tp = partition.tp
        try:
            if isinstance(bounds, SourceError):
                raise bounds
            start, seen = await self._start(partition, bounds)
        except SourceError as error:
            partition.trouble = error
            if isinstance(error, NotAuthorizedError):
                partition.retry_at = time.monotonic() + self._tuning.denied_seconds
            for track in partition.tracks:
                track.wake()  # nobody has to wait for it any longer
            return
        partition.ring = Ring(start, self._tuning.ring_bytes, seen)
        partition.timestamp = seen[1] + 1 if seen else _unseen_timestamp()
        partition.begin = partition.mark
        partition.end = bounds.end
        partition.trouble = None
        partition.read_at = time.monotonic()
        for track in partition.tracks:
            track.place(tp, partition.mark)

    async def _start(self, partition: Partition, bounds: Bounds) -> tuple[int, tuple[int, int] | None]:
        """The offset to read from, with offset and timestamp of the last record before it. Raises SourceError."""
        tp = partition.tp
        if partition.from_beginning:
            return bounds.begin, None
        if partition.watched_end is None and not partition.is_awaited:
            partition.watched_end = bounds.end
        start = bounds.end
        if partition.is_awaited:  # from where its clients were told that they get everything
            if partition.watched_end is not None:
                start = partition.watched_end
            else:
                since = partition.watched_ms - LATE_MS
                found = (await self._lookups.at_times({tp: since})).get(tp)
                if isinstance(found, SourceError):
                    raise found
                start = found.offset if isinstance(found, Found) else bounds.end
            start = max(bounds.begin, min(start, bounds.end))
        record = await self._lookups.newest(tp, Bounds(bounds.begin, start))
        if record is None:
            # Nothing was read: whether it may be is to be known before anybody is told that all is well.
            with contextlib.suppress(OutOfRangeError, UnknownPartitionError):
                await self._source.read(tp, start, PROBE_BYTES)
        return start, (record.offset, record.timestamp) if record else None

    # Suspect partitions.

    def check_for_restart(self, tp: TopicPartition) -> None:
        """Look whether the partition was recreated: an offset does not exist which ought to."""
        partition = self._partitions.get(tp)
        if partition is not None and partition.ring is not None and not partition.is_suspect:
            partition.is_suspect = True
            self._spawn(self._verify(partition))

    async def _verify(self, partition: Partition) -> None:
        """Look whether a suspect partition is still the one that was read; only evidence makes it a new one.

        A fault ends the suspicion, not the partition: the tail continues, and returns here if there is reason to.
        """
        try:
            with self._faults.caught("looking at a suspect partition"):
                await self._settle(partition)
                partition.was_away = False
                return
            await asyncio.sleep(self._tuning.retry_seconds)
        finally:
            partition.is_suspect = False
            self._placed()

    async def _settle(self, partition: Partition) -> None:
        strikes = 0
        while self._partitions.get(partition.tp) is partition:
            try:
                await self._topics.refresh()
                bounds = (await self._lookups.bounds([partition.tp], fresh=True)).get(partition.tp)
                verdict = await self._verdict(partition, bounds) if isinstance(bounds, Bounds) else None
            except SourceError:
                verdict = None
            if verdict is False:
                return
            # A new leader may for a moment know less than the old one did.
            strikes = strikes + 1 if verdict else 0
            if strikes == STRIKES and isinstance(bounds, Bounds):
                await self._restart(partition, bounds)
                return
            await asyncio.sleep(self._tuning.retry_seconds)

    async def _verdict(self, partition: Partition, bounds: Bounds) -> bool:
        """Return whether the partition was recreated. Raises SourceError."""
        assert partition.ring is not None
        tip = partition.ring.tip
        if partition.is_of_another_cluster or not bounds.begin <= tip <= bounds.end:
            return True
        if not partition.was_away or (partition.ring.before is None and partition.ring.floor == tip):
            return False
        self._lookups.forget()
        now = (await self._lookups.timestamps_before({partition.tp: tip})).get(partition.tp)
        if isinstance(now, SourceError):
            raise now
        return now is not None and now + 1 != partition.timestamp

    async def _restart(self, partition: Partition, bounds: Bounds) -> None:
        assert partition.ring is not None
        tp = partition.tp
        asked, start = partition.ring.tip, bounds.begin
        self._lookups.forget()
        if partition.is_of_another_cluster:  # it may mirror the old one: there, times mean the same (wire contract)
            found = (await self._lookups.at_times({tp: max(0, partition.timestamp - 1)})).get(tp)
            start = found.offset if isinstance(found, Found) else bounds.end
        gap = Gap(tp.topic, tp.partition, asked, start)
        log.warning("%s partition %s was truncated or recreated; continuing at offset %s, not %s", *tp, start, asked)
        if asked > bounds.begin or partition.is_of_another_cluster:
            partition.incarnation = next(self.incarnations)
        partition.is_of_another_cluster = False
        partition.ring = Ring(start, self._tuning.ring_bytes)
        partition.timestamp = _unseen_timestamp()
        partition.latest = -1
        partition.begin = partition.mark
        self._metrics.gaps.inc()
        for track in partition.tracks:
            track.restart(tp, partition.mark, gap, time.monotonic())


def _unseen_timestamp() -> int:
    return int(time.time() * 1000) - UNSEEN_MS
