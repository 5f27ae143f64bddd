"""An hour of the demo, mirrored while everything on the way breaks: each event is there once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition

from streams.local.demo.streams import STREAMS, TOPICS
from streams.local.demo.world import DemoWorld
from streams.local.kafka import LocalKafka
from tests.integration.kit import Broker
from tests.support.around.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.engine import cancel
from tests.support.kafka.held import held, partitions
from tests.support.site import ROOT, Site
from tests.support.site.serving import serving

HOUR_MS = 3_600_000
STEP_MS = 400
"""Between two changes: 9,000 in the hour, a quarter of what `make run` writes, for the time that the test takes."""
PARTITIONS = 2
CUTS = 20
LOST = 20
"""Records that retention takes away before the mirror has them."""

Digests = dict[tuple[str, int], list[tuple[int, bytes | None, bytes]]]


def digest(value: bytes) -> bytes:
    return hashlib.sha1(value, usedforsecurity=False).digest()


class Source:
    """The demo's events, in topics of the test; `wanted` is what a mirror is to have of each partition."""

    def __init__(self, bootstrap: str, names: dict[str, str]) -> None:
        """`names` are the test's topics by those of the demo."""
        self.wanted: Digests = {(topic, n): [] for topic in names.values() for n in range(PARTITIONS)}
        self._bootstrap, self._names = bootstrap, names
        self._world = DemoWorld(17)

    @property
    def count(self) -> int:
        return sum(map(len, self.wanted.values()))

    async def write_hour(self) -> int:
        """Write the events of the last hour; returns when it ended, in ms."""
        end = int(time.time() * 1000)
        async with self._producer() as producer:
            for at_ms in range(end - HOUR_MS, end, STEP_MS):
                await self._write(producer, at_ms)
        return end

    async def write_live(self, at_ms: int) -> None:
        """Continue as time passes, until cancelled."""
        async with self._producer() as producer:
            for due in itertools.count(at_ms, STEP_MS):
                await asyncio.sleep(max(0.0, due / 1000 - time.time()))
                await asyncio.shield(asyncio.ensure_future(self._write(producer, due)))

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        options = {"enable_idempotence": True, "linger_ms": 5, "max_batch_size": 1 << 18, "compression_type": "snappy"}
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, **options) as producer:
            yield producer
            await producer.flush()

    async def _write(self, producer: AIOKafkaProducer, at_ms: int) -> None:
        for record in self._world.change(at_ms):
            topic, partition = self._names[record.topic], zlib.crc32(record.key or record.value) % PARTITIONS
            await producer.send(
                topic, record.value, key=record.key, partition=partition, timestamp_ms=record.timestamp_ms
            )
            self.wanted[topic, partition].append((record.timestamp_ms, record.key, digest(record.value)))


class MirrorProcess:
    """`manage.py mirror`, again and again with the same log."""

    def __init__(self, site: Site, port: int, own: LocalKafka, log: Path) -> None:
        command = ["manage.py", "mirror", f"http://127.0.0.1:{port}", "--contact", "mirror@example.org"]
        self._command = [sys.executable, *command, "--stream", ",".join(STREAMS), "--since", "1"]
        self._environ = {**site.django_env, "EVENTSTREAMS_KAFKA": f"{{metadata.broker.list: '{own.bootstrap}'}}"}
        self._log, self._from = log, 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while self._log.stat().st_size == self._from and time.monotonic() < deadline:
            time.sleep(0.05)  # before its first line, a signal ends it at once
        assert self._process.poll() is None, self.said[-3000:]
        self._process.send_signal(number)
        return self._process.wait(40)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def said(self) -> str:
        return self._log.read_text()


async def written(bootstrap: str, topics: list[str]) -> int:
    """About how many records topics have: their ends, with the transactions' markers."""
    counts = await partitions(bootstrap)
    there = [KafkaPartition(topic, n) for topic in topics for n in range(counts.get(topic, 0))]
    if not there:
        return 0  # a consumer that is given nothing cannot be stopped
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        return sum((await consumer.end_offsets(there)).values())


async def all_of(bootstrap: str, topics: list[str]) -> Digests:
    got: Digests = {}
    for topic in topics:
        for number, records in (await held(bootstrap, topic)).items():
            got[topic, number] = [(ms, key, digest(value)) for ms, key, value in records]
    return got


