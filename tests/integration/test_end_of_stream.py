"""An end: `until` and `limit`, over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, error_of, ns, resume_at
from tests.integration.test_headers import is_protected
from tests.support.client import SseEvent, StreamClient
from tests.support.site import Site

JSON = {"Accept": "application/json"}
FORMATS = ["text/event-stream", "application/json", "application/x-ndjson", "application/jsonl"]
FILTERS = ["", "&wiki=dewiki", "&where=n>=3"]


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """Three partitions; T0 + 10 comes early in the first, late in the second and never in the third."""
    feed = supply.take("three")

    async def write() -> None:
        broker = Broker(kafka.bootstrap)
        await broker.send(feed.topic, *(Rec({"n": n, "wiki": "dewiki"}, T0 + ms) for n, ms in enumerate((0, 10, 5))))
        await broker.send(feed.topic, *(Rec({"n": n}, T0 + ms, 1) for n, ms in enumerate((1, 3, 3, 9, 11), 3)))
        await broker.send(feed.topic, Rec({"n": 8}, T0 + 2, 2))

    asyncio.run(write())
    return feed


WHOLE = [0, 3, 8, 4, 5, 6]
"""What is before T0 + 10, by its timestamps."""


async def events_of(client: StreamClient, seconds: float = 20.0) -> list[SseEvent]:
    """All events of a stream that ends, and it ends as it should."""
    assert client.status == 200
    async with asyncio.timeout(seconds):
        events = [event async for event in client.events()]
    assert client.ended_cleanly
    return events


async def lines_of(client: StreamClient, seconds: float = 20.0) -> list[Any]:
    """All lines of a stream that ends."""
    assert client.status == 200
    body = await client.body(seconds)
    assert client.ended_cleanly
    assert body.startswith(b"\n")
    return [json.loads(line) for line in body.split(b"\n") if line]


def is_end(event: SseEvent, reason: str, events: int) -> bool:
    return (event.event, event.data) == ("end", f'{{"reason":"{reason}","events":{events}}}')


async def test_each_partition_ends_before_its_first_record_of_that_time(
    site: Site, written: Feed, connect: Connect
) -> None:
    client = await connect(site, f"{written.path}?since={T0}&until={T0 + 10}")
    *events, end = await events_of(client)
    assert ns(events) == WHOLE
    assert {event.event for event in events} == {"message"}
    assert is_end(end, "until", 6)
    cursors = [int(entry["cursor"].split(":")[1]) for entry in json.loads(end.id)]
    assert cursors == [1, 4, 1]


@pytest.mark.parametrize("accept", FORMATS[1:])
async def test_lines_of_json_just_end(accept: str, site: Site, written: Feed, connect: Connect) -> None:
    client = await connect(site, f"{written.path}?since={T0}&until={T0 + 10}", {"Accept": accept})
    assert ns(await lines_of(client)) == WHOLE


@pytest.mark.parametrize(
    "until",
    [str(T0 + 10), "2020-09-13T12:26:40.010Z", "2020-09-13T14:26:40.010+02:00", "Sun, 13 Sep 2020 12:26:40.010"],
)
async def test_until_has_the_grammar_of_since(until: str, site: Site, written: Feed, connect: Connect) -> None:
    client = await connect(site, f"{written.path}?since={T0}&until={until.replace(' ', '%20').replace('+', '%2B')}")
    assert ns((await events_of(client))[:-1]) == WHOLE


@pytest.mark.parametrize(
    ("query", "expected"), [("wiki=dewiki", [0]), ("where=n>=4&where=n<6", [4, 5]), ("wiki=x", [])]
)
async def test_with_a_filter_the_end_is_past_what_does_not_match(
    query: str, expected: list[int], site: Site, written: Feed, connect: Connect
) -> None:
    path = f"{written.path}?since={T0}&until={T0 + 10}"
    *events, end = await events_of(await connect(site, f"{path}&{query}"))
    assert ns(events) == expected
    assert is_end(end, "until", len(expected))
    assert [int(entry["cursor"].split(":")[1]) for entry in json.loads(end.id)] == [1, 4, 1]
    assert ns(await lines_of(await connect(site, f"{path}&{query}", JSON))) == expected


async def test_the_id_of_an_end_goes_on_behind_it(site: Site, written: Feed, connect: Connect) -> None:
    end = (await events_of(await connect(site, f"{written.path}?since={T0}&until={T0 + 10}")))[-1]
    after = await connect(site, written.path, resume_at(end.id))
    assert "eventstreams-gap" not in after.headers
    assert sorted(ns(await after.take(3))) == [1, 2, 7]


# 204.


@pytest.mark.parametrize("choice", FILTERS)
@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_comes_back_after_its_end_is_told_to_stop(
    method: str, accept: str, choice: str, site: Site, written: Feed, connect: Connect
) -> None:
    path = f"{written.path}?since={T0}&until={T0 + 10}{choice}"
    end = (await events_of(await connect(site, path)))[-1]
    headers = {"Accept": accept, "Origin": "https://tool.example", **resume_at(end.id)}
    client = await connect(site, path, headers, method=method)
    assert client.status == 204
    is_protected(client)
    assert client.headers["access-control-allow-origin"] == "*"
    assert client.headers["cache-control"] == "no-cache"
    assert "content-length" not in client.headers
    assert "transfer-encoding" not in client.headers


async def test_an_id_in_the_address_is_as_good(site: Site, written: Feed, connect: Connect) -> None:
    path = f"{written.path}?until={T0 + 10}"
    entries = [{"topic": written.topic, "partition": n, "offset": offset} for n, offset in enumerate((1, 4, 1))]
    identifier = json.dumps(entries, separators=(",", ":"))
    assert (await connect(site, f"{path}&lastEventId={identifier}")).status == 204


@pytest.mark.parametrize("offsets", [(0, 4, 1), (3, 3, 1), (3, 5, 0)])
@pytest.mark.parametrize("choice", FILTERS)
async def test_an_id_that_is_before_the_end_somewhere_goes_on(
    offsets: tuple[int, ...], choice: str, site: Site, written: Feed, connect: Connect
) -> None:
    asked = resume_at(*({"topic": written.topic, "partition": n, "offset": o} for n, o in enumerate(offsets)))
    client = await connect(site, f"{written.path}?until={T0 + 10}{choice}", asked)
    events = await events_of(client)
    assert len(events) <= 2
    assert events[-1].event == "end"
    again = await connect(site, f"{written.path}?until={T0 + 10}{choice}", resume_at(events[-1].id))
    assert again.status == 204


@pytest.mark.parametrize("ids", ['["{topic}"]', '[{{"topic":"{topic}","partition":0,"offset":-1}}]'])
async def test_an_id_that_is_the_end_is_beyond_a_past_until(
    ids: str, site: Site, written: Feed, connect: Connect
) -> None:
    headers = {"Last-Event-ID": ids.format(topic=written.topic)}
    assert (await connect(site, f"{written.path}?until={T0 + 10}", headers)).status == 204


async def test_an_id_with_an_until_in_the_future_is_not_at_its_end(site: Site, written: Feed, connect: Connect) -> None:
    headers = {"Last-Event-ID": f'["{written.topic}"]'}
    client = await connect(site, f"{written.path}?until=2100-01-01", headers)
    assert client.status == 200
    assert (await connect(site, f"{written.path}?until=2100-01-01", headers, method="HEAD")).status == 200


# Where it is, and where it is not.


@pytest.mark.parametrize("choice", FILTERS)
async def test_a_past_until_alone_ends_at_once(choice: str, site: Site, written: Feed, connect: Connect) -> None:
    for until in ("0", str(T0), "2026-01-01"):
        (end,) = await events_of(await connect(site, f"{written.path}?until={until}{choice}"), 5)
        assert is_end(end, "until", 0)
        assert await lines_of(await connect(site, f"{written.path}?until={until}{choice}", JSON), 5) == []


@pytest.mark.parametrize("since", [T0 + 10, T0 + 11, "2020-09-13T12:26:40.010Z", "2100-01-01"])
@pytest.mark.parametrize("headers", [{}, JSON, {"Last-Event-ID": '["{topic}"]'}])
async def test_an_until_that_is_not_after_since_is_refused(
    since: int | str, headers: dict[str, str], site: Site, written: Feed, connect: Connect
) -> None:
    headers = {name: value.format(topic=written.topic) for name, value in headers.items()}
    problem = await error_of(await connect(site, f"{written.path}?since={since}&until={T0 + 10}", headers))
    assert (problem["status"], problem["type"], problem["title"]) == (400, "invalid_timestamp", "Invalid timestamp")
    assert "until" in problem["detail"]


@pytest.mark.parametrize("query", ["until=tomorrow", "until=1&until=1", "until=%FF"])
async def test_an_until_that_is_no_time_is_refused_by_name(
    query: str, site: Site, written: Feed, connect: Connect
) -> None:
    problem = await error_of(await connect(site, f"{written.path}?{query}"))
    assert (problem["status"], problem["type"]) == (400, "invalid_timestamp")
    assert problem["detail"].startswith("until")


@pytest.mark.parametrize("query", ["until=", "limit=", "checkpoint=", "until=&limit=&checkpoint="])
async def test_an_empty_value_is_none(query: str, site: Site, written: Feed, connect: Connect) -> None:
    client = await connect(site, f"{written.path}?since={T0}&{query}")
    assert len(await client.take(9)) == 9


async def test_since_with_an_until_behind_all_there_is_ends_at_the_end(
    site: Site, written: Feed, connect: Connect
) -> None:
    client = await connect(site, f"{written.path}?since={T0}&until={int(time.time() * 1000) - 1}")
    *events, end = await events_of(client)
    assert (sorted(ns(events)), is_end(end, "until", 9)) == (list(range(9)), True)
    again = await connect(site, f"{written.path}?until={int(time.time() * 1000) - 1}", resume_at(end.id))
    assert again.status == 204


@pytest.mark.parametrize("headers", [{}, JSON])
async def test_a_future_until_ends_at_the_first_record_of_its_time(
    headers: dict[str, str], site: Site, one: Feed, broker: Broker, connect: Connect
) -> None:
    until = int(time.time() * 1000) + 600_000
    client = await connect(site, f"{one.path}?until={until}", headers)
    ending = asyncio.ensure_future(lines_of(client) if headers else events_of(client))
    await broker.send(one.topic, Rec({"n": 0}), Rec({"n": 1}, until - 1), Rec({"n": 2}, until), Rec({"n": 3}))
    got = await ending
    assert ns(got if headers else got[:-1]) == [0, 1]


@pytest.mark.parametrize("choice", ["", "&where=n"])
async def test_a_future_until_ends_when_its_time_has_come(
    choice: str, site: Site, one: Feed, broker: Broker, connect: Connect
) -> None:
    await broker.send(one.topic, Rec({"n": 0}))
    until = int(time.time() * 1000) + 3_000
    since = until - 600_000
    clients = [await connect(site, f"{one.path}?since={since}&until={until}{choice}", accept) for accept in ({}, JSON)]
    ending = asyncio.gather(events_of(clients[0]), lines_of(clients[1]))
    await broker.send(one.topic, Rec({"n": 1}))
    events, lines = await ending
    assert time.time() * 1000 >= until
    assert ns(events[:-1]) == ns(lines) == [0, 1]
    assert is_end(events[-1], "until", 2)
    again = await connect(site, f"{one.path}?until={until}{choice}", resume_at(events[-1].id))
    assert again.status == 204


# A number of events.


@pytest.mark.parametrize(("limit", "expected"), [(1, [0]), (4, [0, 3, 8, 4]), (9, None)])
async def test_a_limit_ends_after_so_many_events(
    limit: int, expected: list[int] | None, site: Site, written: Feed, connect: Connect
) -> None:
    path = f"{written.path}?since={T0}&limit={limit}"
    *events, end = await events_of(await connect(site, path))
    assert expected is None or ns(events) == expected
    assert is_end(end, "limit", limit)
    assert end.id == events[-1].id
    assert ns(await lines_of(await connect(site, path, JSON))) == ns(events)


async def test_a_limit_ends_a_live_stream(site: Site, one: Feed, broker: Broker, connect: Connect) -> None:
    sse = await connect(site, f"{one.path}?limit=3")
    ndjson = await connect(site, f"{one.path}?limit=2&where=n>0", JSON)
    ending = asyncio.gather(events_of(sse), lines_of(ndjson))
    await broker.send(one.topic, *(Rec({"n": n}) for n in range(5)))
    events, lines = await ending
    assert (ns(events[:-1]), ns(lines)) == ([0, 1, 2], [1, 2])
    assert is_end(events[-1], "limit", 3)


@pytest.mark.parametrize("choice", ["", "&where=n!=4"])
async def test_a_limit_and_an_id_page(choice: str, site: Site, written: Feed, connect: Connect) -> None:
    path = f"{written.path}?until={T0 + 20}&limit=2{choice}"
    events: list[SseEvent] = []
    end = None
    for _ in range(9):
        client = await connect(site, path if end else f"{path}&since={T0}", resume_at(end.id) if end else {})
        if client.status == 204:
            break
        *page, end = await events_of(client)
        assert len(page) <= 2
        events += page
    assert sorted(ns(events)) == [n for n in range(9) if n != 4 or not choice]


async def test_of_a_limit_and_a_time_the_first_ends(site: Site, written: Feed, connect: Connect) -> None:
    for limit, reason, count in ((5, "limit", 5), (7, "until", 6)):
        client = await connect(site, f"{written.path}?since={T0}&until={T0 + 10}&limit={limit}")
        assert is_end((await events_of(client))[-1], reason, count)


@pytest.mark.parametrize("name", ["limit", "checkpoint"])
@pytest.mark.parametrize("value", ["0", "1000000001", "4x", "1.5", "-3", "%FF", "1&{name}=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_number_that_cannot_be_read_is_refused(
    method: str, value: str, name: str, site: Site, written: Feed, connect: Connect
) -> None:
    client = await connect(site, f"{written.path}?{name}={value.format(name=name)}", method=method)
    assert client.status == 400
    if method == "GET":
        problem = await error_of(client)
        assert (problem["type"], problem["title"]) == ("invalid_filter", "Invalid filter")
        assert problem["detail"].startswith(name)
        assert "expected" in problem["detail"] or "more than once" in problem["detail"]


async def test_ends_are_counted(site: Site, written: Feed, connect: Connect) -> None:
    def count(reason: str) -> float:
        return site.metric(f'eventstreams_stream_ends_total{{reason="{reason}"}}')

    before = [count(reason) for reason in ("until", "limit", "nothing_left")]
    end = (await events_of(await connect(site, f"{written.path}?until={T0 + 10}&since={T0}")))[-1]
    await events_of(await connect(site, f"{written.path}?since={T0}&limit=1"))
    assert (await connect(site, f"{written.path}?until={T0 + 10}", resume_at(end.id))).status == 204
    assert [count(reason) for reason in ("until", "limit", "nothing_left")] == [number + 1 for number in before]


async def test_a_client_over_http_1_0_is_told_the_end_by_the_close(site: Site, written: Feed, connect: Connect) -> None:
    client = await connect(site, f"{written.path}?since={T0}&until={T0 + 10}", version="1.0")
    assert is_end((await events_of(client))[-1], "until", 6)


async def test_a_checkpoint_comes_over_the_socket(site: Site, one: Feed, broker: Broker, connect: Connect) -> None:
    began = time.monotonic()
    sse = await connect(site, f"{one.path}?wiki=x&canary=false&checkpoint=5")
    ndjson = await connect(site, f"{one.path}?wiki=x&canary=false&checkpoint=5", JSON)
    await broker.send(one.topic, Rec({"n": 0, "wiki": "y"}))
    (event,), (line,) = await asyncio.gather(sse.take(1), ndjson.take_lines(1))
    assert time.monotonic() - began > 4
    assert event.event == "checkpoint"
    meta = event.json["meta"]
    assert event.json.keys() == {"meta"}
    assert (meta["domain"], meta["stream"]) == ("canary", "eventstreams.checkpoint")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", meta["dt"])
    assert list(line) == ["meta", "last_event_id"]
    assert line["meta"] | {"dt": ""} == meta | {"dt": ""}
    assert line["last_event_id"] == json.loads(event.id)
    await broker.send(one.topic, Rec({"n": 1, "wiki": "x"}))
    for identifier in (event.id, json.dumps(line["last_event_id"])):
        resumed = await connect(site, one.path, resume_at(identifier))
        assert ns(await resumed.take(1)) == [1]
