"""Feeds with filters: those of the same partitions stand at one position, and get what they want, framed once."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from streams.core.errors import TooManyFeeds
from streams.core.filters import FieldsInUse, parse_filter
from streams.core.filters.fields import Fields
from streams.core.positions import Mark, Scope, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.tail.feed import Selection
from tests.support.engine import Engine, eventually
from tests.support.engine.connection import Connection, connected
from tests.support.engine.hub import blocks, received

TP = TopicPartition("a", 0)
TOPICS = ("a", "b")


def log(*wikis: str) -> MemorySource:
    source = MemorySource()
    for name in TOPICS:
        source.create(name)
    write(source, *wikis)
    return source


def write(source: MemorySource, *wikis: str, topic: str = "a") -> None:
    for wiki in wikis:
        source.append(topic, json.dumps({"wiki": wiki, "title": f"Of {wiki}"}).encode(), 1_000)


def selection(query: str, *topics: str) -> Selection:
    return Selection(frozenset(topics or TOPICS), frozenset(), Scope.STREAMS, parse_filter(query.encode()))


def failing(asked: Selection, word: str) -> Selection:
    """The selection, with a filter that fails on events with a word."""
    matches = asked.filter.matches

    def fails(fields: Fields) -> bool:
        if fields.member("wiki") == word:
            raise KeyError(word)
        return matches(fields)

    object.__setattr__(asked.filter, "matches", fails)
    return asked


def skipped(engine: Engine) -> float | None:
    """How many records were skipped because a filter failed."""
    return engine.metrics.registry.get_sample_value("eventstreams_records_skipped_total", {"reason": "filter_error"})


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every event whose fields are decoded for live filters."""
    seen: list[bytes] = []
    of = FieldsInUse.read

    def reads(self: FieldsInUse, event: bytes) -> Fields:
        seen.append(event)
        return of(self, event)

    monkeypatch.setattr(FieldsInUse, "read", reads)
    return seen


async def test_each_feed_gets_what_its_filter_wants_in_the_same_bytes_and_ids_pass_over_the_rest(
    read: list[bytes],
) -> None:
    source = log()
    async with Engine(source).running(*TOPICS) as engine, AsyncExitStack() as stack:
        everything, german, both, other = [
            await stack.enter_async_context(engine.hub.feed(selection(query)))
            for query in ("", "wiki=dewiki", "wiki=dewiki,enwiki", "wiki=frwiki")
        ]
        write(source, "enwiki")
        await eventually(lambda: everything.vector[TP].offset == 1)
        write(source, "dewiki")
        await eventually(lambda: everything.vector[TP].offset == 2)
        assert received(everything).offsets == received(both).offsets == {TP: [0, 1]}
        assert received(german).offsets == {TP: [1]}
        assert blocks(other) == []
        assert other.vector == everything.vector, "what it does not want moves its position on"
        assert received(german).ids[-1] == received(everything).ids[-1]
        assert blocks(german)[-1].parts[0] is blocks(both)[-1].parts[0] is blocks(everything)[-1].parts[0]
        assert len(read) == 2, "decoded once for all filters"
        write(source, "dewiki", topic="b")
        await eventually(lambda: received(german).offsets == {TP: [1], TopicPartition("b", 0): [0]})


async def test_an_event_visits_only_the_filters_that_can_want_it() -> None:
    visited: list[str] = []

    def spied(query: str) -> Selection:
        """A selection whose filter says when it is applied."""
        asked = selection(query)
        matches = asked.filter.matches

        def visits(fields: Fields) -> bool:
            visited.append(asked.filter.text)
            return matches(fields)

        object.__setattr__(asked.filter, "matches", visits)
        return asked

    source = log()
    async with Engine(source).running(*TOPICS) as engine, AsyncExitStack() as stack:
        feeds = [
            await stack.enter_async_context(engine.hub.feed(spied(f"wiki=wiki{number}&bot=!true")))
            for number in range(100)
        ]
        write(source, "wiki7", "wiki7", "nowiki")
        await eventually(lambda: feeds[7].vector[TP].offset == 3)
        assert visited == ["bot=!true&wiki=wiki7"] * 2
        assert received(feeds[7]).offsets == {TP: [0, 1]}


