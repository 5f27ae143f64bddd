"""The mirror writes each event of another service once, in order, whatever ends meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from streams.local.kafka import LocalKafka
from streams.mirror import own_kafka
from streams.mirror.event import MirroredEvent
from streams.mirror.mirror import Mirror
from streams.mirror.own_kafka import OwnKafka
from streams.mirror.positions import Verdict
from streams.mirror.upstream import Pauses, Upstream, UpstreamError
from tests.support.around.old_service import old_service
from tests.support.around.tcp_proxy import tcp_proxy
from tests.support.engine import cancel
from tests.support.kafka.held import Held, held, reading, until_held
from tests.support.site import ROOT
from tests.support.site.serving import serving

CONTACT = "mirror@example.org"
LATELY_MS = int(time.time() * 1000) - 3_600_000
"""When the events were: Kafka deletes those older than 7 days from the mirror's topics, 30 s after it has started."""


async def produce(bootstrap: str, topic: str, numbers: range) -> Held:
    """Write events of two partitions, many of them of one millisecond, some out of the order of time."""
    wanted: Held = {0: [], 1: []}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        for number in numbers:
            partition, ms = number % 2, LATELY_MS + number // 7 - (number % 11 == 0) * 3
            key = b"key %d" % number if number % 3 else None
            value = b'{"n":%d,"f":1.0,"meta":{"dt":"2026-01-01","stream":"s"}}' % number
            await producer.send(topic, value, key=key, partition=partition, timestamp_ms=ms)
            wanted[partition].append((ms, key, value))
        await producer.flush()
    return wanted


