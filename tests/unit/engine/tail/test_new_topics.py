"""Only what an earlier answer about a topic did not have is new: nothing else is read from its beginning."""

from __future__ import annotations

import asyncio

import pytest

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from tests.support.engine import eventually, whole
from tests.support.engine.hub import TP, HastyEngine, received, topic, write

OLD = range(1_000, 1_500)
U = TopicPartition("u", 0)


def full_of_history() -> MemorySource:
    source = topic()
    source.create("u")
    write(source, *OLD, name="u")
    return source


async def test_an_existing_topic_that_a_stream_gains_is_read_from_now_on() -> None:
    """A sync has added it, and a client asks within the second, before the next look at the metadata."""
    source = full_of_history()
    engine = HastyEngine(source, refresh_seconds=1000.0)
    async with engine.running("t"):
        engine.hub.set_topics(["t", "u"])
        assert await engine.hub.topics(["t", "u"]) == {"t": 1, "u": 1}, "the metadata are asked for it at once"
        async with engine.hub.feed(whole("t", "u")) as feed:
            assert feed.vector[U].offset == len(OLD)
            write(source, 2_000, name="u")
            await eventually(lambda: received(feed).offsets == {U: [len(OLD)]})


async def test_a_feed_that_was_opened_before_the_topic_was_asked_for_gets_it_from_now_on() -> None:
    source = full_of_history()
    engine = HastyEngine(source)
    async with engine.running("t"), engine.hub.feed(whole("t", "u")) as feed:
        engine.hub.set_topics(["t", "u"])
        await eventually(lambda: U in feed.vector)
        write(source, 2_000, name="u")
        await eventually(lambda: received(feed).offsets == {U: [len(OLD)]})
        async with engine.hub.feed(whole("u")) as later:
            assert later.vector[U].offset == len(OLD) + 1, "the end is the end for clients that come later"


@pytest.mark.parametrize("kind", ["hidden", "unseen"])
async def test_a_topic_that_a_passing_error_hid_at_first_is_read_from_now_on(kind: str) -> None:
    source = full_of_history()
    getattr(source, kind).add("u")
    async with HastyEngine(source).running("t", "u") as engine, engine.hub.feed(whole("t", "u")) as feed:
        await asyncio.sleep(0.1)
        getattr(source, kind).clear()
        await eventually(lambda: U in feed.vector)
        write(source, 2_000, name="u")
        await eventually(lambda: received(feed).offsets == {U: [len(OLD)]})


async def test_a_passing_error_between_two_answers_hides_no_new_partition() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        source.hidden.add("t")
        await asyncio.sleep(0.1)
        source.create("t", 2)
        write(source, 1, 2, partition=1)
        source.hidden.clear()
        await eventually(lambda: received(feed).offsets == {TopicPartition("t", 1): [0, 1]})


async def test_a_topic_that_comes_back_to_the_catalogue_is_not_new_for_having_been_absent_before() -> None:
    source = topic()
    async with HastyEngine(source).running("t", "u") as engine:
        engine.hub.set_topics(["t"])
        await engine.hub.topics(["t"])
        source.create("u")
        write(source, *OLD, name="u")
        engine.hub.set_topics(["t", "u"])
        async with engine.hub.feed(whole("t", "u")) as feed:
            await eventually(lambda: U in feed.vector)
            assert feed.vector[U].offset == len(OLD)


async def test_a_topic_that_did_not_exist_and_is_created_is_read_from_its_beginning() -> None:
    source = topic()
    async with HastyEngine(source).running("t", "u") as engine, engine.hub.feed(whole("t", "u")) as feed:
        source.create("u")
        write(source, 1, 2, name="u")
        await eventually(lambda: received(feed).offsets == {U: [0, 1]})


async def test_a_topic_that_goes_while_its_position_is_waited_for_keeps_nobody_from_the_others() -> None:
    source = topic(100)
    source.create("u", broker=2)
    engine = HastyEngine(source, ready_seconds=10.0)
    async with engine.running("t", "u"):
        source.silent.add(2)
        async with engine.hub.feed(whole("t")):
            waiting = asyncio.ensure_future(engine.hub.join(whole("t", "u"), [TP, U]))
            await eventually(lambda: U in engine.hub.partitions)
            source.delete("u")
            async with asyncio.timeout(5):
                feed = await waiting
            assert feed.vector.keys() == {TP}
            engine.hub.leave(feed)
