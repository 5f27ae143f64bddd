"""Kafka as a RecordSource, on aiokafka's client and protocol.

Not on AIOKafkaConsumer: it forgets all positions and prefetched records at each `assign()` (up to 300 ms), delays a
whole broker for one unread partition, and hides the log's start. Stateless fetches have none of that, and history and
tail become the same request. Connections are apart (`group`), so that nothing waits behind the tail's long poll.

Source: Kafka protocol guide, Fetch v4–11, ListOffsets v2–5, Metadata v4–5; KIP-74, KIP-98, KIP-207.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import KafkaError, NoError, OffsetOutOfRangeError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from streams.core.positions import TopicPartition
from streams.engine.batches import Damage, decode
from streams.engine.kafka_options import KafkaOptions
from streams.engine.metrics import Metrics
from streams.engine.source import (
    Batch,
    Bounds,
    Found,
    OutOfRangeError,
    PollResult,
    SourceUnavailableError,
    UnknownPartitionError,
)

log = logging.getLogger(__name__)

LOOKUP_SECONDS = 2.5
"""A lookup that takes longer has failed: the client is told within 3 seconds (wire contract, errors)."""
READ_SECONDS = 10.0
PING_SECONDS = 1.0
RETRY_SECONDS = 0.25
"""After a broker did not answer the tail's fetch, it is left alone for so long."""

FAILURES = 2
"""A batch that cannot be read so many times is passed over."""
MAX_DAMAGED = 1_000
"""So many such batches are remembered."""

_LATEST, _EARLIEST = -1, -2
_T = TypeVar("_T")


class _Group(NamedTuple):
    """A connection of its own to each broker."""

    name: str
    number: int = 0


_LOOKUP = _Group("lookup")
_TAIL = _Group("tail")


