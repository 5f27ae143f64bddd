"""Retention and deleted topics under a client that reads: a gap is reported, and the rest is sent."""

from __future__ import annotations

import asyncio

from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from tests.support.engine import numbered
from tests.support.engine.connection import TP, QuickEngine, connected, id_of
from tests.support.engine.one_topic import FROM_THE_OLDEST, ONE, offsets, topic, write


async def test_retention_that_overtakes_a_reader_is_a_gap_and_the_rest_is_sent() -> None:
    source = topic(100)
    async with (
        QuickEngine(source, cache_bytes=0, read_bytes=200).running("a") as engine,
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
    engine = QuickEngine(source, ring_bytes=1)
    async with engine.running("a"):
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as reader:
            await reader.until(lambda got: len(got.events) == 50)  # what it has read stays in the cache
            async with connected(engine, ONE) as follower:
                start = asyncio.ensure_future(follower.chunk())
                await asyncio.sleep(0.02)
                source.delete("a")
                source.create("a")
                for n in range(30):
                    source.append("a", b'{"again":%d}' % n, 9_000 + n)
                await start
                for connection, seen in ((follower, []), (reader, list(range(50)))):
                    got = await connection.until(lambda got: got.events and got.events[-1][1] == 29 and got.gaps)
                    assert offsets(got) == seen + list(range(30))
                    assert [(gap["asked"], gap["served"]) for gap in got.gaps] == [(50, 0)]
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as late:
            chunk = await anext(late._chunks)
            assert b"".join(chunk.parts).count(b'"again":') == chunk.events > 0


async def test_a_topic_that_is_recreated_under_a_reader_is_a_gap() -> None:
    source = topic(100)
    async with (
        QuickEngine(source, cache_bytes=0, read_bytes=200).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        read = len(connection.received.events)
        source.delete("a")
        source.create("a")
        for n in range(5):
            source.append("a", b'{"again":%d}' % n, 9_000 + n)
        got = await connection.until(lambda got: got.gaps and offsets(got)[-5:] == [0, 1, 2, 3, 4])
        assert read < 100
        assert got.gaps[-1]["served"] == 0


async def test_a_topic_that_goes_under_a_reader_is_a_gap_and_the_others_go_on() -> None:
    source = topic(100)
    source.create("b")
    both = id_of({TP: OLDEST, TopicPartition("b", 0): OLDEST})
    async with (
        QuickEngine(source, cache_bytes=0, read_bytes=200).running("a", "b") as engine,
        connected(engine, last_event_id=both) as connection,
    ):
        await connection.chunk()
        source.delete("a")
        source.append("b", numbered(1), 5)
        got = await connection.until(lambda got: TopicPartition("b", 0) in got.offsets and got.gaps)
        (gap,) = got.gaps
        assert (gap["topic"], gap["served"]) == ("a", None)
        assert gap["asked"] == len(offsets(got))


async def test_a_topic_that_comes_back_with_fewer_partitions_is_a_gap_and_the_rest_goes_on() -> None:
    source = MemorySource()
    source.create("a", 2)
    for n in range(50):
        source.append("a", numbered(n), n, partition=1)
    gone = TopicPartition("a", 1)
    async with (
        QuickEngine(source, cache_bytes=0, read_bytes=200).running("a") as engine,
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
