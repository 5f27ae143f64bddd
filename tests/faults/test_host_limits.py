"""Limits of connections hold over all workers of a host, to the last one, and what ends makes room at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON
from tests.support.site import Site
from tests.support.site.serving import PATH, workers_of
from tests.support.site.supervised import supervised

LIMIT, CLIENTS = 10, 40


class Clients:
    """Clients that come, of whom some are let in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.inside: list[StreamClient] = []

    async def come(self, count: int) -> list[int]:
        """The statuses that `count` clients get who come at once."""
        came = await asyncio.gather(*(StreamClient.connect(self._site.port, PATH, NDJSON) for _ in range(count)))
        for client in came:
            if client.status == 200:
                self.inside.append(client)
            else:
                client.abort()
        return [client.status for client in came]

    async def come_in(self, count: int, seconds: float = 20) -> None:
        """Wait until `count` more are let in, and see that no further one is."""
        entered = 0
        async with asyncio.timeout(seconds):
            while entered < count:
                entered += (await self.come(1)).count(200)
                await asyncio.sleep(0.05)
        assert 200 not in await self.come(5), "there was room for more"

    async def drop_cut(self) -> int:
        """Let those go whose connection has ended; returns how many they are."""
        cut = []
        for client in self.inside:
            try:
                async with asyncio.timeout(1):
                    async for _ in client.chunks():
                        pass
                cut.append(client)
            except TimeoutError:
                pass
            except (OSError, asyncio.IncompleteReadError):
                cut.append(client)
        for client in cut:
            client.abort()
        self.inside = [client for client in self.inside if client not in cut]
        return len(cut)

    def leave(self, count: int) -> None:
        for _ in range(count):
            self.inside.pop().abort()


@asynccontextmanager
async def two_workers(folder: Path, bootstrap: str, topic: str, **settings: Any) -> AsyncIterator[tuple[Site, Clients]]:
    async with supervised(folder, bootstrap, topic, **settings) as (site, _):
        clients = Clients(site)
        try:
            yield site, clients
        finally:
            clients.leave(len(clients.inside))


async def test_one_address_has_exactly_its_connections_over_all_workers(kafka: Any, topic: str, tmp_path: Path) -> None:
    async with two_workers(tmp_path, kafka.bootstrap, topic, client_ip_connection_limit=LIMIT) as (site, clients):
        statuses = await clients.come(CLIENTS)
        assert (statuses.count(200), statuses.count(429)) == (LIMIT, CLIENTS - LIMIT)
        clients.leave(1)
        await clients.come_in(1)
        clients.leave(4)
        await clients.come_in(4)

        first, second = workers_of(site)
        os.kill(first, signal.SIGKILL)
        if not (count := await clients.drop_cut()):  # all were with the other one
            os.kill(second, signal.SIGKILL)
            count = await clients.drop_cut()
        assert count
        await clients.come_in(count)


async def test_the_host_has_exactly_max_connections_and_probes_say_that_it_is_full(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with two_workers(tmp_path, kafka.bootstrap, topic, max_connections=LIMIT) as (site, clients):
        statuses = await clients.come(CLIENTS)
        assert (statuses.count(200), statuses.count(503)) == (LIMIT, CLIENTS - LIMIT)

        async def says_full(*, expected: bool) -> None:
            async with asyncio.timeout(20):
                while (b"all 10 connections" in (await asyncio.to_thread(site.get, "/readyz"))[2]) is not expected:
                    await asyncio.sleep(0.1)

        await says_full(expected=True)
        clients.leave(3)
        await says_full(expected=False)
        await clients.come_in(3)
