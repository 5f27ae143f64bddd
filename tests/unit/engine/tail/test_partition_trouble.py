"""One partition's trouble is its own: what answers is served; the rest is reported (`served` null) and comes later."""

from __future__ import annotations

import json

import pytest

from streams.core.catalogue import Stream
from streams.core.errors import KafkaUnavailable, NoTopicsAvailable, TopicNotAvailable
from streams.core.plan import Start, plan
from streams.core.positions import END, Gap, Scope, TopicPartition, parse_last_event_id
from streams.engine.memory import MemorySource
from streams.engine.resume import resolve
from tests.support.engine import eventually, whole
from tests.support.engine.connection import Connection
from tests.support.engine.hub import TP, HastyEngine, received, write

U = TopicPartition("u", 0)
BOTH = whole("t", "u")


def two_brokers() -> MemorySource:
    """`t` is on broker 1, `u` on broker 2; each has two events."""
    source = MemorySource()
    for number, name in enumerate("tu", 1):
        source.create(name, broker=number)
        write(source, 100, 200, name=name)
    return source


def _silence(source: MemorySource) -> None:
    source.silent.add(2)


def _no_leader(source: MemorySource) -> None:
    source.lead("u", -1)


def _deny(source: MemorySource) -> None:
    source.unreadable.add("u")


def _heal(source: MemorySource) -> None:
    source.silent.clear()
    source.unreadable.clear()
    source.unseen.clear()
    source.hidden.clear()
    source.lead("u", 2)


troubles = pytest.mark.parametrize("trouble", [_silence, _no_leader, _deny])


@troubles
async def test_a_cold_stream_of_a_healthy_broker_is_served_while_another_ones_is_wanted(trouble: object) -> None:
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=1.0)
    async with engine.running("t", "u"):
        trouble(source)  # type: ignore[operator]
        with pytest.raises((KafkaUnavailable, NoTopicsAvailable)):
            async with engine.hub.feed(whole("u")):
                pass
        assert U in engine.hub.partitions, "it is wanted for a while"
        async with engine.hub.feed(whole("t")) as feed:
            write(source, 300)
            await eventually(lambda: received(feed).offsets == {TP: [2]})


@troubles
async def test_a_live_start_is_served_what_can_be_read_and_told_what_cannot_and_gets_it_later(trouble: object) -> None:
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=1.0)
    async with engine.running("t", "u"):
        trouble(source)  # type: ignore[operator]
        async with engine.hub.feed(BOTH) as feed:
            position, gaps = await resolve(engine.hub, {TP: Start(offset=END), U: Start(offset=END)})
            assert position == {TP: engine.hub.partitions[TP].mark}
            assert position[TP].offset == 2
            assert gaps == [Gap("u", 0, END, None)]
            write(source, 300)
            await eventually(lambda: received(feed).offsets == {TP: [2]})
            (first,) = received(feed).ids
            entry = next(entry for entry in json.loads(first) if entry["topic"] == "u")
            assert entry.keys() == {"topic", "partition", "timestamp"}, "resuming from it loses nothing of `u`"
            _heal(source)
            await eventually(lambda: U not in engine.hub.feeds.track_of(feed).missing)
            write(source, 400, 500, name="u")
            await eventually(lambda: received(feed).offsets == {TP: [2], U: [2, 3]})
            assert '"cursor":"memory-c:4"' in received(feed).ids[-1]


@troubles
async def test_who_asks_for_a_time_is_served_what_can_be_read_and_told_what_cannot(trouble: object) -> None:
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=1.0)
    async with engine.running("t", "u"), engine.hub.feed(BOTH):  # warm: both are placed
        trouble(source)  # type: ignore[operator]
        position, gaps = await resolve(engine.hub, {TP: Start(timestamp=150), U: Start(timestamp=150)})
        assert position[TP].offset == 1
        if trouble is not _deny:
            assert gaps == [Gap("u", 0, 150, None)]
            assert position[U] == engine.hub.partitions[U].mark, "what comes later is delivered"


async def test_who_resumes_at_a_partition_that_cannot_be_read_just_now_is_asked_to_come_back() -> None:
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=0.5)
    async with engine.running("t", "u"):
        _silence(source)
        with pytest.raises(KafkaUnavailable):
            async with engine.hub.feed(BOTH, [TP, U]):
                pass
        source.silent.clear()
        async with engine.hub.feed(BOTH, [TP, U]):
            _silence(source)
            starts = {TP: Start(offset=1), U: Start(offset=1)}
            with pytest.raises(KafkaUnavailable):
                await resolve(engine.hub, starts, [TP, U])


async def test_who_resumes_at_a_topic_that_may_not_be_read_is_told_so_and_served_the_rest() -> None:
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=0.5)
    async with engine.running("t", "u"):
        _deny(source)
        async with engine.hub.feed(BOTH, [TP, U]):
            position, gaps = await resolve(engine.hub, {TP: Start(offset=1), U: Start(offset=1)}, [TP, U])
            assert position[TP].offset == 1
            assert gaps == [Gap("u", 0, 1, None)]