async def test_through_cuts_and_kills_each_event_is_there_once_in_order_as_it_was_produced(
    kafka: Any, modules_kafka: LocalKafka, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic(2)
    wanted = await produce(kafka.bootstrap, topic, range(2_000))
    chance = random.Random(4)
    async with AsyncExitStack() as ends:
        site = await ends.enter_async_context(serving(tmp_path, kafka.bootstrap, [topic]))
        proxy = ends.enter_context(tcp_proxy(site.port))
        so_far = await ends.enter_async_context(reading(modules_kafka.bootstrap, topic))
        command = [sys.executable, "manage.py", "mirror", f"http://127.0.0.1:{proxy.port}", "--stream", "test"]
        command += ["--contact", CONTACT, "--since", "1"]
        environ = {**site.django_env, "EVENTSTREAMS_KAFKA": f"{{metadata.broker.list: '{modules_kafka.bootstrap}'}}"}
        log = (tmp_path / "mirror.log").open("ab")

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

        mirror = start()
        try:
            for round_ in range(3):
                async with asyncio.timeout(60):
                    while sum(map(len, (await so_far()).values())) < 500 * round_:
                        await asyncio.sleep(0.1)
                for _ in range(3):
                    proxy.cut()
                    await asyncio.sleep(chance.uniform(0, 0.3))
                if round_ == 1:  # the hour in test_mirror_hour.py has several
                    mirror.kill()
                    mirror.wait()
                    mirror = start()
                more = await produce(kafka.bootstrap, topic, range(2_000 + 100 * round_, 2_100 + 100 * round_))
                for number in wanted:
                    wanted[number] += more[number]
            await until_held(modules_kafka.bootstrap, topic, wanted)
            mirror.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(mirror.wait, 20) == 0
        finally:
            mirror.kill()
            mirror.wait()
            log.close()
    said = (tmp_path / "mirror.log").read_text()
    assert "Nothing has been written yet: starting at 1." in said
    assert "Resuming after what has been written." in said
    assert "Stopped: " in said
    assert "Traceback" not in said


async def test_what_was_written_last_is_known_with_the_latest_time_near_it(modules_kafka: LocalKafka) -> None:
    client = {"bootstrap_servers": modules_kafka.bootstrap}
    events = [MirroredEvent("out-of-order", 0, n, ms, None, b"{}", False) for n, ms in ((6, 1000), (7, 997))]
    async with OwnKafka(client, ["out-of-order"]) as writer:
        await writer.positions()
        for event in events:
            await writer.write(event, "[]", 1000)
        await writer.flush()
    async with OwnKafka(client, ["out-of-order"]) as found:
        positions = await found.positions()
    assert [positions.judge(event, "[]") for event in events] == [Verdict.REPEATED] * 2


async def test_a_service_that_sends_a_millisecond_again_cuts_and_refuses_is_mirrored_once_and_politely(
    modules_kafka: LocalKafka,
) -> None:
    chance = random.Random(3)
    ms, offset, records = LATELY_MS, 0, []
    for number in range(400):
        ms += chance.choice((0, 0, 0, 1, 5))
        offset += 2 if number == 250 else 1
        domain = "canary" if number % 50 == 0 else "de.wikipedia.org"
        records.append((offset, ms, {"n": number, "meta": {"domain": domain, "stream": "s"}}))
    lines: list[str] = []
    async with old_service("eqiad.t", records, cut_after=90) as service:
        service.refusals = [
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nwait",
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        ]
        upstream = Upstream(f"http://127.0.0.1:{service.port}/", ["s"], CONTACT, "1")
        mirror = Mirror(
            upstream,
            {"bootstrap_servers": modules_kafka.bootstrap},
            since="1",
            keep_canaries=False,
            pauses=Pauses(0.2),
            report=lines.append,
        )
        wanted: Held = {
            0: [
                (ms, b"key", b'{"n":%d,"meta":{"domain":"de.wikipedia.org","stream":"s"}}' % members["n"])
                for _, ms, members in records
                if members["meta"]["domain"] != "canary"
            ]
        }
        running = asyncio.create_task(mirror.run())
        holding = asyncio.create_task(until_held(modules_kafka.bootstrap, "eqiad.t", wanted))
        await asyncio.wait({running, holding}, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), lines
        await cancel(running)
        await holding
        assert service.most_open == 1
        assert service.agents == {f"eventstreams-mirror/1 ({CONTACT})"}
        assert service.requests[1][0] - service.requests[0][0] >= 1, "as long as Retry-After asks for"
    assert mirror.counts.canaries == 8
    assert mirror.counts.holes == 1
    assert mirror.counts.repeated > 0
    assert any("429" in line and "wait" in line for line in lines)


def edits(count: int, first: int = 0) -> list[tuple[int, int, dict[str, Any]]]:
    """Records of an OldService, several of each millisecond."""
    meta = {"domain": "de.wikipedia.org", "stream": "s"}
    return [(n, LATELY_MS + n // 3, {"n": n, "meta": meta}) for n in range(first, first + count)]


def as_held(records: list[tuple[int, int, dict[str, Any]]]) -> Held:
    return {0: [(ms, b"key", json.dumps(each, separators=(",", ":")).encode()) for _, ms, each in records]}


class Running(NamedTuple):
    """A mirror, the task in which it runs, and what it says."""

    task: asyncio.Task[None]
    lines: list[str]
    mirror: Mirror


@asynccontextmanager
async def mirroring(own: LocalKafka, port: int, *names: str) -> AsyncIterator[Running]:
    """A mirror that runs."""
    lines: list[str] = []
    upstream = Upstream(f"http://127.0.0.1:{port}", list(names), CONTACT, "1")
    client = {"bootstrap_servers": own.bootstrap}
    mirror = Mirror(upstream, client, since="1", pauses=Pauses(0.2), report=lines.append)
    running = asyncio.create_task(mirror.run())
    try:
        yield Running(running, lines, mirror)
    finally:
        running.cancel()
        await asyncio.wait({running})  # some end with an error, which their test looks at


async def test_an_id_that_the_service_refuses_is_replaced_by_a_time(modules_kafka: LocalKafka) -> None:
    records = edits(90)
    async with old_service("refused.t", records, cut_after=50) as service:
        service.refused_ids = 1
        async with mirroring(modules_kafka, service.port, "refused") as (running, lines, _):
            await until_held(modules_kafka.bootstrap, "refused.t", as_held(records))
            assert not running.done()
    assert any("answered 400: no such topic. Asking by time instead" in line for line in lines), lines


async def test_a_stop_while_kafka_takes_nothing_is_a_stop_and_nothing_is_lost_or_comes_twice(
    modules_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_kafka, "STOP_SECONDS", 1.0)
    records = edits(3_000)
    async with old_service("stopped.t", records[:1000], cut_after=10_000) as service:  # noqa: SIM117
        async with mirroring(modules_kafka, service.port, "stopped"):
            await until_held(modules_kafka.bootstrap, "stopped.t", as_held(records[:1000]))
    async with old_service("stopped.t", records, cut_after=10_000) as service:
        async with mirroring(modules_kafka, service.port, "stopped") as (running, _, mirror):
            async with asyncio.timeout(60):
                while mirror._progress.newest_ms <= records[999][1]:  # until new events are on their way
                    await asyncio.sleep(0.005)
            modules_kafka.pause()
            try:
                async with asyncio.timeout(20):
                    running.cancel()
                    await asyncio.wait({running})
            finally:
                modules_kafka.resume()
            assert running.cancelled(), "not another attempt, and no error"
        async with mirroring(modules_kafka, service.port, "stopped") as (running, lines, _):
            await until_held(modules_kafka.bootstrap, "stopped.t", as_held(records))
            assert not running.done(), lines


@pytest.mark.parametrize("second", [["two"], ["three", "more"]], ids=["the same streams", "one more stream"])
async def test_of_two_mirrors_the_first_one_stops_and_says_why(
    modules_kafka: LocalKafka, second: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    topic, records = f"{second[0]}.t", edits(600)
    async with AsyncExitStack() as ends:
        service = await ends.enter_async_context(old_service(topic, records[:300], cut_after=10_000))
        first, *_ = await ends.enter_async_context(mirroring(modules_kafka, service.port, second[0]))
        await until_held(modules_kafka.bootstrap, topic, as_held(records[:300]))
        running, lines, _ = await ends.enter_async_context(mirroring(modules_kafka, service.port, *second))
        async with asyncio.timeout(60):
            while not lines and not running.done():  # until it has found what was written
                await asyncio.sleep(0.1)
        service.records[:] = records
        await until_held(modules_kafka.bootstrap, topic, as_held(records))
        with pytest.raises(UpstreamError, match=r"another mirror .* run one of them"):
            async with asyncio.timeout(20):
                await first
        assert not running.done()
        gc.collect()
        assert not caplog.records, "an error that nobody has looked at"
        assert await held(modules_kafka.bootstrap, topic) == as_held(records)
