"""Who may read history, and when: a client holds a part of it only while it can be written to."""

from __future__ import annotations

import asyncio
import contextlib

from tests.support.engine import Engine, cancel, eventually
from tests.support.engine.connection import Connection, QuickEngine, connected
from tests.support.engine.one_topic import FROM_THE_OLDEST, ONE, offsets, topic, write


def readers(engine: Engine) -> float:
    return engine.count("eventstreams_history_readers")


async def read_on(*connections: Connection) -> list[Connection]:
    """Read each to the end of the topic, and on, as the edge does while the client takes what it is sent.

    Returns whose turn it was, chunk by chunk.
    """
    order: list[Connection] = []

    async def pull(connection: Connection) -> None:
        while True:
            await connection.chunk()
            order.append(connection)

    pulling = [asyncio.ensure_future(pull(connection)) for connection in connections]
    await eventually(
        lambda: all(
            connection.received.events and connection.received.events[-1][1] == 99 for connection in connections
        )
    )
    await asyncio.sleep(0.01)
    await cancel(*pulling)
    for connection in connections:
        assert offsets(connection.received) == list(range(100))
    return order


async def test_a_client_that_is_parked_holds_neither_a_slot_nor_events() -> None:
    async with QuickEngine(topic(100), slots=1, read_bytes=200).running("a") as engine:
        async with (
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as stalled,
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as other,
        ):
            await stalled.chunk()
            assert readers(engine) == 1
            stalled.subscription.park()
            assert readers(engine) == 0
            assert not stalled.subscription._behind.merge
            await read_on(other)
            await read_on(stalled)
        assert readers(engine) == 0


async def test_a_client_that_is_parked_while_it_waits_for_a_slot_is_not_given_one() -> None:
    async with QuickEngine(topic(100), slots=1, read_bytes=200).running("a") as engine:
        async with (
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as first,
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.02) as second,
        ):
            await first.chunk()
            await second.chunk()
            assert second.received.keepalives == 1, "it waits"
            second.subscription.park()
            first.subscription.park()
            await asyncio.sleep(0.01)
            assert readers(engine) == 0
            await read_on(first, second)
        assert readers(engine) == 0


async def test_a_client_that_goes_while_it_waits_for_a_slot_leaves_it_to_the_next() -> None:
    async with (
        QuickEngine(topic(100), slots=1, read_bytes=200).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as first,
    ):
        await first.chunk()
        for goes in ("before", "with"):
            async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as second:
                waiting = asyncio.ensure_future(second.chunk())
                await asyncio.sleep(0.01)
                if goes == "with":
                    first.subscription.park()
                await cancel(waiting)
        await read_on(first)
        await eventually(lambda: readers(engine) == 0)


async def test_readers_that_wait_get_their_turn_before_one_has_read_all() -> None:
    async with (
        QuickEngine(topic(100), slots=1, cache_bytes=0, read_bytes=200, min_turn_bytes=1_000).running("a") as engine,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(connected(engine, ONE, last_event_id=FROM_THE_OLDEST)) for _ in range(4)
        ]
        order = await read_on(*clients)
        begun = max(order.index(client) for client in clients)
        ended = min(len(order) - order[::-1].index(client) for client in clients)
        assert begun < ended, "all had begun before any had ended"


async def test_the_next_read_is_under_way_while_the_last_is_sent_and_none_beyond_it() -> None:
    async with (
        QuickEngine(topic(200, padding=1_000), read_bytes=10_000).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        await eventually(lambda: engine.count("eventstreams_history_reads_total") == 2)
        connection.subscription.park()
        await asyncio.sleep(0.02)
        assert engine.count("eventstreams_history_reads_total") == 2
        got = await connection.until(lambda got: len(got.events) == 200)
        assert offsets(got) == list(range(200))
        assert engine.count("eventstreams_history_reads_total") == -(-200 // 9), "nine events a read, each once"


async def test_a_client_that_follows_needs_no_slot_and_no_kafka() -> None:
    source = topic(3)
    async with QuickEngine(source, slots=1).running("a") as engine, connected(engine, ONE) as connection:
        reads = source.reads
        write(source, 50)
        assert len(offsets(await connection.until(lambda got: len(got.events) == 50))) == 50
        assert source.reads == reads
        assert readers(engine) == 0
