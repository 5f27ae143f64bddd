"""Numbered events for Kafka, and the record of what each partition holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from streams.core.positions import TopicPartition
from tests.support.engine import cancel

BATCH = 500
"""Maximum events that are under way at a time."""


def partitions_of(topics: Iterable[str], count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in range(count)]


class Writer:
    """Writes events `{"n": …, "pad": …}`, numbered from 0. `held` is what readers must get: offsets and numbers."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.held: dict[TopicPartition, list[tuple[int, int]]] = defaultdict(list)
        self.count = 0
        """Events that the producer has had: the number of the next one."""
        self.members = b""
        """Further members of every event, with a comma before each."""
        self.types = 0
        """If so, the type of each event is one of this number of types, in turn: "t0", "t1" and so on."""
        self._producer = producer

    async def write(self, tp: TopicPartition, timestamps: Sequence[int | None], pad: str = "") -> None:
        """Append one event for each timestamp (ms, None: now) to a partition, and wait until Kafka has them."""
        for first in range(0, len(timestamps), BATCH):
            await self._write(tp, timestamps[first : first + BATCH], pad)

    async def _write(self, tp: TopicPartition, timestamps: Sequence[int | None], pad: str) -> None:
        numbers, futures = [], []
        for timestamp in timestamps:
            numbers.append(self.count)
            kind = b',"type":"t%d"' % (self.count % self.types) if self.types else b""
            value = b'{"n":%d,"pad":"%s"%s%s}' % (self.count, pad.encode(), kind, self.members)
            self.count += 1
            futures.append(await self._producer.send(tp.topic, value, partition=tp.partition, timestamp_ms=timestamp))
        written: list[RecordMetadata] = await asyncio.gather(*futures)
        self.held[tp] += [(metadata.offset, number) for metadata, number in zip(written, numbers, strict=True)]

    async def transact(
        self, tp: TopicPartition, timestamps: Sequence[int | None], pad: str = "", *, abort: bool
    ) -> None:
        """Write in a transaction; what is aborted is held by nobody. Needs a transactional producer."""
        await self._producer.begin_transaction()
        held = len(self.held[tp])
        await self.write(tp, timestamps, pad)
        if abort:
            await self._producer.abort_transaction()
            del self.held[tp][held:]
        else:
            await self._producer.commit_transaction()


@asynccontextmanager
async def writer(bootstrap: str, **options: Any) -> AsyncIterator[Writer]:
    """A Writer on its own producer; `options` are aiokafka's."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **{"enable_idempotence": True, **options})
    await producer.start()
    try:
        yield Writer(producer)
    finally:
        await producer.stop()


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Work beside the block, which then waits for it to end; if the block fails, it is broken off."""
    task = asyncio.create_task(work)
    try:
        yield task
        await task
    finally:
        await cancel(task)
