"""Reading the past with a filter: what it does not want becomes no event, and counts for the reader's turn."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.redactor import Redactor
from streams.core.events import Event, Record, SkippedRecord, encode
from streams.core.filters import parse_filter
from streams.core.filters.fields import Fields
from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.replay.reader_slots import ReaderSlot
from tests.support.engine import Engine
from tests.support.engine.connection import connected

TP = TopicPartition("a", 0)


def log(count: int, padding: int = 200) -> MemorySource:
    """Every hundredth event is of dewiki."""
    source = MemorySource()
    source.create("a")
    source.create("b")
    for number in range(count):
        wiki = "dewiki" if number % 100 == 7 else "enwiki"
        source.append("a", json.dumps({"wiki": wiki, "pad": "x" * padding}).encode(), 1_000 + number)
    return source


async def test_what_a_filter_does_not_want_becomes_no_event_and_blocks_stay_shared() -> None:
    engine = Engine(log(2_000), ring_bytes=1, cache_bytes=8 << 20)
    async with engine.running("a", "b"):
        async with connected(engine, since=0, wanted=parse_filter(b"wiki=dewiki")) as client:
            got = await client.until(lambda got: len(got.events) == 20)
            assert got.offsets == {TP: list(range(7, 2_000, 100))}
        assert engine.count("eventstreams_events_encoded_total") == 20
        assert engine.count("eventstreams_filter_events_examined_total") == 2_000
        reads = engine.count("eventstreams_history_reads_total")
        async with connected(engine, since=0) as client:
            await client.until(lambda got: len(got.events) == 2_000)
        assert engine.count("eventstreams_history_reads_total") == reads, "the cache had all of it"
        assert engine.count("eventstreams_events_encoded_total") == 2_000


async def test_a_reader_whose_filter_wants_nothing_gives_its_turn_back_as_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounted: list[int] = []
    monkeypatch.setattr(ReaderSlot, "account", lambda self, nbytes: accounted.append(nbytes))
    source = log(2_000)
    size = sum(len(record.value or b"") for record in source._logs[TP].records)
    async with (
        Engine(source, ring_bytes=1).running("a", "b") as engine,
        connected(engine, since=0, wanted=parse_filter(b"wiki=nowiki,last")) as client,
    ):
        source.append("a", b'{"wiki":"last"}', 5_000)
        await client.until(lambda got: got.events)
    assert sum(accounted) >= size
    assert max(accounted) < 1 << 20, "not all of it in one go"


async def test_a_reader_whose_filter_wants_nothing_yet_is_sent_signs_of_life() -> None:
    source = log(3_000)
    async with (
        Engine(source, ring_bytes=1, examined_bytes=1_000).running("a", "b") as engine,
        connected(engine, since=0, keepalive_seconds=0.001, wanted=parse_filter(b"wiki=x")) as client,
    ):
        await client.until(lambda got: got.keepalives >= 3)
        assert client.subscription.position[TP].offset < 3_000


async def test_a_filter_sees_what_the_service_adds_to_an_event() -> None:
    source = log(300)
    async with Engine(source, ring_bytes=1).running("a", "b") as engine:
        wanted = parse_filter(b"where=meta.offset>=150&where=meta.topic=a&wiki=dewiki")
        async with connected(engine, since=0, wanted=wanted) as client:
            assert (await client.until(lambda got: got.events)).offsets == {TP: [207]}


@pytest.mark.parametrize("query", ["wiki=dewiki", "where=meta.offset>=0&wiki=dewiki"])
async def test_a_filter_that_fails_on_a_record_skips_it_and_the_client_reads_on(
    query: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = parse_filter(query.encode())
    matches = wanted.matches
    of_dewiki = itertools.count()

    def fails(fields: Fields) -> bool:
        if fields.member("wiki") == "dewiki" and next(of_dewiki) in (1, 2):
            raise KeyError(fields.member("wiki"))
        return matches(fields)

    object.__setattr__(wanted, "matches", fails)
    async with Engine(log(400), ring_bytes=1).running("a", "b") as engine:
        async with connected(engine, since=0, wanted=wanted) as client:
            got = await client.until(lambda got: len(got.events) == 2)
            assert got.offsets == {TP: [7, 307]}
        labels = {"reason": "filter_error"}
        assert engine.metrics.registry.get_sample_value("eventstreams_records_skipped_total", labels) == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Skipped a partition 0 offset 107 for filters: KeyError in fails, line ")
    assert "dewiki" not in caplog.text


NOBODY = Redactor({})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["dewiki", "a", "\u2028", "\ud83d", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["domain", "a", "key"]), inner),
    max_leaves=4,
)
QUERIES = [
    *("wiki=dewiki", "wiki=!dewiki", "domain=dewiki", "title=a", "bot=true", "canary=false", "namespace=1"),
    *("where=meta.domain=a", "where=!meta.a", "where=meta", "where=meta.key", "where=meta.offset=3", "where=a.a!=1"),
]


@given(
    st.lists(st.tuples(st.sampled_from(["wiki", "meta", "title", "bot", "a", "namespace"]), values), max_size=4),
    st.sampled_from(QUERIES),
    st.sampled_from([None, b"k"]),
)
def test_a_record_that_is_not_redacted_tells_a_filter_what_its_event_does(
    members: list[tuple[str, object]], query: str, key: bytes | None
) -> None:
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
    record = Record("t", 0, 3, 1_000, key, b"{%s}" % text.encode())
    wanted = parse_filter(query.encode())
    try:
        event: Event = encode(record, NOBODY)
    except SkippedRecord:
        return
    read = wanted.reader().read
    if not wanted.looks_at_added:
        assert wanted.matches(read(record.value or b"")) == wanted.matches(read(event.json))
    else:
        assert query.startswith("where=meta")
