"""The process's one reader of the tail, and what it makes of topics that come, grow, go, and begin again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest

from streams.core.errors import KafkaUnavailable
from streams.core.positions import Mark, Scope, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Bounds, PollResult
from streams.engine.tail.feed import Selection
from tests.support.engine import eventually, whole
from tests.support.engine.hub import MINUTE_MS, TP, HastyEngine, now_ms, received, tip, topic, write

# The tail.


async def test_a_feed_begins_at_the_end_and_gets_everything_that_comes_after() -> None:
    source = topic(100, 200)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        assert feed.vector == {TP: Mark(0, 2, 201)}
        write(source, 300, 300)
        source.skip("t", 3)
        write(source, 250)
        await eventually(lambda: feed.vector[TP].offset == 8)
        assert received(feed).offsets == {TP: [2, 3, 7]}
        assert feed.vector == {TP: Mark(0, 8, 251)}


async def test_events_go_to_every_feed_that_wants_them_and_are_made_once() -> None:
    source = topic()
    source.create("u")
    engine = HastyEngine(source)
    async with (
        engine.running("t", "u"),
        engine.hub.feed(whole("t")) as first,
        engine.hub.feed(whole("t", "u")) as both,
        engine.hub.feed(Selection(frozenset(), frozenset([TP]), Scope.PARTITIONS)) as single,
        engine.hub.feed(whole("u")) as other,
    ):
        write(source, 100, 200)
        await eventually(lambda: all(feed.vector[TP].offset == 2 for feed in (first, both, single)))
        assert [received(feed).offsets for feed in (first, both, single)] == [{TP: [0, 1]}] * 3
        assert received(other).offsets == {}
        assert engine.count("eventstreams_events_encoded_total") == 2


async def test_all_who_ask_for_the_same_share_one_feed() -> None:
    async with HastyEngine(topic()).running("t") as engine, engine.hub.feed(whole("t")) as first:
        async with engine.hub.feed(whole("t")) as second:
            assert second is first
            assert first.clients == 2
        assert first.clients == 1


async def test_records_that_are_no_events_move_the_position_and_its_timestamp() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        source.append("t", None, 500)
        await eventually(lambda: feed.vector == {TP: Mark(0, 2, 501)})


async def test_an_open_transaction_holds_the_tail_back_until_it_ends() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        source.hold("t", 1)
        write(source, 200)
        await asyncio.sleep(0.1)
        assert feed.vector[TP].offset == 1
        source.hold("t", None)
        await eventually(lambda: received(feed).offsets == {TP: [1]})


# Silent partitions.


async def test_a_silent_partition_carries_its_newest_records_timestamp() -> None:
    source = topic(100, 300, 200)
    source.skip("t", 5)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        assert feed.vector == {TP: Mark(0, 8, 201)}


async def test_a_partition_without_records_was_seen_ten_minutes_before_it_was_watched() -> None:
    source = topic(partitions=2)
    write(source, 100, partition=1)
    before = now_ms()
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        assert before - 1 <= feed.vector[TP].timestamp + 10 * MINUTE_MS <= now_ms() + 1
        write(source, 500, partition=1)
        await eventually(lambda: feed.vector[TopicPartition("t", 1)].offset == 2)
        (id_,) = received(feed).ids
        assert f'"partition":0,"timestamp":{feed.vector[TP].timestamp},"cursor":"memory-c:0"' in id_


# Partitions and topics that come.


async def test_a_new_partition_is_read_from_its_beginning_on_feeds_that_are_open() -> None:
    source = topic(100)
    engine = HastyEngine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        source.create("t", 2)
        write(source, 700, 800, partition=1)
        new = TopicPartition("t", 1)
        await eventually(lambda: received(feed).offsets == {new: [0, 1]})
        write(source, 200)
        await eventually(lambda: TP in received(feed).offsets)
        assert '"partition":1,"timestamp":801,"cursor":"memory-c:2"' in received(feed).ids[-1]


async def test_a_topic_that_is_made_later_is_read_from_its_beginning() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t", "later") as engine, engine.hub.feed(whole("t", "later")) as feed:
        source.create("later")
        write(source, 1, 2, name="later")
        await eventually(lambda: received(feed).offsets == {TopicPartition("later", 0): [0, 1]})


async def test_a_feed_of_single_partitions_gets_no_new_ones() -> None:
    source = topic(100)
    selection = Selection(frozenset(), frozenset([TP]), Scope.PARTITIONS)
    async with (
        HastyEngine(source).running("t") as engine,
        engine.hub.feed(selection) as single,
        engine.hub.feed(whole("t")) as feed,
    ):
        source.create("t", 2)
        await eventually(lambda: len(feed.vector) == 2)
        assert set(single.vector) == {TP}


async def test_nobody_waits_for_a_new_partition_but_who_has_read_it_before() -> None:
    source = Denying()
    source.create("t")
    engine = HastyEngine(source, ready_seconds=0.3)
    new = TopicPartition("t", 1)
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        source.denied = {new}
        source.create("t", 2)
        await eventually(lambda: new in engine.hub.feeds.track_of(feed).missing)
        async with engine.hub.feed(whole("t")) as again:
            assert again is feed
        with pytest.raises(KafkaUnavailable):
            async with engine.hub.feed(whole("t"), [new]):
                pass
        source.denied = set()
        async with engine.hub.feed(whole("t"), [new]):
            assert new in feed.vector


class Denying(MemorySource):
    """Says nothing of some partitions, as while they have no leader."""

    denied: set[TopicPartition] = set()  # noqa: RUF012 — replaced, never changed

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        return await super().bounds(tp for tp in partitions if tp not in self.denied)


async def test_a_partition_without_a_leader_keeps_no_other_feed_back() -> None:
    source = Denying()
    source.create("t")
    source.create("u")
    source.denied = {TopicPartition("u", 0)}
    async with HastyEngine(source, ready_seconds=0.3).running("t", "u") as engine:
        with pytest.raises(KafkaUnavailable):
            async with engine.hub.feed(whole("u")):
                pass
        async with engine.hub.feed(whole("t")) as feed:
            assert set(feed.vector) == {TP}


# Partitions that begin again, and topics that go.


async def test_a_topic_that_is_recreated_begins_a_new_incarnation_and_a_gap_is_said() -> None:
    source = topic(100, 200, 300)
    engine = HastyEngine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        old = engine.hub.partitions[TP].incarnation
        write(source, 400)
        await eventually(lambda: feed.vector[TP].offset == 4)
        source.delete("t")
        await asyncio.sleep(0.1)
        source.create("t")
        write(source, 900, 950)
        await eventually(lambda: received(feed).offsets == {TP: [3, 0, 1]})
        got = received(feed)
        assert got.gaps == [{"topic": "t", "partition": 0, "asked": 4, "served": 0}]
        assert engine.hub.partitions[TP].incarnation > old
        assert feed.vector[TP] == Mark(engine.hub.partitions[TP].incarnation, 2, 951)
        assert engine.count("eventstreams_gaps_total") == 1


async def test_a_topic_that_is_recreated_as_long_as_it_was_is_known_by_its_timestamps() -> None:
    source = topic(100, 200, 300)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        write(source, 400)
        await eventually(lambda: feed.vector[TP].offset == 4)
        source.delete("t")
        await eventually(lambda: engine.hub.partitions[TP].was_away)
        source.create("t")
        write(source, 901, 902, 903, 904)
        await eventually(lambda: received(feed).offsets == {TP: [3, 0, 1, 2, 3]})


async def test_a_topic_that_was_away_and_is_the_same_goes_on_without_a_gap() -> None:
    source = topic(100, 200)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        log = source._logs[TP]
        source.delete("t")
        await eventually(lambda: engine.hub.partitions[TP].was_away)
        source._logs[TP] = log
        write(source, 300)
        await eventually(lambda: received(feed).offsets == {TP: [2]})
        assert received(feed).gaps == []


async def test_a_truncated_partition_begins_anew() -> None:
    """An unclean leader election: the end falls below what has been read."""
    source = topic(100, 200, 300)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        log = source._logs[TP]
        log.records.pop()
        log.end = 2
        await eventually(lambda: received(feed).offsets == {TP: [0, 1]})
        assert received(feed).gaps == [{"topic": "t", "partition": 0, "asked": 3, "served": 0}]


async def test_an_end_that_is_only_for_a_moment_below_what_was_read_is_no_truncation() -> None:
    """A new leader may know less than the old one did, until it has caught up."""
    source = topic(100, 200, 300)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        log = source._logs[TP]
        log.end = 2
        await eventually(lambda: engine.hub.partitions[TP].is_suspect)
        log.end = 3
        await eventually(lambda: not engine.hub.partitions[TP].is_suspect)
        write(source, 400)
        await eventually(lambda: received(feed).offsets == {TP: [3]})
        assert received(feed).gaps == []


class Stopping(MemorySource):
    """Its tail can be stopped."""

    stopped = False

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.stopped else results


async def test_a_tail_that_retention_overtakes_goes_on_at_the_oldest_and_a_gap_is_said() -> None:
    source = Stopping()
    source.create("t")
    engine = HastyEngine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        incarnation = engine.hub.partitions[TP].incarnation
        source.stopped = True
        write(source, 100, 200, 300, 400)
        source.truncate_before("t", 3)
        source.stopped = False
        await eventually(lambda: received(feed).offsets == {TP: [3]})
        assert received(feed).gaps == [{"topic": "t", "partition": 0, "asked": 0, "served": 3}]
        assert engine.hub.partitions[TP].incarnation == incarnation, "its offsets mean what they meant"


async def test_a_suspicion_that_is_unfounded_changes_nothing() -> None:
    source = topic(100)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        engine.hub.check_for_restart(TP)
        engine.hub.check_for_restart(TP)
        engine.hub.check_for_restart(TopicPartition("unknown", 0))
        write(source, 200)
        await eventually(lambda: received(feed).offsets == {TP: [1]})
        assert received(feed).gaps == []


async def test_no_incarnation_comes_twice_also_where_a_partition_is_watched_again() -> None:
    """What history keeps is kept under it."""
    engine = HastyEngine(topic(100), grace_seconds=0)
    async with engine.running("t"):
        seen = set()
        for _ in range(2):
            async with engine.hub.feed(whole("t")):
                seen.add(engine.hub.partitions[TP].incarnation)
            await eventually(lambda: not engine.hub.partitions)
        assert len(seen) == 2


# Feeds that nobody wants any more.


async def test_a_feed_is_kept_for_a_while_after_its_last_client_and_then_let_go() -> None:
    source = topic(100)
    engine = HastyEngine(source, grace_seconds=1.5)
    async with engine.running("t"):
        async with engine.hub.feed(whole("t")) as first:
            pass
        write(source, 200)
        await eventually(lambda: tip(engine.hub) == 2)
        async with engine.hub.feed(whole("t")) as second:
            assert second is first
            await asyncio.sleep(2.6)
            assert TP in engine.hub.partitions, "it has a client"
        await eventually(lambda: not engine.hub.partitions)
        async with engine.hub.feed(whole("t")) as third:
            assert third is not first
            assert third.vector[TP].offset == 2


async def test_only_so_many_feeds_are_kept_that_nobody_follows() -> None:
    source = topic()
    names = ["t", *"uvwx"]
    for name in names[1:]:
        source.create(name)
    engine = HastyEngine(source, idle_feeds=2)
    async with engine.running(*names), engine.hub.feed(whole("t")):
        for name in names:
            async with engine.hub.feed(whole(name)):
                pass
        assert {tp.topic for tp in engine.hub.partitions} == {"t", "w", "x"}, "the newest, and those with a client"


async def test_a_partition_stays_while_any_feed_wants_it() -> None:
    source = topic()
    source.create("u")
    engine = HastyEngine(source, grace_seconds=0)
    async with engine.running("t", "u"), engine.hub.feed(whole("t")) as feed:
        async with engine.hub.feed(whole("t", "u")):
            assert set(engine.hub.partitions) == {TP, TopicPartition("u", 0)}
        await eventually(lambda: set(engine.hub.partitions) == {TP})
        write(source, 100)
        await eventually(lambda: received(feed).offsets == {TP: [0]})


async def test_feeds_share_their_bytes() -> None:
    source = topic()
    source.create("u")
    engine = HastyEngine(source, ring_bytes=1 << 20, grace_seconds=0)
    async with engine.running("t", "u"), engine.hub.feed(whole("t")) as first:
        assert first.max_bytes == 1 << 20
        async with engine.hub.feed(whole("u")) as second:
            assert first.max_bytes == second.max_bytes == 1 << 19
        await eventually(lambda: first.max_bytes == 1 << 20)


async def test_a_silence_is_broken_for_all_who_follow() -> None:
    async with HastyEngine(topic(), keepalive_seconds=0.5).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        await eventually(lambda: received(feed).keepalives >= 2)
