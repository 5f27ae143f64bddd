"""Limits of connections hold over replicas that share a Redis, to the last one; each kind of end makes room."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.around.redis import RedisServer
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON
from tests.support.site import SERVE, Site
from tests.support.site.serving import PATH, readyz_says, serving, workers_of

LIMIT, CLIENTS = 10, 200


@asynccontextmanager
async def replicas(
    folder: Path, bootstrap: str, topic: str, redis: RedisServer, commands: Sequence[Sequence[str]], **settings: Any
) -> AsyncIterator[tuple[Site, Site]]:
    async with AsyncExitStack() as stack:
        starting = []
        for number, command in enumerate(commands):
            own = folder / str(number)
            own.mkdir()
            about = {"command": command, "redis_url": redis.url, **settings}
            starting.append(stack.enter_async_context(serving(own, bootstrap, [topic], **about)))
        first, second = await asyncio.gather(*starting)
        yield first, second


async def come(site: Site, count: int, **headers: str) -> list[StreamClient]:
    """Those of `count` clients who are let in; the others are refused as the contract says."""
    given = {**NDJSON, **headers}
    came = await asyncio.gather(*(StreamClient.connect(site.port, PATH, given) for _ in range(count)))
    for client in came:
        assert client.status in (200, 429)
        if client.status == 429:
            assert b"retry-after" in str(client.headers).lower().encode()
            client.abort()
    return [client for client in came if client.status == 200]


async def comes_in(site: Site, seconds: float = 30) -> StreamClient:
    """Wait until one more is let in."""
    async with asyncio.timeout(seconds):
        while not (inside := await come(site, 1)):
            await asyncio.sleep(0.02)
    return inside[0]


@pytest.mark.slow  # a lease has to expire
async def test_two_replicas_of_two_workers_let_in_exactly_the_limit(
    kafka: Any, topic: str, tmp_path: Path, redis: RedisServer
) -> None:
    command = (*SERVE, "--workers", "2")
    limits = {"client_ip_connection_limit": LIMIT}
    async with replicas(tmp_path, kafka.bootstrap, topic, redis, [command] * 2, **limits) as (first, second):
        inside = await asyncio.gather(come(first, CLIENTS // 2), come(second, CLIENTS // 2))
        assert sum(map(len, inside)) == LIMIT
        has_more = len(inside[0]) >= len(inside[1])  # one leaves, and its replica's share is to be free later
        mine, other = (first, second) if has_more else (second, first)
        clients = [*inside[0], *inside[1]] if has_more else [*inside[1], *inside[0]]

        clients.pop(0).abort()  # one of `mine` leaves
        clients.append(await comes_in(other))
        assert not await come(mine, 5)
        assert not await come(other, 5)

        # Addresses of one /64 are one client, of whichever replica.
        same = await asyncio.gather(
            *(come(site, LIMIT, **{"X-Client-IP": f"2001:db8::{n}"}) for n, site in enumerate((first, second)))
        )
        assert sum(map(len, same)) == LIMIT
        for client in (*same[0], *same[1]):
            client.abort()

        # Redis does not answer: each host counts for itself, soon, and says so; nobody loses a connection.
        redis.pause()
        try:
            await readyz_says(first, "Redis cannot be asked")
            more = [*await come(first, LIMIT + 5), *await come(second, LIMIT + 5)]
            assert len(clients) + len(more) == 2 * LIMIT
        finally:
            redis.resume()
        await readyz_says(first, "Redis cannot be asked", expected=False)
        for client in more:
            client.abort()

        # A whole replica is killed, with its workers: its share is free within the lease.
        for pid in (mine.pid, *workers_of(mine)):
            os.kill(pid, signal.SIGKILL)
        alive = [await comes_in(other)]
        clients = [*clients, *alive]
        for client in clients:
            client.abort()


async def test_processes_without_workers_share_the_limits_too(
    kafka: Any, topic: str, tmp_path: Path, redis: RedisServer
) -> None:
    limits = {"client_ip_connection_limit": LIMIT, "drain_seconds": 0.1}
    async with replicas(tmp_path, kafka.bootstrap, topic, redis, [SERVE] * 2, **limits) as (first, second):
        inside = await asyncio.gather(come(first, 40), come(second, 40))
        assert sum(map(len, inside)) == LIMIT
        assert await asyncio.to_thread(first.metric, "eventstreams_redis_up") == 1
        if not inside[0]:
            inside[1].pop().abort()
            inside[0].append(await comes_in(first))
        before = sum(redis.counts().values())
        assert before == LIMIT
        assert await asyncio.to_thread(first.stop) == 0
        assert sum(redis.counts().values()) == before - len(inside[0])  # at once: it has said goodbye
        async with asyncio.timeout(20):
            while not (more := await come(second, len(inside[0]) + 5)):
                await asyncio.sleep(0.05)
        assert len(more) == len(inside[0])
        for client in (*inside[0], *inside[1], *more):
            client.abort()
