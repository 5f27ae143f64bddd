"""The demo producer: writes the events of a DemoWorld to Kafka, a history first, then live.

There is one timeline with a recentchange event every 1/rate seconds, and at the same times the events of the other
streams. Those in the past are written at once, the others when they are due. Kafka has the events'
timestamps.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.engine.kafka.create_topics import create_topics
from streams.local.demo.streams import RECENTCHANGE, TOPICS
from streams.local.demo.world import DemoRecord, DemoWorld

TOPIC_CONFIG = {"retention.ms": str(7 * 86_400_000)}

_IN_FLIGHT = 2000  # maximum records that the producer has not sent yet


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to produce.

    `rate`: recentchange events per second; `backfill`: seconds of history; `live`: continue after it.
    """

    rate: float
    backfill: float = 0.0
    seed: int | str = 0
    partitions: int = 1
    live: bool = True


def first_instant(now_ms: float, newest_ms: int | None, plan: DemoPlan) -> float:
    """Return the start of the timeline in ms: that of the history, or after the newest event if that is later."""
    start = now_ms - plan.backfill * 1000
    return start if newest_ms is None else max(start, newest_ms + 1000 / plan.rate)


async def run_demo(
    client: Mapping[str, Any],
    plan: DemoPlan,
    *,
    report: Callable[[str], object],
    clock: Callable[[], float] = time.time,
) -> int:
    """Create missing topics and produce until cancelled, or until now without `plan.live`; return the number of events.

    Args:
        client: Arguments of aiokafka's clients (bootstrap_servers, security).
        plan: What to produce.
        report: Gets lines for people.
        clock: Returns seconds since the epoch.

    Raises:
        aiokafka.errors.KafkaError: Kafka failed.
    """
    bootstrap = str(client["bootstrap_servers"])
    await create_topics(bootstrap, dict.fromkeys(TOPICS, plan.partitions), TOPIC_CONFIG, **client)
    now_ms = clock() * 1000
    newest_ms = await _newest_timestamp(client)
    start_ms = first_instant(now_ms, newest_ms, plan)
    missing = max(0.0, now_ms - start_ms) / 1000
    if plan.backfill and missing:
        had = "" if newest_ms is None else ", after the existing events"
        report(f"Writing {missing:,.0f} s of history, about {missing * plan.rate:,.0f} changes{had}")
    producer = AIOKafkaProducer(**client, compression_type="snappy", linger_ms=5, max_batch_size=256 * 1024)
    await producer.start()
    try:
        return await produce(functools.partial(_send, producer), plan, start_ms, report, clock)
    finally:
        await producer.stop()  # flushes


async def _send(producer: AIOKafkaProducer, record: DemoRecord) -> asyncio.Future[Any]:
    sent: asyncio.Future[Any] = await producer.send(
        record.topic, record.value, key=record.key, timestamp_ms=record.timestamp_ms
    )
    return sent


async def produce(
    send: Callable[[DemoRecord], Awaitable[asyncio.Future[Any]]],
    plan: DemoPlan,
    start_ms: float,
    report: Callable[[str], object],
    clock: Callable[[], float],
) -> int:
    """Write the events from `start_ms` (Unix time) on until cancelled, or until now; return how many were written.

    `send` writes a record, and returns a future that is done when it has been written.
    """
    world = DemoWorld(plan.seed)
    at_ms, count, caught_up, reported = start_ms, 0, False, time.monotonic()
    waiting: list[asyncio.Future[Any]] = []
    while True:
        ahead = at_ms / 1000 - clock()
        if ahead > 0 or len(waiting) >= _IN_FLIGHT:
            await asyncio.gather(*waiting)  # raises what went wrong
            waiting.clear()
        if ahead > 0:
            if not caught_up:
                caught_up = True
                live = f"; now live, {plan.rate:g} changes a second" if plan.live else ""
                report(f"{count:,} events written{live}")
            if not plan.live:
                return count
            await asyncio.sleep(ahead)
        elif not caught_up and time.monotonic() - reported > 1:
            reported = time.monotonic()
            report(f"{count:,} events written, {-ahead:,.0f} s of history to go")
        records = world.change(int(at_ms))
        waiting += [await send(record) for record in records]
        count += len(records)
        at_ms += sum(record.topic.endswith(RECENTCHANGE) for record in records) * 1000 / plan.rate


async def _newest_timestamp(client: Mapping[str, Any]) -> int | None:
    """Return the timestamp in ms of the newest event in the demo's topics; None if they are empty."""
    consumer = AIOKafkaConsumer(*TOPICS, **client, enable_auto_commit=False)
    await consumer.start()  # without a group: all partitions are assigned
    try:
        partitions = consumer.assignment()
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        missing = {partition for partition in partitions if ends[partition] > begins[partition]}
        newest = None
        for partition in missing:
            consumer.seek(partition, ends[partition] - 1)
        deadline = time.monotonic() + 10
        while (
            missing and time.monotonic() < deadline
        ):  # the last offset may be a transaction's marker, which is never delivered
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                missing.discard(partition)
                newest = max([newest or 0, *(record.timestamp for record in records)])
        return newest
    finally:
        await consumer.stop()
