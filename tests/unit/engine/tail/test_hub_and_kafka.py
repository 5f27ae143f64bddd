"""The hub and Kafka's absence, and what it knows of Kafka's topics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from streams.core.errors import KafkaUnavailable
from streams.core.positions import TopicPartition
from streams.engine.source import SourceUnavailableError
from streams.engine.tail.hub import Hub
from tests.support.engine import cancel, eventually, whole
from tests.support.engine.hub import TP, HastyEngine, received, topic, write

# Whether Kafka is there.


async def test_kafka_is_away_after_three_failures_in_a_row_and_back_after_one_answer() -> None:
    source = topic()
    engine = HastyEngine(source)
    async with engine.running("t"):
        pings = 0

        async def ping() -> None:
            nonlocal pings
            pings += 1
            if pings != 3:
                raise SourceUnavailableError("away")

        source.ping = ping  # type: ignore[method-assign]
        await eventually(lambda: pings == 5)
        assert engine.hub.available
        await eventually(lambda: not engine.hub.available)
        assert engine.count("eventstreams_kafka_up") == 0
        del source.ping
        await eventually(lambda: engine.hub.available)
        assert engine.count("eventstreams_kafka_up") == 1


async def test_no_sign_of_life_is_asked_for_while_fetches_are_answered() -> None:
    source = topic()
    pings = 0

    async def ping() -> None:
        nonlocal pings
        pings += 1

    async with HastyEngine(source, ping_seconds=0.2).running("t") as engine, engine.hub.feed(whole("t")):
        await eventually(lambda: engine.hub.available)
        source.ping = ping  # type: ignore[method-assign]
        for number in range(30):
            write(source, 100 + number)
            await asyncio.sleep(0.02)
        assert pings == 0
        source.silent = {1}
        await eventually(lambda: pings == 2)


async def test_a_stream_goes_on_by_itself_when_kafka_is_back() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        source.available = False
        write(source, 200)
        await eventually(lambda: not engine.hub.available)
        source.available = True
        await eventually(lambda: received(feed).offsets == {TP: [1]})


async def test_a_hub_whose_kafka_comes_late_is_unavailable_until_then() -> None:
    source = topic(100)
    source.available = False
    hub = HastyEngine(source).hub
    hub.set_topics(["t"])
    hub.start()
    try:
        await asyncio.sleep(0.2)
        assert not hub.available
        assert not hub.has_metadata
        with pytest.raises(KafkaUnavailable):
            await hub.topics(["t"])
        source.available = True
        await eventually(lambda: hub.available)
        assert await hub.topics(["t"]) == {"t": 1}
    finally:
        await hub.close()


async def test_a_feed_whose_partitions_cannot_be_found_is_an_error_in_time() -> None:
    source = topic(100)
    async with HastyEngine(source, ready_seconds=0.2).running("t") as engine:
        source.available = False
        with pytest.raises(KafkaUnavailable):
            async with engine.hub.feed(whole("t")):
                pass
        source.available = True
        async with engine.hub.feed(whole("t")) as feed:
            assert feed.vector[TP].offset == 1


async def test_a_fault_of_ours_in_the_tail_is_logged_and_the_hub_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        take, engine.hub._take = engine.hub._take, None  # type: ignore[assignment, method-assign]
        write(source, 200)
        await eventually(lambda: "A fault while taking the records of a partition" in caplog.text)
        assert engine.metrics.registry.get_sample_value(
            "eventstreams_faults_total", {"place": "taking the records of a partition"}
        )
        engine.hub._take = take  # type: ignore[method-assign]
        await eventually(lambda: received(feed).offsets == {TP: [1]})


# What there is.


async def test_only_topics_of_the_catalogue_are_asked_for() -> None:
    source = topic()
    source.create("secret")
    asked: set[str] = set()
    refresh = source.refresh

    async def spy(topics: Iterable[str]) -> None:
        topics = list(topics)
        asked.update(topics)
        await refresh(topics)

    source.refresh = spy  # type: ignore[method-assign]
    async with HastyEngine(source).running("t", "u") as engine:
        assert await engine.hub.topics(["t", "secret"]) == {"t": 1}
    assert asked == {"t", "u"}


async def test_what_a_request_names_and_the_hub_has_not_heard_of_is_asked_for_at_once() -> None:
    """An id may come from another process, which has found the new partition first."""
    source = topic()
    async with HastyEngine(source, refresh_seconds=1000.0).running("t", "u") as engine:
        source.create("t", 2)
        source.create("u")
        assert await engine.hub.topics(["t", "u"]) == {"t": 1}
        assert await engine.hub.topics(["t", "u"], [TopicPartition("t", 0)]) == {"t": 1}
        assert await engine.hub.topics(["t", "u"], [TopicPartition("t", 1)]) == {"t": 2, "u": 1}


async def test_a_catalogue_that_comes_while_kafka_is_being_asked_is_asked_for_next() -> None:
    source = topic()
    gate = asyncio.Event()
    asking = asyncio.Event()
    refresh = source.refresh

    async def slow(topics: Iterable[str]) -> None:
        asking.set()
        await gate.wait()
        await refresh(topics)

    source.refresh = slow  # type: ignore[method-assign]
    hub = HastyEngine(source, refresh_seconds=1000.0).hub
    hub.start()
    try:
        await asking.wait()
        hub.set_topics(["t"])
        known = asyncio.ensure_future(hub.topics(["t"]))
        await asyncio.sleep(0)
        gate.set()
        assert await known == {"t": 1}
    finally:
        await hub.close()


async def test_a_hub_closes_at_any_moment() -> None:
    for moment in range(12):
        source = topic(100)
        engine = HastyEngine(source)
        engine.hub.set_topics(["t"])
        engine.hub.start()
        opening = asyncio.ensure_future(_open(engine.hub))
        for _ in range(moment):
            await asyncio.sleep(0)
        write(source, 200)
        await asyncio.wait_for(engine.hub.close(), 10)
        await cancel(opening)


async def _open(hub: Hub) -> None:
    with contextlib.suppress(KafkaUnavailable):
        async with hub.feed(whole("t")):
            await asyncio.sleep(10)
