"""The process's one reader of the tail: every new record is fetched, decoded and encoded once, into rings and feeds.

Partitions are watched while a feed wants them, and a while longer. `topics.py` follows what becomes of Kafka's topics,
`placing.py` finds where partitions begin and whether they were recreated (which readers find in the partition's
incarnation), `health.py` says whether all of it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from typing import Any

from streams.core.errors import KafkaUnavailable, NoTopicsAvailable
from streams.core.events import Event
from streams.core.filters.fields import Fields
from streams.core.plan import UNREADABLE
from streams.core.positions import TopicPartition
from streams.core.ring import Ring
from streams.engine.encoder import Encoder
from streams.engine.faults import Faults
from streams.engine.lookups import Lookups
from streams.engine.metrics import Metrics
from streams.engine.source import Batch, OutOfRangeError, RecordSource, SourceError, UnknownPartitionError, parts
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.feeds import Feeds
from streams.engine.tail.health import Health
from streams.engine.tail.partition import Partition
from streams.engine.tail.partition_metrics import PartitionMetrics
from streams.engine.tail.placing import Placing
from streams.engine.tail.topics import Topics
from streams.engine.tail.track import Run, Track
from streams.engine.ticks import until_next
from streams.engine.tuning import Tuning
from streams.engine.turns import Turns

log = logging.getLogger(__name__)

FILTERS_A_TURN = 50
"""With more filters, fewer records are taken before the event loop has a turn: each may be applied to each event."""


class Hub:
    """Start it with `start`, end it with `close`. `available` says whether Kafka answers (invariant 6)."""

    def __init__(self, source: RecordSource, encoder: Encoder, metrics: Metrics, tuning: Tuning) -> None:
        self.tuning = tuning
        self.lookups = Lookups(source, tuning)
        self.partitions: dict[TopicPartition, Partition] = {}
        self.latest = -1
        """The greatest timestamp of a record that the tail has read (ms)."""
        self.looks: set[Callable[[], None]] = set()
        """What is called in each housekeeping, of clients that may have to be told something."""
        self._source = source
        self._encoder = encoder
        self._metrics = metrics
        self._cluster_id = ""
        self._watching = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = Turns()
        metrics.registry.register(PartitionMetrics(source, self.partitions))
        self._faults = Faults(metrics, tuning)
        self.feeds = Feeds(tuning, metrics, self._faults, self._watch_all, self._unwatch_all)
        self._topics = Topics(source, self._spawn, self._follow_topics, tuning)
        self.health = Health(source, self._topics, self.partitions, metrics, tuning)
        self._placing = Placing(
            source,
            self._topics,
            self.lookups,
            self.partitions,
            metrics=metrics,
            faults=self._faults,
            tuning=tuning,
            spawn=self._spawn,
            placed=self._watching.set,
        )

    # For the process.

    def start(self) -> None:
        """Start the tasks that read the tail."""
        for run in (self.health.watch, self._placing.place_new, self._read_tail, self._tick):
            self._spawn(self._forever(run))

    async def close(self) -> None:
        """End the tasks, and close the source."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.close()

    def set_topics(self, topics: Iterable[str]) -> None:
        """Take over the topics of the catalogue: only these are ever named to Kafka."""
        self._topics.set_topics(topics)

    def forget(self) -> None:
        """Let all events go, not the positions: they were made with an older redaction list (invariant 5)."""
        for partition in self.partitions.values():
            if partition.ring is not None:
                partition.ring.forget()
        for feed in self.feeds:
            feed.forget()

    @property
    def available(self) -> bool:
        """Whether Kafka answers."""
        return self.health.available

    @property
    def has_metadata(self) -> bool:
        """Whether Kafka has answered for the catalogue, so that clients could be served at some time."""
        return self._topics.has_metadata and self.health.was_available

    # For clients.

    @property
    def cluster_id(self) -> str:
        """Kafka's own name for the cluster."""
        return self._source.cluster_id

    async def topics(self, wanted: Iterable[str], needed: Iterable[TopicPartition] = ()) -> dict[str, int]:
        """Return those of `wanted` that Kafka has, with the number of their partitions; see `Topics.of`."""
        return await self._topics.of(wanted, needed)

    def unreadable(self, wanted: Iterable[str]) -> set[str]:
        """Return those of `wanted` that may well exist, and are left out because Kafka does not show them."""
        return self._topics.unreadable(wanted)

    def exists(self, tp: TopicPartition) -> bool:
        """Return whether Kafka had the partition when it was last asked."""
        return self._topics.exists(tp)

    async def refresh(self, max_age: float = 1.0) -> None:
        """Ask Kafka for topics and partitions, unless the last answer is at most `max_age` seconds old."""
        await self._topics.refresh(max_age)

    @contextlib.asynccontextmanager
    async def feed(self, selection: Selection, needed: Collection[TopicPartition] = ()) -> AsyncIterator[Feed]:
        """Hold the feed of a selection while the context lasts; see `join`."""
        feed = await self.join(selection, needed)
        try:
            yield feed
        finally:
            self.leave(feed)

    async def join(self, selection: Selection, needed: Collection[TopicPartition] = ()) -> Feed:
        """Return the feed of a selection, with its partitions positioned, until it is left.

        A partition that was added meanwhile is read from its beginning, and one that cannot be read now when it can:
        only a client that `needed` it has to wait for either. Raises KafkaUnavailable where none is left, or one that
        is `needed` cannot be read now; NoTopicsAvailable where none may be read; TooManyFeeds for a filter that
        nobody uses yet, while there are as many feeds as may be.
        """
        feed = self.feeds.take(selection, self.cluster_id)
        try:
            await self._until_positioned(feed, needed)
        except BaseException:
            self.leave(feed)
            raise
        return feed

    def leave(self, feed: Feed) -> None:
        """Count one client of the feed fewer."""
        self.feeds.give_back(feed)

    def check_for_restart(self, tp: TopicPartition) -> None:
        """Look whether the partition was recreated: an offset does not exist which ought to."""
        self._placing.check_for_restart(tp)

    async def _until_positioned(self, feed: Feed, needed: Collection[TopicPartition]) -> None:
        track = self.feeds.track_of(feed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.tuning.ready_seconds):
                while self._is_waited_for(track, needed):
                    await feed.changed()
        left_out = [self.partitions[tp] for tp in track.missing]
        if not track.vector.keys() - track.missing:
            if left_out and all(partition.is_denied for partition in left_out):
                raise NoTopicsAvailable({tp.topic for tp in track.missing}, UNREADABLE)
            raise KafkaUnavailable
        if any(partition.tp in needed and not partition.is_denied for partition in left_out):
            raise KafkaUnavailable  # an id without it would lose its events
        for partition in left_out:
            if not partition.from_beginning and partition.tp not in track.vector:
                partition.is_awaited = True
                track.await_later(partition.tp, partition.unknown_mark)

    def _is_waited_for(self, track: Track, needed: Collection[TopicPartition]) -> bool:
        """Whether a client has to wait for what is missing: not for what cannot be read, if there is something else."""
        missing = [self.partitions[tp] for tp in track.missing]
        has_some = bool(track.vector.keys() - track.missing)
        return any(
            each.tp in needed or not has_some or not (each.from_beginning or each.is_out_of_reach or each.is_awaited)
            for each in missing
            if not each.is_denied
        )

    # The tail.

    async def _read_tail(self) -> None:
        rounds = self.feeds.rounds
        began = time.monotonic()
        read = ((p.tp, p.ring) for p in self.partitions.values() if not p.is_suspect and p.retry_at <= began)
        positions = {tp: ring.tip for tp, ring in read if ring is not None}
        if not positions:
            self._watching.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.tuning.retry_seconds):
                    await self._watching.wait()
            return
        self._source.be_patient(rounds.patience, rounds.gathering)
        results = await self._source.poll(positions)
        batches = [result for result in results.values() if isinstance(result, Batch)]
        if batches:
            self.health.heard()
            rounds.fetched(began, sum(len(batch.records) for batch in batches))
        has_moved, new = False, set[Feed]()
        try:
            for tp, result in results.items():
                partition = self.partitions.get(tp)
                ring = partition.ring if partition is not None else None
                if partition is None or ring is None or ring.tip != positions[tp] or partition.is_of_another_cluster:
                    continue  # it changed while the fetch was under way
                if isinstance(result, Batch):
                    has_moved |= await self._take_in_turns(partition, ring, result, new)
                else:
                    self._take_trouble(partition, result)
        finally:
            now = time.monotonic()
            for feed in new:
                feed.wake(now)
        if not has_moved:
            await asyncio.sleep(max(0.0, began + self.tuning.idle_round_seconds - time.monotonic()))

    async def _take_in_turns(self, partition: Partition, ring: Ring, batch: Batch, new: set[Feed]) -> bool:
        """Take a batch, with turns for the event loop; return whether the partition moved."""
        has_moved = False
        for part in parts(batch, self._turn_records):
            await self._turns.before(len(part.records), self._turn_records)
            if partition.ring is not ring or partition.is_of_another_cluster:
                break
            has_moved |= part.next_offset != ring.tip
            self._take_or_retry(partition, ring, part, new)
            if partition.trouble is _FAULT:
                break
        return has_moved

    def _take_trouble(self, partition: Partition, trouble: SourceError) -> None:
        partition.trouble = trouble
        if isinstance(trouble, OutOfRangeError | UnknownPartitionError):
            partition.was_away = True
            self.check_for_restart(partition.tp)

    @property
    def _turn_records(self) -> int:
        return max(1, self.tuning.turn_records * FILTERS_A_TURN // (FILTERS_A_TURN + self.feeds.in_use.filters))

    def _take_or_retry(self, partition: Partition, ring: Ring, batch: Batch, new: set[Feed]) -> None:
        """A fault of ours stops this partition for a moment, and no other one."""
        now = time.monotonic()
        partition.trouble = _FAULT
        partition.retry_at = now + self.tuning.retry_seconds
        with self._faults.caught("taking the records of a partition"):
            self._take(partition, ring, batch, new)
            partition.trouble = None
            partition.read_at = now
            partition.retry_at = 0.0

    def _take(self, partition: Partition, ring: Ring, batch: Batch, new: set[Feed]) -> None:
        """Take a batch into ring and feeds; those that have something `new` are to be woken."""
        partition.saw(batch.bounds.end, batch.held)
        if batch.next_offset == ring.tip:
            return
        events = self._encoder.events(batch.records)
        self._metrics.read(partition.tp.topic, len(events), ring.extend(events, batch.next_offset))
        if batch.records:
            partition.timestamp = batch.records[-1].timestamp + 1
            partition.latest = max(partition.latest, *[record.timestamp for record in batch.records])
            self.latest = max(self.latest, partition.latest)
        run = Run(partition.tp, events, partition.mark, time.monotonic())
        # Decoded once for all filters, and not at all where none can want it.
        is_filtered = bool(self.feeds.in_use.filters) and any(track.has_filters for track in partition.tracks)
        fields = self._fields(partition.tp, events) if is_filtered else []
        matched = 0
        for track in partition.tracks:
            matched += track.extend(run, new, fields)
        if is_filtered:
            self._metrics.filtered(len(events), matched)

    def _fields(self, tp: TopicPartition, events: Iterable[Event]) -> list[Fields | None]:
        """Return what filters look at in each event; None, with the event skipped for filters, after a fault."""
        read = self.feeds.in_use.read
        fields: list[Fields | None] = []
        for event in events:
            try:
                fields.append(read(event.json))
            except Exception as fault:
                self._faults.skipped_by_filters(tp, event.offset, fault)
                fields.append(None)
        return fields

    # Partitions: watched, and no longer.

    def _wanted_by(self, selection: Selection) -> list[TopicPartition]:
        known = self._source.partitions
        wanted = [TopicPartition(t, p) for t in selection.topics for p in range(known.get(t, 0))]
        return wanted + [tp for tp in selection.partitions if self.exists(tp)]

    def _watch_all(self, track: Track) -> None:
        for tp in self._wanted_by(track.selection):
            self._watch(track, tp, from_beginning=False)

    def _watch(self, track: Track, tp: TopicPartition, from_beginning: bool) -> None:
        partition = self.partitions.get(tp)
        if partition is None:
            partition = self.partitions[tp] = Partition(
                tp, next(self._placing.incarnations), self.tuning, from_beginning=from_beginning
            )
        partition.tracks.append(track)
        if partition.ring is None:
            track.missing.add(tp)
            self._placing.place_soon()
        else:
            track.place(tp, partition.mark)

    def _unwatch_all(self, track: Track) -> None:
        for tp in track.vector.keys() | track.missing:
            self._unwatch(track, tp)

    def _follow_topics(self, is_new: Callable[[TopicPartition], bool]) -> None:
        """Kafka has answered: watch what feeds gain by it, and drop what vanished before it was ever read."""
        self.health.answered()
        if self._cluster_id not in ("", self.cluster_id):
            self._follow_cluster()
        self._cluster_id = self.cluster_id
        for track in list(self.feeds.tracks.values()):
            with self._faults.caught("following topics"):
                wanted = self._wanted_by(track.selection)
                for tp in track.missing.difference(wanted):
                    self._unwatch(track, tp)
                for tp in wanted:
                    if tp not in track.vector and tp not in track.missing:
                        begins = "its beginning" if is_new(tp) else "its end"
                        log.info("%s has partition %s now; reading it from %s", *tp, begins)
                        self._watch(track, tp, from_beginning=is_new(tp))

    def _follow_cluster(self) -> None:
        """The brokers are another cluster: offsets mean something else there."""
        log.warning("Kafka is cluster %s now, not %s: partitions are placed again", self.cluster_id, self._cluster_id)
        for track in self.feeds.tracks.values():
            track.name_cluster(self.cluster_id)
        for tp, partition in self.partitions.items():
            partition.is_of_another_cluster = True
            self.check_for_restart(tp)

    async def _tick(self) -> None:
        await asyncio.sleep(until_next(self.tuning.housekeeping_seconds))
        now = time.monotonic()
        for feed in self.feeds:
            with self._faults.caught("sending keep-alive comments"):
                feed.keep_alive(now)
        for look in list(self.looks):
            with self._faults.caught("looking for ends"):
                look()
        self.feeds.let_idle_go()
        self.feeds.evict_old(now)
        self.health.look()
        partitions = [partition for partition in self.partitions.values() if partition.ring is not None]
        self._metrics.partitions.set(len(partitions))
        self._metrics.ring_bytes.set(sum(p.ring.bytes for p in partitions if p.ring))
        self.feeds.measure()

    def _unwatch(self, track: Track, tp: TopicPartition) -> None:
        if tp in track.missing:
            track.give_up(tp)
        partition = self.partitions[tp]
        partition.tracks.remove(track)
        if not partition.tracks:
            del self.partitions[tp]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forever(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Repeat a step forever; a fault in one round is ours and is logged."""
        while True:
            with self._faults.caught(f"in the hub's {step.__name__.strip('_')}"):
                await step()
                continue
            await asyncio.sleep(self.tuning.retry_seconds)


_FAULT = SourceError("this service failed on its records; the log has the fault")
