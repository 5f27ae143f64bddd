"""What topics hold, read back from their beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient

Held = dict[int, list[tuple[int, bytes | None, bytes]]]
"""Timestamp, key and value of each record, by partition."""


def _consumer(bootstrap: str) -> AIOKafkaConsumer:
    """A reader of committed data; where there is none, it does not wait for as long as by default."""
    return AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50)


async def partitions(bootstrap: str) -> dict[str, int]:
    """The number of partitions of each topic that exists."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
    finally:
        await admin.close()


async def held(bootstrap: str, topic: str) -> Held:
    """What readers of committed data see of a topic."""
    consumer = _consumer(bootstrap)
    await consumer.start()
    got: Held = {}
    try:
        for number in range((await partitions(bootstrap)).get(topic, 0)):
            partition = KafkaPartition(topic, number)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            got[number] = []
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=50)).get(partition, ()):
                    got[number].append((record.timestamp, record.key, record.value))
    finally:
        await consumer.stop()
    return got


@asynccontextmanager
async def reading(bootstrap: str, topic: str) -> AsyncIterator[Callable[[], Awaitable[Held]]]:
    """What is held so far, whenever it is asked for: one consumer reads on, from the time at which the topic exists."""
    async with _consumer(bootstrap) as consumer:
        got: Held = {}

        async def more() -> Held:
            if not got:
                got.update({number: [] for number in range((await partitions(bootstrap)).get(topic, 0))})
                if not got:
                    await asyncio.sleep(0.1)
                    return got
                consumer.assign([KafkaPartition(topic, number) for number in got])
                await consumer.seek_to_beginning()
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                got[partition.partition] += [(record.timestamp, record.key, record.value) for record in records]
            return got

        yield more


async def until_held(bootstrap: str, topic: str, wanted: Held, seconds: float = 60) -> None:
    """Wait until a topic has exactly what is wanted."""
    got: Held = {}
    async with reading(bootstrap, topic) as more:
        try:
            async with asyncio.timeout(seconds):
                while (got := await more()) != wanted:
                    assert sum(map(len, got.values())) <= sum(map(len, wanted.values())), "events came twice"
        except TimeoutError:
            raise AssertionError(
                f"{ {number: len(records) for number, records in got.items()} } are there, "
                f"{ {number: len(records) for number, records in wanted.items()} } wanted"
            ) from None
