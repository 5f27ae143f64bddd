"""Faults of the hub's own code: one ends only its own step, is counted, and people see what is not read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, PollResult
from streams.engine.tail.feed import Feed, FeedBlock
from streams.engine.tail.track import Track
from tests.support.engine import Engine, eventually, whole
from tests.support.engine.connection import Connection
from tests.support.engine.hub import TP, HastyEngine, received, tip, topic, write

U = TopicPartition("u", 0)


def faults(engine: Engine, place: str) -> float:
    return engine.metrics.registry.get_sample_value("eventstreams_faults_total", {"place": place}) or 0


async def test_a_fault_while_a_suspect_partition_is_looked_at_stops_it_for_a_moment_only() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        bounds = source.bounds

        async def fails_once(*_: Any) -> Any:
            source.bounds = bounds  # type: ignore[method-assign]
            raise ValueError

        engine.hub.lookups.forget()
        engine.hub.lookups._bounds._ask = fails_once
        engine.hub.check_for_restart(TP)
        await eventually(lambda: faults(engine, "looking at a suspect partition") == 1)
        engine.hub.lookups._bounds._ask = bounds
        write(source, 200)
        await eventually(lambda: received(feed).offsets == {TP: [1]})
        await eventually(lambda: not engine.hub.partitions[TP].is_suspect)


async def test_a_fault_in_one_feed_takes_nothing_from_the_others_and_its_own_clients_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = topic(100)
    engine = HastyEngine(source)
    async with (
        engine.running("t"),
        engine.hub.feed(whole("t")) as broken,
        engine.hub.feed(whole("t", "none")) as sound,
    ):
        clients = [
            Connection(engine, feed, dict(feed.vector), [], is_sse=True, takes=lambda: True)
            for feed in (broken, broken, sound)
        ]
        following = [asyncio.ensure_future(each.until(lambda got: len(got.events) == 4)) for each in clients]
        write(source, 200)
        await eventually(lambda: all(len(each.received.events) == 1 for each in clients))
        frame = Track._take_whole

        def fails(track: Track, *inbox: Any) -> FeedBlock | None:
            if broken in track.feeds:
                monkeypatch.setattr(Track, "_take_whole", frame)
                raise RuntimeError
            return frame(track, *inbox)

        monkeypatch.setattr(Track, "_take_whole", fails)
        write(source, 300)
        await eventually(lambda: faults(engine, "adding records to a feed") == 1)
        write(source, 400, 500)
        for got in await asyncio.gather(*following):
            assert got.offsets == {TP: [1, 2, 3, 4]}
        for each in clients:
            await each.close()


async def test_a_fault_with_one_partition_stops_no_other_one_and_is_seen_while_it_lasts() -> None:
    source = topic()
    source.create("u")
    engine = HastyEngine(source, stall_seconds=0.3)
    async with engine.running("t", "u"), engine.hub.feed(whole("t", "u")) as feed:
        events = engine.encoder.events

        def fails(records: Any) -> Any:
            if any(record.topic == "t" for record in records):
                raise RuntimeError
            return events(records)

        engine.encoder.events = fails  # type: ignore[method-assign]
        write(source, 100)
        write(source, 100, 200, name="u")
        await eventually(lambda: received(feed).offsets == {U: [0, 1]})
        await eventually(lambda: engine.hub.health.problems())
        (problem,) = engine.hub.health.problems()
        assert problem.startswith("No events are read of t: this service failed on its records")
        assert engine.count("eventstreams_hub_partitions_unread") == 1
        assert engine.count("eventstreams_kafka_up") == 1
        engine.encoder.events = events  # type: ignore[method-assign]
        await eventually(lambda: received(feed).offsets == {U: [0, 1], TP: [0]})
        await eventually(lambda: engine.hub.health.problems() == [])


async def test_a_fault_while_partitions_are_placed_delays_them() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine:
        newest = engine.hub.lookups.newest

        async def fails_once(*_: Any) -> Any:
            engine.hub.lookups.newest = newest  # type: ignore[method-assign]
            raise ValueError

        engine.hub.lookups.newest = fails_once  # type: ignore[method-assign]
        async with engine.hub.feed(whole("t")) as feed:
            assert feed.vector[TP].offset == 1
        assert faults(engine, "placing partitions") == 1


async def test_a_fault_in_one_feeds_signs_of_life_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    source = topic()
    engine = HastyEngine(source, keepalive_seconds=0.1)
    async with engine.running("t"), engine.hub.feed(whole("t")) as broken, engine.hub.feed(whole("t", "x")) as sound:
        keep_alive = Feed.keep_alive

        def fails(feed: Feed, now: float) -> None:
            if feed is broken:
                raise RuntimeError
            keep_alive(feed, now)

        monkeypatch.setattr(Feed, "keep_alive", fails)
        await eventually(lambda: received(sound).keepalives)
        assert faults(engine, "sending keep-alive comments")


class Hasty(MemorySource):
    """Answers every poll at once, as Kafka does where it must not wait for news, or where one partition fails."""

    polls = 0

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        self.polls += 1
        return {tp: self._batch(tp, offset, 1 << 20) for tp, offset in positions.items()}


async def test_a_source_that_never_waits_does_not_make_the_hub_spin() -> None:
    source = Hasty()
    source.create("t")
    async with HastyEngine(source, idle_round_seconds=0.05).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        before = source.polls
        await asyncio.sleep(0.5)
        assert source.polls - before <= 11
        write(source, 100)
        await eventually(lambda: tip(engine.hub) == 1)
        assert isinstance(source._batch(TP, 1, 1), Batch)
        await eventually(lambda: received(feed).offsets == {TP: [0]})
