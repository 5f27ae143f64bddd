"""What topics hold, read back from their beginning."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient

Held = dict[int, list[tuple[int, bytes | None, bytes]]]
"""Timestamp, key and value of each record, by partition."""


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
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
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
                for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
                    got[number].append((record.timestamp, record.key, record.value))
    finally:
        await consumer.stop()
    return got


async def until_held(bootstrap: str, topic: str, wanted: Held, seconds: float = 60) -> None:
    """Wait until a topic has exactly what is wanted."""
    got: Held = {}
    try:
        async with asyncio.timeout(seconds):
            while (got := await held(bootstrap, topic)) != wanted:
                assert sum(map(len, got.values())) <= sum(map(len, wanted.values())), "events came twice"
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(
            f"{ {number: len(records) for number, records in got.items()} } are there, "
            f"{ {number: len(records) for number, records in wanted.items()} } wanted"
        ) from None
