"""A worker that hangs: newcomers are served by the others, and it is replaced, with its stacks in the log."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_signals import HANGING, WORKERS, logs, processes_of
from tests.support import SLACK_SECONDS
from tests.support.broken.hanging import HANG, SAID
from tests.support.client.reading import SSE, Crowd
from tests.support.site import Site
from tests.support.site.serving import PATH, serving
from tests.support.site.supervised import supervised

NOTICE_SECONDS = 5.0
REPLACE_SECONDS = 15.0


async def answers(site: Site) -> None:
    """Wait until `/healthz` is answered over a new connection, which takes less than a client would notice."""
    async with asyncio.timeout(NOTICE_SECONDS + SLACK_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            writer.transport.abort()


async def test_a_stopped_worker_gets_no_connections_and_gets_them_again_when_it_continues(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with supervised(tmp_path, kafka.bootstrap, topic) as (site, ops), Crowd() as crowd:
        await ops.all_workers_are_up(2)
        _, stopped, other = await processes_of(site)
        for _ in range(2):  # both have a client, so that either may be the one with the fewest
            await crowd.connect(site.port, PATH, SSE)
        os.kill(stopped, signal.SIGSTOP)
        try:
            await logs(site, f"Worker {stopped} has not reported for 3 s: new connections go to the others")
            for _ in range(6):
                await answers(site)
        finally:
            os.kill(stopped, signal.SIGCONT)
        await logs(site, f"Worker {stopped} reports again")
        os.kill(other, signal.SIGSTOP)
        try:
            await logs(site, f"Worker {other} has not reported")
            await answers(site)
        finally:
            os.kill(other, signal.SIGCONT)
        await logs(site, f"Worker {other} reports again")
        assert (await processes_of(site))[1:] == [stopped, other]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "in C"])
async def test_a_worker_that_hangs_is_replaced_with_its_stacks_in_the_log(
    how: str, kafka: Any, topic: str, tmp_path: Path
) -> None:
    command: Sequence[str] = WORKERS if how == "stopped" else (*HANGING, "--workers", "2")
    async with serving(tmp_path, kafka.bootstrap, [topic], command=command) as site:
        _, hanging, other = await processes_of(site)
        began = time.monotonic()
        if how == "stopped":
            os.kill(hanging, signal.SIGSTOP)
        else:
            os.kill(hanging, HANG)
            await logs(site, SAID.decode())
        async with asyncio.timeout(REPLACE_SECONDS + 3 * SLACK_SECONDS):
            while Path(f"/proc/{hanging}").exists():
                await asyncio.sleep(0.1)
        assert time.monotonic() - began > REPLACE_SECONDS - 1.0
        log = site.log.read_text()
        assert f"Worker {hanging} has not reported for 15 s: its stacks follow, then it is killed" in log
        assert "most recent call first" in log
        assert ("hang_in_c" in log) is (how == "in C")
        await logs(site, "Using version", 3)
        async with asyncio.timeout(20):
            while len(workers := (await processes_of(site))[1:]) != 2:
                await asyncio.sleep(0.1)
        assert other in workers
        assert hanging not in workers
        for _ in range(4):
            await answers(site)


async def test_a_worker_that_is_told_to_stop_is_replaced_at_once(kafka: Any, topic: str, tmp_path: Path) -> None:
    async with supervised(tmp_path, kafka.bootstrap, topic, drain_seconds=4.0) as (site, ops), Crowd() as crowd:
        await ops.all_workers_are_up(2)
        _, told, other = await processes_of(site)
        followers = [await crowd.connect(site.port, PATH, SSE) for _ in range(20)]
        os.kill(told, signal.SIGTERM)
        await logs(site, "Using version", 3)
        async with asyncio.timeout(30):
            while Path(f"/proc/{told}").exists():
                await answers(site)
                await asyncio.sleep(0.1)
        _, *workers = await processes_of(site)
        assert len(workers) == 2
        assert other in workers
        ended = [each for each in followers if each.client.ended_cleanly]
        assert 0 < len(ended) < len(followers), "its clients got their end, the others stay"


async def test_without_a_worker_the_first_process_waits_and_does_not_spin(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, kafka.bootstrap, [topic], command=WORKERS) as site:
        _, *workers = await processes_of(site)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            await logs(site, "has not reported for 3 s", 2)
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
            before = cpu_seconds(site.pid)
            await asyncio.sleep(2.0)
            assert cpu_seconds(site.pid) - before < 0.5
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200"), "it waited in the backlog"
        writer.transport.abort()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
