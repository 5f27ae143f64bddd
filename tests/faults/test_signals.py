"""Signals: only those that stop the service end streams, cleanly; a second one ends at once; nothing delays a stop."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.broken.hanging import HANG, SAID
from tests.support.client.reading import NDJSON, SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import ROOT, SERVE, Site
from tests.support.site.serving import PATH, serving

ONE = SERVE
WORKERS = (*SERVE, "--workers", "2")
HANGING = ("-m", "tests.support.broken.hanging")
DRAIN_SECONDS = 0.5
STOP_SECONDS = DRAIN_SECONDS + 3.0
"""For the machine that the tests run on."""
HARMLESS = (
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGPWR, signal.SIGWINCH, signal.SIGCHLD, signal.SIGCONT, signal.SIGRTMIN, signal.SIGRTMAX),
)
in_both = pytest.mark.parametrize("command", [ONE, WORKERS], ids=["one process", "workers"])


async def processes_of(site: Site) -> list[int]:
    """The process that was started, and its workers, all of which serve."""
    children = Path(f"/proc/{site.pid}/task/{site.pid}/children").read_text().split()
    await logs(site, "Using version", max(1, len(children)))
    return [site.pid, *map(int, children)]


async def logs(site: Site, text: str, times: int = 1) -> None:
    async with asyncio.timeout(20):
        while site.log.read_text().count(text) < times:
            await asyncio.sleep(0.05)


@in_both
async def test_no_other_signal_cuts_anybody(command: Sequence[str], kafka: Any, topic: str, tmp_path: Path) -> None:
    tp = TopicPartition(topic, 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], command=command) as site,
        writer(kafka.bootstrap) as to,
        Crowd() as crowd,
    ):
        followers = [await crowd.connect(site.port, PATH, (SSE, NDJSON)[n % 2]) for n in range(4)]
        everybody = await processes_of(site)
        assert len(everybody) == (1 if command is ONE else 3)
        supervisors = everybody[:1] if command is not ONE else []  # SIGHUP has them load the configuration again
        for pid in everybody:
            for number in (signal.SIGHUP, signal.SIGALRM):
                if number != signal.SIGHUP or pid not in supervisors:
                    os.kill(pid, number)
        await logs(site, "SIGHUP is ignored", len(everybody) - len(supervisors))
        await logs(site, "SIGALRM is ignored", len(everybody))
        for pid in everybody:  # the log leaves out some of these many lines
            for number in HARMLESS:
                if number != signal.SIGHUP or pid not in supervisors:
                    os.kill(pid, number)
        await logs(site, "(most recent call first)", len(everybody))  # SIGUSR1
        await to.write(tp, [None] * 10)
        for follower in followers:
            await follower.has({tp: 9})
        assert await processes_of(site) == everybody


@in_both
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT, signal.SIGTERM])
async def test_a_signal_that_stops_ends_each_stream_with_its_final_chunk(
    command: Sequence[str], number: signal.Signals, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], command=command, drain_seconds=DRAIN_SECONDS) as site,
        Crowd() as crowd,
    ):
        followers = [await crowd.connect(site.port, PATH, (SSE, NDJSON)[n % 2]) for n in range(4)]
        everybody = await processes_of(site)
        for pid in reversed(everybody):  # as Ctrl-C, systemd and `kill -- -pgid` do it
            os.kill(pid, number)
        began = time.monotonic()
        assert await asyncio.to_thread(site.wait) == 0
        assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS
        for follower in followers:
            await follower.ended(10)
            assert follower.client.ended_cleanly
        assert not any(Path(f"/proc/{pid}").exists() for pid in everybody)


@in_both
async def test_a_second_signal_ends_at_once(command: Sequence[str], kafka: Any, topic: str, tmp_path: Path) -> None:
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], command=command, drain_seconds=60) as site,
        Crowd(may_cut=True) as crowd,
    ):
        for _ in range(4):
            await crowd.connect(site.port, PATH, SSE)
        everybody = await processes_of(site)
        os.kill(site.pid, signal.SIGTERM)
        await logs(site, "Stopping")
        os.kill(site.pid, signal.SIGTERM)
        began = time.monotonic()
        await asyncio.to_thread(site.wait)
        assert time.monotonic() - began < SLACK_SECONDS
        assert "SIGTERM again: ending at once" in site.log.read_text()
        await asyncio.sleep(0.1)
        assert not any(Path(f"/proc/{pid}").exists() for pid in everybody)


@in_both
def test_sigterm_is_heeded_before_anything_is_imported(command: Sequence[str], tmp_path: Path) -> None:
    """The first process of a container gets no signal that it has no handler for."""
    site = Site(tmp_path, "127.0.0.1:1", {})
    process = subprocess.Popen(
        [sys.executable, *command, "--port", "0"], cwd=ROOT, env=site.django_env, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 20
        while not handles(process.pid, signal.SIGTERM):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert b"Listening" not in said


def handles(pid: int, number: int) -> bool:
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


@in_both
async def test_a_stop_does_not_wait_for_a_source_that_does_not_answer(
    command: Sequence[str], kafka: Any, topic: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/streams.yaml"
        schemas = {"schema_base_uris": [uri]}
        async with serving(
            tmp_path, kafka.bootstrap, [topic], command=command, ready=False, stream_config_uri=uri, **schemas,
            drain_seconds=DRAIN_SECONDS,
        ) as site:  # fmt: skip
            silent.settimeout(30)
            connection, _ = await asyncio.to_thread(silent.accept)
            with connection:
                await asyncio.to_thread(site.wait_for, 503)
                began = time.monotonic()
                assert await asyncio.to_thread(site.stop) == 0
                assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS


async def test_a_stop_does_not_wait_for_kafka_nor_for_a_client_that_reads_nothing(
    own_kafka: Any, tmp_path: Path
) -> None:
    tp = TopicPartition("test", 0)
    async with writer(own_kafka.bootstrap) as to:
        await to.write(tp, [None])
        async with (
            serving(tmp_path, own_kafka.bootstrap, ["test"], drain_seconds=DRAIN_SECONDS) as site,
            Crowd() as crowd,
        ):
            await crowd.connect(site.port, PATH, SSE, read=False, receive_buffer=4096)
            for _ in range(20):
                await to.write(tp, [None], "x" * 500_000)
            own_kafka.pause()
            try:
                began = time.monotonic()
                await asyncio.to_thread(site.stop)
                assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS
            finally:
                own_kafka.resume()


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_a_process_that_hangs_is_ended_by_a_stop_all_the_same(
    workers: Sequence[str], kafka: Any, topic: str, tmp_path: Path
) -> None:
    command = (*HANGING, *workers)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], command=command, drain_seconds=2 * DRAIN_SECONDS) as site,
        Crowd(may_cut=True) as crowd,
    ):
        for _ in range(20):  # the drain takes a while
            await crowd.connect(site.port, PATH, SSE)
        hanging = (await processes_of(site))[-1]
        if hanging == site.pid:
            os.kill(hanging, signal.SIGTERM)  # it can begin to stop, and hangs then
            await logs(site, "Stopping")
        os.kill(hanging, HANG)
        await logs(site, SAID.decode())
        began = time.monotonic()
        await asyncio.to_thread(site.stop)
        assert time.monotonic() - began < DRAIN_SECONDS + STOP_SECONDS + SLACK_SECONDS
        assert "hang_in_c" in site.log.read_text(), "its stacks say where"
        assert not Path(f"/proc/{hanging}").exists()
