"""`manage.py serve --workers 2`: processes behind one listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client.reading import NDJSON, SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import ROOT, SERVE, Site
from tests.support.site.serving import PATH, serving, workers_of

WORKERS = (*SERVE, "--workers", "2")
CLIENTS = 20


def sockets_of(pid: int) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(descriptor).startswith("socket:")
    return found


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.1)


async def all_take_connections(site: Site, workers: list[int]) -> None:
    """Wait until each worker has been handed one: until its first report, a worker gets none."""
    await becomes(lambda: site.log.read_text().count("Using version") >= len(workers))
    before = [sockets_of(pid) for pid in workers]
    held = []
    try:
        async with asyncio.timeout(30):
            while any(sockets_of(pid) < then + 3 for pid, then in zip(workers, before, strict=True)):
                held.append(await asyncio.open_connection("127.0.0.1", site.port))
                await asyncio.sleep(0.05)
    finally:
        for _, writer_ in held:
            writer_.transport.abort()
    await asyncio.sleep(1)  # the workers report without them


async def test_connections_are_spread_over_the_workers_and_all_get_every_event(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic], command=WORKERS) as site,
        writer(kafka.bootstrap) as to,
        Crowd(may_cut=True) as crowd,
    ):
        workers = workers_of(site)
        assert len(workers) == 2
        await all_take_connections(site, workers)
        before = [sockets_of(pid) for pid in workers]
        followers = [await crowd.connect(site.port, PATH, (SSE, NDJSON)[n % 2]) for n in range(CLIENTS)]
        after = [sockets_of(pid) for pid in workers]
        await to.write(tp, [None] * 50)
        for follower in followers:
            await follower.has({tp: 49})
            assert follower.offsets[tp] == [*range(50)]
        # Each also opens a few connections to Kafka with its first client.
        spread = [now - then for now, then in zip(after, before, strict=True)]
        assert min(spread) >= CLIENTS // 2, spread

        os.kill(workers[0], signal.SIGKILL)
        await becomes(lambda: len(workers_of(site)) == 2 and workers[0] not in workers_of(site))
        await asyncio.to_thread(site.wait_for, 200)
        assert workers[1] in workers_of(site), "the other one continues"

        assert await asyncio.to_thread(site.stop) == 0
        assert all(not Path(f"/proc/{pid}").exists() for pid in workers)


async def test_a_client_of_a_worker_that_stops_gets_the_end_of_its_stream(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic], command=WORKERS, drain_seconds=0.2) as site,
        Crowd() as crowd,
    ):
        followers = [await crowd.connect(site.port, PATH, SSE) for _ in range(4)]
        assert await asyncio.to_thread(site.stop) == 0
        for follower in followers:
            await follower.ended(10)
            assert follower.client.ended_cleanly


@pytest.mark.slow
def test_a_port_in_use_and_a_count_that_is_none_are_said_in_a_sentence(tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:1", {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for workers, said in (("2", f"Cannot listen on 127.0.0.1 port {port}"), ("0", "--workers is 0")):
            command = [sys.executable, *SERVE, "--port", port, "--workers", workers]
            done = subprocess.run(command, cwd=ROOT, env=site.django_env, capture_output=True, text=True, timeout=60)
            assert done.returncode == 1
            assert said in done.stderr
            assert "Traceback" not in done.stderr
