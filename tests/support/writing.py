"""Numbered events for Kafka, and the record of what each partition holds."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from streams.core.positions import TopicPartition
from streams.local_kafka import create_topics

BATCH = 500
"""So many events are under way at a time."""


async def new_topic(bootstrap: str, partitions: int = 1, **config: str) -> str:
    """A topic of its own for a test; `config` has Kafka's names with underscores for dots."""
    name = f"test.{secrets.token_hex(6)}"
    await create_topics(bootstrap, {name: partitions}, {key.replace("_", "."): value for key, value in config.items()})
    return name


def partitions_of(topics: Iterable[str], count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in range(count)]


class Writer:
    """Writes events `{"n": …, "pad": …}`, numbered from 0. `held` is what readers must get: offsets and numbers."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.held: dict[TopicPartition, list[tuple[int, int]]] = defaultdict(list)
        self.sent: dict[TopicPartition, int] = defaultdict(int)
        """So many have been handed to the producer, per partition."""
        self.count = 0
        self._producer = producer

    async def write(self, tp: TopicPartition, timestamps: Sequence[int | None], pad: str = "") -> None:
        """Append one event for each timestamp (ms, None: now) to a partition, and wait until Kafka has them."""
        for first in range(0, len(timestamps), BATCH):
            await self._write(tp, timestamps[first : first + BATCH], pad)

    async def _write(self, tp: TopicPartition, timestamps: Sequence[int | None], pad: str) -> None:
        numbers, futures = [], []
        for timestamp in timestamps:
            numbers.append(self.count)
            value = b'{"n":%d,"pad":"%s"}' % (self.count, pad.encode())
            self.count += 1
            self.sent[tp] += 1
            futures.append(await self._producer.send(tp.topic, value, partition=tp.partition, timestamp_ms=timestamp))
        written: list[RecordMetadata] = await asyncio.gather(*futures)
        self.held[tp] += [(metadata.offset, number) for metadata, number in zip(written, numbers, strict=True)]

    async def transact(self, tp: TopicPartition, count: int, *, abort: bool, pad: str = "") -> None:
        """`count` events in a transaction; aborted ones are held by nobody. Needs a transactional producer."""
        await self._producer.begin_transaction()
        held = len(self.held[tp])
        await self.write(tp, [None] * count, pad)
        if abort:
            await self._producer.abort_transaction()
            del self.held[tp][held:]
        else:
            await self._producer.commit_transaction()

    async def go_on(self, partitions: Sequence[TopicPartition], per_second: float, seconds: float, pad: str = "") -> None:
        """Write steadily, in turn to all partitions."""
        start = time.monotonic()
        written = 0
        while (elapsed := time.monotonic() - start) < seconds:
            due = int(elapsed * per_second) - written
            for _ in range(due):
                await self.write(partitions[written % len(partitions)], [None], pad)
                written += 1
            await asyncio.sleep(0.01)


@asynccontextmanager
async def writer(bootstrap: str, **options: Any) -> AsyncIterator[Writer]:
    """A Writer on a producer of its own; `options` are aiokafka's."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **{"enable_idempotence": True, **options})
    await producer.start()
    try:
        yield Writer(producer)
    finally:
        await producer.stop()
