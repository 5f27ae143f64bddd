"""A RecordSource in memory: what Kafka does, without Kafka. For machines that have none, and for tests of the engine.

It passes the same contract test-suite as the real one, so that it cannot drift away from it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Set

from streams.core.events import Record
from streams.core.positions import TopicPartition, record_timestamp
from streams.engine.source import (
    Batch,
    Bounds,
    Broker,
    Found,
    NotAuthorizedError,
    OutOfRangeError,
    PollResult,
    SourceError,
    SourceUnavailableError,
    UnknownPartitionError,
)

POLL_SECONDS = 0.05


class _Log:
    """One partition's log: records with rising offsets; a hole is an offset without a record."""

    def __init__(self) -> None:
        self.begin = 0
        self.end = 0
        self.nbytes = 0
        self.stable: int | None = None
        """The offset of the oldest open transaction, where one is open."""
        self.records: list[Record] = []

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.begin, self.end if self.stable is None else min(self.stable, self.end))


class MemorySource:
    """Topics are made and filled by the test, by `create`, `append`, `skip`, `truncate_before`, `delete` and `hold`.

    Several brokers, each with its partitions: `lead` moves one, or leaves it without a leader (-1). Public sets, to be
    changed at any time: the brokers that do not answer (`silent`); the topics that may not be read (`unreadable`) or
    not even be seen (`unseen`), and those of which the metadata cannot tell at the moment (`hidden`).
    """

    def __init__(
        self,
        cluster_id: str = "memory-cluster",
        *,
        retained_bytes: int | None = None,
        silence_seconds: float = 0.1,
    ) -> None:
        """`retained_bytes` of values are kept at most, if given; then the oldest records of the largest log leave.

        A question to a silent broker fails after `silence_seconds`.
        """
        self.available = True
        self.reads = 0
        self.silent: set[int] = set()
        self.unreadable: set[str] = set()
        self.unseen: set[str] = set()
        self.hidden: set[str] = set()
        self._brokers: dict[TopicPartition, int] = {}
        self._leaders: dict[TopicPartition, int] = {}
        """Who leads, as of the last `refresh`."""
        self._absent: frozenset[str] = frozenset()
        self._denied: frozenset[str] = frozenset()
        self._is_stale = False
        self._cluster_id = cluster_id
        self._retained_bytes = retained_bytes
        self._nbytes = 0
        self._silence_seconds = silence_seconds
        self._logs: dict[TopicPartition, _Log] = {}
        self._known: dict[str, int] = {}
        self._written = asyncio.Event()

    # What a test does to it.

    def create(self, topic: str, partitions: int = 1, broker: int = 1) -> None:
        """Create a topic, or add partitions to it; `broker` leads them."""
        for partition in range(partitions):
            tp = TopicPartition(topic, partition)
            self._logs.setdefault(tp, _Log())
            self._brokers.setdefault(tp, broker)

    def lead(self, topic: str, broker: int, *, partition: int = 0) -> None:
        """Let another broker lead the partition from now on, or none (-1)."""
        self._brokers[TopicPartition(topic, partition)] = broker

    def delete(self, topic: str) -> None:
        """Delete a topic with its records."""
        for tp in [tp for tp in self._logs if tp.topic == topic]:
            self._nbytes -= self._logs.pop(tp).nbytes

    def append(
        self, topic: str, value: bytes | None, timestamp: int, *, partition: int = 0, key: bytes | None = None
    ) -> int:
        """Write one record; returns its offset."""
        log = self._logs[TopicPartition(topic, partition)]
        offset = log.end
        log.records.append(Record(topic, partition, offset, record_timestamp(timestamp), key, value))
        log.end += 1
        log.nbytes += len(value or b"")
        self._nbytes += len(value or b"")
        if self._retained_bytes is not None and self._nbytes > self._retained_bytes:
            self._retain_less()
        self._wake()
        return offset

    def skip(self, topic: str, count: int = 1, *, partition: int = 0) -> None:
        """Use up offsets that hold no record: a transaction's marker, aborted or compacted records."""
        self._logs[TopicPartition(topic, partition)].end += count
        self._wake()

    def truncate_before(self, topic: str, offset: int, *, partition: int = 0) -> None:
        """Do what retention does: the log now starts at `offset`."""
        log = self._logs[TopicPartition(topic, partition)]
        log.begin = offset
        log.records = [record for record in log.records if record.offset >= offset]
        self._nbytes -= log.nbytes
        log.nbytes = sum(len(record.value or b"") for record in log.records)
        self._nbytes += log.nbytes

    def _retain_less(self) -> None:
        """Drop a tenth of the largest log at once: each time costs as much as what stays."""
        tp, log = max(self._logs.items(), key=lambda item: item[1].nbytes)
        kept = log.records[len(log.records) // 10 + 1 :]
        self.truncate_before(tp.topic, kept[0].offset if kept else log.end, partition=tp.partition)

    def hold(self, topic: str, offset: int | None, *, partition: int = 0) -> None:
        """Keep an open transaction: committed reads end at `offset` (None: it has ended)."""
        self._logs[TopicPartition(topic, partition)].stable = offset
        self._wake()

    # RecordSource.

    @property
    def cluster_id(self) -> str:
        """The name of the cluster; see `RecordSource`, as for all that follows."""
        return self._cluster_id

    @property
    def partitions(self) -> Mapping[str, int]:
        """The number of partitions of each topic that exists."""
        return self._known

    @property
    def absent(self) -> Set[str]:
        """The topics that do not exist."""
        return self._absent

    @property
    def denied(self) -> Set[str]:
        """The topics that may not be seen."""
        return self._denied

    @property
    def is_stale(self) -> bool:
        """Whether the metadata is out of date."""
        return self._is_stale

    def broker_of(self, partition: TopicPartition) -> int:
        """Return the broker that leads the partition, as of the last `refresh`."""
        return self._leaders.get(partition, self._brokers.get(partition, -1))

    def brokers(self) -> list[Broker]:
        """Return the brokers that are known."""
        leads = Counter(self.broker_of(tp) for tp in self._logs)
        problem = "" if self.available else "the source is switched off"
        return [
            Broker(node, "memory", count, problem or ("no answer" if node in self.silent else ""))
            for node, count in sorted(leads.items())
            if node >= 0
        ]

    async def ping(self) -> None:
        """Answer, or raise SourceUnavailableError."""
        self._check()

    async def refresh(self, topics: Iterable[str]) -> None:
        """Take over which topics exist now, and who leads their partitions."""
        self._check()
        wanted = set(topics)
        known = {topic: count for topic, count in self._known.items() if topic in wanted & self.hidden}
        for tp in self._logs:
            if tp.topic in wanted - self.unseen - self.hidden:
                known[tp.topic] = max(known.get(tp.topic, 0), tp.partition + 1)
        self._is_stale = bool(wanted & self.hidden)
        self._denied = frozenset(wanted & self.unseen)
        self._absent = frozenset(wanted - known.keys() - self.unseen - self.hidden)
        self._known = known
        self._leaders = {tp: broker for tp, broker in self._brokers.items() if tp.topic in known and tp in self._logs}

    async def missing(self, topics: Iterable[str]) -> set[str]:
        """Return those of `topics` that do not exist."""
        self._check()
        return set(topics) - {tp.topic for tp in self._logs}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds | SourceError]:
        """Return the first and the next offset of each partition, or the error."""
        wanted = [tp for tp in partitions if tp in self._logs]
        await self._wait_for_the_silent(wanted)
        return {tp: self._trouble(tp) or self._logs[tp].bounds for tp in wanted if tp in self._logs}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, Found | SourceError]:
        """Return the first record at or after a time (ms) for each partition."""
        await self._wait_for_the_silent(times)
        found: dict[TopicPartition, Found | SourceError] = {}
        for tp, ms in times.items():
            log = self._logs.get(tp)
            trouble = self._trouble(tp) if log else None
            if trouble is not None:
                found[tp] = trouble
                continue
            for record in log.records if log else ():
                if record.timestamp >= ms and log is not None and record.offset < log.bounds.end:
                    found[tp] = Found(record.offset, record.timestamp)
                    break
        return found

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        """Read records from `offset` on, up to `max_bytes`."""
        self._check()
        self.reads += 1
        await self._wait_for_the_silent([partition])
        await asyncio.sleep(0)
        result = self._batch(partition, offset, max_bytes)
        if isinstance(result, Exception):
            raise result
        return result

    def be_patient(self, seconds: float, gathering: float) -> None:  # noqa: ARG002
        """Note how long `poll` might hold a first record back; here it never does."""
        self.patience = seconds

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        """Return what is new; wait a short while for it."""
        if self.available:
            results = self._news(positions)
            if results:
                await asyncio.sleep(0)
                return results
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._written.wait()
        except TimeoutError:
            return {tp: self._batch(tp, offset, 1 << 20) for tp, offset in positions.items()}
        return self._news(positions) if self.available else {}

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _news(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, PollResult]:
        """What a poll is answered with at once."""
        results = {tp: self._batch(tp, offset, 1 << 20) for tp, offset in positions.items()}
        return {
            tp: result
            for tp, result in results.items()
            if isinstance(result, OutOfRangeError | UnknownPartitionError)
            or (isinstance(result, Batch) and result.next_offset > positions[tp])
        }

    def _batch(self, tp: TopicPartition, offset: int, max_bytes: int) -> PollResult:
        log = self._logs.get(tp)
        trouble = self._trouble(tp) if log else None
        if trouble is not None:
            return trouble
        if log is None:
            return UnknownPartitionError(f"{tp.topic} partition {tp.partition} does not exist")
        if tp.topic in self.unreadable:
            return NotAuthorizedError(f"not authorised to read {tp.topic}")
        if not log.begin <= offset <= log.end:
            return OutOfRangeError(f"offset {offset} of {tp.topic} partition {tp.partition}")
        held = log.end - log.bounds.end
        records: list[Record] = []
        size = 0
        for record in log.records[bisect_left(log.records, offset, key=lambda record: record.offset) :]:
            if record.offset >= log.bounds.end:
                break
            if records and size + len(record.value or b"") > max_bytes:
                return Batch(records, records[-1].offset + 1, log.bounds, held)
            records.append(record)
            size += len(record.value or b"")
        return Batch(records, max(offset, log.bounds.end), log.bounds, held)

    def _trouble(self, tp: TopicPartition) -> SourceError | None:
        """Why the broker that is believed to lead a partition does not answer for it; None where it does."""
        where = f"{tp.topic} partition {tp.partition}"
        known, leader = self.broker_of(tp), self._brokers.get(tp, -1)
        if not self.available:
            return SourceUnavailableError("the source is switched off")
        if tp.topic in self.unseen:
            return NotAuthorizedError(f"not authorised to read {tp.topic}")
        if known in self.silent:
            return SourceUnavailableError(f"broker {known}: no answer")
        if known < 0 or known != leader:
            self._is_stale = True
            return SourceUnavailableError(f"the leader of {where} has moved or is not there yet")
        return None

    async def _wait_for_the_silent(self, partitions: Iterable[TopicPartition]) -> None:
        if any(self.broker_of(tp) in self.silent for tp in partitions):
            await asyncio.sleep(self._silence_seconds)

    def _check(self) -> None:
        if not self.available:
            raise SourceUnavailableError("the source is switched off")

    def _wake(self) -> None:
        self._written.set()
        self._written = asyncio.Event()
