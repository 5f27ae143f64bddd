"""A connection that is reset, in any state, costs nothing a moment later, and the server tells the truth."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE
from tests.support.client.rude import KINDS, be_rude
from tests.support.kafka.writing import meanwhile, writer
from tests.support.site import SERVE, Site
from tests.support.site.serving import PATH, serving

AT_ONCE = 20
FREED_SECONDS = 5.0
GROWTH_MB = 20.0
READERS = 8
KEPT = 10
"""Descriptors of a process that may come to stay (connections to Kafka), or are those of this test's own questions."""


class Watch:
    """Asks the service how it is, all the time."""

    def __init__(self, site: Site) -> None:
        self.answers = 0
        self.enough = asyncio.Event()
        self._site = site

    async def run(self) -> None:
        while not self.enough.is_set():
            assert (await asyncio.to_thread(self._site.get, "/healthz"))[0] == 200
            status, _, body = await asyncio.to_thread(self._site.get, "/readyz")
            assert (status, json.loads(body)["status"]) == (200, "ready")
            await asyncio.to_thread(self._site.metric, "eventstreams_connected_clients")
            self.answers += 1
            await asyncio.sleep(0.05)


async def all_kinds(site: Site, of_each: int, path: str) -> None:
    stream = f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        rude = [
            loop.run_in_executor(threads, be_rude, site.port, kind, stream) for _ in range(of_each) for kind in KINDS
        ]
        await asyncio.gather(*rude)


def processes(site: Site) -> list[int]:
    """The server's, and those of its workers."""
    children = Path(f"/proc/{site.pid}/task/{site.pid}/children").read_text().split()
    return [site.pid, *map(int, children)]


def descriptors_of(site: Site) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes(site))


def memory_mb(site: Site) -> float:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes(site))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def is_free(site: Site, descriptors: int) -> None:
    """Within five seconds no descriptor is left of them, and no stream."""
    async with asyncio.timeout(FREED_SECONDS):
        while descriptors_of(site) > descriptors or await asyncio.to_thread(
            site.metric, "eventstreams_connected_clients"
        ):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("of_each", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_thousands_of_rude_connections_of_ten_kinds_leave_nothing_behind(
    of_each: int, workers: int, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    assert len(KINDS) == 10
    tp = TopicPartition(make_topic(), 0)
    command = (*SERVE, "--workers", str(workers))
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic], command=command) as site,
        writer(kafka.bootstrap) as to,
    ):
        await to.write(tp, [None] * 100)
        descriptors = descriptors_of(site) + KEPT * workers
        watch = Watch(site)
        async with meanwhile(watch.run()):
            await all_kinds(site, 20, PATH)  # what is made once is there afterwards
            await is_free(site, descriptors)
            memory = memory_mb(site)
            logged = len(site.log.read_text())
            await all_kinds(site, of_each, PATH)
            await is_free(site, descriptors)
            watch.enough.set()
        assert watch.answers > 2
        assert memory_mb(site) - memory < GROWTH_MB * workers
        assert await asyncio.to_thread(site.metric, "eventstreams_faults_total") == 0
        assert [line for line in site.log.read_text()[logged:].splitlines() if " INFO " not in line] == []


async def in_a_stream(site: Site, number: int, stalled: bool) -> None:
    """A stream that is reset while it is written to, when nothing is, or where nothing is taken."""
    path = (f"{PATH}?since=0", PATH)[number % 2]
    client = await StreamClient.connect(site.port, path, (SSE, NDJSON)[number // 2 % 2], receive_buffer=4096)
    chunks = client.chunks()
    await anext(chunks)
    if stalled:
        client.pause()
        await asyncio.sleep(0.3)
    sock = client._writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if number % 3 == 0:
        client._writer.write(b"GET / HT")
    client.abort()


async def test_streams_that_are_reset_leave_nothing_behind(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    enough = asyncio.Event()
    async with serving(tmp_path, kafka.bootstrap, [tp.topic]) as site, writer(kafka.bootstrap) as to:
        await to.write(tp, [None] * 2_000, "x" * 1_000)
        await in_a_stream(site, 0, False)
        await is_free(site, 1_000)
        descriptors, logged = site.descriptors() + KEPT + READERS, len(site.log.read_text())

        async def write() -> None:
            while not enough.is_set():
                await to.write(tp, [None], "x" * 1_000)
                await asyncio.sleep(0.01)

        async with meanwhile(write()):
            for first in range(0, 600, 30):
                await asyncio.gather(*(in_a_stream(site, first + n, n % 5 == 0) for n in range(30)))
            await is_free(site, descriptors)
            enough.set()
        assert await asyncio.to_thread(site.metric, "eventstreams_faults_total") == 0
        assert [line for line in site.log.read_text()[logged:].splitlines() if " INFO " not in line] == []