async def test_without_a_filter_nothing_is_decoded_for_filters(read: list[bytes]) -> None:
    source = log()
    async with Engine(source).running(*TOPICS) as engine, engine.hub.feed(selection("")) as feed:
        async with engine.hub.feed(selection("wiki=dewiki", "b")):
            write(source, "dewiki")
            await eventually(lambda: received(feed).offsets == {TP: [0]})
            assert read == [], "the only filter is of another topic"
        write(source, "dewiki")
        await eventually(lambda: received(feed).offsets == {TP: [0, 1]})
        assert engine.count("eventstreams_filter_events_examined_total") == 0


async def test_equal_filters_share_a_feed_and_feeds_share_a_track() -> None:
    async with Engine(log()).running(*TOPICS) as engine, AsyncExitStack() as stack:
        first, same, other, plain, elsewhere = [
            await stack.enter_async_context(engine.hub.feed(each))
            for each in (
                selection("wiki=dewiki,enwiki"),
                selection("wiki=enwiki&wiki=dewiki&since=5"),
                selection("wiki=dewiki"),
                selection(""),
                selection("wiki=dewiki", "a"),
            )
        ]
        assert first is same
        assert first.clients == 2
        feeds = engine.hub.feeds
        assert feeds.track_of(first) is feeds.track_of(other) is feeds.track_of(plain)
        assert feeds.track_of(elsewhere) is not feeds.track_of(other)
        assert set(feeds.track_of(plain).feeds) == {first, other, plain}


async def test_what_filters_examine_and_want_is_counted() -> None:
    source = log()
    async with Engine(source).running(*TOPICS) as engine, AsyncExitStack() as stack:
        for each in (selection("wiki=dewiki"), selection("title=Of dewiki"), selection("wiki=dewiki", "a")):
            await stack.enter_async_context(engine.hub.feed(each))
        write(source, "dewiki", "enwiki")
        await eventually(lambda: engine.count("eventstreams_filter_events_examined_total") == 2)
        assert engine.count("eventstreams_filter_events_matched_total") == 3
        await eventually(lambda: engine.count("eventstreams_filters") == 2)
        async with connected(engine, since=0, wanted=parse_filter(b"wiki=enwiki")) as client:
            await client.until(lambda got: got.offsets == {TP: [1]})
        assert engine.count("eventstreams_filter_events_examined_total") == 4


async def test_with_as_many_feeds_as_may_be_a_new_filter_is_refused_and_all_else_goes_on() -> None:
    async with Engine(log(), max_feeds=2).running(*TOPICS) as engine, AsyncExitStack() as stack:
        used = await stack.enter_async_context(engine.hub.feed(selection("wiki=a")))
        async with engine.hub.feed(selection("wiki=b")):
            assert engine.hub.feeds.are_full
            with pytest.raises(TooManyFeeds, match="2 different subscriptions"):
                await engine.hub.join(selection("wiki=c"))
            assert engine.count("eventstreams_feeds_refused_total") == 1
            async with engine.hub.feed(selection("wiki=a")) as same, engine.hub.feed(selection("")):
                assert same is used
        assert not engine.hub.feeds.are_full, "what nobody uses makes room"
        async with engine.hub.feed(selection("wiki=c")):
            texts = [feed.selection.filter.text for feed in engine.hub.feeds]
            assert texts == ["wiki=a", "wiki=c"], "the one that is idle longest goes first"


async def test_a_thousand_feeds_that_come_and_go_leave_nothing_behind() -> None:
    async with Engine(log(), grace_seconds=0.0).running(*TOPICS) as engine:
        feeds = engine.hub.feeds
        made = [await engine.hub.join(selection(f"wiki=w{number}&where=x{number}>1")) for number in range(1_000)]
        assert feeds.in_use.filters == 1_000
        for feed in made:
            engine.hub.leave(feed)
        feeds.let_idle_go()
        assert list(feeds) == []
        assert feeds.tracks == {}
        assert engine.hub.partitions == {}
        assert feeds.in_use.filters == 0
        assert not feeds.in_use._names


