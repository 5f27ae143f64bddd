"""Kafka as a RecordSource, on aiokafka's client and protocol.

Not on AIOKafkaConsumer: it forgets all positions and prefetched records at each `assign()` (up to 300 ms), delays a
whole broker for one unread partition, and hides the log's start. Stateless fetches have none of that, and history and
tail become the same request. Connections are apart (`group`), so that nothing waits behind the tail's long poll.

Source: Kafka protocol guide, Fetch v5–11, ListOffsets v2–5, Metadata v4–5; KIP-74, KIP-98, KIP-207.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import NoError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from streams.core.positions import TopicPartition
from streams.engine.kafka.batches import decode
from streams.engine.kafka.broker_trouble import BrokerOutages, failure, not_authorized
from streams.engine.kafka.brokers import LOOKUP, METADATA, TAIL, Brokers, Group, by_topic
from streams.engine.kafka.damaged import Damaged
from streams.engine.kafka.options import REQUEST_SECONDS, KafkaOptions
from streams.engine.kafka.patience import Patience
from streams.engine.metrics import Metrics
from streams.engine.source import (
    Batch,
    Bounds,
    Broker,
    Found,
    NotAuthorizedError,
    PollResult,
    SourceError,
    SourceUnavailableError,
)
from streams.engine.tuning import DEFAULT, Tuning

_LATEST, _EARLIEST = -1, -2


class KafkaSource:
    """`history_readers` connections to each broker serve history, one look-ups, one the tail; one asks for metadata."""

    def __init__(self, options: KafkaOptions, metrics: Metrics | None = None, tuning: Tuning = DEFAULT) -> None:
        self._options = options
        self._tuning = tuning
        self._isolation = READ_COMMITTED if options.isolation_level == "read_committed" else READ_UNCOMMITTED
        self._brokers = Brokers(options.client, tuning)
        self._tail_seconds = options.client.get("request_timeout_ms", REQUEST_SECONDS * 1000) / 1000
        self._cluster_id = ""
        self._is_stale = False
        self._partitions: dict[str, int] = {}
        self._absent: frozenset[str] = frozenset()
        self._denied: frozenset[str] = frozenset()
        self._leaders: dict[TopicPartition, int] = {}
        self._reads = [0] * tuning.history_readers
        """How many reads are under way on each of the connections for history."""
        self._refreshes = 0
        self._silent: dict[int, int] = {}
        """The leaders whose last fetch failed; they are asked again after a further refresh."""
        self._outages = BrokerOutages()
        self._resting: dict[TopicPartition, float] = {}
        """Partitions that the tail leaves alone, and until when (time.monotonic)."""
        self._damaged = Damaged(metrics)
        self._patience = Patience(options)
        self._fetches: dict[int, asyncio.Task[dict[TopicPartition, tuple[int, PollResult]]]] = {}
        self._asked_at: dict[int, float] = {}
        """When the fetch of each leader was sent (time.monotonic)."""

    @property
    def cluster_id(self) -> str:
        """Kafka's own name for the cluster; see `RecordSource`, as for all that follows."""
        return self._cluster_id

    @property
    def partitions(self) -> Mapping[str, int]:
        """The number of partitions of each topic that exists."""
        return self._partitions

    @property
    def absent(self) -> Set[str]:
        """The topics that do not exist."""
        return self._absent

    @property
    def denied(self) -> Set[str]:
        """The topics that the service may not see."""
        return self._denied

    @property
    def is_stale(self) -> bool:
        """Whether the metadata is out of date."""
        return self._is_stale

    def brokers(self) -> list[Broker]:
        """Return the brokers that Kafka names, or those of the settings before that."""
        return self._brokers.known(Counter(self._leaders.values()), self._silent)

    def broker_of(self, partition: TopicPartition) -> int:
        """Return the broker that leads the partition, -1 if none does."""
        return self._leaders.get(partition, -1)

    async def ping(self) -> None:
        """Ask for metadata of nothing: brokers that Kafka names must answer, not only those of the settings."""
        began = time.monotonic()
        try:
            if not self._brokers.are_known:
                await self._metadata([], self._tuning.ping_seconds, configured=True)
            await self._metadata([], self._tuning.ping_seconds, configured=False)
        except SourceUnavailableError:
            # Where the event loop itself was late, that says nothing about Kafka.
            if time.monotonic() - began < 3 * self._tuning.ping_seconds:
                raise

    async def refresh(self, topics: Iterable[str]) -> None:
        """Ask for the metadata of `topics`. A topic's passing trouble does not remove what is known of it."""
        response = await self._metadata(sorted(topics), self._tuning.lookup_seconds, configured=True)
        partitions: dict[str, int] = {}
        leaders: dict[TopicPartition, int] = {}
        absent: set[str] = set()
        denied: set[str] = set()
        is_stale = False
        for code, topic, _internal, found in response.topics:
            error = for_code(code)
            if error is NoError:
                partitions[topic] = len(found)
                leaders |= {TopicPartition(topic, partition): leader for _code, partition, leader, *_ in found}
            elif error is UnknownTopicOrPartitionError:
                absent.add(topic)
            elif topic in self._partitions:
                is_stale = True
                partitions[topic] = self._partitions[topic]
                leaders |= {tp: leader for tp, leader in self._leaders.items() if tp.topic == topic}
            elif error is TopicAuthorizationFailedError:
                denied.add(topic)
            else:
                is_stale = True
        self._partitions, self._leaders, self._is_stale = partitions, leaders, is_stale
        self._absent, self._denied = frozenset(absent), frozenset(denied)
        self._refreshes += 1

    async def missing(self, topics: Iterable[str]) -> set[str]:
        """Return those of `topics` that do not exist."""
        wanted = sorted(set(topics))  # an empty list would ask for all
        response = await self._metadata(wanted, self._tuning.lookup_seconds, configured=True) if wanted else None
        found = response.topics if response is not None else []
        return {topic for code, topic, *_ in found if for_code(code) is UnknownTopicOrPartitionError}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds | SourceError]:
        """Return the first and the next offset of each partition, or the error."""
        wanted = list(partitions)
        begins, ends = await asyncio.gather(
            self._list_offsets(dict.fromkeys(wanted, _EARLIEST)), self._list_offsets(dict.fromkeys(wanted, _LATEST))
        )
        bounds: dict[TopicPartition, Bounds | SourceError] = {}
        for tp in wanted:
            begin, end = begins.get(tp), ends.get(tp)
            if isinstance(begin, SourceError):
                bounds[tp] = begin
            elif isinstance(end, SourceError):
                bounds[tp] = end
            elif begin is not None and end is not None:
                bounds[tp] = Bounds(begin.offset, end.offset)
        return bounds

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, Found | SourceError]:
        """Return the first record at or after a time (ms) for each partition."""
        answers = await self._list_offsets(times)
        return {tp: answer for tp, answer in answers.items() if isinstance(answer, SourceError) or answer.offset >= 0}

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        """Read records from `offset` on, over the connection for history with the least to do."""
        leader = self._leaders.get(partition)
        if leader is None:
            raise self._unknown(partition)
        if leader < 0:
            raise self._leaderless(partition)
        # The first that is idle: each connection that is used keeps its latest response in memory (aiokafka's reader).
        number = self._reads.index(min(self._reads))
        self._reads[number] += 1
        group = Group("history", number)
        try:
            # A record larger than max_bytes comes all the same, alone (KIP-74).
            fetched = await self._fetch(leader, {partition: offset}, max_bytes, None, group, REQUEST_SECONDS)
            _, result = fetched.get(partition, (offset, None))
            if isinstance(result, Batch) and any(len(r.value or b"") > 2 * max_bytes for r in result.records):
                # A small response takes the place of the large one.
                await self._brokers.send(leader, MetadataRequest([], False), group, REQUEST_SECONDS)
        except SourceUnavailableError:
            self._is_stale = True
            raise
        finally:
            self._reads[number] -= 1
        if result is None:
            raise SourceUnavailableError(f"a batch of {partition.topic} partition {partition.partition} is damaged")
        if isinstance(result, SourceError):
            raise result
        return result

    def be_patient(self, seconds: float, gathering: float) -> None:
        """See Source: the brokers hold back what the next fetches of the tail ask for."""
        self._patience.seconds, self._patience.gathering = seconds, gathering

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        """Return what is new at the tail.

        Each leader has one fetch under way; the first that answers ends the wait.
        """
        results: dict[TopicPartition, PollResult] = {}
        by_leader: dict[int, dict[TopicPartition, int]] = defaultdict(dict)
        now = time.monotonic()
        self._resting = {tp: until for tp, until in self._resting.items() if now < until}
        for tp, offset in positions.items():
            leader = self._leaders.get(tp)
            if leader is None:
                results[tp] = self._unknown(tp)
            elif leader < 0:
                results[tp] = self._leaderless(tp)
            elif tp not in self._resting and self._silent.get(leader) != self._refreshes:
                by_leader[leader][tp] = offset
        await self._ask(by_leader)
        wait = self._options.fetch_max_wait_ms / 1000
        if not self._fetches:
            await asyncio.sleep(min(wait, self._tuning.broker_retry_seconds))
            return results
        # A fetch returns after `wait`, unless its broker is away, for which the others must not wait.
        done, _ = await asyncio.wait(self._fetches.values(), timeout=2 * wait, return_when=asyncio.FIRST_COMPLETED)
        for leader in [leader for leader, task in self._fetches.items() if task in done]:
            for tp, (offset, result) in self._fetches.pop(leader).result().items():
                # What was asked for from another offset than is wanted by now is of no use.
                if positions.get(tp) == offset:
                    results[tp] = result
        # A broker that hangs keeps its connection: others may lead its partitions long before the fetch fails.
        overdue = time.monotonic() - 2 * wait - self._tuning.trouble_seconds
        if any(self._asked_at[leader] < overdue for leader in self._fetches) and len(self.brokers()) > 1:
            self._is_stale = True
        return results

    async def close(self) -> None:
        """End the fetches and close all connections."""
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()
        await self._brokers.close()

    async def _ask(self, by_leader: Mapping[int, Mapping[TopicPartition, int]]) -> None:
        if pause := self._patience.pause(len(by_leader)):
            await asyncio.sleep(pause)
        for leader, wanted in by_leader.items():
            if leader not in self._fetches:
                self._fetches[leader] = asyncio.create_task(self._tail_fetch(leader, wanted, len(by_leader)))
                self._asked_at[leader] = time.monotonic()

    async def _tail_fetch(
        self, leader: int, wanted: Mapping[TopicPartition, int], leaders: int
    ) -> dict[TopicPartition, tuple[int, PollResult]]:
        max_bytes = self._options.max_partition_fetch_bytes
        try:
            bounds = self._patience.bounds(leader, leaders)
            fetched = await self._fetch(leader, wanted, max_bytes, bounds, TAIL, self._tail_seconds)
        except Exception as error:  # of any kind: it would end the poll of all other brokers too
            self._outages.fails(leader, str(error) or repr(error))
            self._silent[leader] = self._refreshes  # it may return as another one, of another cluster
            self._is_stale = True
            if not isinstance(error, SourceError):
                error = SourceUnavailableError(f"broker {leader}: {type(error).__name__}")
            await asyncio.sleep(self._tuning.broker_retry_seconds)
            return {tp: (offset, error) for tp, offset in wanted.items()}
        self._silent.pop(leader, None)
        self._outages.works(leader)
        for tp in wanted:  # also one whose batch is damaged, and not among the results
            _, result = fetched.get(tp, (0, None))
            if not isinstance(result, Batch):
                is_denied = isinstance(result, NotAuthorizedError)
                pause = self._tuning.denied_seconds if is_denied else self._tuning.broker_retry_seconds
                self._resting[tp] = time.monotonic() + pause
        return fetched

    async def _fetch(
        self,
        leader: int,
        wanted: Mapping[TopicPartition, int],
        max_bytes: int,
        patience: tuple[int, int] | None,
        group: Group,
        seconds: float,
    ) -> dict[TopicPartition, tuple[int, PollResult]]:
        options = self._options
        wait_ms, min_bytes = patience or (0, options.fetch_min_bytes)
        topics = by_topic({tp: (offset, max_bytes) for tp, offset in wanted.items()})
        request = FetchRequest(wait_ms, min_bytes, options.fetch_max_bytes, self._isolation, topics)
        response = await self._brokers.send(leader, request, group, seconds)
        results: dict[TopicPartition, tuple[int, PollResult]] = {}
        nbytes = records = 0
        for topic, partitions in response.topics:
            for partition, code, high_watermark, stable, begin, aborted, *_, data in partitions:
                tp = TopicPartition(topic, partition)
                error = for_code(code)
                result: PollResult
                if error is NoError:
                    end = stable if self._isolation == READ_COMMITTED else high_watermark
                    bounds = Bounds(begin, end)
                    batch = await self._batch(tp, data, aborted, wanted[tp], bounds, max(0, high_watermark - end))
                    if batch is None:  # it stops its own partition, not all of this broker's
                        continue
                    result = batch
                    nbytes, records = nbytes + len(data or b""), records + len(batch.records)
                else:
                    result = failure(error, tp, wanted[tp])
                    self._is_stale |= isinstance(result, SourceUnavailableError)
                results[tp] = wanted[tp], result
        if patience:
            self._patience.learn(leader, nbytes, records)
        return results

    async def _batch(
        self, tp: TopicPartition, data: bytes | None, aborted: Any, offset: int, bounds: Bounds, held: int
    ) -> Batch | None:
        """The records of a fetch; None where the first of its batches cannot be read, and may be the next time."""
        records, next_offset, damage = await decode(
            tp,
            data,
            aborted,
            offset,
            check_crcs=self._options.check_crcs,
            committed=self._isolation == READ_COMMITTED,
            tuning=self._tuning,
        )
        if damage is not None and next_offset == offset:
            next_offset = max(offset + 1, min(damage.next, bounds.end))
            if not self._damaged.is_given_up(tp, damage, next_offset):
                return None
        return Batch(records, next_offset, bounds, held)

    async def _list_offsets(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | SourceError]:
        by_leader: dict[int, dict[TopicPartition, tuple[int]]] = defaultdict(dict)
        found: dict[TopicPartition, Found | SourceError] = {}
        for tp, ms in times.items():
            leader = self._leaders.get(tp)
            if leader is None:
                if tp.topic in self._denied:
                    found[tp] = not_authorized(tp.topic)
            elif leader < 0:
                found[tp] = self._leaderless(tp)
            else:
                by_leader[leader][tp] = (ms,)
        for answer in await asyncio.gather(*(self._list_of_leader(*item) for item in by_leader.items())):
            found |= answer
        return found

    async def _list_of_leader(
        self, leader: int, times: Mapping[TopicPartition, tuple[int]]
    ) -> dict[TopicPartition, Found | SourceError]:
        request = OffsetRequest(-1, self._isolation, by_topic(times))
        try:
            response = await self._brokers.send(leader, request, LOOKUP, self._tuning.lookup_seconds)
        except SourceUnavailableError as error:
            self._is_stale = True
            return dict.fromkeys(times, error)
        found: dict[TopicPartition, Found | SourceError] = {}
        for topic, partitions in response.topics:
            for partition, code, timestamp, offset, *_ in partitions:
                kind = for_code(code)
                tp = TopicPartition(topic, partition)
                if kind is NoError:
                    found[tp] = Found(offset, timestamp)
                    continue
                self._is_stale = True
                if kind is not UnknownTopicOrPartitionError:
                    found[tp] = failure(kind, tp)
        return found

    def _unknown(self, tp: TopicPartition) -> SourceError:
        return not_authorized(tp.topic) if tp.topic in self._denied else failure(UnknownTopicOrPartitionError, tp)

    def _leaderless(self, tp: TopicPartition) -> SourceError:
        self._is_stale = True
        return SourceUnavailableError(f"{tp.topic} partition {tp.partition} has no leader")

    async def _metadata(self, topics: list[str], seconds: float, *, configured: bool) -> Any:
        request = MetadataRequest(topics, False)
        try:
            response = await self._brokers.ask_any(request, METADATA, seconds, configured=configured)
        except SourceUnavailableError:
            self._is_stale = True
            raise
        self._brokers.learn(response.brokers)
        self._cluster_id = response.cluster_id or ""
        return response
