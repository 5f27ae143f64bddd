"""What the tests over a real socket share: topics to write to, records, and readings of the answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from streams.engine.kafka.create_topics import create_topics
from tests.support.client import SseEvent, StreamClient

T0 = 1_600_000_000_000
"""2020-09-13T12:26:40Z, in ms: where the tests' timestamps begin."""
KEEP = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
"""Topics that keep records of any timestamp."""


class Feed(NamedTuple):
    """A stream of the catalogue, and the topics that it is made of."""

    stream: str
    topics: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/v2/stream/{self.stream}"

    @property
    def topic(self) -> str:
        return self.topics[0]


class Rec(NamedTuple):
    """A record to be written. `value` is JSON unless it is bytes or None (a tombstone); `at` in ms, None for now."""

    value: Any
    at: int | None = None
    partition: int = 0
    key: bytes | None = None


class Broker:
    """The tests' Kafka: records are written to it, and topics changed."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    async def send(self, topic: str, *records: Rec) -> list[int]:
        """Write records one after the other; their offsets."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            return [
                (
                    await producer.send_and_wait(
                        topic,
                        value_of(record),
                        key=record.key,
                        partition=record.partition,
                        timestamp_ms=record.at,
                    )
                ).offset
                for record in records
            ]

    async def delete_before(self, topic: str, offset: int, partitions: int = 1) -> None:
        """Move the start of the log up to `offset` in the first `partitions`, as retention does."""
        async with _admin(self.bootstrap) as admin:
            await admin.delete_records({TopicPartition(topic, n): RecordsToDelete(offset) for n in range(partitions)})

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions, `partitions` in all."""
        async with _admin(self.bootstrap) as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})

    async def create(self, topic: str, partitions: int = 1) -> None:
        await create_topics(self.bootstrap, {topic: partitions}, KEEP)

    async def drop(self, topics: Iterable[str]) -> None:
        """Delete topics, those that exist."""
        async with _admin(self.bootstrap) as admin:
            await admin.delete_topics(list(set(topics).intersection(await admin.list_topics())))

    async def topics(self) -> list[str]:
        async with _admin(self.bootstrap) as admin:
            return list(await admin.list_topics())


class _admin:  # noqa: N801
    """aiokafka's admin client as a context."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._client.start()
        return self._client

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()


def value_of(record: Rec) -> bytes | None:
    if record.value is None or isinstance(record.value, bytes):
        return record.value
    return json.dumps(record.value).encode()


def numbered(*times: int, partition: int = 0) -> list[Rec]:
    """Records {"n": 0}, {"n": 1} … with timestamps T0 + `times`."""
    return [Rec({"n": n}, T0 + time, partition) for n, time in enumerate(times)]


def resume_at(*entries: Any) -> dict[str, str]:
    """The request header for an id of these entries; one text alone is an id as it was received."""
    text = entries[0] if len(entries) == 1 and isinstance(entries[0], str) else json.dumps(entries)
    return {"Last-Event-ID": text}


def ns(events: Sequence[SseEvent] | Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of numbered records as they came."""
    return [event.json["n"] if isinstance(event, SseEvent) else event["n"] for event in events]


def gap_of(client: StreamClient) -> Any:
    """What the response's head says to be missing."""
    assert "eventstreams-gap" in client.headers, (client.status, client.headers)
    return json.loads(client.headers["eventstreams-gap"])


def chunks_of(client: StreamClient) -> AsyncIterator[bytes]:
    return aiter(client.chunks())


async def first_chunk(client: StreamClient) -> bytes:
    return await anext(chunks_of(client))


async def error_of(client: StreamClient) -> dict[str, Any]:
    """The problem of an error's answer, whose form is checked."""
    assert client.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(await client.body())
    assert problem.keys() == {"status", "type", "title", "detail", "method", "uri"}
    assert problem["status"] == client.status
    return problem


def entry(feed: Feed, **where: Any) -> dict[str, Any]:
    """An entry of an id, of the first topic of the feed."""
    return {"topic": feed.topic, "partition": 0, **where}
