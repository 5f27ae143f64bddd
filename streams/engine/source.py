"""Where records come from: the protocol that the engine is written against.

Two implementations, Kafka (`kafka.py`) and memory (`memory.py`), under one contract test-suite
(`tests/contract/test_record_source.py`). Reads are stateless: who reads says from where, every time.
Everything reads committed data only, unless the configuration says otherwise (invariant 10).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.core.events import Record
from streams.core.positions import TopicPartition


class SourceError(Exception):
    """The source did not answer as asked."""


class SourceUnavailableError(SourceError):
    """Kafka cannot be reached, or did not answer in time; asking again may help."""


class UnknownPartitionError(SourceError):
    """The partition does not exist (any more)."""


class OutOfRangeError(SourceError):
    """The asked offset is below the log's start or beyond its end."""


class Bounds(NamedTuple):
    """`begin` is the offset of the oldest retained record, `end` the last stable offset: the next one to be written."""

    begin: int
    end: int


class Batch(NamedTuple):
    """What one read gave.

    `next_offset` is where to go on; it moves also over what is no record (control markers, aborted transactions,
    compacted records), so it may be beyond the last record + 1, and may have moved where `records` is empty.
    `bounds` are the partition's at that moment.
    """

    records: Sequence[Record]
    next_offset: int
    bounds: Bounds


class Found(NamedTuple):
    """The first record at or after a time: its offset, and its own timestamp in ms."""

    offset: int
    timestamp: int


PollResult = Batch | OutOfRangeError | UnknownPartitionError


class RecordSource(Protocol):
    """All methods raise SourceUnavailableError where the source cannot be reached."""

    @property
    def cluster_id(self) -> str:
        """Kafka's own name for the cluster; "" before the first `refresh`."""
        ...

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has, as of the last `refresh`; a topic that does not exist is not in it."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether an answer has shown that the last `refresh` is out of date: a leader has moved or gone."""
        ...

    async def ping(self) -> None:
        """Ask for a sign of life."""
        ...

    async def refresh(self, topics: Iterable[str]) -> None:
        """Ask which of `topics` exist, with which partitions. Never creates a topic."""
        ...

    async def missing(self, topics: Iterable[str]) -> set[str]:
        """Return those of `topics` that do not exist; `partitions` stays as it is. Never creates a topic."""
        ...

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        """The bounds of each partition that exists and has a leader; others are missing from the answer."""
        ...

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Found]:
        """The first record at or after a time (ms, 0…2^63-1); a partition without one is missing from the answer."""
        ...

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        """Records from `offset` on, without waiting for new ones: up to about `max_bytes`, at least one where one is.

        Raises OutOfRangeError and UnknownPartitionError.
        """
        ...

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        """New records at the tail of many partitions; waits a short while for them, and may come back empty.

        One caller at a time. Each call says all that is wanted, and from which offset.
        """
        ...

    async def close(self) -> None: ...
