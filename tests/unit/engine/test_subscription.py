"""One client's way through the engine: what the model (`test_subscription_model.py`) leaves out.

What breaks its way is in `test_subscription_broken.py`, who may read history in `test_subscription_turns.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from streams.core.plan import plan
from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.resume import resolve
from streams.engine.tail.feed import Selection
from streams.engine.tuning import DEFAULT
from tests.support.engine import numbered
from tests.support.engine.connection import TP, Connection, QuickEngine, connected, id_of
from tests.support.engine.one_topic import FROM_THE_OLDEST, ONE, StoppingSource, offsets, topic, write


async def test_an_ndjson_client_gets_one_event_a_line_and_no_gap() -> None:
    source = topic(5)
    async with QuickEngine(source).running("a") as engine:
        source.truncate_before("a", 2)
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, is_sse=False) as connection:
            await connection.until(lambda got: len(got.events) == 3)
            write(source, 2)
            assert offsets(await connection.until(lambda got: len(got.events) == 5)) == [2, 3, 4, 5, 6]


async def test_a_very_large_event_is_passed_on_in_parts_that_are_not_copied() -> None:
    source = topic(1)
    write(source, 1, padding=2 * DEFAULT.max_copied_bytes)
    async with (
        QuickEngine(source, cache_bytes=64 << 20).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        assert offsets(await connection.until(lambda got: len(got.events) == 2)) == [0, 1]
        write(source, 1, padding=2 * DEFAULT.max_copied_bytes)
        write(source, 1)
        assert offsets(await connection.until(lambda got: len(got.events) == 4)) == [0, 1, 2, 3]


async def test_chunks_are_of_bounded_size_however_much_there_is_to_catch_up() -> None:
    source = topic(500, padding=1_000)
    async with (
        QuickEngine(source).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        count = 0
        while count < 500:
            chunk = await anext(connection._chunks)
            assert chunk.nbytes < DEFAULT.chunk_bytes + chunk.events * 200 + 2_000
            count += chunk.events


async def test_partitions_are_merged_by_their_timestamps_on_the_way_to_the_end() -> None:
    source = MemorySource()
    source.create("a", 3)
    for n in range(90):
        source.append("a", numbered(n), 1_000 + n, partition=n % 3)
    everything = id_of({TopicPartition("a", n): OLDEST for n in range(3)})
    async with (
        QuickEngine(source).running("a") as engine,
        connected(engine, ONE, last_event_id=everything) as connection,
    ):
        got = await connection.until(lambda got: len(got.events) == 90)
        assert [offset * 3 + tp.partition for tp, offset in got.events] == list(range(90))


async def test_who_is_ahead_of_the_feed_waits_for_it_and_hears_a_sign_of_life() -> None:
    """An id from another process, whose hub is faster."""
    source = StoppingSource()
    source.create("a")
    async with (
        QuickEngine(source).running("a") as engine,
        connected(engine, ONE),
    ):
        source.stopped = True
        write(source, 3)
        async with connected(engine, ONE, last_event_id=id_of({TP: 3}), keepalive_seconds=0.03) as connection:
            await connection.until(lambda got: got.keepalives >= 2)
            assert connection.received.events == []
            source.stopped = False
            write(source, 2)
            assert offsets(await connection.until(lambda got: len(got.events) == 2)) == [3, 4]


async def test_an_outage_while_catching_up_is_sat_out_with_signs_of_life() -> None:
    source = topic(100)
    async with (
        QuickEngine(source, read_bytes=200).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.1) as connection,
    ):
        await connection.chunk()
        source.available = False
        await connection.until(lambda got: got.keepalives >= 2)
        assert len(connection.received.events) < 100
        source.available = True
        got = await connection.until(lambda got: len(got.events) == 100)
        assert offsets(got) == list(range(100))
        assert got.gaps == []


async def test_a_long_way_without_any_event_has_signs_of_life() -> None:
    source = StoppingSource()
    source.create("a")
    for n in range(200):
        source.append("a", None if n % 2 else b"no event", n)
    write(source, 1)
    async with QuickEngine(source, read_bytes=1).running("a") as engine:
        source.read_seconds = 0.002
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.05) as connection:
            got = await connection.until(lambda got: got.events)
            assert got.keepalives >= 2
            assert offsets(got) == [200]


async def test_no_sign_of_life_where_they_are_switched_off() -> None:
    source = topic(10)
    async with QuickEngine(source).running("a") as engine:
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection:
            source.available = False
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.chunk()
        source.available = True


async def test_a_partition_added_while_a_client_connects_comes_from_its_first_event() -> None:
    source = topic(1)
    engine = QuickEngine(source)
    async with engine.running("a"), connected(engine, ONE) as first:
        hub = engine.hub
        planned = plan([ONE], 0, None, await hub.topics(["a"]))
        source.create("a", 2)
        source.append("a", numbered(7), 7, partition=1)
        await first.until(lambda got: got.events)  # the feed has moved on beyond its first event
        async with hub.feed(Selection(planned.topics, frozenset(), planned.scope)) as feed:
            position, _ = await resolve(hub, planned.starts)
            late = Connection(engine, feed, position, [], is_sse=True)
            got = await late.until(lambda got: len(got.events) == 2)
            assert got.offsets == {TP: [0], TopicPartition("a", 1): [0]}
            await late.close()
