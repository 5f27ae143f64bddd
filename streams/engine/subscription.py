"""The one pull loop of every client: catch up to the feed, follow it, fall behind, catch up again.

A client owns a position and nothing else (invariant 3). Start at the end, `since`, resume and falling behind are the
same: with P the client's position and T the feed's, it waits until T ≥ P everywhere, reads every partition to exactly
T, and then follows the feed after T (invariant 4).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from typing import Any

from streams.core import formats
from streams.core.errors import KafkaUnavailable
from streams.core.positions import Gap, IdWriter, Mark, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.replay.history import History, HistoryBlock, Log
from streams.engine.replay.merge import Merge
from streams.engine.replay.reader_slots import ReaderSlot
from streams.engine.source import OutOfRangeError, SourceError, UnknownPartitionError, answered
from streams.engine.tail.fanout import Chunk, Follower, Sink
from streams.engine.tail.feed import Feed, ahead, behind
from streams.engine.tail.hub import Hub
from streams.engine.terms.terms import Terms


class Subscription:
    """One client's position and its way forward. Iterate over `chunks`; `park` where the client cannot be written to.

    While the client is live and its `sink` takes what is new, that goes there and is not among the chunks.

    `position` has a mark for each partition of the feed. One that is missing has been added meanwhile, and begins where
    the hub began it; or the hub watches it and Kafka no longer has it: then it continues from where the feed stands.
    """

    __slots__ = (
        "_comment",
        "_feed",
        "_history",
        "_hub",
        "_is_sse",
        "_keepalive",
        "_last_chunk_at",
        "_merging",
        "_metrics",
        "_sink",
        "_slot",
        "_taking_slot",
        "_terms",
        "_tuning",
        "_version",
        "position",
    )

    def __init__(
        self,
        hub: Hub,
        history: History,
        feed: Feed,
        position: dict[TopicPartition, Mark],
        *,
        is_sse: bool,
        keepalive_seconds: float,
        metrics: Metrics,
        sink: Sink | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.position = position
        self._sink = sink
        self._hub = hub
        self._history = history
        self._feed = feed
        self._is_sse = is_sse
        self._keepalive = keepalive_seconds or None
        self._comment = formats.SSE_KEEPALIVE if is_sse else formats.NDJSON_KEEPALIVE
        self._metrics = metrics
        self._tuning = hub.tuning
        self._merging: Merge | None = None
        self._version = history.version
        self._slot: ReaderSlot | None = None
        self._taking_slot: asyncio.Future[None] | None = None
        self._last_chunk_at = 0.0
        self._terms = terms

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield all that the client is to be sent; without end, unless it has asked for one."""
        self._last_chunk_at = time.monotonic()
        try:
            async for chunk in self._chunks():
                if self._terms is not None:
                    self._terms.sent(chunk.events, self.position)
                yield chunk
                self._last_chunk_at = time.monotonic()
        finally:
            self.park()

    def park(self) -> None:
        """Let go of all that is held besides the position."""
        if self._merging is not None:
            self._merging.clear()
        if self._taking_slot is not None:
            self._taking_slot.cancel()
            self._taking_slot = None
        if self._slot is not None:
            self._slot.leave()
            self._slot = None

    async def _chunks(self) -> AsyncIterator[Chunk]:
        terms = self._terms
        while True:
            if terms is not None:
                async for chunk in self._while_it_works(terms.look_for_end()):
                    yield chunk
            gaps = self._gap_chunks(self._adopt(self._feed.vector))
            if gaps:
                for chunk in gaps:
                    yield chunk
                continue  # the feed may have moved meanwhile
            if terms is not None and (ending := terms.ending(self.position)) is not None:
                for chunk in ending:
                    yield chunk
                return
            number, target = self._entry()
            if ahead(self.position, target):
                async for chunk in self._while_it_works(self._feed_to_come()):
                    yield chunk
            elif behind(self.position, target):
                async for chunk in self._catch_up(target):
                    yield chunk
                if number is None:
                    continue  # it may be at its end
            if not ahead(self.position, target) and not behind(self.position, target):
                self.position = target
                self.park()
                self._merging = None  # who is live needs none
                if terms is not None and number is None:
                    live = self._patiently(terms.feed_to_move())
                else:
                    live = self._follow(number or 0)
                async for chunk in live:
                    yield chunk

    def _entry(self) -> tuple[int | None, dict[TopicPartition, Mark]]:
        """Where the client is to join its feed (see `Feed.entry`), or, near its end, how far it may read without it."""
        number, target = self._feed.entry(self.position)
        terms = self._terms
        if terms is None or (not terms.is_near_end and terms.admits(self._feed.next_step(number, self._is_sse))):
            return number, target
        return None, terms.target(self.position)

    # Live.

    async def _follow(self, number: int) -> AsyncIterator[Chunk]:
        """What the feed has after block `number`, until the client is too slow for it."""
        feed, terms = self._feed, self._terms
        try:
            while True:
                if terms is not None:
                    if number == feed.tip:
                        self.position = dict(feed.vector)  # over what was no event
                    for chunk in terms.checkpoint(self.position):
                        yield chunk
                    if terms.is_near_end:
                        return
                step = feed.next_step(number, self._is_sse)
                if step is not None:
                    if terms is not None and not terms.admits(step):
                        return
                    chunk, number, self.position, _ = step
                    if chunk.parts:
                        yield chunk
                elif self._sink is None:
                    await (feed.changed() if terms is None else terms.feed_to_move())
                else:
                    follower = Follower(self._sink, number, self.position, is_sse=self._is_sse)
                    await (feed.fanout.follow(follower) if terms is None else terms.follow(follower))
                    number, self.position = follower.number, follower.position
                    self._last_chunk_at = time.monotonic()
        except LookupError:
            return

    # Behind.

    @property
    def _merge(self) -> Merge:
        if self._merging is None:
            selection = self._feed.selection
            writer = IdWriter(self._hub.cluster_id, selection.scope)
            self._merging = Merge(self._history, writer, selection.filter, is_sse=self._is_sse)
        return self._merging

    def _adopt(self, target: dict[TopicPartition, Mark]) -> list[Gap]:
        """Take over partitions that are new, and those that began anew; the latter are gaps."""
        gaps = []
        position = dict(self.position)
        for tp in target:
            partition = self._hub.partitions[tp]
            begin = partition.begin
            mark = position.get(tp)
            if mark is not None and mark.offset < 0 <= target[tp].offset:
                position[tp] = begin  # the client waits since before it was known where that is
            elif mark is None:
                position[tp] = begin if partition.from_beginning and self._hub.exists(tp) else target[tp]
            elif mark.incarnation < begin.incarnation and mark.incarnation < target[tp].incarnation:
                position[tp] = begin
                gaps.append(Gap(tp.topic, tp.partition, mark.offset, begin.offset))
        self.position = position
        return gaps

    async def _catch_up(self, target: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Everything from the position to exactly `target`, partitions merged by timestamp.

        Ends early where a partition began anew meanwhile.
        """
        merge = self._merge
        merge.begin(self.position)
        passed = 0
        while True:
            # Again, where the client was parked meanwhile.
            while lacking := [tp for tp, mark in target.items() if self._needs_events(tp, mark)]:
                for tp in lacking:
                    async for chunk in self._read_ahead(tp, target):
                        yield chunk
                    if self._hub.partitions[tp].incarnation != target[tp].incarnation:
                        merge.clear()
                        return
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
            for sign in self._signs_of_life():
                yield sign  # a filter may want nothing of all that is read
            if self._terms is not None and self._terms.left == 0:
                merge.clear()
                return
            # Who leaves throws away what it has not sent: a reader of many partitions would spend its turns on reading.
            if self._slot is not None and self._slot.is_over and merge.is_mostly_sent:
                self.park()
            passed += nbytes
            if passed >= self._tuning.yield_bytes:
                # Where neither Kafka nor the socket has to be waited for, all others would be kept waiting.
                passed = 0
                await asyncio.sleep(0)

    def _needs_events(self, tp: TopicPartition, target: Mark) -> bool:
        return tp not in self._merge and self.position[tp].offset < target.offset

    async def _read_ahead(self, tp: TopicPartition, targets: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Read until there is a record of the partition at hand, or it is at its target. Yields what is to be said."""
        target = targets[tp]
        while self._needs_events(tp, target):
            if self._slot is not None and not self._merge and self._slot.is_over:
                self.park()
            offset = self.position[tp].offset
            partition = self._hub.partitions[tp]
            if partition.ring is None or partition.incarnation != target.incarnation:
                return
            share = min(self._tuning.chunk_bytes, self._tuning.look_ahead_bytes // len(targets))
            live = partition.ring.read(offset, target.offset, share)
            if live is not None:
                recent = HistoryBlock(offset, live[1], live[0], 0, live[1], self._history.version)
                self._merge.hold(tp, [recent], target)
                continue
            if self._slot is None:
                taking = self._taking_slot = asyncio.ensure_future(self._take_slot())
                async for chunk in self._patiently(taking):
                    yield chunk
                if not taking.cancelled():
                    taking.result()  # a fault must end the stream rather than be retried forever
                # While it waited, the position may have come into the ring, or the client may have been parked.
                continue
            log = Log(tp, target.incarnation)
            share = self._history.share(sum(self.position[tp].offset < mark.offset for tp, mark in targets.items()))
            block = self._history.cached(log, offset)
            if block is not None:
                self._history.read_ahead(log, block, target.offset, share)
                self._merge.hold(tp, [block], target)
                continue
            reading = asyncio.ensure_future(self._history.read(log, offset, share))
            async for chunk in self._patiently(reading):
                yield chunk
            try:
                blocks = reading.result()
            except (OutOfRangeError, UnknownPartitionError):
                for chunk in self._gap_chunks(await self._skip_what_is_gone(tp, target)):
                    yield chunk
                continue
            except SourceError:
                # Kafka is away; the client stays, and continues when it is back.
                async for chunk in self._rest():
                    yield chunk
                continue
            if blocks[-1].next <= offset:
                async for chunk in self._rest():
                    yield chunk
                continue
            self._hold(log, blocks, share, target)

    async def _rest(self) -> AsyncIterator[Chunk]:
        """Wait for Kafka to have what it does not just now; meanwhile others may read, perhaps of other brokers."""
        if self._history.slots.is_wanted:
            self.park()
        async for chunk in self._patiently(asyncio.sleep(self._tuning.retry_seconds)):
            yield chunk

    async def _take_slot(self) -> None:
        self._slot = await self._history.slots.take()

    async def _feed_to_come(self) -> None:
        """Wait for a feed that is behind (an id from another worker, a hub that lags)."""
        while any(self.position[tp][:2] > m[:2] for tp, m in self._feed.vector.items() if tp in self.position):
            await asyncio.sleep(self._tuning.feed_poll_seconds)

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
        self._merge.hold(log.tp, blocks[:kept], target)

    async def _skip_what_is_gone(self, tp: TopicPartition, target: Mark) -> list[Gap]:
        """The log no longer has the position: retention has overtaken it, it began anew, or the topic is gone."""
        mark = self.position[tp]
        try:
            await self._hub.topics([tp.topic], [tp])  # asks anew where it is missing
            is_gone = not self._hub.exists(tp)
            bounds = answered(await self._hub.lookups.bounds([tp], fresh=True)).get(tp)
        except KafkaUnavailable:
            is_gone, bounds = False, None
        if is_gone:
            self._merge.move(tp, target)
            return [Gap(*tp, mark.offset, None)]
        if bounds is None or mark.offset > bounds.end:
            self._hub.check_for_restart(tp)
            await asyncio.sleep(self._tuning.retry_seconds)
        elif mark.offset < bounds.begin:
            self._merge.move(tp, mark._replace(offset=bounds.begin))
            return [Gap(*tp, mark.offset, bounds.begin)]
        return []

    def _gap_chunks(self, gaps: Iterable[Gap]) -> list[Chunk]:
        gaps = list(gaps)
        self._metrics.gaps.inc(len(gaps))
        return [Chunk((formats.sse_gap(gaps),), 0)] if gaps and self._is_sse else []

    async def _patiently(self, work: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> AsyncIterator[Chunk]:
        """Wait for `work`, whatever becomes of it, with keep-alive comments to the client meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                seconds = math.inf if self._terms is None else self._terms.seconds_left
                if self._keepalive:
                    seconds = min(seconds, self._last_chunk_at + self._keepalive - time.monotonic())
                await asyncio.wait({task}, timeout=None if seconds == math.inf else max(0.0, seconds))
                for chunk in () if task.done() else self._signs_of_life():
                    yield chunk
        finally:
            task.cancel()

    def _signs_of_life(self) -> list[Chunk]:
        """What is to be said by now, although there is no event."""
        signs = list(self._terms.checkpoint(self.position)) if self._terms is not None else []
        if not signs and self._keepalive and time.monotonic() - self._last_chunk_at >= self._keepalive:
            signs.append(Chunk((self._comment,), 0))
        return signs

    async def _while_it_works(self, work: Coroutine[Any, Any, object]) -> AsyncIterator[Chunk]:
        """Wait for `work`, as `_patiently` does. Raises what it raises: a fault must not be tried for ever."""
        task = asyncio.ensure_future(work)
        async for chunk in self._patiently(task):
            yield chunk
        task.result()
