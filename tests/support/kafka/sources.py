"""One harness for both RecordSources: what is done to Kafka, done to a real one and to the one in memory."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.memory import MemorySource
from streams.engine.source import RecordSource
from streams.engine.tuning import Tuning

LARGEST_RECORD = 20 << 20
PATIENCE_SECONDS = 30.0


class New(NamedTuple):
    """A record to be written."""

    value: bytes | None
    timestamp: int
    key: bytes | None = None


async def refreshed(source: RecordSource, topic: str, partitions: int | None) -> None:
    """Until the source knows of a change of a topic."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while source.partitions.get(topic) != partitions:
            await source.refresh([topic])
            await asyncio.sleep(0.02)
        if partitions:
            # A partition may be known before it has a leader.
            while len(await source.bounds([TopicPartition(topic, n) for n in range(partitions)])) < partitions:
                await asyncio.sleep(0.02)
                await source.refresh([topic])


class Harness(Protocol):
    source: RecordSource

    async def create(self, partitions: int = 1, topic: str | None = None, **config: str) -> str:
        """A new topic, and its name; `config` has Kafka's names with underscores for dots."""
        ...

    async def write(self, topic: str, records: Sequence[New], *, partition: int = 0, compression: str = "") -> None: ...

    async def transact(self, topic: str, records: Sequence[New], *, abort: bool = False, partition: int = 0) -> None:
        """Write in a transaction, which uses up an offset for its marker; the source knows the topic."""
        ...

    def open_transaction(self, topic: str, records: Sequence[New]) -> contextlib.AbstractAsyncContextManager[None]:
        """Write in a transaction that is committed at the end of the block."""
        ...

    async def truncate(self, topic: str, offset: int, *, partition: int = 0) -> None: ...

    async def delete(self, topic: str) -> None: ...

    async def add_partitions(self, topic: str, total: int) -> None: ...

    async def topics(self) -> set[str]:
        """All that there are."""
        ...

    def mislead(self, partition: TopicPartition) -> None:
        """Let the source take a wrong broker for the partition's leader, until it refreshes: the leader has moved."""
        ...


