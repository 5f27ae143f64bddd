"""The way of a client that is behind: from its position to exactly a target, all partitions merged by time.

Each partition is read out of its ring as far back as that reaches, else from history, for which the client needs a
reader slot. What is at hand of all partitions is in a `Merge`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Protocol

from streams.core.errors import KafkaUnavailable
from streams.core.positions import Gap, Mark, TopicPartition
from streams.engine.replay.history import History, HistoryBlock, Log
from streams.engine.replay.merge import Merge
from streams.engine.replay.reader_slots import ReaderSlot
from streams.engine.source import OutOfRangeError, SourceError, UnknownPartitionError, answered
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.hub import Hub
from streams.engine.terms.terms import Terms


class PullLoop(Protocol):
    """The part of the client's `Subscription` that tells the client something while it catches up."""

    def patiently(self, work: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> AsyncIterator[Chunk]:
        """Wait for `work`, and yield what the client is told meanwhile."""

    def signs_of_life(self) -> list[Chunk]:
        """Return what the client is to be told by now."""

    def gap_chunks(self, gaps: Iterable[Gap]) -> list[Chunk]:
        """Return what tells the client of gaps."""


class CatchUp:
    """What one client that is behind holds: events in `merge`, and perhaps a reader slot."""

    __slots__ = ("_history", "_hub", "_pull_loop", "_slot", "_taking_slot", "_terms", "_tuning", "_version", "merge")

    def __init__(self, hub: Hub, history: History, merge: Merge, pull_loop: PullLoop, terms: Terms | None) -> None:
        self.merge = merge
        self._hub = hub
        self._history = history
        self._pull_loop = pull_loop
        self._terms = terms
        self._tuning = hub.tuning
        self._version = history.version
        self._slot: ReaderSlot | None = None
        self._taking_slot: asyncio.Future[None] | None = None

    def park(self) -> None:
        """Release all that is held."""
        self.merge.clear()
        if self._taking_slot is not None:
            self._taking_slot.cancel()
            self._taking_slot = None
        if self._slot is not None:
            self._slot.leave()
            self._slot = None

    async def read_to(
        self, position: dict[TopicPartition, Mark], target: dict[TopicPartition, Mark]
    ) -> AsyncIterator[Chunk]:
        """Yield everything from `position`, which is moved on, to exactly `target`.

        Ends early if a partition was recreated meanwhile.
        """
        merge = self.merge
        merge.begin(position)
        passed = 0
        while True:
            async for chunk in self._read_what_lacks(target):
                yield chunk
            if not merge:
                return
            if self._version != self._history.version:
                # What is held was made with an older redaction list: read it again (invariant 5).
                self._version = self._history.version
                merge.clear()
                continue
            chunk = merge.chunk(self._terms.left if self._terms is not None else None)
            # What was looked at counts, too; where nothing was an event, that may have been much.
            nbytes = max(chunk.nbytes, merge.examined) or self._tuning.chunk_bytes
            if self._slot is not None:
                self._slot.account(nbytes)
            if chunk.parts:
                yield chunk
            for sign in self._pull_loop.signs_of_life():
                yield sign  # a filter may want nothing of all that is read
            if self._terms is not None and self._terms.left == 0:
                merge.clear()
                return
            # A reader that leaves throws away what it has not sent: of many partitions, it would only read.
            if self._slot is not None and self._slot.is_over and merge.is_mostly_sent:
                self.park()
            passed += nbytes
            if passed >= self._tuning.yield_bytes:
                # Where neither Kafka nor the socket has to be waited for, all others would be kept waiting.
                passed = 0
                await asyncio.sleep(0)

    async def _read_what_lacks(self, target: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Read until something is at hand of each partition before its target; nothing is if one was recreated."""
        # Again, where the client was parked meanwhile.
        while lacking := [tp for tp, mark in target.items() if self._needs_events(tp, mark)]:
            for tp in lacking:
                async for chunk in self._read_ahead(tp, target):
                    yield chunk
                if self._hub.partitions[tp].incarnation != target[tp].incarnation:
                    self.merge.clear()
                    return

    def _needs_events(self, tp: TopicPartition, target: Mark) -> bool:
        return tp not in self.merge and self.merge.position[tp].offset < target.offset

    async def _read_ahead(self, tp: TopicPartition, targets: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Read until there is a record of the partition at hand, or it is at its target."""
        target = targets[tp]
        while self._needs_events(tp, target):
            if self._slot is not None and not self.merge and self._slot.is_over:
                self.park()
            partition = self._hub.partitions[tp]
            if partition.ring is None or partition.incarnation != target.incarnation:
                return
            if self._take_from_ring(tp, targets):
                continue
            if self._slot is None:
                # While it waits, the position may come into the ring, or the client may be parked.
                async for chunk in self._wait_for_slot():
                    yield chunk
            elif not self._take_from_cache(tp, targets):
                async for chunk in self._read_from_kafka(tp, targets):
                    yield chunk

    def _take_from_ring(self, tp: TopicPartition, targets: dict[TopicPartition, Mark]) -> bool:
        ring = self._hub.partitions[tp].ring
        offset, target = self.merge.position[tp].offset, targets[tp]
        share = min(self._tuning.chunk_bytes, self._tuning.look_ahead_bytes // len(targets))
        live = ring.read(offset, target.offset, share) if ring is not None else None
        if live is None:
            return False
        self._history.metrics.found_in["ring"] += 1
        events, following = live
        block = HistoryBlock(offset, following, events, 0, following, self._history.version)
        block.ring_bytes = sum([len(event.json) for event in events])
        self.merge.hold(tp, [block], target)
        return True

    async def _wait_for_slot(self) -> AsyncIterator[Chunk]:
        taking = self._taking_slot = asyncio.ensure_future(self._take_slot())
        async for chunk in self._pull_loop.patiently(taking):
            yield chunk
        if not taking.cancelled():
            taking.result()  # a fault must end the stream rather than be retried forever

    async def _take_slot(self) -> None:
        self._slot = await self._history.slots.take()

    def _share(self, targets: dict[TopicPartition, Mark]) -> int:
        """Bytes that the client may hold of a partition."""
        position = self.merge.position
        return self._history.share(sum(position[tp].offset < mark.offset for tp, mark in targets.items()))

    def _take_from_cache(self, tp: TopicPartition, targets: dict[TopicPartition, Mark]) -> bool:
        target = targets[tp]
        log = Log(tp, target.incarnation)
        block = self._history.cached(log, self.merge.position[tp].offset)
        if block is None:
            return False
        self._history.metrics.found_in["cache"] += 1
        self._history.read_ahead(log, block, target.offset, self._share(targets))
        self.merge.hold(tp, [block], target)
        return True

    async def _read_from_kafka(self, tp: TopicPartition, targets: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        target = targets[tp]
        log, offset, share = Log(tp, target.incarnation), self.merge.position[tp].offset, self._share(targets)
        self._history.metrics.found_in["kafka"] += 1
        reading = asyncio.ensure_future(self._history.read(log, offset, share))
        async for chunk in self._pull_loop.patiently(reading):
            yield chunk
        try:
            blocks = reading.result()
        except (OutOfRangeError, UnknownPartitionError):
            for chunk in self._pull_loop.gap_chunks(await self._skip_what_is_gone(tp, target)):
                yield chunk
            return
        except SourceError:
            blocks = []  # Kafka is away; the client stays, and continues when it is back
        if blocks and blocks[-1].next > offset:
            self._hold(log, blocks, share, target)
            return
        # Meanwhile others may read, perhaps of other brokers.
        if self._history.slots.is_wanted:
            self.park()
        async for chunk in self._pull_loop.patiently(asyncio.sleep(self._tuning.retry_seconds)):
            yield chunk

    def _hold(self, log: Log, blocks: list[HistoryBlock], share: int, target: Mark) -> None:
        """Keep as many of the blocks as the client's share allows; the cache may have the others, or not."""
        if self._slot is None:
            return  # it was parked while it waited
        kept = size = 0
        for block in blocks:
            size += block.nbytes
            if kept and size > share:
                break
            kept += 1
        self._history.read_ahead(log, blocks[0], target.offset, share)
        self.merge.hold(log.tp, blocks[:kept], target)

    async def _skip_what_is_gone(self, tp: TopicPartition, target: Mark) -> list[Gap]:
        """Move to what the log has: retention has overtaken the position, or the topic was recreated or deleted."""
        mark = self.merge.position[tp]
        try:
            await self._hub.topics([tp.topic], [tp])  # asks again if it is missing
            is_gone = not self._hub.exists(tp)
            bounds = answered(await self._hub.lookups.bounds([tp], fresh=True)).get(tp)
        except KafkaUnavailable:
            is_gone, bounds = False, None
        if is_gone:
            self.merge.move(tp, target)
            return [Gap(*tp, mark.offset, None)]
        if bounds is None or mark.offset > bounds.end:
            self._hub.check_for_restart(tp)
            await asyncio.sleep(self._tuning.retry_seconds)
        elif mark.offset < bounds.begin:
            self.merge.move(tp, mark._replace(offset=bounds.begin))
            return [Gap(*tp, mark.offset, bounds.begin)]
        return []
