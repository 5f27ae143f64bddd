"""The one pull loop of every client: catch up to the feed, follow it, fall behind, catch up again.

A client owns a position and nothing else (invariant 3). Start at the end, `since`, resume and falling behind are the
same: with P the client's position and T the feed's, it waits until T ≥ P everywhere, reads every partition to exactly
T, and then follows the feed after T (invariant 4).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

from streams.core import formats
from streams.core.errors import KafkaUnavailable
from streams.core.events import Event
from streams.core.positions import Gap, IdWriter, Mark, TopicPartition
from streams.engine.fanout import Chunk, Follower, Sink
from streams.engine.feed import BLOCK_BYTES, WHOLE_BYTES, Feed, ahead, behind, ndjson_parts
from streams.engine.history import History, Log, Seat
from streams.engine.hub import RETRY_SECONDS, Hub
from streams.engine.metrics import Metrics
from streams.engine.source import OutOfRangeError, SourceError, UnknownPartitionError

FEED_SECONDS = 0.05


class _Ahead:
    """What has been read of one partition and not been sent yet: `events` from `index` on, then on from `mark`."""

    __slots__ = ("events", "index", "mark")

    def __init__(self, events: list[Event], mark: Mark) -> None:
        self.events = events
        self.index = 0
        self.mark = mark


class Subscription:
    """One client's position and its way forward. Iterate over `chunks`; `park` where the client cannot be written to.

    While the client is live and its `sink` takes what is new, that goes there and is not among the chunks.

    `position` has a mark for each partition of the feed. One that is missing has been added meanwhile, and begins where
    the hub began it; or the hub watches it and Kafka no longer has it: then it goes on from where the feed stands.
    """

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
        self._writer = IdWriter(hub.cluster_id, feed.selection.scope)
        self._ahead: dict[TopicPartition, _Ahead] = {}
        self._version = history.version
        self._seat: Seat | None = None
        self._taking_seat: asyncio.Future[None] | None = None
        self._last_chunk_at = 0.0

    async def chunks(self) -> AsyncIterator[Chunk]:
        """All that the client is to be sent, without end."""
        self._last_chunk_at = time.monotonic()
        try:
            async for chunk in self._chunks():
                yield chunk
                self._last_chunk_at = time.monotonic()
        finally:
            self.park()

    def park(self) -> None:
        """Let go of all that is held besides the position."""
        self._ahead.clear()
        if self._taking_seat is not None:
            self._taking_seat.cancel()
            self._taking_seat = None
        if self._seat is not None:
            self._seat.leave()
            self._seat = None

    async def _chunks(self) -> AsyncIterator[Chunk]:
        while True:
            gaps = self._gap_chunks(self._adopt(self._feed.vector))
            if gaps:
                for chunk in gaps:
                    yield chunk
                continue  # the feed may have gone on meanwhile
            number, target = self._feed.entry(self.position)
            if ahead(self.position, target):
                async for chunk in self._patiently(self._feed_to_come()):
                    yield chunk
            elif behind(self.position, target):
                async for chunk in self._catch_up(target):
                    yield chunk
            if not ahead(self.position, target) and not behind(self.position, target):
                self.position = target
                self.park()
                async for chunk in self._follow(number):
                    yield chunk

    # Live.

    async def _follow(self, number: int) -> AsyncIterator[Chunk]:
        """What the feed has after block `number`, until the client is too slow for it."""
        feed = self._feed
        try:
            while True:
                step = feed.next_step(number, self._is_sse)
                if step is not None:
                    chunk, number, self.position = step
                    if chunk.parts:
                        yield chunk
                elif self._sink is None:
                    await feed.changed()
                else:
                    follower = Follower(self._sink, number, self.position, is_sse=self._is_sse)
                    await feed.fanout.follow(follower)
                    number, self.position = follower.number, follower.position
        except LookupError:
            return

    # Behind.

    def _adopt(self, target: dict[TopicPartition, Mark]) -> list[Gap]:
        """Take over partitions that are new, and those that began anew; the latter are gaps."""
        gaps = []
        position = dict(self.position)
        for tp in target:
            partition = self._hub.partitions[tp]
            begin = partition.begin
            mark = position.get(tp)
            if mark is None:
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
        self._writer.reset(self.position)
        while True:
            for tp, mark in target.items():
                if self._needs_events(tp, mark):
                    async for chunk in self._read_ahead(tp, mark):
                        yield chunk
                    if self._hub.partitions[tp].incarnation != mark.incarnation:
                        self._ahead.clear()
                        return
            if not self._ahead:
                return
            if self._version != self._history.version:
                # What is held was made with an older redaction list: read it again (invariant 5).
                self._version = self._history.version
                self._ahead.clear()
                continue
            chunk = self._merge()
            if self._seat is not None:
                self._seat.account(sum(map(len, chunk.parts)))
            yield chunk
            if self._seat is not None and self._seat.is_over:
                self.park()

    def _needs_events(self, tp: TopicPartition, target: Mark) -> bool:
        return tp not in self._ahead and self.position[tp].offset < target.offset

    async def _read_ahead(self, tp: TopicPartition, target: Mark) -> AsyncIterator[Chunk]:
        """Read until there is an event of the partition at hand, or it is at `target`. Yields what is to be said."""
        while self._needs_events(tp, target):
            if self._seat is not None and self._seat.is_over:
                self.park()
            offset = self.position[tp].offset
            partition = self._hub.partitions[tp]
            if partition.ring is None or partition.incarnation != target.incarnation:
                return
            live = partition.ring.read(offset, target.offset, BLOCK_BYTES)
            if live is not None:
                self._hold(tp, live[0], live[1], None, target)
                continue
            if self._seat is None:
                self._taking_seat = asyncio.ensure_future(self._take_seat())
                async for chunk in self._patiently(self._taking_seat):
                    yield chunk
                # While it waited, the position may have come into the ring, or the client may have been parked.
                continue
            log = Log(tp, target.incarnation)
            block = self._history.cached(log, offset, target.offset)
            if block is None:
                reading = asyncio.ensure_future(self._history.read(log, offset, target.offset))
                async for chunk in self._patiently(reading):
                    yield chunk
                try:
                    block = reading.result()
                except (OutOfRangeError, UnknownPartitionError):
                    for chunk in self._gap_chunks(await self._skip_what_is_gone(tp, target)):
                        yield chunk
                    continue
                except SourceError:
                    # Kafka is away; the client stays, and goes on when it is back.
                    async for chunk in self._patiently(asyncio.sleep(RETRY_SECONDS)):
                        yield chunk
                    continue
            if block.next <= offset:
                async for chunk in self._patiently(asyncio.sleep(RETRY_SECONDS)):
                    yield chunk
                continue
            self._hold(tp, block.events, block.next, block.timestamp, target)

    async def _take_seat(self) -> None:
        self._seat = await self._history.seats.take()

    async def _feed_to_come(self) -> None:
        """Wait for a feed that is behind (an id from another worker, a hub that lags)."""
        while any(self.position[tp][:2] > m[:2] for tp, m in self._feed.vector.items() if tp in self.position):
            await asyncio.sleep(FEED_SECONDS)

    def _hold(self, tp: TopicPartition, events: list[Event], offset: int, timestamp: int | None, target: Mark) -> None:
        """Keep events to be merged; without any, the position just moves on."""
        if offset >= target.offset:
            offset, timestamp = target.offset, target.timestamp
        elif timestamp is None:
            timestamp = events[-1].timestamp + 1 if events else self.position[tp].timestamp
        mark = Mark(target.incarnation, offset, timestamp)
        if events:
            self._ahead[tp] = _Ahead(events, mark)
        else:
            self._move(tp, mark)

    def _merge(self) -> Chunk:
        """Up to a block of events, the oldest of all partitions first, until one of them has to be read on."""
        parts: list[bytes] = []
        taken: list[Event] = []
        size = 0
        ahead = self._ahead
        while size < BLOCK_BYTES:
            tp = min(ahead, key=lambda tp: ahead[tp].events[ahead[tp].index].timestamp)
            held = ahead[tp]
            until = min((a.events[a.index].timestamp for other, a in ahead.items() if other is not tp), default=None)
            events, index = held.events, held.index
            while index < len(events) and size < BLOCK_BYTES:
                event = events[index]
                if until is not None and event.timestamp > until:
                    break
                large = len(event.json) > WHOLE_BYTES
                if large and taken:
                    size = BLOCK_BYTES
                    break
                if self._is_sse:
                    self._writer.set(tp, event.offset + 1, event.timestamp + 1)
                    parts += (formats.sse_head(self._writer.ids()), event.json, formats.SSE_TAIL)
                taken.append(event)
                size += len(event.json)
                index += 1
            if index == len(events):
                del ahead[tp]
                self._move(tp, held.mark)
                break
            held.index = index
            if index:  # it may still stand at its first, where that is large and has to go alone
                last = events[index - 1]
                self.position[tp] = Mark(held.mark.incarnation, last.offset + 1, last.timestamp + 1)
        if not self._is_sse:
            return Chunk(ndjson_parts(taken), len(taken))
        return Chunk(tuple(parts) if size > WHOLE_BYTES else (b"".join(parts),), len(taken))

    def _move(self, tp: TopicPartition, mark: Mark) -> None:
        self.position[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)

    async def _skip_what_is_gone(self, tp: TopicPartition, target: Mark) -> list[Gap]:
        """The log no longer has the position: retention has overtaken it, it began anew, or the topic is gone."""
        mark = self.position[tp]
        try:
            await self._hub.topics([tp.topic], [tp])  # asks anew where it is missing
            is_gone = not self._hub.exists(tp)
            bounds = (await self._hub.lookups.bounds([tp], fresh=True)).get(tp)
        except (SourceError, KafkaUnavailable):
            is_gone, bounds = False, None
        if is_gone:
            self._move(tp, target)
            return [Gap(*tp, mark.offset, None)]
        if bounds is None or mark.offset > bounds.end:
            self._hub.suspect(tp)
            await asyncio.sleep(RETRY_SECONDS)
        elif mark.offset < bounds.begin:
            self._move(tp, mark._replace(offset=bounds.begin))
            return [Gap(*tp, mark.offset, bounds.begin)]
        return []

    def _gap_chunks(self, gaps: Iterable[Gap]) -> list[Chunk]:
        gaps = list(gaps)
        self._metrics.gaps.inc(len(gaps))
        return [Chunk((formats.sse_gap(gaps),), 0)] if gaps and self._is_sse else []

    async def _patiently(self, work: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> AsyncIterator[Chunk]:
        """Wait for `work`, whatever becomes of it, with signs of life to the client meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                due = self._keepalive and self._last_chunk_at + self._keepalive - time.monotonic()
                await asyncio.wait({task}, timeout=due and max(0.0, due))
                if not task.done():
                    yield Chunk((self._comment,), 0)
        finally:
            task.cancel()
