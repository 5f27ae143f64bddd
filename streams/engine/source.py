"""Where records come from: the protocol that the engine is written against.

Two implementations, Kafka (`kafka/source.py`) and memory (`memory.py`), under one contract test-suite
(`tests/contract/test_record_source.py`). Reads are stateless: each call names its offsets.
Everything reads committed data only, unless the configuration says otherwise (invariant 10).

What goes wrong with one partition is a value, not an exception: it must not keep the answer back from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol, TypeVar

from streams.core.events import Record
from streams.core.positions import TopicPartition


class SourceError(Exception):
    """The source did not answer as asked."""


class SourceUnavailableError(SourceError):
    """Kafka cannot be reached, or did not answer in time; asking again may help."""


class NotAuthorizedError(SourceError):
    """Kafka does not let this service read the topic; asking again helps only when its access has been changed."""


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

    `next_offset` is where to continue; it moves also over what is no record (control markers, aborted transactions,
    compacted records), so it may be beyond the last record + 1, and may have moved where `records` is empty.
    `bounds` are the partition's at that moment; `held` is the number of offsets that are written beyond them, and that
    an open transaction keeps from being read (the high watermark less the last stable offset).
    """

    records: Sequence[Record]
    next_offset: int
    bounds: Bounds
    held: int = 0


def parts(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield the batch as batches of at most `size` records."""
    records = batch.records
    first = 0
    while len(records) - first > size:
        yield batch._replace(records=records[first : first + size], next_offset=records[first + size].offset)
        first += size
    yield batch._replace(records=records[first:]) if first else batch


class Found(NamedTuple):
    """The first record at or after a time: its offset, and its own timestamp in ms."""

    offset: int
    timestamp: int


PollResult = Batch | SourceError

_K = TypeVar("_K")
_V = TypeVar("_V")


def answered(answers: Mapping[_K, _V | SourceError]) -> dict[_K, _V]:
    """Return the answers that are no errors."""
    return {key: answer for key, answer in answers.items() if not isinstance(answer, SourceError)}


class Broker(NamedTuple):
    """A broker, as the source knows it: `problem` says why it does not answer; empty if nothing is known to be wrong.

    `node` is None for an address of the configuration while Kafka has not said which brokers there are.
    """

    node: int | None
    address: str
    leads: int
    """Partitions of the known topics that it leads."""
    problem: str = ""


class RecordSource(Protocol):
    """`ping` and `refresh` raise SourceUnavailableError, with the reason, where no broker answers."""

    @property
    def cluster_id(self) -> str:
        """Kafka's own name for the cluster; "" before the first `refresh`."""
        ...

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has, as of the last `refresh`; a topic that does not exist is not in it."""
        ...

    @property
    def absent(self) -> Set[str]:
        """The topics of the last `refresh` that, as Kafka says, do not exist."""
        ...

    @property
    def denied(self) -> Set[str]:
        """The topics of the last `refresh` that Kafka does not let this service see."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether an answer has shown that the last `refresh` is out of date: a leader has moved or gone."""
        ...

    def brokers(self) -> list[Broker]:
        """Return the brokers that are known, without asking."""
        ...

    def broker_of(self, partition: TopicPartition) -> int:
        """Return which broker answers for the partition, as of the last `refresh`; -1 where none does.

        What is asked of one broker does not wait for another one if it is asked in a separate call.
        """
        ...

    async def ping(self) -> None:
        """Ask whether Kafka is there."""
        ...

    async def refresh(self, topics: Iterable[str]) -> None:
        """Ask which of `topics` exist, with which partitions. Never creates a topic.

        A topic that is neither in `partitions` nor `absent` nor `denied` afterwards is one of which Kafka cannot tell
        at the moment.
        """
        ...

    async def missing(self, topics: Iterable[str]) -> set[str]:
        """Return those of `topics` that do not exist; `partitions` stays as it is. Never creates a topic."""
        ...

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds | SourceError]:
        """Return the bounds of each partition that exists, or why Kafka does not give them."""
        ...

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, Found | SourceError]:
        """Return the first record at or after a time (ms, 0…2^63-1); a partition without one is missing."""
        ...

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        """Read records from `offset` on, without waiting for new ones: up to about `max_bytes`, at least one if any.

        Raises SourceError of any kind.
        """
        ...

    def be_patient(self, seconds: float, gathering: float) -> None:
        """Let `poll` hold a first record back to gather more, at most for `seconds`; with 0, it ends the wait.

        Where many come, it is to gather those of about `gathering` seconds.
        """
        ...

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        """Return what is new at the tail of many partitions; waits a short while for that, and may be empty.

        One caller at a time. Each call says all that is wanted, and from which offset. A partition that is read, and
        has nothing new, has a batch that does not move, now and then. One that failed is left alone for a while.
        """
        ...

    async def close(self) -> None:
        """Close all connections; nothing is asked afterwards."""
        ...