class MemoryHarness:
    def __init__(self) -> None:
        self.source = MemorySource()

    async def create(self, partitions: int = 1, topic: str | None = None, **config: str) -> str:
        topic = topic or f"test.{secrets.token_hex(6)}"
        self.source.create(topic, partitions)
        return topic

    async def write(self, topic: str, records: Sequence[New], *, partition: int = 0, compression: str = "") -> None:
        for record in records:
            self.source.append(topic, record.value, record.timestamp, partition=partition, key=record.key)

    async def transact(self, topic: str, records: Sequence[New], *, abort: bool = False, partition: int = 0) -> None:
        if abort:
            self.source.skip(topic, len(records), partition=partition)
        else:
            await self.write(topic, records, partition=partition)
        self.source.skip(topic, partition=partition)

    @contextlib.asynccontextmanager
    async def open_transaction(self, topic: str, records: Sequence[New]) -> AsyncIterator[None]:
        bounds = (await self.source.bounds([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
        self.source.hold(topic, bounds.end)
        await self.write(topic, records)
        yield
        self.source.skip(topic)
        self.source.hold(topic, None)

    async def truncate(self, topic: str, offset: int, *, partition: int = 0) -> None:
        self.source.truncate_before(topic, offset, partition=partition)

    async def delete(self, topic: str) -> None:
        self.source.delete(topic)

    async def add_partitions(self, topic: str, total: int) -> None:
        self.source.create(topic, total)

    async def topics(self) -> set[str]:
        return {tp.topic for tp in self.source._logs}

    def mislead(self, partition: TopicPartition) -> None:
        self.source.lead(partition.topic, 2, partition=partition.partition)


class KafkaHarness:
    """Use `kafka_harness`."""

    def __init__(self, bootstrap: str, admin: AIOKafkaAdminClient) -> None:
        self.source = KafkaSource(kafka_options({"metadata.broker.list": bootstrap}), tuning=Tuning(history_readers=2))
        self._bootstrap = bootstrap
        self._admin = admin
        self._producers: dict[str, AIOKafkaProducer] = {}
        self.made: set[str] = set()

    async def create(self, partitions: int = 1, topic: str | None = None, **config: str) -> str:
        topic = topic or f"test.{secrets.token_hex(6)}"
        settings = {"retention.ms": "-1", **{key.replace("_", "."): value for key, value in config.items()}}
        await create_topics(self._bootstrap, {topic: partitions}, settings)
        self.made.add(topic)
        # A partition has a leader before that leader answers for it; the harness's own source is not to know of it yet.
        probe = KafkaSource(kafka_options({"metadata.broker.list": self._bootstrap}), tuning=Tuning(history_readers=1))
        await refreshed(probe, topic, partitions)
        await probe.close()
        return topic

    async def write(self, topic: str, records: Sequence[New], *, partition: int = 0, compression: str = "") -> None:
        await self._send(await self._producer(compression), topic, records, partition)

    async def transact(self, topic: str, records: Sequence[New], *, abort: bool = False, partition: int = 0) -> None:
        producer = await self._producer("transactional")
        await producer.begin_transaction()
        last = await self._send(producer, topic, records, partition)
        await (producer.abort_transaction() if abort else producer.commit_transaction())
        await self._marked(TopicPartition(topic, partition), last)

    @contextlib.asynccontextmanager
    async def open_transaction(self, topic: str, records: Sequence[New]) -> AsyncIterator[None]:
        producer = await self._producer("transactional")
        async with producer.transaction():
            last = await self._send(producer, topic, records, 0)
            yield
        await self._marked(TopicPartition(topic, 0), last)

    async def truncate(self, topic: str, offset: int, *, partition: int = 0) -> None:
        await self._admin.delete_records({KafkaPartition(topic, partition): RecordsToDelete(before_offset=offset)})

    async def delete(self, topic: str) -> None:
        await self._admin.delete_topics([topic])
        while topic in await self.topics():
            await asyncio.sleep(0.02)
        await self._stop_producers()

    async def add_partitions(self, topic: str, total: int) -> None:
        await self._admin.create_partitions({topic: NewPartitions(total)})
        await self._stop_producers()

    async def topics(self) -> set[str]:
        return set(await self._admin.list_topics())

    def mislead(self, partition: TopicPartition) -> None:
        self.source._leaders[partition] = 99

    async def close(self) -> None:
        await self.source.close()
        await self._stop_producers()
        await self._admin.delete_topics(sorted(self.made & await self.topics()))

    async def _producer(self, kind: str) -> AIOKafkaProducer:
        producer = self._producers.get(kind)
        if producer is None:
            options: dict[str, Any] = {"max_request_size": LARGEST_RECORD, "linger_ms": 5}
            if kind == "transactional":
                options["transactional_id"] = f"test.{secrets.token_hex(6)}"
            elif kind:
                options["compression_type"] = kind
            producer = self._producers[kind] = AIOKafkaProducer(bootstrap_servers=self._bootstrap, **options)
            await producer.start()
        return producer

    async def _stop_producers(self) -> None:
        """They remember what a topic was like."""
        for producer in self._producers.values():
            await producer.stop()
        self._producers.clear()

    async def _marked(self, tp: TopicPartition, last: int) -> None:
        """Until the transaction's marker, which Kafka writes in its own time, stands behind the last record."""
        while (await self.source.bounds([tp]))[tp].end < last + 2:
            await asyncio.sleep(0.005)

    async def _send(self, producer: AIOKafkaProducer, topic: str, records: Sequence[New], partition: int) -> int:
        """Returns the last offset."""
        sent = [
            await producer.send(topic, r.value, key=r.key, partition=partition, timestamp_ms=r.timestamp)
            for r in records
        ]
        return max(metadata.offset for metadata in await asyncio.gather(*sent))


@contextlib.asynccontextmanager
async def kafka_harness(bootstrap: str) -> AsyncIterator[KafkaHarness]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    harness = KafkaHarness(bootstrap, admin)
    try:
        yield harness
    finally:
        await harness.close()
        await admin.close()
