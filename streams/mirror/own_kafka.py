"""One's own Kafka: what the mirror writes there, and what it finds there when it starts.

Each record's headers say which record of the source it is, and the id with which the source sent it: the position is
kept with the events, so that both are written or neither is. Events are written in transactions, since a mirror that
was killed may leave batches that the brokers take only later: the next one, with the same transactional id, ends them
first, and then looks where the end is (KIP-82: headers; KIP-98: transactions).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError, NoError, for_code

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.mirror.event import MirroredEvent
from streams.mirror.positions import Positions, Written

TOPIC_CONFIG = {"retention.ms": str(7 * 86_400_000)}
OFFSET_HEADER, ID_HEADER, NAMES_HEADER = "mirror.offset", "mirror.id", "mirror.streams"
LOOK_BACK = 2_000
"""At the end of a partition, this number of records are searched for the newest that the mirror wrote."""
LOOK_SECONDS = 20.0
STOP_SECONDS = 10.0
"""At a stop, what has been received has this time to be written; what is not is received again."""
IN_FLIGHT = 2_000
"""Maximum records of a transaction."""
COMMIT_SECONDS = 0.5
"""Seconds between transactions; readers see an event when its transaction has ended."""


class OwnKafka:
    """Writes to the Kafka of `client`, the arguments of aiokafka's clients. Every method may raise KafkaError."""

    def __init__(self, client: Mapping[str, Any], names: Sequence[str]) -> None:
        """`client` has at least `bootstrap_servers`; `names` are the streams that are mirrored."""
        self._client = dict(client)
        self._names = ",".join(sorted(names))
        self._lock = asyncio.Lock()
        self._is_open = False
        """Whether there is a transaction."""
        self._partitions: dict[str, int] = {}
        self._writing: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> OwnKafka:
        """Start a producer; what an earlier mirror of the same streams left unfinished is ended."""
        names = hashlib.sha256(self._names.encode()).hexdigest()[:16]
        self._producer = AIOKafkaProducer(
            **self._client,
            transactional_id=f"eventstreams-mirror-{names}",
            compression_type="snappy",
            linger_ms=20,
            max_request_size=16 << 20,
        )
        await self._producer.start()
        self._committing = asyncio.create_task(self._commit_forever())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the producer, after what it holds has been written, unless Kafka has failed."""
        self._committing.cancel()
        try:
            if kind is asyncio.CancelledError:
                # A Kafka that fails now must not turn the stop into another attempt.
                with contextlib.suppress(KafkaError, TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await self.flush()
        finally:
            await self._producer.stop()

    async def positions(self) -> Positions:
        """Return what mirrors of the streams have written, by the ends of the logs of all topics."""
        positions = Positions(self._names.split(","))
        admin = AIOKafkaAdminClient(**self._client)
        await admin.start()
        try:
            described = await admin.describe_topics()
        finally:
            await admin.close()
        self._partitions = {
            topic["topic"]: len(topic["partitions"]) for topic in described if not topic["topic"].startswith("__")
        }
        if not self._partitions:
            return positions  # a consumer that was given nothing to read cannot be stopped
        consumer = AIOKafkaConsumer(
            **self._client,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 << 20,
        )
        await consumer.start()
        try:
            for topic, count in sorted(self._partitions.items()):
                for number in range(count):
                    await self._find(consumer, TopicPartition(topic, number), positions)
        finally:
            await consumer.stop()
        return positions

    async def _find(self, consumer: AIOKafkaConsumer, tp: TopicPartition, positions: Positions) -> None:
        partition = KafkaPartition(*tp)
        consumer.assign([partition])
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        offset = max(begin, end - LOOK_BACK)
        if offset >= end:
            return
        consumer.seek(partition, offset)
        newest: tuple[Written, str, str] | None = None
        latest = 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOOK_SECONDS
        while await consumer.position(partition) < end:
            if loop.time() > deadline:
                raise KafkaError(f"the end of {tp.topic} partition {tp.partition} could not be read")
            for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
                headers = dict(record.headers)
                if OFFSET_HEADER in headers:
                    latest = max(latest, record.timestamp)
                    written = Written(int(headers[OFFSET_HEADER]), record.timestamp)
                    newest = (written, headers[ID_HEADER].decode(), headers[NAMES_HEADER].decode())
        if newest is not None:
            written, identifier, names = newest
            positions.found(tp, written, names, latest)
            if names == positions.names:
                positions.saw([identifier])

    async def write(self, event: MirroredEvent, identifier: str) -> None:
        """Write an event to its partition; waits where too much is under way."""
        if self._committing.done():
            self._committing.result()  # raises what went wrong
        if event.partition >= self._partitions.get(event.topic, 0):
            await self._make(event.topic, event.partition + 1)
        headers = [
            (OFFSET_HEADER, b"%d" % event.offset),
            (ID_HEADER, identifier.encode()),
            (NAMES_HEADER, self._names.encode()),
        ]
        async with self._lock:
            if not self._is_open:
                await self._producer.begin_transaction()
                self._is_open = True
            self._writing.append(
                await self._producer.send(
                    event.topic,
                    event.value,
                    key=event.key,
                    partition=event.partition,
                    timestamp_ms=event.timestamp,
                    headers=headers,
                )
            )
        if len(self._writing) >= IN_FLIGHT:
            await self.flush()

    async def flush(self) -> None:
        """Wait until readers see all that has been written."""
        async with self._lock:
            if not self._is_open:
                return
            await self._producer.commit_transaction()
            self._is_open = False
            writing, self._writing = self._writing, []
            for each in writing:
                each.result()  # raises what went wrong

    async def _commit_forever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.flush()

    async def _make(self, topic: str, partitions: int) -> None:
        """Create a topic, or give it more partitions."""
        bootstrap = str(self._client["bootstrap_servers"])
        await create_topics(bootstrap, {topic: partitions}, TOPIC_CONFIG, **self._client)
        admin = AIOKafkaAdminClient(**self._client)
        await admin.start()
        try:
            described = await admin.describe_topics([topic])
            count = len(described[0]["partitions"])
            if count < partitions:
                answer = await admin.create_partitions({topic: NewPartitions(partitions)})
                for _, code, message in answer.topic_errors:
                    if (error := for_code(code)) is not NoError:
                        raise error(f"topic {topic}: {message}")
                await create_topics(bootstrap, {topic: partitions}, **self._client)  # waits for their leaders
                count = partitions
        finally:
            await admin.close()
        self._partitions[topic] = count
        await self._producer.client.force_metadata_update()