async def test_a_topic_whose_read_is_denied_is_said_to_later_clients_too_and_to_people() -> None:
    source = two_brokers()
    source.create("empty")
    source.unreadable |= {"u", "empty"}
    engine = HastyEngine(source, ready_seconds=1.0)
    async with engine.running("t", "u", "empty"):
        for _ in range(2):
            async with engine.hub.feed(whole("t", "u", "empty")):
                starts = {tp: Start(offset=END) for tp in (TP, U, TopicPartition("empty", 0))}
                _, gaps = await resolve(engine.hub, starts)
                assert {gap.topic for gap in gaps} == {"u", "empty"}
        said = "Kafka does not authorise this service to read empty, u; grant it READ on them"
        await eventually(lambda: engine.hub.health.problems() == [said])
        with pytest.raises(NoTopicsAvailable, match="does not authorise"):
            async with engine.hub.feed(whole("u")):
                pass


async def test_a_client_that_was_let_in_without_a_partition_reads_it_from_where_it_was_placed_also_when_behind() -> (
    None
):
    source = two_brokers()
    engine = HastyEngine(source, ready_seconds=0.5)
    async with engine.running("t", "u"):
        _silence(source)
        async with engine.hub.feed(BOTH) as feed:
            position, _ = await resolve(engine.hub, {TP: Start(offset=END), U: Start(offset=END)})
            _heal(source)
            await eventually(lambda: U not in engine.hub.feeds.track_of(feed).missing)
            write(source, 400, name="u")
            await eventually(lambda: feed.vector[U].offset == 3)
            unplaced = {**position, U: engine.hub.partitions[U].unknown_mark}
            late = Connection(engine, feed, unplaced, [], is_sse=True)
            got = await late.until(lambda got: got.events)
            assert got.offsets == {U: [2]}
            await late.close()


# Topics that the metadata do not show.

STREAM = Stream("s", ("t", "u"), (), (), "", None, None, False, {})


@pytest.mark.parametrize("kind", ["unseen", "hidden"])
async def test_a_topic_that_kafka_does_not_show_is_left_out_and_said(kind: str) -> None:
    source = two_brokers()
    getattr(source, kind).add("u")
    engine = HastyEngine(source)
    async with engine.running("t", "u"):
        kafka = await engine.hub.topics(["t", "u"])
        planned = plan([STREAM], None, None, kafka, engine.hub.unreadable(["t", "u"]))
        assert planned.gaps == (Gap("u", 0, END, None),)
        assert planned.starts == {TP: Start(offset=END)}
        assert planned.topics == {"t", "u"}, "it is followed when it is there"
        assert plan([STREAM], 5, None, kafka, {"u"}).gaps == (Gap("u", 0, 5, None),)
        if kind == "hidden":
            with pytest.raises(KafkaUnavailable):
                await engine.hub.topics(["t", "u"], [U])
        with pytest.raises(KafkaUnavailable if kind == "hidden" else NoTopicsAvailable):
            plan([Stream("s", ("u",), (), (), "", None, None, False, {})], None, None, await engine.hub.topics(["u"]))


def test_ids_that_name_a_topic_that_kafka_does_not_show() -> None:
    ours = parse_last_event_id('[{"topic":"t","partition":0,"timestamp":1,"cursor":"x:5"},{"topic":"u","partition":0,'
                               '"timestamp":2,"cursor":"x:7"}]')  # fmt: skip
    assert plan([STREAM], None, ours, {"t": 1}, {"u"}).gaps == (Gap("u", 0, 7, None),)
    theirs = parse_last_event_id('[{"topic":"t","partition":0,"offset":4},{"topic":"u","partition":0,"offset":6}]')
    assert plan([STREAM], None, theirs, {"t": 1}, {"u"}).gaps == (Gap("u", 0, 6, None),)
    with pytest.raises(TopicNotAvailable):
        plan([STREAM], None, theirs, {"t": 1})
    alone = parse_last_event_id('[{"topic":"u","partition":0,"offset":6}]')
    with pytest.raises(NoTopicsAvailable, match="authorise"):
        plan([STREAM], None, alone, {"t": 1}, {"u"})


def test_an_entry_without_a_cursor_is_read_by_the_old_rules() -> None:
    last = parse_last_event_id('[{"topic":"t","partition":0,"timestamp":1,"cursor":"x:5"},{"topic":"u","partition":0,'
                               '"timestamp":2}]')  # fmt: skip
    planned = plan([STREAM], None, last, {"t": 1, "u": 1})
    assert planned.starts[U] == Start(timestamp=2)
    assert planned.scope is Scope.STREAMS
