"""What collects the log may stop reading: the service continues, says so where it can, and later says what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.local.processes import free_port
from tests.support.client.many import many
from tests.support.client.probing import Probes
from tests.support.engine import cancel
from tests.support.site import Site
from tests.support.site.serving import PATH
from tests.support.site.supervised import Ops

TALKATIVE = ("-m", "tests.support.broken.talkative")
PIPE_BYTES = 4096
DROPPED = re.compile(r" WARNING [\w:]+ eventstreams_site.logs.backlog: \d+ lines of the log were dropped")
MUCH = "/robots.txt?4000"
"""4 MB of lines, and a few of every kind."""


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that takes nothing more; the reading end does not wait."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(writing, b"\n" * PIPE_BYTES)
        os.set_blocking(reading, False)
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work during the block, and no longer."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        await cancel(task)


class Reader:
    """What comes through the pipe from now on."""

    def __init__(self, descriptor: int) -> None:
        self.seen = ""
        self._descriptor = descriptor

    async def run(self) -> None:
        while True:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._descriptor, 1 << 16):
                    self.seen += data.decode(errors="replace")
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
async def test_the_service_goes_on_and_later_says_what_is_lost(
    workers: tuple[str, ...], kafka: Any, topic: str, tmp_path: Path
) -> None:
    port = free_port()
    command = (*TALKATIVE, *workers, *(("--ops-port", str(port)) if workers else ()))
    site = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}}, command=command)
    with full_pipe() as (reading, writing):
        try:
            await asyncio.to_thread(site.start, stderr=writing)
            if workers:
                await Ops(port).all_workers_are_up(2)
            async with many(site.port, PATH, 4) as clients:
                await asyncio.to_thread(all_workers_drop_lines, site)
                await asyncio.to_thread(is_said, site, b"nothing reads the log")
                probes = Probes(site, status="degraded")
                async with asyncio.timeout(60), beside(probes.run()):
                    while len(probes.took) < 40:
                        await asyncio.sleep(0.1)
                assert probes.p99() < 1.0
                assert await clients.stayed()
                reader = Reader(reading)
                async with beside(reader.run()):
                    await asyncio.to_thread(is_said, site, b'{"status": "ready"}')
                    async with asyncio.timeout(60):
                        while len(DROPPED.findall(reader.seen)) < 1 + bool(workers):
                            await asyncio.sleep(0.1)
                assert "line 0 x" in reader.seen
                assert "printed 0" in reader.seen
        finally:
            await asyncio.to_thread(site.close)


def all_workers_drop_lines(site: Site) -> None:
    """Write much to the log, until lines are dropped whichever worker one asks."""
    deadline, count = time.monotonic() + 60, 0
    while count < 4:
        assert time.monotonic() < deadline
        for _ in range(2):  # with the question, an odd number: workers take turns
            site.get(MUCH)
        count = count + 1 if site.metric("eventstreams_log_lines_dropped_total") > 100 else 0


def is_said(site: Site, text: bytes) -> None:
    """Wait until `/readyz` of each worker has the text; it is degraded at most, and does its work."""
    deadline, count = time.monotonic() + 30, 0
    while count < 6:
        status, _, body = site.get("/readyz")
        assert status == 200
        count = count + 1 if text in body else 0
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


async def test_the_stop_does_not_wait_for_it_either(kafka: Any, topic: str, tmp_path: Path) -> None:
    site = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}}, drain_seconds=0.1)
    with full_pipe() as (_, writing):
        try:
            await asyncio.to_thread(site.start, stderr=writing)
            began = time.monotonic()
            assert await asyncio.to_thread(site.stop) == 0
            assert time.monotonic() - began < 10
        finally:
            await asyncio.to_thread(site.close)


async def test_a_log_that_nobody_can_read_any_more_ends_nothing(kafka: Any, topic: str, tmp_path: Path) -> None:
    site = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}}, command=TALKATIVE)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        await asyncio.to_thread(site.start, stderr=writing)
        assert (await asyncio.to_thread(site.get, MUCH))[0] == 301
        assert await asyncio.to_thread(site.metric, "eventstreams_log_lines_dropped_total") > 0
        await asyncio.to_thread(is_said, site, b"nothing reads the log")
    finally:
        os.close(writing)
        await asyncio.to_thread(site.close)


async def test_every_kind_of_line_arrives_and_what_is_last_is_written_before_the_end(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    site = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}}, command=TALKATIVE)
    try:
        await asyncio.to_thread(site.start)
        await asyncio.to_thread(site.get, "/robots.txt?100")
    finally:
        await asyncio.to_thread(site.close)
    log = site.log.read_text()
    # Of one kind there are no more than ten lines in ten seconds.
    for text in ("line 99 x", "printed 99", "warning 9", "a thread that fails", "a finaliser that fails"):
        assert text in log
    assert "this message cannot be formatted: 'not %s'" in log
    assert log.count("talkative: failed ") == 10
    assert "Stopping:" in log
