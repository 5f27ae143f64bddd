"""One of three brokers is paused: streams of the others are served, warm and cold; the rest is reported everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from streams.local.kafka_jars import LocalKafkaError
from tests.support import SLACK_SECONDS
from tests.support.client import StreamClient
from tests.support.client.reading import SSE, Crowd, Follower
from tests.support.kafka.cluster import Cluster, three_brokers
from tests.support.kafka.writing import Writer, writer
from tests.support.site import Site
from tests.support.site.serving import serving

HOLDERS = {"one": 1, "two": 2, "three": 3, "cold.one": 1, "cold.two": 2, "cold.three": 3}
"""Topics, and streams of the same names: the broker of each."""
STREAMS = {name: [name] for name in HOLDERS} | {"both": ["cold.two", "cold.three"]}
PATIENCE_SECONDS = 60.0
ANSWER_SECONDS = 3.0
"""The contract's three, and one for a machine that is busy."""


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    try:
        with three_brokers(tmp_path, **request.param) as made:
            yield made
    except LocalKafkaError as error:
        if os.environ.get("EVENTSTREAMS_TEST_KAFKA"):
            pytest.skip(f"this test needs its own Kafkas: {error}")
        raise


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


def problems(site: Site) -> str:
    """All that `/readyz` says is degraded; it must stay at 200."""
    status, _, body = site.get("/readyz")
    assert status == 200, body
    return " ".join(json.loads(body).get("degraded", ()))


@asynccontextmanager
async def observed(site: Site) -> AsyncIterator[dict[str, set[float]]]:
    """What health and one metric say all the while."""
    seen: dict[str, set[float]] = {"healthz": set(), "kafka_up": set()}

    async def observe() -> None:
        while True:
            seen["healthz"].add((await asyncio.to_thread(site.get, "/healthz"))[0])
            seen["kafka_up"].add(await asyncio.to_thread(site.metric, "eventstreams_kafka_up"))
            await asyncio.sleep(0.2)

    observing = asyncio.ensure_future(observe())
    try:
        yield seen
    finally:
        observing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await observing


async def has(follower: Follower, to: Writer, topic: str) -> None:
    """Write one event, and wait until it is there."""
    tp = TopicPartition(topic, 0)
    await to.write(tp, [None])
    await follower.has({tp: to.held[tp][-1][0]})


async def answered(port: int, path: str) -> StreamClient:
    began = time.monotonic()
    client = await StreamClient.connect(port, path, SSE)
    assert time.monotonic() - began < ANSWER_SECONDS + SLACK_SECONDS
    return client


# With a long session the paused broker stays leader, and is silent; with a short one its partitions lose their leader.
@pytest.mark.slow
@pytest.mark.parametrize(
    "cluster", [{"broker_session_timeout_ms": "60000"}, {"broker_session_timeout_ms": "3000"}], indirect=True
)
async def test_the_streams_of_healthy_brokers_are_served_and_the_others_said(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.create(HOLDERS)
    paused = cluster.brokers[3]
    async with (
        serving(tmp_path, cluster.bootstrap, STREAMS) as site,
        serving(tmp_path, cluster.bootstrap, {"three": ["three"]}) as lonely,
        Crowd() as crowd,
        writer(cluster.bootstrap) as to,
    ):
        warm = {name: await crowd.connect(site.port, f"/v2/stream/{name}", SSE) for name in ("one", "two", "three")}
        await crowd.connect(lonely.port, "/v2/stream/three", SSE)
        for name, follower in warm.items():
            await has(follower, to, name)
        assert problems(site) == problems(lonely) == ""

        async with observed(site) as seen:
            paused.pause()
            try:
                await while_one_is_paused(site, lonely, crowd, to, warm)
                later = await crowd.connect(site.port, "/v2/stream/both", SSE)
            finally:
                paused.resume()
            await until(lambda: problems(site) == problems(lonely) == "")
        assert seen == {"healthz": {200}, "kafka_up": {1.0}}, "two of three brokers are well all the time"
        await until(lambda: lonely.metric("eventstreams_kafka_up") == 1)
        await has(warm["three"], to, "three")
        await has(later, to, "cold.three")
        await until(lambda: "are read again" in site.log.read_text())
        await until(lambda: site.metric("eventstreams_hub_partitions_unread") == 0)


async def while_one_is_paused(site: Site, lonely: Site, crowd: Crowd, to: Writer, warm: dict[str, Follower]) -> None:
    # Nobody has asked for them before, and somebody asks for one of the silent broker at the same time.
    refused = asyncio.ensure_future(answered(site.port, "/v2/stream/cold.three"))
    for name in ("cold.one", "cold.two"):
        client = await answered(site.port, f"/v2/stream/{name}")
        assert client.status == 200
        assert "eventstreams-gap" not in client.headers
        await client.close()
        await has(await crowd.connect(site.port, f"/v2/stream/{name}", SSE), to, name)
    for name in ("one", "two"):
        await has(warm[name], to, name)
    client = await refused
    events = [event async for event in client.events()]
    assert [event.json["type"] for event in events] == ["kafka_unavailable"]
    await client.close()

    both = await answered(site.port, "/v2/stream/both")
    gap: list[dict[str, Any]] = [{"topic": "cold.three", "partition": 0, "asked": -1, "served": None}]
    assert both.status == 200
    assert json.loads(both.headers["eventstreams-gap"]) == gap
    await both.close()
    await has(await crowd.connect(site.port, "/v2/stream/both", SSE), to, "cold.two")

    await until(lambda: "No events are read of cold.three" in problems(site) and "three" in problems(site))
    await until(lambda: site.metric("eventstreams_hub_partitions_unread") >= 2)
    assert site.metric("eventstreams_hub_oldest_read_seconds") > 3
    await until(lambda: "No events are read of" in site.log.read_text())
    # A process that follows nothing else reads nothing at all.
    await until(lambda: "No events are read of three" in problems(lonely))
    await until(lambda: lonely.metric("eventstreams_kafka_up") == 0)
    assert math.isnan(lonely.metric("eventstreams_hub_lag_records"))
