"""Topics that are deleted, recreated, created, grown and truncated under open connections."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from tests.support.client.reading import NDJSON, SSE, Crowd, Follower
from tests.support.kafka.writing import writer
from tests.support.site.serving import PATH, serving

CREATED_SECONDS = 30.0
"""Maximum seconds until what is new is delivered: half of what the wire contract allows."""


@asynccontextmanager
async def admin_of(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def recreate(bootstrap: str, topic: str) -> None:
    """Delete the topic and make it again, as soon as Kafka lets us."""
    async with admin_of(bootstrap) as admin:
        await admin.delete_topics([topic])
        async with asyncio.timeout(20):
            while True:
                answer = await admin.create_topics([NewTopic(topic, 1, 1)])
                if for_code(answer.topic_errors[0][1]) is not TopicAlreadyExistsError:
                    break
                await asyncio.sleep(0.1)
    await create_topics(bootstrap, {topic: 1})  # waits for its leader


async def has_leaders(admin: AIOKafkaAdminClient, topic: str, count: int) -> None:
    async with asyncio.timeout(20):
        while True:
            [described] = await admin.describe_topics([topic])
            if sum(1 for partition in described["partitions"] if partition["leader"] >= 0) == count:
                return
            await asyncio.sleep(0.1)


def gaps(follower: Follower) -> list[dict[str, Any]]:
    return [gap for comment in follower.comments if comment.startswith(":gap ") for gap in json.loads(comment[5:])]


async def test_a_topic_recreated_under_a_client_is_said_to_be_a_gap_and_its_new_events_come(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    async with serving(tmp_path, kafka.bootstrap, [tp.topic]) as site, Crowd() as crowd:
        followers = [await crowd.connect(site.port, PATH, headers) for headers in (SSE, NDJSON)]
        async with writer(kafka.bootstrap) as to:
            await to.write(tp, [None] * 100)
            for follower in followers:
                await follower.has({tp: 99})
        await recreate(kafka.bootstrap, tp.topic)
        async with writer(kafka.bootstrap) as to:
            await to.write(tp, [None] * 30)
            for follower in followers:
                await follower.until(lambda f=follower: len(f.order) >= 130)  # type: ignore[misc]
            await to.write(tp, [None] * 10)
            late = await crowd.connect(site.port, f"{PATH}?since=0", SSE)
            for follower in [*followers, late]:
                await follower.until(lambda f=follower: f.offsets[tp][-1:] == [39])  # type: ignore[misc]
    for follower in followers:
        assert follower.offsets[tp] == [*range(100), *range(40)]
    assert gaps(followers[0]) == [{"topic": tp.topic, "partition": 0, "asked": 100, "served": 0}]
    assert late.offsets[tp] == [*range(40)]
    assert gaps(late) == []


async def test_a_topic_and_a_partition_created_under_a_client_are_delivered_from_their_first_event(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    old, new = make_topic(), f"test.{uuid.uuid4().hex}"
    partitions = [TopicPartition(old, 0), TopicPartition(old, 1), TopicPartition(new, 0)]
    async with (
        serving(tmp_path, kafka.bootstrap, [old, new]) as site,
        Crowd() as crowd,
        admin_of(kafka.bootstrap) as admin,
    ):
        followers = [await crowd.connect(site.port, PATH, headers) for headers in (SSE, NDJSON)]
        await admin.create_partitions({old: NewPartitions(total_count=2)})
        await create_topics(kafka.bootstrap, {new: 1})
        await has_leaders(admin, old, 2)
        async with writer(kafka.bootstrap) as to:
            for tp in partitions:
                await to.write(tp, [None] * 10)
            for follower in followers:
                await follower.has(dict.fromkeys(partitions, 9), CREATED_SECONDS)
            for tp in partitions:
                await to.write(tp, [None] * 10)
            for follower in followers:
                await follower.has(dict.fromkeys(partitions, 19))
        await admin.delete_topics([new])
    for follower in followers:
        assert follower.offsets == {tp: [*range(20)] for tp in partitions}
        assert gaps(follower) == []


async def test_retention_that_overtakes_a_stalled_client_is_said_to_be_a_gap(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    count, cut = 30_000, 25_000
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic]) as site,
        writer(kafka.bootstrap) as to,
        admin_of(kafka.bootstrap) as admin,
        Crowd() as crowd,
    ):
        await to.write(tp, [None] * count, "x" * 1_000)
        stalled = await crowd.connect(site.port, f"{PATH}?since=0", SSE, read=False, receive_buffer=4096)
        await asyncio.sleep(1.0)
        await admin.delete_records({tp: RecordsToDelete(before_offset=cut)})
        await to.write(tp, [None] * 10)
        stalled.read()
        await stalled.has({tp: count + 9})
    offsets = stalled.offsets[tp]
    [gap] = gaps(stalled)
    assert gap == {"topic": tp.topic, "partition": 0, "asked": gap["asked"], "served": cut}
    assert 0 < gap["asked"] < cut
    assert offsets == [*range(gap["asked"]), *range(cut, count + 10)]
