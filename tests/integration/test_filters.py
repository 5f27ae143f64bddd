"""Filters over a real socket, sentence by sentence of the contract: live and from history, in both formats."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import Broker, Feed, Rec, error_of, ns, resume_at
from tests.support.client import SseEvent, StreamClient
from tests.support.site import Site

HUGE = 12345678901234567890
EVENTS: list[dict[str, Any]] = [
    {
        **{"meta": {"domain": "en.wikipedia.org"}, "wiki": "enwiki", "type": "edit", "namespace": 0},
        **{"title": "Main Page", "user": "Alice", "bot": False, "minor": True, "patrolled": False},
    },
    {
        **{"meta": {"domain": "de.wikipedia.org"}, "wiki": "dewiki", "type": "new", "namespace": 0},
        **{"title": "Foo/Bar", "user": "!Bob", "bot": True},
    },
    {
        **{"server_name": "commons.wikimedia.org", "wiki": "commonswiki", "type": "log", "namespace": 6},
        **{"title": "File:A,b.jpg", "user": "=Eve"},
    },
    {
        **{"meta": {"domain": "en.wikipedia.org"}, "wiki_id": "enwiki", "page_change_kind": "edit"},
        **{"page": {"page_title": "Foo", "namespace_id": 0}, "performer": {"user_text": "Alice", "is_bot": True}},
        **{"revision": {"is_minor_edit": False}},
    },
    {
        **{"meta": {"domain": "fr.wikipedia.org"}, "database": "frwiki", "page_title": "Foo/Baz/Qux"},
        **{"page_namespace": 1, "rev_minor_edit": True, "performer": {"user_text": "alice_", "user_is_bot": False}},
    },
    {"meta": {"domain": "canary"}},
    {
        **{"wiki": 5, "type": True, "namespace": "0", "title": ["Foo"], "user": {"a": 1}, "bot": "true"},
        **{"server_name": 7},
    },
    {
        **{"wiki": None, "wiki_id": "nlwiki", "namespace": None, "page_namespace": 2, "tags": ["a", "b"]},
        **{"length": {"old": 1, "new": HUGE}, "list": [{"x": 1}, {"x": 2}], "ratio": 1.0, "empty": []},
        **{"nothing": None, "dt": "2026-01-02T00:00:00Z", "p": {"true": 0.95}, "user": "Ünï  cödé_"},
    },
]
ALL = list(range(len(EVENTS)))


def but(*numbers: int) -> list[int]:
    return [number for number in ALL if number not in numbers]


CASES: list[tuple[str, list[int]]] = [
    # Without these parameters nothing changes; what is empty or unknown is none.
    ("", ALL),
    ("wiki=&type=&title=&where=&canary=", ALL),
    ("stream=message&wikis=x", ALL),
    # Of one parameter any value, of several all.
    ("wiki=enwiki", [0, 3]),
    ("wiki=enwiki,dewiki", [0, 1, 3]),
    ("wiki=enwiki&wiki=nlwiki", [0, 3, 7]),
    ("wiki=enwiki%2Cfrwiki", [0, 3, 4]),
    ("wiki=enwiki&bot=true", [3]),
    # Exclusions.
    ("wiki=!enwiki", but(0, 3)),
    ("wiki=!enwiki,!dewiki", but(0, 1, 3)),
    ("wiki=enwiki,!enwiki", []),
    ("user==!Bob", [1]),
    ("user=!!Bob", but(1)),
    ("user===Eve", [2]),
    ("user=%3DEve", [2]),
    # Each parameter, and the fields that it looks at.
    ("domain=EN.Wikipedia.org", [0, 3]),
    ("domain=*.wikipedia.org", [0, 1, 3, 4]),
    ("domain=!*.wikipedia.org", [2, 5, 6, 7]),
    ("domain=commons.wikimedia.org", [2]),
    ("domain=wikipedia.org", []),
    ("type=edit", [0, 3]),
    ("type=new,log", [1, 2]),
    ("namespace=0", [0, 1, 3]),
    ("namespace=!0", [2, 4, 5, 6, 7]),
    ("namespace=1,2,6", [2, 4, 7]),
    ("title=main_page", [0]),
    ("title=Foo", [3]),
    ("title=Foo/*", [1, 4]),
    ("title=file+:+a,b.jpg", [2]),
    ("title=!Foo/*&title=!Foo", but(1, 3, 4)),
    ("title=Main+Page&title=Foo", [0, 3]),
    ("user=alice", [0, 3, 4]),
    ("user=%C3%9Cn%C3%AF_c%C3%B6d%C3%A9", [7]),
    ("user=Alice&wiki=frwiki", [4]),
    ("user=Alice&user=!Bob", [0, 3, 4]),
    ("user=Alice/*", []),
    ("bot=true", [1, 3]),
    ("bot=false", [0, 4]),
    ("bot=!true", but(1, 3)),
    ("minor=true", [0, 4]),
    ("minor=false", [3]),
    ("patrolled=false", [0]),
    ("canary=true", ALL),
    ("canary=false", but(5)),
    ("canary=only", [5]),
    # Conditions.
    (f"where=length.new={HUGE}", [7]),
    (f"where=length.new={HUGE + 1}", []),
    (f"where=length.new>{HUGE - 1}", [7]),
    ("where=ratio=1", [7]),
    ("where=tags=b", [7]),
    ("where=tags!=c", [7]),
    ("where=tags!=b", []),
    ("where=list.x>1", [7]),
    ("where=list.x>=3", []),
    ("where=tags", [7]),
    ("where=empty", []),
    ("where=!empty", ALL),
    ("where=nothing", []),
    ("where=nothing=null", [7]),
    ("where=nothing!=null", []),
    ("where=tags!=null", [7]),
    ("where=dt>=2026-01-01", [7]),
    ("where=dt<2026-01-01", []),
    ("where=dt^=2026", [7]),
    ("where=dt*=-02T", [7]),
    ('where=wiki="enwiki"', [0]),
    ("where=wiki=5", [6]),
    ('where=wiki="5"', []),
    ("where=bot=true", [1]),
    ('where=bot="true"', [6]),
    ("where=p.true>0.9&where=page_namespace=2", [7]),
    ("where=p.true>0.9&where=page_namespace=1", []),
    ("where=meta.partition=0&where=meta.offset<2", [0, 1]),
    ("where=meta.domain=canary&canary=false", []),
]
JSON = {"Accept": "application/json"}


class Got(NamedTuple):
    """What the clients of one case have got: their events, and the id of the end."""

    sse: list[SseEvent]
    lines: list[Any]


class Results(NamedTuple):
    feed: Feed
    live: dict[str, Got]
    since: int
    until: int


async def ended(client: StreamClient) -> list[SseEvent]:
    assert client.status == 200, await client.body()
    events = [event async for event in client.events()]
    assert events[-1].event == "end"
    return events


async def lines(client: StreamClient) -> list[Any]:
    assert client.status == 200
    return [json.loads(line) for line in (await client.body(60)).split(b"\n") if line]


async def got(port: int, path: str) -> tuple[StreamClient, StreamClient]:
    return await StreamClient.connect(port, path), await StreamClient.connect(port, path, JSON)


@pytest.fixture(scope="module")
def results(kafka: Any, site: Site, supply: Supply) -> Results:
    """All clients are connected while the events are written; a record of the time of `until` ends them."""
    feed = supply.take("one")

    async def run() -> Results:
        now = int(time.time() * 1000)
        until = now + 900_000
        path = f"{feed.path}?until={until}"
        clients = {query: await got(site.port, f"{path}&{encoded(query)}") for query, _ in CASES}
        control = await StreamClient.connect(site.port, feed.path)
        ending = {q: asyncio.gather(ended(sse), lines(ndjson)) for q, (sse, ndjson) in clients.items()}
        broker = Broker(kafka.bootstrap)
        await broker.send(feed.topic, *(Rec({"n": n, **event}, now + n) for n, event in enumerate(EVENTS)))
        await control.take(len(EVENTS))
        await asyncio.sleep(0.2)  # for the others to have got them live; the end would bring what they lack
        await broker.send(feed.topic, Rec({"n": 99}, until))
        try:
            async with asyncio.timeout(60):
                live = {query: Got(*await both) for query, both in ending.items()}
        finally:
            for client in (control, *(each for pair in clients.values() for each in pair)):
                client.abort()
        return Results(feed, live, now, until)

    return asyncio.run(run())


def encoded(query: str) -> str:
    return quote(query, safe="=&%+!*,:/()")


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_a_live_client_gets_what_matches(query: str, expected: list[int], results: Results) -> None:
    sse, found = results.live[query]
    assert ns(sse[:-1]) == expected
    assert ns(found) == expected
    assert sse[-1].json == {"reason": "until", "events": len(expected)}


@pytest.mark.parametrize(("query", "expected"), CASES)
async def test_history_has_what_matches(query: str, expected: list[int], results: Results, site: Site) -> None:
    path = f"{results.feed.path}?since={results.since}&until={results.until}&{encoded(query)}"
    sse, ndjson = await got(site.port, path)
    try:
        async with asyncio.timeout(30):
            assert ns((await ended(sse))[:-1]) == expected
            assert ns(await lines(ndjson)) == expected
    finally:
        sse.abort()
        ndjson.abort()


def test_live_and_from_history_the_ids_pass_over_what_does_not_match(results: Results) -> None:
    for query, _ in CASES:
        end = results.live[query].sse[-1]
        assert [entry["cursor"].split(":")[1] for entry in json.loads(end.id)] == [str(len(EVENTS))]


async def test_the_id_of_an_event_goes_with_any_other_filter(results: Results, site: Site, connect: Connect) -> None:
    for query, rest in (("", but(0, 1, 2, 3)), ("wiki=frwiki", [4]), ("wiki=dewiki", []), ("canary=false", [4, 6, 7])):
        identifier = results.live["wiki=enwiki"].sse[1].id
        path = f"{results.feed.path}?until={results.until}&{query}"
        client = await connect(site, path, resume_at(identifier))
        assert "eventstreams-gap" not in client.headers
        assert ns((await ended(client))[:-1]) == rest


REFUSED = [
    *("wiki=a,,b", "wiki=,", "wiki=a%20b", "wiki=%FF", "domain=*", "domain=a.*", "domain=*.", "namespace=x"),
    *("namespace=1.0", "title=/*", "user=%20", "bot=yes", "bot=True", "minor=1", "patrolled=!", "canary=maybe"),
    *("canary=true&canary=false", "where=a..b", "where==1", "where=!a=1", "where=a~b", "where=a%20b=1", "wiki=!"),
    *("&".join(["wiki=a"] * 0 + [f"title=t{n}" for n in range(101)]), "&".join(f"where=a={n}" for n in range(17))),
    "where=a=" + "x" * 4096,
]


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:30])
@pytest.mark.parametrize("headers", [{}, JSON, {"Accept": "text/event-stream"}])
async def test_what_cannot_be_read_is_refused(
    query: str, headers: dict[str, str], results: Results, site: Site, connect: Connect
) -> None:
    problem = await error_of(await connect(site, f"{results.feed.path}?{query}", headers))
    assert (problem["status"], problem["type"], problem["title"]) == (400, "invalid_filter", "Invalid filter")
    assert query.partition("=")[0] in problem["detail"] or "filter has" in problem["detail"]
    assert len(problem["detail"]) < 600
    assert (await connect(site, f"{results.feed.path}?{query}", method="HEAD")).status == 400
