"""The demo's events where there is no Kafka: the server itself writes them, into the log that it keeps in memory."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streams.engine.kafka.options import kafka_options
from streams.engine.memory import MemorySource
from streams.engine.source import RecordSource
from streams.local.demo.producer import DemoPlan, produce
from streams.local.demo.streams import TOPICS
from streams.local.demo.world import DemoRecord

RATE = 10.0
HISTORY_SECONDS = 600.0

log = logging.getLogger(__name__)


def demo_in_memory(kafka: Mapping[str, object]) -> Callable[[RecordSource], Awaitable[None]] | None:
    """Return what writes the demo's events into a server's log in memory; None where the server reads a Kafka."""
    if not kafka_options(kafka).is_memory:
        return None
    return functools.partial(fill, plan=DemoPlan(RATE, HISTORY_SECONDS, secrets.token_hex(8)))


async def fill(source: RecordSource, plan: DemoPlan, clock: Callable[[], float] = time.time) -> None:
    """Write the demo's events into `source`, a MemorySource: a history first, then live, until cancelled."""
    assert isinstance(source, MemorySource)
    for topic in TOPICS:
        source.create(topic, plan.partitions)
    written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    written.set_result(None)

    async def send(record: DemoRecord) -> asyncio.Future[Any]:
        source.append(record.topic, record.value, record.timestamp_ms, key=record.key)
        await asyncio.sleep(0)  # a history takes seconds, and clients are served meanwhile
        return written

    await produce(send, plan, (clock() - plan.backfill) * 1000, log.info, clock)
