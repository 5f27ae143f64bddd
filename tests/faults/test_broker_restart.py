"""Kafka goes and returns: clients stay, and miss and repeat nothing; new clients get an answer at once.

Wire contract, "When something is wrong after the client has committed to SSE" and "Errors before the stream begins".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka import LocalKafka
from tests.support import SLACK_SECONDS
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE, Crowd, CutReader, Follower, by_partition, from_the_beginning
from tests.support.kafka.writing import Writer, meanwhile, partitions_of, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

TOPIC = "test.restart"
CLIENTS = 20
ANSWER_SECONDS = 3.0
"""For a machine that is busy."""


class Topic:
    """A topic of two partitions that is being written, also while Kafka is away: the producer tries again."""

    def __init__(self, to: Writer) -> None:
        self.partitions = partitions_of([TOPIC], 2)
        self.to = to

    async def write(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            for tp in self.partitions:
                await self.to.write(tp, [None] * 5, "x" * 500)
            await asyncio.sleep(0.05)

    async def grows(self, count: int = 100) -> None:
        """Wait until `count` more events are written: Kafka is there."""
        so_far = self.to.count
        async with asyncio.timeout(60):
            while self.to.count < so_far + count:
                await asyncio.sleep(0.05)

    async def has_come_to(self, followers: list[Follower]) -> None:
        for follower in followers:
            await follower.has({tp: self.to.held[tp][-1][0] for tp in self.partitions})

    def check(self, followers: list[Follower]) -> None:
        """Every follower has everything once, from its first event on; the first of all where it asked for that."""
        for number, follower in enumerate(followers):
            for tp in self.partitions:
                offsets = follower.offsets[tp]
                assert offsets == [offset for offset, _ in self.to.held[tp]][-len(offsets) :]
                assert offsets[0] == 0 or number % 2 == 0


@asynccontextmanager
async def topic_of(kafka: LocalKafka) -> AsyncIterator[Topic]:
    await create_topics(kafka.bootstrap, {TOPIC: 2})
    async with writer(kafka.bootstrap) as to:
        yield Topic(to)


async def crowd_of(crowd: Crowd, port: int) -> list[Follower]:
    """Some at the tip, some that begin with the first event."""
    paths = [PATH, f"{PATH}?since=0"]
    return [
        await crowd.connect(port, paths[number % 2], SSE if number // 2 % 2 else NDJSON) for number in range(CLIENTS)
    ]


async def answer(port: int, path: str, headers: Mapping[str, str]) -> tuple[StreamClient, float]:
    """The answer's head, and after how many seconds it came."""
    start = time.monotonic()
    client = await StreamClient.connect(port, path, headers)
    return client, time.monotonic() - start


async def is_refused_as_the_contract_says(port: int, path: str = PATH) -> None:
    client, seconds = await answer(port, path, SSE)
    assert client.status == 200
    assert seconds < ANSWER_SECONDS + SLACK_SECONDS
    events = [event async for event in client.events()]
    assert client.comments == ["ok"]
    assert client.retry is not None
    assert 5_000 <= client.retry <= 15_000
    assert [event.event for event in events] == ["error"]
    assert events[0].id == ""
    assert events[0].json["type"] == "kafka_unavailable"
    assert client.ended_cleanly
    await client.close()

    client, seconds = await answer(port, path, NDJSON)
    assert client.status == 503
    assert seconds < ANSWER_SECONDS + SLACK_SECONDS
    assert int(client.headers["retry-after"]) > 0
    assert client.headers["content-type"] == "application/problem+json"
    assert json.loads(await client.body())["type"] == "kafka_unavailable"
    await client.close()


async def is_degraded(site: Site) -> None:
    """Until the server has noticed: it asks every second, and wants to be sure."""
    async with asyncio.timeout(30):
        while not any("Kafka cannot be reached" in each for each in site.json("/readyz").get("degraded", ())):
            await asyncio.sleep(0.1)
    assert site.get("/readyz")[0] == 200, "a balancer that empties all replicas would end every stream for good"


async def test_clients_stay_through_a_crash_of_kafka_and_miss_and_repeat_nothing(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    enough = asyncio.Event()
    async with (
        topic_of(own_kafka) as topic,
        serving(tmp_path, own_kafka.bootstrap, [TOPIC]) as site,
        Crowd() as crowd,
    ):
        async with meanwhile(topic.write(enough)) as writing:
            await topic.grows()
            followers = await crowd_of(crowd, site.port)
            cut = CutReader(PATH, from_the_beginning(topic.partitions))
            await cut.read(site.port, 50_000)
            await topic.grows()
            await asyncio.to_thread(own_kafka.kill)
            await is_refused_as_the_contract_says(site.port, f"{PATH}?since=1")  # before the server is sure
            await is_degraded(site)
            await is_refused_as_the_contract_says(site.port)
            await cut.read(site.port, 50_000)
            assert cut.errors
            await asyncio.to_thread(own_kafka.start)
            asyncio.get_running_loop().call_later(5, enough.set)
            while not writing.done() or len(cut.seen) < topic.to.count:
                await cut.read(site.port, 50_000)
        followers.append(await crowd.connect(site.port, f"{PATH}?since=0", SSE))
        await topic.has_come_to(followers)
        assert site.metric("eventstreams_gaps_total") == 0
    topic.check(followers)
    assert by_partition(cut.seen) == topic.to.held


@pytest.mark.slow
async def test_clients_stay_while_kafka_is_frozen_and_miss_and_repeat_nothing(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    enough = asyncio.Event()
    async with (
        topic_of(own_kafka) as topic,
        serving(tmp_path, own_kafka.bootstrap, [TOPIC]) as site,
        Crowd() as crowd,
    ):
        async with meanwhile(topic.write(enough)):
            await topic.grows()
            followers = await crowd_of(crowd, site.port)
            await topic.grows()
            own_kafka.pause()
            await is_refused_as_the_contract_says(site.port, f"{PATH}?since=1")
            await is_degraded(site)
            await is_refused_as_the_contract_says(site.port)
            await asyncio.sleep(2)
            own_kafka.resume()
            await topic.grows(500)
            enough.set()
        await topic.has_come_to(followers)
        assert site.metric("eventstreams_gaps_total") == 0
    topic.check(followers)


@pytest.mark.slow
async def test_a_server_that_starts_without_kafka_is_not_ready_and_heals_by_itself(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    enough = asyncio.Event()
    own_kafka.kill()
    async with serving(tmp_path, own_kafka.bootstrap, [TOPIC], ready=False) as site, Crowd() as crowd:
        await asyncio.to_thread(site.wait_for, 200, "/healthz")
        status, _, body = site.get("/readyz")
        assert status == 503
        assert "Kafka" in body.decode()
        await is_refused_as_the_contract_says(site.port)
        await asyncio.to_thread(own_kafka.start)
        await asyncio.to_thread(site.wait_for, 200)
        async with topic_of(own_kafka) as topic:
            async with meanwhile(topic.write(enough)):
                await topic.grows()
                followers = await crowd_of(crowd, site.port)
                await topic.grows()
                enough.set()
            await topic.has_come_to(followers)
    topic.check(followers)
