"""History of many partitions, with the settings that are the default: what it costs, and that clients progress."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from streams.core.catalogue import Stream
from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch
from tests.support.engine import Engine, numbered
from tests.support.engine.connection import Connection, QuickEngine, connected, id_of

ONE = Stream("one", ("a",), (), (), "", None, None, False, {})
CACHE_BYTES = 8 << 20


class CompressedSource(MemorySource):
    """Records take up a third of their length, and come in whole batches, whatever is asked for; each takes a while."""

    batch_bytes = 300_000

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await asyncio.sleep(0.0005)
        return await super().read(partition, offset, 3 * max(max_bytes, self.batch_bytes))


def topic(partitions: int, events: int, padding: int = 1_000) -> CompressedSource:
    """The number of events in each partition, at the same times."""
    source = CompressedSource()
    source.create("a", partitions)
    for n in range(events):
        for partition in range(partitions):
            source.append("a", numbered(n, padding), 1_000 + n, partition=partition)
    return source


def from_each(partitions: int, offset: int) -> str:
    return id_of({TopicPartition("a", n): offset for n in range(partitions)})


def encoded(engine: Engine) -> float:
    return engine.count("eventstreams_events_encoded_total")


async def read(connection: Connection, count: int) -> None:
    """`count` events, which are not looked at (the model of test_subscription_model.py does)."""
    while count > 0:
        count -= (await anext(connection._chunks)).events


@pytest.mark.parametrize("starts", [[0], [0] * 5, [0, 50, 100, 150, 200]])
async def test_an_event_is_encoded_about_once_however_many_partitions_there_are(starts: list[int]) -> None:
    partitions, events = 18, 400
    async with QuickEngine(topic(partitions, events, 2_000), cache_bytes=CACHE_BYTES, slots=8).running("a") as engine:
        async with contextlib.AsyncExitStack() as stack:
            delivered = 0
            reading = []
            for start in starts:
                ask = from_each(partitions, start)
                client = await stack.enter_async_context(connected(engine, ONE, last_event_id=ask))
                count = partitions * (events - start)
                delivered += count
                reading.append(read(client, count))
            await asyncio.gather(*reading)
            assert encoded(engine) < 1.5 * delivered
            reads = engine.count("eventstreams_history_reads_total")
            assert reads < delivered / 10, "of each batch, much has been used"
        assert engine.count("eventstreams_history_cache_bytes") <= CACHE_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("is_sse", [True, False])
async def test_many_readers_of_many_partitions_all_get_on_with_few_slots(is_sse: bool) -> None:
    """Also where a turn is over before there is something of each partition at hand."""
    partitions, events, each = 60, 80, 2_400
    async with (
        QuickEngine(topic(partitions, events, 4_000), cache_bytes=CACHE_BYTES, slots=4, turn_seconds=0.01).running(
            "a"
        ) as engine,
        contextlib.AsyncExitStack() as stack,
    ):
        order: list[int] = []

        async def one(number: int) -> None:
            ask = from_each(partitions, 3 * number)
            client = await stack.enter_async_context(connected(engine, ONE, last_event_id=ask, is_sse=is_sse))
            for _ in range(each // 100):
                await read(client, 100)
                order.append(number)
            client.subscription.park()  # it does not take more

        await asyncio.gather(*map(one, range(12)))
        begun = max(order.index(number) for number in range(12))
        ended = min(len(order) - order[::-1].index(number) for number in range(12))
        assert begun < ended, "all had begun before any had ended"
        assert encoded(engine) < 1.5 * 12 * each


async def test_a_client_that_takes_little_at_a_time_does_not_have_everything_encoded_each_time() -> None:
    partitions, chunks = 18, 10
    async with (
        QuickEngine(topic(partitions, 300), cache_bytes=0, slots=1).running("a") as engine,
        connected(engine, ONE, last_event_id=from_each(partitions, 0)) as client,
    ):
        delivered = 0
        for _ in range(chunks):
            delivered += (await anext(client._chunks)).events
            client.subscription.park()
        assert encoded(engine) < 1.5 * delivered
