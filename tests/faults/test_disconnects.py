"""Clients that leave without a word, in whatever state, leave nothing behind in the server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE, Crowd
from tests.support.kafka.writing import meanwhile, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

ABORTS = 300
AT_ONCE = 20
READERS = 2
IDLE_PATH = "/v2/stream/idle"
FROM_THE_START = f"{PATH}?since=0"
NOTICED_SECONDS = 1.0
GAUGES = ("eventstreams_connected_clients", "eventstreams_history_readers", "eventstreams_history_waiting")


async def open_and_abort(port: int, number: int, chance: random.Random) -> None:
    """Idle at the tip, reading history, stalled in it, in the middle of the answer, or gone before it."""
    headers = chance.choice([SSE, NDJSON])
    match number % 5:
        case 0:
            # Nothing will be written to it, which would show that it has gone.
            client = await StreamClient.connect(port, IDLE_PATH, headers)
            await asyncio.sleep(chance.uniform(0, 0.3))
        case 1:
            client = await StreamClient.connect(port, FROM_THE_START, headers)
            chunks = client.chunks()
            for _ in range(chance.randint(1, 20)):
                await anext(chunks)
        case 2:
            client = await StreamClient.connect(port, FROM_THE_START, headers, receive_buffer=4096)
            client.pause()
            await asyncio.sleep(chance.uniform(0.3, 0.6))  # beyond the time after which it is parked
        case 3:
            client = await StreamClient.connect(port, FROM_THE_START, headers)
        case _:
            _, opened = await asyncio.open_connection("127.0.0.1", port)
            opened.write(f"GET {FROM_THE_START} HTTP/1.1\r\nHost: test\r\n\r\n".encode()[: chance.randint(1, 80)])
            await asyncio.sleep(chance.uniform(0, 0.01))
            opened.transport.abort()
            return
    client.abort()


async def settles(site: Site, descriptors: int) -> None:
    """Soon there is nothing left of the clients: no descriptor, no gauge above 0."""
    async with asyncio.timeout(10):
        while left(site, descriptors):
            await asyncio.sleep(0.1)


def left(site: Site, descriptors: int) -> bool:
    return any(site.metric(name) for name in GAUGES) or site.descriptors() > descriptors


async def test_hundreds_of_clients_that_vanish_leave_nothing_behind(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(2026)
    tp = TopicPartition(make_topic(), 0)
    streams = {"test": [tp.topic], "idle": [make_topic()]}
    enough = asyncio.Event()
    async with (
        serving(tmp_path, kafka.bootstrap, streams, drain_seconds=0, history_readers=READERS) as site,
        writer(kafka.bootstrap) as to,
    ):
        await to.write(tp, [None] * 5_000, "x" * 1_000)

        async def write() -> None:
            while not enough.is_set():
                await to.write(tp, [None], "x" * 1_000)
                await asyncio.sleep(0.02)

        async with meanwhile(write()):
            # Afterwards the connections to Kafka are there, which stay; those of history perhaps not yet.
            await asyncio.gather(*(open_and_abort(site.port, number, chance) for number in range(50)))
            await settles(site, 1_000)
            descriptors = site.descriptors() + READERS
            memory = site.rss_mb()
            for first in range(0, ABORTS, AT_ONCE):
                numbers = range(first, first + AT_ONCE)
                await asyncio.gather(*(open_and_abort(site.port, number, chance) for number in numbers))
            await settles(site, descriptors)
            enough.set()
        assert site.rss_mb() - memory < 20
        async with Crowd() as crowd:  # a client that comes after them is served
            last = await crowd.connect(site.port, FROM_THE_START, SSE)
            await last.has({tp: to.held[tp][-1][0]})
            assert site.metric(GAUGES[0]) == 1
        await settles(site, descriptors)
        await asyncio.to_thread(site.stop)
        log = site.log.read_text()
    assert "Stopping: ending 0 streams" in log
    assert "Traceback" not in log
    assert "took too long" not in log


async def test_an_idle_server_notices_within_a_second_that_a_client_has_left(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """In whatever state, and whether or not there is anything to write to it."""
    tp = TopicPartition(make_topic(), 0)
    async with (
        serving(tmp_path, kafka.bootstrap, {"test": [tp.topic], "idle": [make_topic()]}) as site,
        writer(kafka.bootstrap) as to,
    ):
        await to.write(tp, [None] * 5_000, "x" * 1_000)
        for path, headers, is_stalled in (
            (IDLE_PATH, SSE, False),
            (IDLE_PATH, NDJSON, False),
            (FROM_THE_START, SSE, True),
            (FROM_THE_START, NDJSON, True),
        ):
            client = await StreamClient.connect(site.port, path, headers, receive_buffer=4096)
            if is_stalled:
                client.pause()
            await asyncio.sleep(0.7)
            assert site.metric(GAUGES[0]) == 1
            client.abort()
            left_at = time.monotonic()
            while site.metric(GAUGES[0]):
                assert time.monotonic() - left_at < NOTICED_SECONDS + SLACK_SECONDS
                await asyncio.sleep(0.02)


async def test_pages_whose_clients_reset_the_connection_leave_nothing_and_fill_no_log(
    kafka: Any, tmp_path: Path
) -> None:
    async with serving(tmp_path, kafka.bootstrap, ["idle"]) as site:
        descriptors = site.descriptors()
        logged = len(site.log.read_text())
        for number in range(ABORTS):
            _, opened = await asyncio.open_connection("127.0.0.1", site.port)
            sock = opened.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets it
            opened.write(b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % (b"/healthz", b"/admin/login/")[number % 2])
            await asyncio.sleep((0, 0.001, 0.003, 0.006)[number % 4])
            opened.transport.abort()
        await settles(site, descriptors)
        assert site.get("/healthz")[0] == 200
        assert site.log.read_text()[logged:] == ""
