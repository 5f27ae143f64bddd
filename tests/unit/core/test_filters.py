"""Filters: every sentence of the wire contract's "Choosing events" that a filter alone can keep."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.errors import InvalidFilter
from streams.core.filters import NO_FILTER, FieldsInUse, FilterIndex, parse_filter, shortened
from streams.core.filters.query import MAX_CONDITIONS, MAX_VALUES

CANARY = {"meta": {"domain": "canary"}}


def matches(query: str, event: dict[str, Any]) -> bool:
    wanted = parse_filter(query.encode())
    raw = json.dumps(event).encode()
    found = wanted.matches(wanted.reader().read(raw))
    assert wanted.wants()(raw) is found
    return found


def refusal(query: str | bytes) -> str:
    with pytest.raises(InvalidFilter) as error:
        parse_filter(query if isinstance(query, bytes) else query.encode())
    assert (error.value.status, error.value.type) == (400, "invalid_filter")
    return error.value.detail


@pytest.mark.parametrize(
    ("query", "event", "wanted"),
    [
        # Any of a parameter's values; all parameters.
        ("wiki=dewiki,enwiki", {"wiki": "enwiki"}, True),
        ("wiki=dewiki%2Cenwiki", {"wiki": "enwiki"}, True),
        ("wiki=dewiki&wiki=enwiki", {"wiki": "enwiki"}, True),
        ("wiki=dewiki", {"wiki": "enwiki"}, False),
        ("wiki=enwiki&namespace=0", {"wiki": "enwiki", "namespace": 0}, True),
        ("wiki=enwiki&namespace=0", {"wiki": "enwiki", "namespace": 1}, False),
        # The first field that is there and not null.
        ("wiki=enwiki", {"wiki_id": "enwiki"}, True),
        ("wiki=enwiki", {"database": "enwiki"}, True),
        ("wiki=enwiki", {"wiki": None, "database": "enwiki"}, True),
        ("wiki=enwiki", {"wiki": "dewiki", "database": "enwiki"}, False),
        ("wiki=enwiki", {"wiki": 1, "database": "enwiki"}, False),
        ("wiki=1", {"wiki": 1}, False),
        ("wiki=enwiki", {"wiki": ["enwiki"]}, False),
        ("wiki=enwiki", {}, False),
        ("type=edit", {"page_change_kind": "edit"}, True),
        ("type=edit", {"type": "log", "page_change_kind": "edit"}, False),
        ("namespace=2", {"page": {"namespace_id": 2}}, True),
        ("namespace=2", {"page_namespace": 2}, True),
        ("namespace=-1", {"namespace": -1}, True),
        ("namespace=1", {"namespace": True}, False),
        ("namespace=1", {"namespace": "1"}, False),
        ("namespace=0002", {"namespace": 2}, True),
        # Exclusion.
        ("wiki=!enwiki", {"wiki": "enwiki"}, False),
        ("wiki=!enwiki", {"wiki": "dewiki"}, True),
        ("wiki=!enwiki", {}, True),
        ("wiki=!enwiki", {"wiki": 7}, True),
        ("wiki=!enwiki,dewiki", {}, False),
        ("wiki=!enwiki,dewiki", {"wiki": "dewiki"}, True),
        ("wiki=!enwiki,enwiki", {"wiki": "enwiki"}, False),
        ("wiki=!enwiki,!dewiki", {"wiki": "dewiki"}, False),
        ("user=!Name", {"user": "Name"}, False),
        ("user=!!Name", {"user": "!Name"}, False),
        ("user==!Name", {"user": "!Name"}, True),
        ("user===Name", {"user": "=Name"}, True),
        ("user==Name", {"user": "=Name"}, True),
        ("user=!=Name", {"user": "=Name"}, False),
        # Hosts.
        ("domain=EN.wikipedia.org", {"meta": {"domain": "en.Wikipedia.org"}}, True),
        ("domain=en.wikipedia.org", {"server_name": "en.wikipedia.org"}, True),
        ("domain=*.wikipedia.org", {"meta": {"domain": "en.m.wikipedia.org"}}, True),
        ("domain=*.wikipedia.org", {"meta": {"domain": "wikipedia.org"}}, False),
        ("domain=*.wikipedia.org", {"meta": {"domain": "xwikipedia.org"}}, False),
        ("domain=!*.wikipedia.org", {"meta": {"domain": "en.wikipedia.org"}}, False),
        ("domain=!*.wikipedia.org", CANARY, True),
        ("domain=canary", CANARY, True),
        # Titles and users, in any spelling.
        ("title=foo+bar", {"title": "Foo_bar"}, True),
        ("title=Foo_bar", {"page": {"page_title": "foo  bar"}}, True),
        ("title=Foo&title=Bar", {"page_title": "Bar"}, True),
        ("title=Foo%2C+bar", {"title": "Foo, bar"}, True),
        ("title=Foo,bar", {"title": "Foo,bar"}, True),
        ("title=Foo/*", {"title": "Foo/bar/baz"}, True),
        ("title=Foo/*", {"title": "Foo"}, False),
        ("title=Foo/*", {"title": "Foobar/baz"}, False),
        ("title=!Foo/*", {"title": "Foo/bar"}, False),
        ("title=!Foo/*", {"title": "Foo"}, True),
        ("title=Foo/*&title=Foo", {"title": "Foo"}, True),
        ("user=some_User", {"performer": {"user_text": "Some User"}}, True),
        ("user=Foo/*", {"user": "Foo/bar"}, False),
        ("user=Foo/*", {"user": "Foo/*"}, True),
        # Flags.
        ("bot=true", {"bot": True}, True),
        ("bot=true", {"performer": {"is_bot": True}}, True),
        ("bot=true", {"performer": {"user_is_bot": True}}, True),
        ("bot=true", {"performer": [True]}, False),
        ("bot=false", {}, False),
        ("bot=!true", {}, True),
        ("bot=!true", {"bot": True}, False),
        ("bot=true", {"bot": 1}, False),
        ("minor=true", {"revision": {"is_minor_edit": True}}, True),
        ("minor=false", {"rev_minor_edit": False}, True),
        ("patrolled=true", {"patrolled": True}, True),
        # Canary events.
        ("canary=false", CANARY, False),
        ("canary=false", {}, True),
        ("canary=only", CANARY, True),
        ("canary=only", {"meta": {"domain": "en.wikipedia.org"}}, False),
        ("canary=only", {"server_name": "canary"}, False),
        ("canary=true&wiki=a", {"wiki": "a", **CANARY}, True),
    ],
)
def test_whether_an_event_is_wanted(query: str, event: dict[str, Any], wanted: bool) -> None:
    assert matches(query, event) is wanted


@pytest.mark.parametrize(
    "query",
    [
        "",
        "wiki=",
        "wiki=&title=&where=&canary=",
        "wiki",
        "stream=message",
        "canary=true",
        "since=1&until=2&limit=3",
        "Wiki=x",
    ],
)
def test_what_is_no_filter(query: str) -> None:
    wanted = parse_filter(query.encode())
    assert wanted == NO_FILTER
    assert not wanted
    assert wanted.text == ""


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("wiki=enwiki,dewiki&namespace=0", "namespace=0&wiki=dewiki,enwiki"),
        ("wiki=b&namespace=10,2&wiki=a,b", "namespace=10,2&wiki=a,b"),
        ("wiki=b,!a", "wiki=!a,b"),
        ("title=b&title=A+a", "title=a_a&title=b"),
        ("title=Caf%C3%A9/*", "title=caf%C3%A9%2F*"),
        ("user==!Name", "user=%3D!name"),
        ("user===!Name", "user=%3D%3D!name"),
        ("user===Name", "user=%3Dname"),
        ("user====Name", "user=%3D%3D%3Dname"),
        ("domain=*.Wikipedia.ORG", "domain=*.wikipedia.org"),
        ("namespace=-0,007", "namespace=0,7"),
        ("wiki=a&canary=false&bot=true", "bot=true&canary=false&wiki=a"),
        ("where=b>1&where=a=x+y&where=a=x%20y", "where=a%3Dx%20y&where=b%3E1"),
        ("title=(a)'!~*-_.", "title=(a)'!~*-_."),
        ("wiki=a&since=5&limit=3&checkpoint=60&canary=true", "wiki=a"),
    ],
)
def test_the_canonical_form(query: str, canonical: str) -> None:
    wanted = parse_filter(query.encode())
    assert wanted.text == canonical
    assert parse_filter(canonical.encode()) == wanted
    assert hash(parse_filter(canonical.encode())) == hash(wanted)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("wiki=a,,b", "wiki is 'a,,b'; expected values separated by single commas"),
        ("wiki=a,", "wiki is 'a,'"),
        ("wiki=!", "wiki is '!'; expected names of databases"),
        ("wiki=a+b", "wiki is 'a b'"),
        ("namespace=x", "namespace is 'x'; expected integers"),
        ("namespace=1.5", "namespace is '1.5'"),
        ("namespace=+1", "namespace is ' 1'"),
        ("namespace=%D9%A1", "namespace is"),
        ("domain=*", "domain is '*'; expected host names"),
        ("domain=en.*", "domain is 'en.*'"),
        ("domain=*.*.org", "domain is"),
        ("domain=https://en.wikipedia.org", "domain is 'https://en.wikipedia.org'"),
        ("bot=yes", "bot is 'yes'; expected true or false"),
        ("bot=true,false", "bot is 'true,false'"),
        ("minor=True", "minor is 'True'"),
        ("title=_", "title is '_'; expected the title of a page"),
        ("title=/*", "title is '/*'"),
        ("canary=no", "canary is 'no'; expected true, false or only"),
        ("canary=!false", "canary is '!false'"),
        ("canary=only&canary=only", "canary was given more than once"),
        ("where=a b=1", "where is 'a b=1'; expected a path"),
        ("where=.a=1", "where is '.a=1'"),
        ("where=a..b", "where is 'a..b'"),
        ("where=!a=1", "where is '!a=1'"),
        ("where=a~1", "where is 'a~1'"),
        (b"title=%FF", "title is '\\\\xff'; expected text in UTF-8"),
        (b"title=\xff", "expected text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_remedy(query: str | bytes, says: str) -> None:
    assert says in refusal(query)


def test_bounds() -> None:
    assert parse_filter(("wiki=" + ",".join(f"w{n}" for n in range(MAX_VALUES))).encode())
    assert "more than 100 values" in refusal("title=x&wiki=" + ",".join(f"w{n}" for n in range(MAX_VALUES)))
    conditions = "&".join(f"where=a{n}" for n in range(MAX_CONDITIONS))
    assert parse_filter(f"{conditions}&where=a0".encode())
    assert "17 times; at most 16" in refusal(f"{conditions}&where=b")
    assert parse_filter(b"title=" + b"x" * 4090)
    assert "4097 bytes in its canonical form; at most 4096" in refusal("title=" + "x" * 4091)
    assert len(refusal("bot=" + "y" * 5000)) < 300


names = st.sampled_from(
    ["wiki", "domain", "type", "namespace", "title", "user", "bot", "minor", "patrolled", "canary", "where"]
)
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "true",
            "!false",
            "0,1",
            "a",
            "!a",
            "=!a",
            "==b",
            "a,b",
            "*.a.b",
            "Foo/*",
            "only",
            "a.b>1",
            "!x",
            "n!=null",
            'x="1"',
        ]
    ),
)


@given(st.lists(st.tuples(names, texts), max_size=6), st.booleans())
def test_any_query_is_a_filter_or_an_error_and_a_canonical_form_is_its_own(
    pairs: list[tuple[str, str]], is_encoded: bool
) -> None:
    query = "&".join(f"{n}={quote(t, safe='') if is_encoded else t}" for n, t in pairs).encode()
    try:
        wanted = parse_filter(query)
    except InvalidFilter:
        return
    again = parse_filter(wanted.text.encode())
    assert again.text == wanted.text
    assert wanted.text.isascii()


@given(st.text("aü/!😀%", min_size=15, max_size=90), st.integers(40, 200))
@example("ü" * 90, 42)
def test_a_value_that_is_too_long_by_itself_is_cut_between_characters_and_says_so(title: str, most: int) -> None:
    whole = parse_filter(f"title={quote(title)}&user=x".encode()).text
    said = shortened(whole, most)
    assert len(said) <= most
    assert said
    cut = unquote(said, errors="strict")
    if said not in (whole, whole.removesuffix("&user=x")):
        assert cut.endswith("…")
        assert unquote(whole).startswith(cut.removesuffix("…"))
        assert len(said) > most - len(quote("😀")), "no more is left out than has to be"


@given(st.binary(max_size=60))
@example(b"wiki=%")
@example(b"%77iki=a")
def test_any_bytes_are_a_filter_or_an_error(query: bytes) -> None:
    with contextlib.suppress(InvalidFilter):
        parse_filter(query)


values = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2), st.sampled_from(["a", "b", "A_", "canary", "a.b", "Foo/x"])
)
members = st.sampled_from(["wiki", "database", "type", "namespace", "title", "user", "bot", "server_name", "x"])
events = st.dictionaries(members, values, max_size=5)
queries = st.lists(
    st.sampled_from(
        [
            "wiki=a",
            "wiki=a,b",
            "wiki=!a",
            "title=a",
            "title=Foo/*",
            "user=a&title=b",
            "namespace=0,1",
            "type=a",
            "bot=true",
            "where=x",
            "where=x=1",
            "where=wiki=a&type=b",
            "canary=false",
            "domain=*.b",
            "domain=canary,a",
        ]
    ),
    max_size=8,
)


@given(queries, st.lists(events, min_size=1, max_size=4), st.data())
def test_the_index_finds_what_trying_every_filter_finds(
    queries: list[str], events: list[dict[str, Any]], data: st.DataObject
) -> None:
    index: FilterIndex[int] = FilterIndex()
    in_use = FieldsInUse()
    wanted = {n: parse_filter(query.encode()) for n, query in enumerate(queries)}
    for n, each in wanted.items():
        index.add(n, each)
        in_use.add(each)
    for n in data.draw(st.sets(st.sampled_from(range(len(queries)))) if queries else st.just(set())):
        index.remove(n)
        in_use.remove(wanted.pop(n))
    assert sorted(index) == sorted(wanted)
    for event in events:
        encoded = json.dumps(event).encode()
        expected = sorted(n for n, each in wanted.items() if each.matches(each.reader().read(encoded)))
        assert sorted(index.matching(in_use.read(encoded))) == expected
        assert sorted(n for n, each in wanted.items() if each.wants()(encoded)) == expected
