"""When the server stops, each answer that has begun is completed: streams, those being opened, and refusals."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

DRAIN_SECONDS = 1
SLOW = ("-m", "tests.support.broken.slow_to_open")


COMPRESSIONS = ("", "?compress=zstd", "?compress=gzip")

Connect = Callable[..., Awaitable[StreamClient]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens a stream, which is closed at the end of the test."""
    clients: list[StreamClient] = []

    async def connected(site: Site, headers: dict[str, str], query: str = "") -> StreamClient:
        clients.append(await StreamClient.connect(site.port, PATH + query, headers))
        return clients[-1]

    yield connected
    for client in clients:
        await client.close()


def terminate(site: Site) -> asyncio.Task[int]:
    return asyncio.create_task(asyncio.to_thread(site.stop, signal.SIGTERM))


async def is_draining(site: Site) -> None:
    async with asyncio.timeout(10):
        while (await asyncio.to_thread(site.get, "/readyz"))[0] != 503:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("headers", [SSE, NDJSON])
async def test_streams_end_whole_and_those_of_sse_say_when_to_come_back(
    headers: dict[str, str], connect: Connect, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    async with serving(tmp_path, kafka.bootstrap, [make_topic()], drain_seconds=DRAIN_SECONDS) as site:
        clients = [await connect(site, headers, COMPRESSIONS[number % 3]) for number in range(20)]
        stopping = terminate(site)
        bodies = await asyncio.gather(*(client.body() for client in clients))
        assert all(client.ended_cleanly for client in clients)
        if headers is SSE:
            waits = {int(body.removeprefix(b":ok\n\nretry: ")) for body in bodies}
            assert len(waits) > 10
            assert all(5_000 <= wait <= 15_000 for wait in waits)
            assert all(body.endswith(b"\n") and not body.endswith(b"\n\n") for body in bodies)
        else:
            assert set(bodies) == {b"\n"}
        assert await stopping == 0


async def test_a_client_that_is_being_connected_is_told_that_the_server_stops(
    connect: Connect, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Though there is no other one, nothing is cut."""
    async with serving(tmp_path, kafka.bootstrap, [make_topic()], command=SLOW, drain_seconds=0) as site:
        connecting = [asyncio.ensure_future(connect(site, each)) for each in (SSE, NDJSON)]
        async with asyncio.timeout(10):
            while await asyncio.to_thread(site.metric, "eventstreams_feeds") < 1:
                await asyncio.sleep(0.02)
        assert not any(each.done() for each in connecting)
        stopping = terminate(site)
        by_event, by_status = await asyncio.gather(*connecting)
        assert by_event.status == 200
        assert b'"type":"draining"' in await by_event.body()
        assert by_event.ended_cleanly
        assert by_status.status == 503
        assert json.loads(await by_status.body())["type"] == "draining"
        assert await stopping == 0


async def test_newcomers_are_told_to_the_last(
    connect: Connect, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """A client that gets an answer gets all of it, until nobody can connect any more."""
    told: list[bytes] = []
    refused = asyncio.Event()

    async def come(site: Site) -> None:
        while not refused.is_set():
            try:
                client = await connect(site, SSE)
            except (OSError, asyncio.IncompleteReadError):  # no answer was begun
                refused.set()
                return
            told.append(await client.body())
            assert client.ended_cleanly

    async with serving(tmp_path, kafka.bootstrap, [make_topic()], drain_seconds=DRAIN_SECONDS) as site:
        streams = [await connect(site, SSE) for _ in range(10)]
        stopping = terminate(site)
        await is_draining(site)
        newcomers = []
        for _ in range(20):
            newcomers.append(asyncio.create_task(come(site)))
            await asyncio.sleep(0.05)
        await asyncio.gather(*newcomers, *(stream.body() for stream in streams))
        assert await stopping == 0
    assert len(told) >= 10
    assert all(b'"type":"draining"' in body for body in told)
