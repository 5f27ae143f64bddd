"""The process's one reader of the tail: every new record is fetched, decoded and encoded once, into rings and feeds.

Partitions are watched while a feed wants them, and a while longer. What becomes of Kafka's topics in the meantime
(grown, created, deleted, recreated, truncated) is followed here; who reads finds it in the partition's incarnation.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from streams.core.errors import KafkaUnavailable
from streams.core.positions import Gap, TopicPartition
from streams.core.ring import Ring
from streams.engine.encoder import Encoder
from streams.engine.fanout import Pace
from streams.engine.feed import Feed, Selection
from streams.engine.lookups import Lookups
from streams.engine.metrics import Metrics
from streams.engine.partition import Partition
from streams.engine.source import Batch, Bounds, RecordSource, SourceError, SourceUnavailableError

log = logging.getLogger(__name__)

PING_SECONDS = 1.0
PINGS_TO_BE_AWAY = 3
REFRESH_SECONDS = 10.0
"""Topics and partitions that are new are found within so many seconds (contract: a minute)."""
RETRY_SECONDS = 0.5
STRIKES = 3
"""So many times in a row a partition must look new before it is begun anew."""
FEED_MIN_BYTES = 64 * 1024
"""All feeds together take as much as one ring, but each so much: what is needed longer is in the rings."""
IDLE_FEEDS = 32
"""So many feeds that nobody follows any more are kept for a while, for those who come back at once."""
UNSEEN_MS = 10 * 60 * 1000
"""A partition without records is said, in ids, to have been seen up to so long before it was watched."""


@dataclass(frozen=True)
class HubLimits:
    """Bytes in memory, and times in seconds."""

    ring_bytes: int = 8 << 20
    keepalive_seconds: float = 15.0
    grace_seconds: float = 60.0
    gather_seconds: float = 0.03
    ready_seconds: float = 2.7


class Hub:
    """Start it with `start`, end it with `close`. `available` says whether Kafka answers (invariant 6)."""

    def __init__(self, source: RecordSource, encoder: Encoder, metrics: Metrics, limits: HubLimits) -> None:
        self.lookups = Lookups(source)
        self.partitions: dict[TopicPartition, Partition] = {}
        self.available = False
        self.has_metadata = False
        self._source = source
        self._encoder = encoder
        self._metrics = metrics
        self._limits = limits
        self._pace = Pace(limits.gather_seconds)
        self._feeds: dict[Selection, Feed] = {}
        self._topics: frozenset[str] = frozenset()
        self._refreshed_at = float("-inf")
        self._heard_at = float("-inf")
        """When a fetch of the tail was last answered."""
        self._refreshing: asyncio.Task[None] | None = None
        # Never the same one twice, also where a partition is watched again: History holds blocks of the last one.
        self._incarnations = itertools.count()
        self._unpositioned = asyncio.Event()
        self._watching = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # For the process.

    def start(self) -> None:
        for run in (self._watch_source, self._position_new, self._read_tail, self._tick):
            self._spawn(self._forever(run))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.close()

    def know(self, topics: Iterable[str]) -> None:
        """The topics of the catalogue: only these are ever named to Kafka."""
        self._topics = frozenset(topics)
        self._refreshed_at = float("-inf")

    def forget(self) -> None:
        """Let all events go, not the positions: they were made with an older redaction list (invariant 5)."""
        for partition in self.partitions.values():
            if partition.ring is not None:
                partition.ring.forget()
        for feed in self._feeds.values():
            feed.forget()

    # For clients.

    @property
    def cluster_id(self) -> str:
        return self._source.cluster_id

    async def topics(self, wanted: Iterable[str], needed: Iterable[TopicPartition] = ()) -> dict[str, int]:
        """Those of `wanted` that Kafka has, with the number of their partitions.

        Asks anew where it has none of them, or one of `needed` is missing. Raises KafkaUnavailable.
        """
        wanted = set(wanted)
        known = self._source.partitions
        lacks = any(tp.topic in wanted and not self.exists(tp) for tp in needed)
        if lacks or not wanted & known.keys():
            try:
                await self.refresh(max_age=0.0)
            except SourceUnavailableError:
                raise KafkaUnavailable from None
            known = self._source.partitions
        return {topic: count for topic, count in known.items() if topic in wanted}

    def exists(self, tp: TopicPartition) -> bool:
        """Whether Kafka had the partition when it was last asked."""
        return tp.partition < self._source.partitions.get(tp.topic, 0)

    async def refresh(self, max_age: float = 1.0) -> None:
        """Ask Kafka for topics and partitions, unless the last answer is at most `max_age` seconds old."""
        oldest = time.monotonic() - max_age
        while self._refreshed_at < oldest:  # more than one round where the one under way was begun too early
            if self._refreshing is None:
                self._refreshing = self._spawn(self._refresh(self._topics))
                self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._refreshing)

    @contextlib.asynccontextmanager
    async def feed(self, selection: Selection, needed: Collection[TopicPartition] = ()) -> AsyncIterator[Feed]:
        """The feed of a selection, while the context lasts; see `join`."""
        feed = await self.join(selection, needed)
        try:
            yield feed
        finally:
            self.leave(feed)

    async def join(self, selection: Selection, needed: Collection[TopicPartition] = ()) -> Feed:
        """The feed of a selection, with its partitions positioned, until it is left. Raises KafkaUnavailable.

        A partition that was added meanwhile is read from its beginning: nobody has to wait for it who has not `needed`
        it.
        """
        feed = self._feeds.get(selection)
        if feed is None:
            feed = self._feeds[selection] = Feed(
                selection,
                self.cluster_id,
                self._limits.keepalive_seconds,
                time.monotonic(),
                self._pace,
                self._metrics,
            )
            for tp in self._wanted_by(selection):
                self._watch(feed, tp, from_beginning=False)
            self._share_feed_bytes()
        feed.clients += 1
        try:
            if feed.missing:
                await self._until_positioned(feed, needed)
        except BaseException:
            self.leave(feed)
            raise
        return feed

    def leave(self, feed: Feed) -> None:
        """One client fewer follows the feed."""
        feed.clients -= 1
        if not feed.clients:
            feed.idle_since = time.monotonic()
            self._let_idle_feeds_go()

    def suspect(self, tp: TopicPartition) -> None:
        """Someone was told that an offset does not exist which ought to: look whether the partition began anew."""
        partition = self.partitions.get(tp)
        if partition is not None and partition.ring is not None and not partition.suspect:
            partition.suspect = True
            self._spawn(self._verify(partition))

    # The tail.

    async def _read_tail(self) -> None:
        if rest := self._pace.rest(self._heard_at):
            await asyncio.sleep(rest)  # what comes meanwhile is fetched at once
        read = ((p.tp, p.ring) for p in self.partitions.values() if not p.suspect)
        positions = {tp: ring.tip for tp, ring in read if ring is not None}
        if not positions:
            self._watching.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._watching.wait()
            return
        results = await self._source.poll(positions)
        if any(isinstance(result, Batch) for result in results.values()):
            self._heard_at = time.monotonic()
        moved: set[Feed] = set()
        try:
            for tp, result in results.items():
                partition = self.partitions.get(tp)
                if partition is None or partition.ring is None or partition.ring.tip != positions[tp]:
                    continue
                if isinstance(result, Batch):
                    if result.next_offset != positions[tp]:
                        moved.update(partition.feeds)
                    self._take(partition, partition.ring, result)
                    await asyncio.sleep(0)  # encoding one after the other must not stop the loop for long
                else:
                    partition.was_away = True
                    self.suspect(tp)
        finally:
            for feed in moved:
                feed.wake()

    def _take(self, partition: Partition, ring: Ring, batch: Batch) -> None:
        partition.end = batch.bounds.end
        if batch.next_offset == ring.tip:
            return
        events = self._encoder.events(batch.records)
        ring.extend(events, batch.next_offset)
        if batch.records:
            partition.timestamp = batch.records[-1].timestamp + 1
        mark, now = partition.mark, time.monotonic()
        for feed in partition.feeds:
            feed.extend(partition.tp, events, mark, now)

    # Partitions: watched, positioned, begun anew, let go.

    def _wanted_by(self, selection: Selection) -> list[TopicPartition]:
        known = self._source.partitions
        wanted = [TopicPartition(t, p) for t in selection.topics for p in range(known.get(t, 0))]
        return wanted + [tp for tp in selection.partitions if self.exists(tp)]

    def _watch(self, feed: Feed, tp: TopicPartition, from_beginning: bool) -> None:
        partition = self.partitions.get(tp)
        if partition is None:
            partition = self.partitions[tp] = Partition(tp, next(self._incarnations), from_beginning)
        partition.feeds.append(feed)
        if partition.ring is None:
            feed.missing.add(tp)
            self._unpositioned.set()
        else:
            feed.place(tp, partition.mark)

    async def _position_new(self) -> None:
        await self._unpositioned.wait()
        self._unpositioned.clear()
        new = {tp: partition for tp, partition in self.partitions.items() if partition.ring is None}
        try:
            bounds = await self.lookups.bounds(new, fresh=True)
            newest = await asyncio.gather(*(self._newest(new[tp], bounds[tp]) for tp in bounds))
        except SourceUnavailableError as error:
            log.warning("Kafka did not say where %s partitions stand: %s", len(new), error)
            await asyncio.sleep(RETRY_SECONDS)
            self._unpositioned.set()
            return
        for (tp, bound), seen in zip(bounds.items(), newest, strict=True):
            partition = new[tp]
            start = bound.begin if partition.from_beginning else bound.end
            partition.ring = Ring(start, self._limits.ring_bytes, seen)
            partition.timestamp = seen[1] + 1 if seen else _unseen_timestamp()
            partition.begin = partition.mark
            partition.end = bound.end
            for feed in partition.feeds:
                feed.place(tp, partition.mark)
        if new.keys() - bounds.keys():  # topics that went meanwhile, or have no leader yet
            await asyncio.sleep(RETRY_SECONDS)
            self._unpositioned.set()
        self._watching.set()

    async def _newest(self, partition: Partition, bounds: Bounds) -> tuple[int, int] | None:
        """Offset and timestamp of the last record before where the partition starts."""
        if partition.from_beginning:
            return None
        record = await self.lookups.newest(partition.tp, bounds)
        return (record.offset, record.timestamp) if record else None

    async def _verify(self, partition: Partition) -> None:
        """Whether a suspect partition is still the one that was read; only evidence makes it a new one."""
        strikes = 0
        while self.partitions.get(partition.tp) is partition:
            try:
                await self.refresh()
                bounds = (await self.lookups.bounds([partition.tp], fresh=True)).get(partition.tp)
                verdict = await self._verdict(partition, bounds) if bounds else None
            except SourceError:
                verdict = None
            if verdict is False:
                break
            # A new leader may for a moment know less than the old one did.
            strikes = strikes + 1 if verdict else 0
            if strikes == STRIKES and bounds is not None:
                self._restart(partition, bounds)
                break
            await asyncio.sleep(RETRY_SECONDS)
        partition.suspect = partition.was_away = False
        self._watching.set()

    async def _verdict(self, partition: Partition, bounds: Bounds) -> bool:
        """True where the partition has to begin anew."""
        assert partition.ring is not None
        tip = partition.ring.tip
        if not bounds.begin <= tip <= bounds.end:
            return True
        if not partition.was_away or (partition.ring.before is None and partition.ring.floor == tip):
            return False
        self.lookups.forget()
        now = (await self.lookups.timestamps_before({partition.tp: tip})).get(partition.tp)
        return now is not None and now + 1 != partition.timestamp

    def _restart(self, partition: Partition, bounds: Bounds) -> None:
        assert partition.ring is not None
        asked = partition.ring.tip
        gap = Gap(partition.tp.topic, partition.tp.partition, asked, bounds.begin)
        log.warning(
            "%s partition %s was truncated or recreated; going on at offset %s instead of %s", *gap[:2], *gap[:1:-1]
        )
        self.lookups.forget()
        if asked > bounds.begin:
            partition.incarnation = next(self._incarnations)
        partition.ring = Ring(bounds.begin, self._limits.ring_bytes)
        partition.timestamp = _unseen_timestamp()
        partition.begin = partition.mark
        self._metrics.gaps.inc()
        for feed in partition.feeds:
            feed.restart(partition.tp, partition.mark, gap, time.monotonic())

    async def _until_positioned(self, feed: Feed, needed: Collection[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(self._limits.ready_seconds):
                while any(tp in needed or not self.partitions[tp].from_beginning for tp in feed.missing):
                    await feed.changed()
        except TimeoutError:
            raise KafkaUnavailable from None

    # The source.

    async def _watch_source(self) -> None:
        """Once a second: is Kafka there? And from time to time: which topics, which partitions?"""
        failures = 0
        while True:
            try:
                if self._source.is_stale or time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
                    await self.refresh()
                if time.monotonic() - self._heard_at > PING_SECONDS:
                    await self._source.ping()
            except SourceError as error:
                failures += 1
                if failures == PINGS_TO_BE_AWAY and self.available:
                    log.error("Kafka cannot be reached: %s", error)
                if failures >= PINGS_TO_BE_AWAY:
                    self._set_available(False)
            else:
                if failures >= PINGS_TO_BE_AWAY:
                    log.warning("Kafka answers again")
                failures = 0
                self._set_available(self.has_metadata)
            await asyncio.sleep(PING_SECONDS)

    def _set_available(self, available: bool) -> None:
        self.available = available
        self._metrics.kafka_up.set(available)

    async def _refresh(self, topics: frozenset[str]) -> None:
        began = time.monotonic()
        try:
            if not self._source.cluster_id:
                await self._source.ping()
            await self._source.refresh(topics)
            if topics is self._topics:
                self._refreshed_at = began
                self.has_metadata = True
        finally:
            self._refreshing = None
        for feed in self._feeds.values():
            wanted = self._wanted_by(feed.selection)
            for tp in feed.missing.difference(wanted):  # gone before it was ever read
                self._unwatch(feed, tp)
            for tp in wanted:
                if tp not in feed.vector and tp not in feed.missing:
                    log.info("%s has a new partition %s; reading it from its beginning", *tp)
                    self._watch(feed, tp, from_beginning=True)

    async def _tick(self) -> None:
        await asyncio.sleep(1.0)
        now = time.monotonic()
        for feed in list(self._feeds.values()):
            feed.keep_alive(now)
        self._let_idle_feeds_go()
        partitions = [partition for partition in self.partitions.values() if partition.ring is not None]
        self._metrics.partitions.set(len(partitions))
        self._metrics.feeds.set(len(self._feeds))
        self._metrics.ring_bytes.set(sum(p.ring.bytes for p in partitions if p.ring))
        self._metrics.feed_bytes.set(sum(feed.held_bytes for feed in self._feeds.values()))
        self._metrics.hub_lag.set(sum(max(0, p.end - p.ring.tip) for p in partitions if p.ring))

    def _let_idle_feeds_go(self) -> None:
        oldest = time.monotonic() - self._limits.grace_seconds
        idle = sorted((feed for feed in self._feeds.values() if not feed.clients), key=lambda feed: feed.idle_since)
        for number, feed in enumerate(idle, 1):
            if feed.idle_since < oldest or len(idle) - number >= IDLE_FEEDS:
                self._let_go(feed.selection, feed)

    def _let_go(self, selection: Selection, feed: Feed) -> None:
        del self._feeds[selection]
        for tp in [*feed.vector, *feed.missing]:
            self._unwatch(feed, tp)
        self._share_feed_bytes()

    def _unwatch(self, feed: Feed, tp: TopicPartition) -> None:
        feed.missing.discard(tp)
        partition = self.partitions[tp]
        partition.feeds.remove(feed)
        if not partition.feeds:
            del self.partitions[tp]

    def _share_feed_bytes(self) -> None:
        for feed in self._feeds.values():
            feed.max_bytes = max(FEED_MIN_BYTES, self._limits.ring_bytes // len(self._feeds))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forever(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A fault in one round is ours and is logged; the hub goes on."""
        while True:
            try:
                await step()
            except Exception:
                log.exception("The hub failed in %s; going on", step.__name__)
                await asyncio.sleep(RETRY_SECONDS)


def _unseen_timestamp() -> int:
    return int(time.time() * 1000) - UNSEEN_MS
