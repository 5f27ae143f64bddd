"""The raw records of a time window, as Kafka holds them when the check begins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from redaction.check.proof import held_from
from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.source import OutOfRangeError, RecordSource, SourceError, UnknownPartitionError, answered

READ_BYTES = 1 << 20
"""Maximum bytes of one read."""

T = TypeVar("T")


@dataclass
class Window:
    """The offsets of one partition from `start` to before `end`; `last` is the newest that holds an event, else -1."""

    start: int
    end: int
    last: int = -1


class RawRecords:
    """Reads what Kafka holds of `topics` since a time (ms since the epoch)."""

    def __init__(self, source: RecordSource, topics: Iterable[str], since_ms: int) -> None:
        self._source = source
        self._topics = tuple(topics)
        self._since_ms = since_ms
        self._done = 0
        self.windows: dict[TopicPartition, Window] = {}
        self.held_from = ""
        """When what Kafka holds begins (ISO 8601), if that is after the window's begin."""

    @property
    def part(self) -> float:
        """Return the part of the windows that has been read, 0 to 1."""
        total = sum(window.end - window.start for window in self.windows.values())
        return self._done / max(1, total)

    async def find_windows(self) -> None:
        """Ask Kafka where the window begins and ends in each partition. Raises SourceError."""
        source = self._source
        partitions = [
            TopicPartition(topic, number) for topic in self._topics for number in range(source.partitions.get(topic, 0))
        ]
        bounds = _all_of(await source.bounds(partitions))
        found = _all_of(await source.offsets_for_times(dict.fromkeys(bounds, self._since_ms)))
        for tp, first in found.items():
            if first.offset < bounds[tp].end:
                self.windows[tp] = Window(first.offset, bounds[tp].end)
        self.held_from = held_from(bounds, found)

    async def batches(self) -> AsyncGenerator[tuple[TopicPartition, Sequence[Record]], None]:
        """Yield the records of all windows, those of one read at a time. Raises SourceError."""
        for tp, window in self.windows.items():
            offset = window.start
            while offset < window.end:
                records, next_offset = await self._read(tp, offset)
                yield tp, [record for record in records if record.offset < window.end]
                if next_offset <= offset:
                    break  # the log has been truncated
                self._done += min(next_offset, window.end) - offset
                offset = next_offset
            self._done += max(0, window.end - offset)

    async def _read(self, tp: TopicPartition, offset: int) -> tuple[Sequence[Record], int]:
        try:
            batch = await self._source.read(tp, offset, READ_BYTES)
        except OutOfRangeError:  # retention has removed what was there
            begin = _all_of(await self._source.bounds([tp]))[tp].begin
            if begin <= offset:
                raise
            return (), begin
        return batch.records, batch.next_offset


def _all_of(answers: Mapping[TopicPartition, T | SourceError]) -> dict[TopicPartition, T]:
    """Return the answers without those for partitions that do not exist (any longer).

    Raises SourceError if Kafka failed for any other partition: a check that leaves one out proves nothing.
    """
    for answer in answers.values():
        if isinstance(answer, SourceError) and not isinstance(answer, UnknownPartitionError):
            raise answer
    return answered(answers)
