"""The mirror writes each event of another service once, in order, whatever ends meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.local.kafka import LocalKafka
from streams.local.processes import free_port
from streams.mirror.event import MirroredEvent
from streams.mirror.mirror import Mirror
from streams.mirror.own_kafka import OwnKafka
from streams.mirror.positions import Verdict
from streams.mirror.upstream import Pauses, Upstream
from tests.support.around.old_service import old_service
from tests.support.around.tcp_proxy import tcp_proxy
from tests.support.engine import cancel
from tests.support.site import ROOT
from tests.support.site.serving import serving

CONTACT = "mirror@example.org"
Held = dict[int, list[tuple[int, bytes | None, bytes]]]


async def partitions(bootstrap: str, topic: str) -> int:
    """How many a topic has; none where it does not exist."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return sum(len(each["partitions"]) for each in await admin.describe_topics() if each["topic"] == topic)
    finally:
        await admin.close()


async def held(bootstrap: str, topic: str) -> Held:
    """What a topic has: timestamp, key and value of each record, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    got: Held = {}
    try:
        for number in range(await partitions(bootstrap, topic)):
            partition = KafkaPartition(topic, number)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            got[number] = []
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
                    got[number].append((record.timestamp, record.key, record.value))
    finally:
        await consumer.stop()
    return got


async def until_held(bootstrap: str, topic: str, wanted: Held, seconds: float = 60) -> None:
    """Wait until a topic has exactly what is wanted."""
    got: Held = {}
    try:
        async with asyncio.timeout(seconds):
            while (got := await held(bootstrap, topic)) != wanted:
                assert sum(map(len, got.values())) <= sum(map(len, wanted.values())), "events came twice"
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(
            f"{ {number: len(records) for number, records in got.items()} } are there, "
            f"{ {number: len(records) for number, records in wanted.items()} } wanted"
        ) from None


async def produce(bootstrap: str, topic: str, numbers: range) -> Held:
    """Write events of two partitions, many of them of one millisecond, some out of the order of time."""
    wanted: Held = {0: [], 1: []}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        for number in numbers:
            partition, ms = number % 2, 1_700_000_000_000 + number // 7 - (number % 11 == 0) * 3
            key = b"key %d" % number if number % 3 else None
            value = b'{"n":%d,"f":1.0,"meta":{"dt":"2026-01-01","stream":"s"}}' % number
            await producer.send(topic, value, key=key, partition=partition, timestamp_ms=ms)
            wanted[partition].append((ms, key, value))
        await producer.flush()
    return wanted


async def test_through_cuts_and_kills_each_event_is_there_once_in_order_as_it_was_produced(
    kafka: Any, own_kafka: LocalKafka, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic(2)
    wanted = await produce(kafka.bootstrap, topic, range(2_000))
    chance = random.Random(4)
    async with AsyncExitStack() as ends:
        site = await ends.enter_async_context(serving(tmp_path, kafka.bootstrap, [topic]))
        proxy = ends.enter_context(tcp_proxy(site.port))
        command = [sys.executable, "manage.py", "mirror", f"http://127.0.0.1:{proxy.port}", "--stream", "test"]
        command += ["--contact", CONTACT, "--since", "1"]
        environ = {**site.django_env, "EVENTSTREAMS_KAFKA": f"{{metadata.broker.list: '{own_kafka.bootstrap}'}}"}
        log = (tmp_path / "mirror.log").open("ab")

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

        mirror = start()
        try:
            for round_ in range(4):
                async with asyncio.timeout(60):
                    while sum(map(len, (await held(own_kafka.bootstrap, topic)).values())) < 500 * round_:
                        await asyncio.sleep(0.1)
                for _ in range(3):
                    proxy.cut()
                    await asyncio.sleep(chance.uniform(0, 0.3))
                if round_ % 2:
                    mirror.kill()
                    mirror.wait()
                    mirror = start()
                more = await produce(kafka.bootstrap, topic, range(2_000 + 100 * round_, 2_100 + 100 * round_))
                for number in wanted:
                    wanted[number] += more[number]
            await until_held(own_kafka.bootstrap, topic, wanted)
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


async def test_what_was_written_last_is_known_with_the_latest_time_near_it(own_kafka: LocalKafka) -> None:
    client = {"bootstrap_servers": own_kafka.bootstrap}
    events = [MirroredEvent("out-of-order", 0, n, ms, None, b"{}", False) for n, ms in ((6, 1000), (7, 997))]
    async with OwnKafka(client, ["out-of-order"]) as writer:
        await writer.positions()
        for event in events:
            await writer.write(event, "[]")
        await writer.flush()
    async with OwnKafka(client, ["out-of-order"]) as found:
        positions = await found.positions()
    assert [positions.judge(event) for event in events] == [Verdict.REPEATED] * 2


async def test_a_service_that_sends_a_millisecond_again_cuts_and_refuses_is_mirrored_once_and_politely(
    own_kafka: LocalKafka,
) -> None:
    chance = random.Random(3)
    ms, offset, records = 1_700_000_000_000, 0, []
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
            {"bootstrap_servers": own_kafka.bootstrap},
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
        holding = asyncio.create_task(until_held(own_kafka.bootstrap, "eqiad.t", wanted))
        await asyncio.wait({running, holding}, return_when=asyncio.FIRST_COMPLETED)
        await cancel(running)
        await holding
        assert service.most_open == 1
        assert service.agents == {f"eventstreams-mirror/1 ({CONTACT})"}
        assert service.requests[1][0] - service.requests[0][0] >= 1, "as long as Retry-After asks for"
    assert mirror.counts.canaries == 8
    assert mirror.counts.holes == 1
    assert mirror.counts.repeated > 0
    assert any("429" in line and "wait" in line for line in lines)


def test_what_is_missing_or_wrong_is_said_without_a_traceback(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", "mirror", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        return done.stderr

    site = f"http://127.0.0.1:{free_port()}"
    assert "--contact is missing" in run(site, "--stream", "a")
    assert "--stream is 'a,,b'" in run(site, "--stream", "a,,b", "--contact", CONTACT)
    assert "since='soon' is neither" in run(site, "--stream", "a", "--contact", CONTACT, "--since", "soon")