class KafkaSource:
    """`readers` connections to each broker serve history, one the lookups, one the tail."""

    def __init__(self, options: KafkaOptions, readers: int, metrics: Metrics | None = None) -> None:
        self._options = options
        self._metrics = metrics
        self._isolation = READ_COMMITTED if options.isolation_level == "read_committed" else READ_UNCOMMITTED
        self._client: AIOKafkaClient | None = None
        self._cluster_id = ""
        self._is_stale = False
        self._partitions: dict[str, int] = {}
        self._leaders: dict[TopicPartition, int] = {}
        self._reads = [0] * readers
        """How many reads are under way on each of the connections for history."""
        self._silent: set[int] = set()
        """The leaders whose last fetch failed: said once, not at each try."""
        self._damaged: OrderedDict[tuple[TopicPartition, int], int] = OrderedDict()
        """How often each batch could not be read, by its first offset."""
        self._fetches: dict[int, asyncio.Task[dict[TopicPartition, tuple[int, PollResult]]]] = {}

    @property
    def cluster_id(self) -> str:
        return self._cluster_id

    @property
    def partitions(self) -> Mapping[str, int]:
        return self._partitions

    @property
    def is_stale(self) -> bool:
        return self._is_stale

    async def ping(self) -> None:
        began = time.monotonic()
        try:
            await self._within(PING_SECONDS, self._metadata([]))
        except SourceUnavailableError:
            # Where the event loop itself was late, that says nothing about Kafka.
            if time.monotonic() - began < 2 * PING_SECONDS:
                raise

    async def refresh(self, topics: Iterable[str]) -> None:
        response = await self._within(LOOKUP_SECONDS, self._metadata(sorted(topics)))
        partitions: dict[str, int] = {}
        leaders: dict[TopicPartition, int] = {}
        is_stale = False
        for code, topic, _internal, found in response.topics:
            error = for_code(code)
            if error is NoError:
                partitions[topic] = len(found)
                leaders |= {TopicPartition(topic, partition): leader for _code, partition, leader, *_ in found}
            elif error is not UnknownTopicOrPartitionError and topic in self._partitions:
                # A passing state of the broker; a topic that exists must not be taken for one that is gone.
                is_stale = True
                partitions[topic] = self._partitions[topic]
                leaders |= {tp: leader for tp, leader in self._leaders.items() if tp.topic == topic}
        self._partitions, self._leaders, self._is_stale = partitions, leaders, is_stale

    async def missing(self, topics: Iterable[str]) -> set[str]:
        wanted = sorted(set(topics))  # an empty list would ask for all
        response = await self._within(LOOKUP_SECONDS, self._metadata(wanted)) if wanted else None
        found = response.topics if response is not None else []
        return {topic for code, topic, *_ in found if for_code(code) is UnknownTopicOrPartitionError}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        wanted = list(partitions)
        begins, ends = await asyncio.gather(
            self._list_offsets(dict.fromkeys(wanted, _EARLIEST)), self._list_offsets(dict.fromkeys(wanted, _LATEST))
        )
        # A partition without a leader must not keep those back that have one.
        pairs = ((tp, begins.get(tp), ends.get(tp)) for tp in wanted)
        return {tp: Bounds(a.offset, b.offset) for tp, a, b in pairs if isinstance(a, Found) and isinstance(b, Found)}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Found]:
        found: dict[TopicPartition, Found] = {}
        for tp, answer in (await self._list_offsets(times)).items():
            if isinstance(answer, SourceUnavailableError):
                raise answer
            if answer.offset >= 0:
                found[tp] = answer
        return found

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        leader = self._leaders.get(partition)
        if leader is None:
            raise UnknownPartitionError(partition)
        # The first that is idle: each connection that is used keeps its latest response in memory (aiokafka's reader).
        number = self._reads.index(min(self._reads))
        self._reads[number] += 1
        try:
            # A record larger than max_bytes comes all the same, alone (KIP-74).
            fetch = self._fetch(leader, {partition: offset}, max_bytes, 0, _Group("history", number))
            fetched = await self._within(READ_SECONDS, fetch)
            _, result = fetched.get(partition, (offset, None))
            if isinstance(result, Batch) and any(len(r.value or b"") > 2 * max_bytes for r in result.records):
                # A small response takes the place of the large one.
                await self._within(READ_SECONDS, self._metadata([], leader, _Group("history", number)))
        finally:
            self._reads[number] -= 1
        if result is None:
            raise SourceUnavailableError(f"the leader of {partition.topic} partition {partition.partition} has moved")
        if isinstance(result, Exception):
            raise result
        return result

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        """Each leader has one fetch under way; whoever answers first ends the wait."""
        by_leader: dict[int, dict[TopicPartition, int]] = defaultdict(dict)
        for tp, offset in positions.items():
            by_leader[self._leaders.get(tp, -1)][tp] = offset
        results: dict[TopicPartition, PollResult] = {
            tp: UnknownPartitionError(tp) for tp in by_leader.pop(-1, {}) if tp.topic not in self._partitions
        }
        for leader, wanted in by_leader.items():
            if leader not in self._fetches:
                self._fetches[leader] = asyncio.create_task(self._tail_fetch(leader, wanted))
        wait = self._options.fetch_max_wait_ms / 1000
        if not self._fetches:
            await asyncio.sleep(wait)
            return results
        # A fetch answers by itself after `wait`, unless its broker is away, for which the others must not be waiting.
        done, _ = await asyncio.wait(self._fetches.values(), timeout=2 * wait, return_when=asyncio.FIRST_COMPLETED)
        for leader in [leader for leader, task in self._fetches.items() if task in done]:
            for tp, (offset, result) in self._fetches.pop(leader).result().items():
                # What was asked for from another offset than is wanted by now is of no use.
                if positions.get(tp) == offset:
                    results[tp] = result
        return results

    async def close(self) -> None:
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _tail_fetch(
        self, leader: int, wanted: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, tuple[int, PollResult]]:
        options = self._options
        fetched: dict[TopicPartition, tuple[int, PollResult]] = {}
        try:
            fetched = await self._fetch(
                leader, wanted, options.max_partition_fetch_bytes, options.fetch_max_wait_ms, _TAIL
            )
        except Exception as error:  # of any kind: it would end the poll of all other brokers too
            if leader not in self._silent:
                log.warning("Kafka broker %s does not answer: %r; trying on", leader, error)
            self._silent.add(leader)
            self._is_stale = True
        else:
            self._silent.discard(leader)
        if len(fetched) < len(wanted):
            await asyncio.sleep(RETRY_SECONDS)
        return fetched

    async def _fetch(
        self, leader: int, wanted: Mapping[TopicPartition, int], max_bytes: int, wait_ms: int, group: _Group
    ) -> dict[TopicPartition, tuple[int, PollResult]]:
        options = self._options
        request = FetchRequest(
            wait_ms,
            options.fetch_min_bytes,
            options.fetch_max_bytes,
            self._isolation,
            _by_topic({tp: (offset, max_bytes) for tp, offset in wanted.items()}),
        )
        response = await (await self._connected()).send(leader, request, group=group)
        results: dict[TopicPartition, tuple[int, PollResult]] = {}
        for topic, partitions in response.topics:
            for partition, code, high_watermark, stable, begin, aborted, *_, data in partitions:
                tp = TopicPartition(topic, partition)
                error = for_code(code)
                result: PollResult
                if error is NoError:
                    end = stable if self._isolation == READ_COMMITTED else high_watermark
                    batch = await self._batch(tp, data, aborted, wanted[tp], Bounds(begin, end))
                    if batch is None:  # it stops its own partition, not all of this broker's
                        continue
                    result = batch
                elif error is OffsetOutOfRangeError:
                    result = OutOfRangeError(f"offset {wanted[tp]} of {topic} partition {partition}")
                elif error is UnknownTopicOrPartitionError:
                    result = UnknownPartitionError(tp)
                else:
                    # Another leader, or one that is not there yet: the next refresh says.
                    log.info("Kafka cannot serve %s partition %s just now: %s", topic, partition, error.__name__)
                    self._is_stale = True
                    continue
                results[tp] = wanted[tp], result
        return results

    async def _batch(
        self, tp: TopicPartition, data: bytes | None, aborted: Any, offset: int, bounds: Bounds
    ) -> Batch | None:
        """The records of a fetch; None where the first of its batches cannot be read, and may be the next time."""
        records, next_offset, damage = await decode(
            tp,
            data,
            aborted,
            offset,
            check_crcs=self._options.check_crcs,
            committed=self._isolation == READ_COMMITTED,
        )
        if damage is not None and next_offset == offset:
            next_offset = max(offset + 1, min(damage.next, bounds.end))
            if not self._is_given_up(tp, damage, next_offset):
                return None
        return Batch(records, next_offset, bounds)

    def _is_given_up(self, tp: TopicPartition, damage: Damage, following: int) -> bool:
        """Whether a batch could not be read twice: it is passed over, so that it does not stop everybody (contract)."""
        key = tp, damage.first
        failures = self._damaged[key] = self._damaged.pop(key, 0) + 1
        if failures == 1:
            log.warning("A batch of %s partition %s, offset %s, cannot be read: %r", *tp, damage.first, damage.error)
        elif failures == FAILURES:
            log.error("The offsets %s to %s of %s partition %s are passed over", damage.first, following - 1, *tp)
            if self._metrics is not None:
                self._metrics.skipped.labels("damaged").inc(following - damage.first)
        while len(self._damaged) > MAX_DAMAGED:
            self._damaged.popitem(last=False)
        return failures >= FAILURES

    async def _list_offsets(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Found | SourceUnavailableError]:
        by_leader: dict[int, dict[TopicPartition, tuple[int]]] = defaultdict(dict)
        for tp, ms in times.items():
            if tp in self._leaders:
                by_leader[self._leaders[tp]][tp] = (ms,)
        found: dict[TopicPartition, Found | SourceUnavailableError] = {}
        for tp in by_leader.pop(-1, ()):
            self._is_stale = True
            found[tp] = SourceUnavailableError(f"{tp.topic} partition {tp.partition} has no leader")
        for answer in await self._within(
            LOOKUP_SECONDS, asyncio.gather(*(self._list_of_leader(*item) for item in by_leader.items()))
        ):
            found |= answer
        return found

    async def _list_of_leader(
        self, leader: int, times: Mapping[TopicPartition, tuple[int]]
    ) -> dict[TopicPartition, Found | SourceUnavailableError]:
        request = OffsetRequest(-1, self._isolation, _by_topic(times))
        response = await (await self._connected()).send(leader, request, group=_LOOKUP)
        found: dict[TopicPartition, Found | SourceUnavailableError] = {}
        for topic, partitions in response.topics:
            for partition, code, timestamp, offset, *_ in partitions:
                error = for_code(code)
                tp = TopicPartition(topic, partition)
                if error is NoError:
                    found[tp] = Found(offset, timestamp)
                    continue
                self._is_stale = True
                if error is not UnknownTopicOrPartitionError:
                    found[tp] = SourceUnavailableError(f"{topic} partition {partition}: {error.__name__}")
        return found

    async def _metadata(self, topics: list[str], node: int | None = None, group: _Group = _LOOKUP) -> Any:
        client = await self._connected()
        if node is None:
            node = client.get_random_node()
        try:
            response = await client.send(node, MetadataRequest(topics, False), group=group)
        except KafkaError:
            # Every broker that we know may have got another address: ask the configured ones.
            await client.bootstrap()
            raise
        self._cluster_id = response.cluster_id or ""
        if not topics:
            client.cluster.update_metadata(response)  # where the brokers are
        return response

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = AIOKafkaClient(**{"request_timeout_ms": int(READ_SECONDS * 1000), **self._options.client})
            try:
                await client.bootstrap()
            except BaseException:
                await client.close()
                raise
            if self._client is not None:  # somebody was faster
                await client.close()
            else:
                self._client = client
        return self._client

    async def _within(self, seconds: float, work: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation (until Python 3.12)
                return await work
        except TimeoutError:
            raise SourceUnavailableError(f"Kafka did not answer within {seconds} s") from None
        except (KafkaError, OSError) as error:
            self._is_stale = True
            raise SourceUnavailableError(str(error) or type(error).__name__) from error


def _by_topic(items: Mapping[TopicPartition, tuple[Any, ...]]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    grouped: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for tp, values in items.items():
        grouped[tp.topic].append((tp.partition, *values))
    return list(grouped.items())