def breakages(site: Site, proxy: TcpProxy, mirror: MirrorProcess, own: LocalKafka) -> Iterator[Callable[[], object]]:
    """What happens, one after the other: 20 cuts, and between them restarts of everything."""

    def restart_site(number: signal.Signals) -> None:
        site.stop(number)
        site.start()

    def restart_mirror(number: signal.Signals) -> None:
        assert mirror.end(number) == (0 if number == signal.SIGTERM else -number)
        mirror.start()

    restarts = {
        3: lambda: restart_mirror(signal.SIGKILL),
        6: lambda: restart_site(signal.SIGTERM),
        9: lambda: restart_mirror(signal.SIGTERM),
        12: lambda: restart_site(signal.SIGKILL),
        15: own.restart,
        18: lambda: restart_mirror(signal.SIGKILL),
    }
    for number in range(CUTS):
        yield proxy.cut
        if number in restarts:
            yield restarts[number]


async def take_away(source: Source, broker: Broker, bootstrap: str) -> tuple[str, int, int]:
    """Delete what the mirror does not have yet of one partition: its topic, number, and the first that is lost.

    If the stopped mirror has all of the hour, live events soon are what it does not have.
    """
    async with asyncio.timeout(120):
        while True:
            for (topic, number), wanted in sorted(source.wanted.items(), key=lambda each: -len(each[1])):
                first = len((await held(bootstrap, topic)).get(number, ()))
                if number == 0 and len(wanted) - first > LOST:
                    await broker.delete_before(topic, first + LOST)
                    del wanted[first : first + LOST]
                    return topic, number, first
            await asyncio.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_hour_of_the_demo_is_mirrored_once_and_in_order_through_cuts_restarts_and_a_gap(
    kafka: Any, own_kafka: LocalKafka, make_topic: Callable[..., str], tmp_path: Path, broker: Broker
) -> None:
    names = {topic: make_topic(PARTITIONS) for topic in TOPICS}
    topics = list(names.values())
    streams = {stream: [names[topic] for topic in TOPICS if topic.endswith("." + stream)] for stream in STREAMS}
    source = Source(kafka.bootstrap, names)
    ended = await source.write_hour()
    hour = source.count
    assert hour > 25_000
    chance = random.Random(4)
    async with AsyncExitStack() as ends:
        site = await ends.enter_async_context(serving(tmp_path, kafka.bootstrap, streams))
        proxy = ends.enter_context(tcp_proxy(site.port))
        mirror = MirrorProcess(site, proxy.port, own_kafka, tmp_path / "mirror.log")
        ends.callback(mirror.kill)
        live = asyncio.create_task(source.write_live(ended))
        ends.push_async_callback(cancel, live)
        mirror.start()
        met = 0
        happens = list(breakages(site, proxy, mirror, own_kafka))
        async with asyncio.timeout(560):
            for number, happen in enumerate(happens):
                # Well before the end of the hour: each finds a mirror that is in the middle of it.
                while await written(own_kafka.bootstrap, topics) < hour * 0.8 * number / len(happens):
                    await asyncio.sleep(0.1)
                if happen == proxy.cut:  # of a connection that was not there at the last cut
                    while proxy.accepted <= met:
                        await asyncio.sleep(0.05)
                    met = proxy.accepted
                await asyncio.sleep(chance.uniform(0, 0.3))
                await asyncio.to_thread(happen)
            assert await asyncio.to_thread(mirror.end, signal.SIGTERM) == 0
            topic, partition, first = await take_away(source, broker, own_kafka.bootstrap)
            await asyncio.to_thread(site.stop)  # which has the newest events in memory, though Kafka no longer has them
            await asyncio.to_thread(site.start)
            mirror.start()
            while await written(own_kafka.bootstrap, topics) < source.count:
                await asyncio.sleep(0.2)
            await cancel(live)
            wanted = source.wanted
            got = await all_of(own_kafka.bootstrap, topics)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    while sum(map(len, got.values())) < source.count:
                        await asyncio.sleep(1)
                        got = await all_of(own_kafka.bootstrap, topics)
            assert await asyncio.to_thread(mirror.end, signal.SIGTERM) == 0
        assert {where: len(records) for where, records in got.items()} == {
            where: len(records) for where, records in wanted.items() if where in got
        }
        assert all(got.get(where, []) == records for where, records in wanted.items())
    assert proxy.accepted > CUTS
    said = mirror.said
    assert "Traceback" not in said
    last = said[said.rindex("Resuming after what has been written.") :]
    gap = f'{{"topic":"{topic}","partition":{partition},"asked":{first},"served":{first + LOST}}}'
    assert gap in last.replace(" ", "")
    assert re.search(r"\b1 gaps reported", last), last[-1000:]
    assert re.search(r"events written, .*; [\d,.]+ a second, [\d,]+ s behind", said)