async def test_a_filter_that_fails_on_an_event_skips_it_for_its_own_clients_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = log()
    async with Engine(source).running(*TOPICS) as engine, AsyncExitStack() as stack:
        asked = [failing(selection("wiki=a,secret"), "secret"), selection("wiki=a,secret&bot=!true"), selection("")]
        feeds = [await stack.enter_async_context(engine.hub.feed(each)) for each in asked]
        clients = [Connection(engine, feed, dict(feed.vector), [], is_sse=True, takes=lambda: True) for feed in feeds]
        following = [
            asyncio.ensure_future(each.until(lambda got: got.offsets.get(TP, [])[-1:] == [3])) for each in clients
        ]
        write(source, "a", "secret", "secret", "a")
        got = await asyncio.gather(*following)
        assert [each.offsets[TP] for each in got] == [[0, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
        assert skipped(engine) == 2
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("Skipped a partition 0 offset 1 for filters: KeyError in fails, line ")
        assert "secret" not in caplog.text
        for each in clients:
            await each.close()


async def test_an_event_whose_fields_cannot_be_read_is_skipped_by_filters_and_no_other_one_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = FieldsInUse.read

    def fails(self: FieldsInUse, event: bytes) -> Fields:
        if b"secret" in event:
            raise KeyError("secret")
        return of(self, event)

    monkeypatch.setattr(FieldsInUse, "read", fails)
    source = log()
    async with Engine(source).running(*TOPICS) as engine, AsyncExitStack() as stack:
        filtered, plain = [
            await stack.enter_async_context(engine.hub.feed(selection(query))) for query in ("bot=!true", "")
        ]
        write(source, "a", "secret", "b")
        await eventually(lambda: received(plain).offsets == {TP: [0, 1, 2]})
        assert received(filtered).offsets == {TP: [0, 2]}
        assert skipped(engine) == 1


async def test_a_topic_that_is_recreated_is_a_gap_for_every_filter() -> None:
    source = log("dewiki", "dewiki")
    async with (
        Engine(source, retry_seconds=0.02, refresh_seconds=0.05).running(*TOPICS) as engine,
        engine.hub.feed(selection("wiki=frwiki")) as feed,
    ):
        source.delete("a")
        await asyncio.sleep(0.1)
        source.create("a")
        write(source, "frwiki")
        await eventually(lambda: received(feed).offsets == {TP: [0]})
        assert received(feed).gaps == [{"topic": "a", "partition": 0, "asked": 2, "served": 0}]


async def test_many_filters_leave_the_event_loop_more_turns() -> None:
    async with Engine(log()).running(*TOPICS) as engine, AsyncExitStack() as stack:
        before = engine.hub._turn_records
        for number in range(200):
            await stack.enter_async_context(engine.hub.feed(selection(f"where=x>{number}")))
        assert 1 <= engine.hub._turn_records <= before // 4


async def test_a_client_joins_a_feed_of_which_little_has_come_at_its_position() -> None:
    source = log("enwiki", "enwiki")
    async with Engine(source).running(*TOPICS) as engine, engine.hub.feed(selection("wiki=dewiki")) as feed:
        write(source, "enwiki", "dewiki", "enwiki")
        await eventually(lambda: feed.vector[TP].offset == 5)
        assert feed.entry({TP: Mark(0, 2, 0), TopicPartition("b", 0): Mark(0, 0, 0)}) == (feed.tip, feed.vector)
        async with connected(engine, since=0, wanted=parse_filter(b"wiki=dewiki")) as client:
            write(source, "enwiki", "dewiki")
            got = await client.until(lambda got: len(got.events) == 2)
            assert got.offsets == {TP: [3, 6]}
