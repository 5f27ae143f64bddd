"""A RecordSource in memory: what Kafka does, without Kafka, for tests of the engine.

It passes the same contract test-suite as the real one, so that it cannot drift away from it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from streams.core.events import Record
from streams.core.positions import TopicPartition, record_timestamp
from streams.engine.source import (
    Batch,
    Bounds,
    Found,
    OutOfRangeError,
    PollResult,
    SourceUnavailableError,
    UnknownPartitionError,
)

POLL_SECONDS = 0.05


class _Log:
    """One partition's log: records with rising offsets; a hole is an offset without a record."""

    def __init__(self) -> None:
        self.begin = 0
        self.end = 0
        self.stable: int | None = None
        """The offset of the oldest open transaction, where one is open."""
        self.records: list[Record] = []

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.begin, self.end if self.stable is None else min(self.stable, self.end))


class MemorySource:
    """Topics are made and filled by the test, by `create`, `append`, `skip`, `truncate_before`, `delete` and `hold`."""

    def __init__(self, cluster_id: str = "memory-cluster") -> None:
        self.available = True
        self.reads = 0
        self._cluster_id = cluster_id
        self._logs: dict[TopicPartition, _Log] = {}
        self._known: dict[str, int] = {}
        self._written = asyncio.Event()

    # What a test does to it.

    def create(self, topic: str, partitions: int = 1) -> None:
        for partition in range(partitions):
            self._logs.setdefault(TopicPartition(topic, partition), _Log())

    def delete(self, topic: str) -> None:
        for tp in [tp for tp in self._logs if tp.topic == topic]:
            del self._logs[tp]

    def append(
        self, topic: str, value: bytes | None, timestamp: int, *, partition: int = 0, key: bytes | None = None
    ) -> int:
        """Write one record; returns its offset."""
        log = self._logs[TopicPartition(topic, partition)]
        offset = log.end
        log.records.append(Record(topic, partition, offset, record_timestamp(timestamp), key, value))
        log.end += 1
        self._wake()
        return offset

    def skip(self, topic: str, count: int = 1, *, partition: int = 0) -> None:
        """Use up offsets that hold no record: a transaction's marker, aborted or compacted records."""
        self._logs[TopicPartition(topic, partition)].end += count
        self._wake()

    def truncate_before(self, topic: str, offset: int, *, partition: int = 0) -> None:
        """What retention does: the log now starts at `offset`."""
        log = self._logs[TopicPartition(topic, partition)]
        log.begin = offset
        log.records = [record for record in log.records if record.offset >= offset]

    def hold(self, topic: str, offset: int | None, *, partition: int = 0) -> None:
        """An open transaction: committed reads end at `offset` (None: it has ended)."""
        self._logs[TopicPartition(topic, partition)].stable = offset
        self._wake()

    # RecordSource.

    @property
    def cluster_id(self) -> str:
        return self._cluster_id

    @property
    def partitions(self) -> Mapping[str, int]:
        return self._known

    @property
    def is_stale(self) -> bool:
        return False

    async def ping(self) -> None:
        self._check()

    async def refresh(self, topics: Iterable[str]) -> None:
        self._check()
        wanted = set(topics)
        known: dict[str, int] = {}
        for tp in self._logs:
            if tp.topic in wanted:
                known[tp.topic] = max(known.get(tp.topic, 0), tp.partition + 1)
        self._known = known

    async def missing(self, topics: Iterable[str]) -> set[str]:
        self._check()
        return set(topics) - {tp.topic for tp in self._logs}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        self._check()
        return {tp: self._logs[tp].bounds for tp in partitions if tp in self._logs}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Found]:
        self._check()
        found = {}
        for tp, ms in times.items():
            log = self._logs.get(tp)
            for record in log.records if log else ():
                if record.timestamp >= ms and log is not None and record.offset < log.bounds.end:
                    found[tp] = Found(record.offset, record.timestamp)
                    break
        return found

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        self._check()
        self.reads += 1
        await asyncio.sleep(0)
        result = self._batch(partition, offset, max_bytes)
        if isinstance(result, Exception):
            raise result
        return result

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        if self.available:
            results = self._poll(positions)
            if results:
                await asyncio.sleep(0)
                return results
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._written.wait()
        except TimeoutError:
            return {}
        return self._poll(positions) if self.available else {}

    async def close(self) -> None:
        return None

    def _poll(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, PollResult]:
        results = {tp: self._batch(tp, offset, 1 << 20) for tp, offset in positions.items()}
        return {
            tp: result
            for tp, result in results.items()
            if not isinstance(result, Batch) or result.next_offset > positions[tp]
        }

    def _batch(self, tp: TopicPartition, offset: int, max_bytes: int) -> PollResult:
        log = self._logs.get(tp)
        if log is None:
            return UnknownPartitionError(tp)
        if not log.begin <= offset <= log.end:
            return OutOfRangeError(f"offset {offset} of {tp.topic} partition {tp.partition}")
        records: list[Record] = []
        size = 0
        for record in log.records[bisect_left(log.records, offset, key=lambda record: record.offset) :]:
            if record.offset >= log.bounds.end:
                break
            if records and size + len(record.value or b"") > max_bytes:
                return Batch(records, records[-1].offset + 1, log.bounds)
            records.append(record)
            size += len(record.value or b"")
        return Batch(records, max(offset, log.bounds.end), log.bounds)

    def _check(self) -> None:
        if not self.available:
            raise SourceUnavailableError("the source is switched off")

    def _wake(self) -> None:
        self._written.set()
        self._written = asyncio.Event()
