"""No filter tells who acted in a redacted event: it takes those of one person just as it takes those of another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from redaction.redactor import _COMMENT, _KEPT, Redactor, _fate
from streams.core.events import Record
from streams.core.filters import Filter, parse_filter
from streams.core.positions import Mark, Scope, TopicPartition
from streams.engine.encoder import Encoder
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.replay.history import History, HistoryBlock
from streams.engine.tail.feed import Selection
from streams.engine.tuning import Tuning
from tests.support.engine import Engine, Received
from tests.support.engine.connection import connected
from tests.support.engine.lone_feed import LoneFeed
from tests.support.events.edits import RU, SHAPES, Edit, Who

LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED], "de.wikipedia.org": ["Andere"]}, version=7)
TP = TopicPartition("t", 0)
SOMEBODY, OTHER = Who("Канарейка Примерная", 900_000_001), Who("203.0.113.77", 900_000_002)
NAMING = [
    *("user", "performer", "editor", "actor", "userId", "user_text", "last_editor", "logActor", "page-author"),
    *("comment", "parsedcomment", "log_params", "log_action_comment", "rev_comment", "summary", "creatorOf"),
]
"""Keys that redaction removes or empties."""
EXTRA: list[Any] = ["{name}", "{id}", ["{name}"], {"user_text": "{name}", "a": [{"performer": "{name}"}]}]
"""What may stand under such a key; the braces become somebody's."""


def test_the_keys_are_those_that_redaction_knows() -> None:
    assert all(_fate(key) is not _KEPT for key in NAMING)


def of(who: Who, value: Any) -> Any:
    """The value with somebody in its place."""
    return json.loads(json.dumps(value).replace('"{id}"', str(who.id)).replace("{name}", who.name))


def members(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every path in an event that `where` can name, with the values there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from members(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, path)
    if path:
        yield ".".join(path), value


def extras(most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Members that redaction removes or empties. Of a comment it empties texts: a number stays, and is none of them."""
    members = st.tuples(st.sampled_from(NAMING), st.sampled_from(EXTRA))
    named = members.filter(lambda member: member[1] != "{id}" or _fate(member[0]) is not _COMMENT)
    return st.lists(named, max_size=most).map(dict)


@st.composite
def events(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[str]]:
    """The same event as two people make it, and filters that ask for the first of them, or for anything that he has."""
    shape = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    more, deep = draw(extras(4)), draw(extras(2))
    both = []
    for who, before in ((SOMEBODY, OTHER), (OTHER, SOMEBODY)):
        event = shape(Edit(LISTED, who, before))
        event |= {key: of(who, value) for key, value in more.items() if key != "log_params"}
        event["nested"] = [{"deep": of(who, deep)}]
        both.append(event)
    queries = [f"user={quote(SOMEBODY.name)}", f"user=!{quote(SOMEBODY.name)}", f"user={OTHER.name}"]
    for path, value in draw(st.lists(st.sampled_from(list(members(both[0]))), min_size=1, max_size=6)):
        if isinstance(value, str) and value:
            queries += [f"where={quote(path)}{op}{quote(value)}" for op in ("=", "!=", "^=", "<", ">=")]
            queries.append(f"where={quote(path)}*={quote(SOMEBODY.name)}")
        elif isinstance(value, int) and not isinstance(value, bool):
            queries += [f"where={quote(path)}{op}{value}" for op in ("=", "!=", "<=")]
        queries += [f"where={quote(path)}", f"where=!{quote(path)}"]
    return both, draw(st.lists(st.sampled_from(queries), min_size=1, max_size=3, unique=True))


@settings(deadline=None)
@given(events(), st.booleans())
def test_a_filter_takes_redacted_events_of_one_person_as_it_takes_those_of_another(
    drawn: tuple[list[dict[str, Any]], list[str]], has_key: bool
) -> None:
    both, queries = drawn
    wanted = parse_filter("&".join(queries).encode())
    keys = [json.dumps({"user_text": who.name}).encode() if has_key else None for who in (SOMEBODY, OTHER)]
    records = [
        Record("t", 0, n, 1_000 + n, key, json.dumps(event, ensure_ascii=n == 0).encode())
        for n, (event, key) in enumerate(zip(both, keys, strict=True))
    ]
    for taken in (live(records, wanted), historical(records, wanted)):
        assert taken in ([], [0, 1])


def live(records: list[Record], wanted: Filter) -> list[int]:
    """The offsets of the events that a live client is sent."""
    feed = LoneFeed(Selection(frozenset("t"), frozenset(), Scope.STREAMS, wanted))
    feed.place(TP, Mark(0, 0, 0))
    feed.extend(TP, Encoder(REDACTOR, Metrics()).events(records), Mark(0, 2, 1_002), 0.0)
    received, number = Received(), -1
    while (block := feed.after(number)) is not None:
        received.take(b"".join(block.parts))
        number += 1
    return received.offsets.get(TP, [])


def historical(records: list[Record], wanted: Filter) -> list[int]:
    """The offsets of the events that a client that catches up is sent."""
    encoder = Encoder(REDACTOR, Metrics())
    history = History(MemorySource(), encoder, Metrics(), Tuning(history_readers=1, history_cache_bytes=1 << 20))
    block = HistoryBlock(0, 2, encoder.cacheable(records), 1_000, 2, REDACTOR.version)
    return [event.offset for event in history.matching(TP, block, 0, 2, wanted)]


async def test_filters_on_a_name_want_nothing_of_a_listed_page_live_and_out_of_the_history() -> None:
    source = MemorySource()
    source.create("a")
    source.create("b")

    def write() -> None:
        for shape in SHAPES.values():
            source.append("a", json.dumps(shape(Edit(LISTED, SOMEBODY, OTHER))).encode(), 1_000)
        source.append("a", json.dumps(SHAPES["recentchange"](Edit("Not listed", SOMEBODY, OTHER))).encode(), 2_000)

    write()
    name = quote(SOMEBODY.name)
    engine = Engine(source)
    async with engine.running("a", "b"):
        engine.redact_with(REDACTOR)
        for query in (f"user={name}", f"where=user={name}", f"where=comment*={name}"):
            wanted = parse_filter(query.encode())
            async with connected(engine, since=0, wanted=wanted) as client:
                last = len(source._logs[TopicPartition("a", 0)].records)
                await client.until(lambda got: got.events)
                write()
                got = await client.until(lambda got, last=last: got.events[-1][1] >= last)  # type: ignore[misc]
                assert [(offset + 1) % (len(SHAPES) + 1) for _, offset in got.events] == [0] * len(got.events), query
