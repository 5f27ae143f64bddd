"""Writing to and reading from a RecordSource, as its contract tests do it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.source import (
    Batch,
    PollResult,
    RecordSource,
)
from tests.support.kafka.sources import PATIENCE_SECONDS, Harness, New

MUCH = 1 << 20


def new(count: int, timestamp: int = 1_000, first: int = 0) -> list[New]:
    return [New(b"value %d" % n, timestamp + n) for n in range(first, first + count)]


async def one_topic(harness: Harness, *records: New, **config: str) -> TopicPartition:
    """A new topic of one partition that the source knows, with these records."""
    topic = await harness.create(**config)
    if records:
        await harness.write(topic, records)
    await harness.source.refresh([topic])
    return TopicPartition(topic, 0)


async def read_all(source: RecordSource, tp: TopicPartition, offset: int = 0, max_bytes: int = MUCH) -> list[Record]:
    """All records from an offset to the end, read after read."""
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            batch = await source.read(tp, offset, max_bytes)
            assert batch.next_offset >= offset
            assert all(offset <= record.offset < batch.next_offset for record in batch.records)
            found += batch.records
            if batch.next_offset == offset:
                assert offset == batch.bounds.end
                return found
            offset = batch.next_offset


async def poll_until(
    source: RecordSource,
    positions: Mapping[TopicPartition, int],
    done: Callable[[Sequence[Record], Mapping[TopicPartition, PollResult]], object],
) -> tuple[list[Record], dict[TopicPartition, int]]:
    """Poll on and on, as the hub does, until it is done."""
    positions = dict(positions)
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            results = await source.poll(positions)
            assert results.keys() <= positions.keys()
            for tp, result in results.items():
                if isinstance(result, Batch):
                    found += result.records
                    assert result.next_offset >= positions[tp]
                    positions[tp] = result.next_offset
            if done(found, results):
                return found, positions


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]
