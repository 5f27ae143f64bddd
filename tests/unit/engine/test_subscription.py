"""The pull loop: no event lost, none twice, and no id that is not true (invariants 3 and 4 of the architecture)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import pytest

from streams.core.catalogue import Stream
from streams.core.plan import plan
from streams.core.positions import OLDEST, TopicPartition
from streams.engine import subscription as module
from streams.engine.memory import MemorySource
from streams.engine.replay import history as history_module
from streams.engine.replay import merge as merge_module
from streams.engine.resume import resolve
from streams.engine.source import Batch, PollResult
from streams.engine.tail.feed import Selection
from tests.support.connection import TP, Connection, connected, id_of, quicken
from tests.support.engine import Engine, Received, cancel, eventually, numbered


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


# What the model leaves out: gaps, outages, seats, formats.

ONE = Stream("one", ("a",), (), (), "", None, None, False, {})


def topic(count: int, padding: int = 0) -> MemorySource:
    source = MemorySource()
    source.create("a")
    write(source, count, padding)
    return source


def write(source: MemorySource, count: int, padding: int = 0, number: int = 0) -> None:
    for n in range(number, number + count):
        source.append("a", numbered(n, padding), 1_000 + n)


def offsets(got: Received) -> list[int]:
    return got.offsets.get(TP, [])


FROM_THE_OLDEST = id_of({TP: OLDEST})


async def test_an_ndjson_client_gets_one_event_a_line_and_no_gap() -> None:
    source = topic(5)
    async with Engine(source).running("a") as engine:
        source.truncate_before("a", 2)
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, is_sse=False) as connection:
            await connection.until(lambda got: len(got.events) == 3)
            write(source, 2)
            assert offsets(await connection.until(lambda got: len(got.events) == 5)) == [2, 3, 4, 5, 6]


async def test_a_very_large_event_is_passed_on_in_parts_that_are_not_copied() -> None:
    source = topic(1)
    write(source, 1, padding=2 * merge_module.WHOLE_BYTES)
    async with (
        Engine(source, cache_bytes=64 << 20).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        assert offsets(await connection.until(lambda got: len(got.events) == 2)) == [0, 1]
        write(source, 1, padding=2 * merge_module.WHOLE_BYTES)
        write(source, 1)
        assert offsets(await connection.until(lambda got: len(got.events) == 4)) == [0, 1, 2, 3]


async def test_chunks_are_of_bounded_size_however_much_there_is_to_catch_up() -> None:
    source = topic(500, padding=1_000)
    async with (
        Engine(source).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        count = 0
        while count < 500:
            chunk = await anext(connection._chunks)
            assert chunk.nbytes < module.CHUNK_BYTES + chunk.events * 200 + 2_000
            count += chunk.events


async def test_partitions_are_merged_by_their_timestamps_on_the_way_to_the_end() -> None:
    source = MemorySource()
    source.create("a", 3)
    for n in range(90):
        source.append("a", numbered(n), 1_000 + n, partition=n % 3)
    everything = id_of({TopicPartition("a", n): OLDEST for n in range(3)})
    async with Engine(source).running("a") as engine, connected(engine, ONE, last_event_id=everything) as connection:
        got = await connection.until(lambda got: len(got.events) == 90)
        assert [offset * 3 + tp.partition for tp, offset in got.events] == list(range(90))


async def test_who_is_ahead_of_the_feed_waits_for_it_and_hears_a_sign_of_life() -> None:
    """An id from another process, whose hub is faster."""
    source = StoppingSource()
    source.create("a")
    async with (
        Engine(source).running("a") as engine,
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


class StoppingSource(MemorySource):
    """Its tail can be stopped, and its reads take a while."""

    stopped = False
    read_seconds = 0.0

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.stopped else results

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await asyncio.sleep(self.read_seconds)
        return await super().read(partition, offset, max_bytes)


async def test_an_outage_while_catching_up_is_sat_out_with_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source).running("a") as engine,
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


async def test_a_long_way_without_any_event_has_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 1)
    source = StoppingSource()
    source.create("a")
    for n in range(200):
        source.append("a", None if n % 2 else b"no event", n)
    write(source, 1)
    async with Engine(source).running("a") as engine:
        source.read_seconds = 0.002
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.05) as connection:
            got = await connection.until(lambda got: got.events)
            assert got.keepalives >= 2
            assert offsets(got) == [200]


async def test_no_sign_of_life_where_they_are_switched_off() -> None:
    source = topic(10)
    async with Engine(source).running("a") as engine:
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection:
            source.available = False
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.chunk()
        source.available = True


async def test_retention_that_overtakes_a_reader_is_a_gap_and_the_rest_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        source.truncate_before("a", 60)
        got = await connection.until(lambda got: got.events[-1][1] == 99)
        seen = offsets(got)
        (gap,) = got.gaps
        assert (gap["topic"], gap["partition"], gap["served"]) == ("a", 0, 60)
        assert seen == [*range(gap["asked"]), *range(60, 100)]
        assert gap["asked"] < 60
        assert engine.count("eventstreams_gaps_total") == 1


async def test_a_topic_that_is_recreated_is_a_gap_for_who_follows_and_none_of_the_old_events_comes_again() -> None:
    source = topic(50)
    engine = Engine(source, ring_bytes=1)
    async with engine.running("a"):
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as reader:
            await reader.until(lambda got: len(got.events) == 50)  # what it has read stays in the cache
            async with connected(engine, ONE) as follower:
                start = asyncio.ensure_future(follower.chunk())
                await asyncio.sleep(0.02)
                source.delete("a")
                source.create("a")
                for n in range(30):
                    source.append("a", b'{"anew":%d}' % n, 9_000 + n)
                await start
                for connection, seen in ((follower, []), (reader, list(range(50)))):
                    got = await connection.until(lambda got: got.events and got.events[-1][1] == 29 and got.gaps)
                    assert offsets(got) == seen + list(range(30))
                    assert [(gap["asked"], gap["served"]) for gap in got.gaps] == [(50, 0)]
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as late:
            chunk = await anext(late._chunks)
            assert b"".join(chunk.parts).count(b'"anew":') == chunk.events > 0


async def test_a_topic_that_is_recreated_under_a_reader_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        read = len(connection.received.events)
        source.delete("a")
        source.create("a")
        for n in range(5):
            source.append("a", b'{"anew":%d}' % n, 9_000 + n)
        got = await connection.until(lambda got: got.gaps and offsets(got)[-5:] == [0, 1, 2, 3, 4])
        assert read < 100
        assert got.gaps[-1]["served"] == 0


async def test_a_topic_that_goes_under_a_reader_is_a_gap_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    source.create("b")
    both = id_of({TP: OLDEST, TopicPartition("b", 0): OLDEST})
    async with (
        Engine(source, cache_bytes=0).running("a", "b") as engine,
        connected(engine, last_event_id=both) as connection,
    ):
        await connection.chunk()
        source.delete("a")
        source.append("b", numbered(1), 5)
        got = await connection.until(lambda got: TopicPartition("b", 0) in got.offsets and got.gaps)
        (gap,) = got.gaps
        assert (gap["topic"], gap["served"]) == ("a", None)
        assert gap["asked"] == len(offsets(got))


async def test_a_topic_that_comes_back_with_fewer_partitions_is_a_gap_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = MemorySource()
    source.create("a", 2)
    for n in range(50):
        source.append("a", numbered(n), n, partition=1)
    gone = TopicPartition("a", 1)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=id_of({TP: OLDEST, gone: OLDEST})) as connection,
    ):
        await connection.chunk()
        source.delete("a")
        source.create("a")
        write(source, 3)
        got = await connection.until(lambda got: len(offsets(got)) == 3)
        assert [(gap["partition"], gap["asked"], gap["served"]) for gap in got.gaps] == [
            (1, len(got.offsets[gone]), None)
        ]


async def test_a_partition_added_while_a_client_connects_comes_from_its_first_event() -> None:
    source = topic(1)
    engine = Engine(source)
    async with engine.running("a"), connected(engine, ONE) as first:
        hub = engine.hub
        planned = plan([ONE], 0, None, await hub.topics(["a"]))
        source.create("a", 2)
        source.append("a", numbered(7), 7, partition=1)
        await first.until(lambda got: got.events)  # the feed has gone on beyond its first event
        async with hub.feed(Selection(planned.topics, frozenset(), planned.scope)) as feed:
            position, _ = await resolve(hub, planned.starts)
            late = Connection(engine, feed, position, [], is_sse=True)
            got = await late.until(lambda got: len(got.events) == 2)
            assert got.offsets == {TP: [0], TopicPartition("a", 1): [0]}
            await late.close()


# Seats: what a client holds of history, it holds only while it can be written to.


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


async def test_a_client_that_is_parked_holds_neither_a_seat_nor_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with Engine(topic(100), seats=1).running("a") as engine:
        async with (
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as stalled,
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as other,
        ):
            await stalled.chunk()
            assert readers(engine) == 1
            stalled.subscription.park()
            assert readers(engine) == 0
            assert not stalled.subscription._merge
            await read_on(other)
            await read_on(stalled)
        assert readers(engine) == 0


async def test_a_client_that_is_parked_while_it_waits_for_a_seat_is_not_given_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with Engine(topic(100), seats=1).running("a") as engine:
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


async def test_a_client_that_goes_while_it_waits_for_a_seat_leaves_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with (
        Engine(topic(100), seats=1).running("a") as engine,
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


async def test_readers_that_wait_get_their_turn_before_one_has_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    monkeypatch.setattr(history_module, "MIN_TURN_BYTES", 1_000)
    async with Engine(topic(100), seats=1, cache_bytes=0).running("a") as engine, contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(engine, ONE, last_event_id=FROM_THE_OLDEST)) for _ in range(4)
        ]
        order = await read_on(*clients)
        begun = max(order.index(client) for client in clients)
        ended = min(len(order) - order[::-1].index(client) for client in clients)
        assert begun < ended, "all had begun before any had ended"


async def test_the_next_read_is_under_way_while_the_last_is_sent_and_none_beyond_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 10_000)
    async with (
        Engine(topic(200, padding=1_000)).running("a") as engine,
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


async def test_a_client_that_follows_needs_no_seat_and_no_kafka() -> None:
    source = topic(3)
    async with Engine(source, seats=1).running("a") as engine, connected(engine, ONE) as connection:
        reads = source.reads
        write(source, 50)
        assert len(offsets(await connection.until(lambda got: len(got.events) == 50))) == 50
        assert source.reads == reads
        assert readers(engine) == 0
