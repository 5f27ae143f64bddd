"""Every row of the contract's table of errors, and what they become for a client that has committed to SSE."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streams.local.kafka import LocalKafka
from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, chunks_of, error_of, gap_of, ns, numbered, resume_at
from tests.support import SLACK_SECONDS
from tests.support.client import StreamClient
from tests.support.site import Site

SSE, NDJSON = {"Accept": "text/event-stream"}, {"Accept": "application/json"}
SOFT = re.compile(rb":ok\n\nretry: (\d+)\nevent: error\ndata: (\{.*\})\n\n")


async def is_told_by_event(client: StreamClient, error: str) -> dict[str, Any]:
    """The answer is a stream that says what is wrong, is held for a second and ends cleanly; the problem."""
    assert client.status == 200
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-accel-buffering"] == "no"
    assert "retry-after" not in client.headers
    began = time.monotonic()
    chunks = chunks_of(client)
    body = await anext(chunks)
    match = SOFT.fullmatch(body)
    assert match, body
    assert 5_000 <= int(match[1]) <= 15_000
    async with asyncio.timeout(10):
        assert [chunk async for chunk in chunks] == []
    assert client.ended_cleanly
    assert time.monotonic() - began > 0.8
    problem: dict[str, Any] = json.loads(match[2])
    assert problem.keys() == {"status", "type", "title", "detail", "method", "uri"}
    assert problem["type"] == error
    return problem


async def is_told_by_status(client: StreamClient, status: int, error: str) -> dict[str, Any]:
    """The answer is a problem (RFC 9457); whether and when to retry is in it where that may help."""
    assert client.status == status
    problem = await error_of(client)
    assert problem["type"] == error
    if status in (429, 503):
        assert 1 <= int(client.headers["retry-after"]) <= 600
    else:
        assert "retry-after" not in client.headers
    return problem


async def is_unavailable(connect: Connect, site: Site, feed: Feed, error: str) -> None:
    """Each kind of request gets its kind of answer while the whole server has a passing trouble."""
    ids = resume_at({"topic": feed.topic, "partition": 0, "offset": 0})
    parameter = f'{feed.path}?lastEventId=["{feed.topic}"]'
    browser = {"Accept": "text/html, text/event-stream;q=0.9"}
    told = [
        connect(site, path, headers)
        for path, headers in [(feed.path, SSE), (feed.path, ids), (parameter, {}), (feed.path, ids | SSE)]
    ]
    told.append(connect(site, feed.path, browser))
    clients = await asyncio.gather(*told)
    for problem in await asyncio.gather(*(is_told_by_event(client, error) for client in clients)):
        assert problem["status"] == 503
        assert problem["method"] == "GET"
    for headers in (
        {},
        {"Accept": "*/*"},
        {"Accept": "text/html"},
        NDJSON,
        NDJSON | ids,
        {"Accept": "application/jsonl"},
    ):
        await is_told_by_status(await connect(site, feed.path, headers), 503, error)
    head = await connect(site, feed.path, {"Connection": "close", **SSE}, method="HEAD")
    # HEAD counts as no client, so that a server which is full answers it as ever.
    assert head.status == (200 if error == "overloaded" else 503)
    head.headers.pop("content-length", None)
    assert await head.body() == b""


# What the request is wrong in.


@pytest.mark.parametrize(
    ("names", "invalid"),
    [
        ("nope", "nope"),
        ("nope,nope", "nope"),
        ("one0,nope", "nope"),
        ("x,one0,a", "x,a"),
        ("one0%20", "one0 "),
        ("ONE0", "ONE0"),
        ("/v2", "/v2"),
        ("one0/more", "one0/more"),
        ("one0,,nope", ",nope"),
        ("nope,", "nope,"),
        ("%c3%a9", "é"),
    ],
)
async def test_a_stream_that_is_not_exposed_is_not_found(
    names: str, invalid: str, site: Site, connect: Connect
) -> None:
    for headers in (SSE, NDJSON, resume_at("[]")):
        client = await connect(site, f"/v2/stream/{names}?since=x", headers)
        problem = await is_told_by_status(client, 404, "not_found")
        assert problem["title"] == "Stream Not Found"
        assert problem["detail"] == f"Invalid streams: {invalid}"
        assert problem["uri"] == f"/v2/stream/{names}?since=x"


@pytest.mark.parametrize("names", ["one0,,one1", "one0,", ",one0", ",", "%2C", "/", "one0,/"])
async def test_an_empty_name_is_not_found(names: str, site: Site, connect: Connect) -> None:
    problem = await is_told_by_status(await connect(site, f"/v2/stream/{names}"), 404, "not_found")
    assert problem["title"] == "Stream Not Found"
    assert problem["detail"].startswith("Invalid streams: ")


async def test_too_many_names_are_refused_and_the_same_name_is_one(
    site: Site, strict_site: Site, connect: Connect
) -> None:
    problem = await is_told_by_status(
        await connect(strict_site, "/v2/stream/one0,one1,one2,one3"), 400, "too_many_streams"
    )
    assert "3" in problem["detail"]
    assert (await connect(strict_site, "/v2/stream/one0,one1,one0,one2")).status == 200
    # Of streams without topics: a feed begins those that it has, and other tests are of where a stream starts.
    fifty = ",".join(["one0", *(f"absent{number}" for number in range(49))])
    assert (await connect(site, f"/v2/stream/{fifty}")).status == 200
    await is_told_by_status(await connect(site, f"/v2/stream/{fifty},one1"), 400, "too_many_streams")


async def test_a_bad_since_and_a_malformed_id_are_told_by_status_even_to_sse(site: Site, connect: Connect) -> None:
    client = await connect(site, "/v2/stream/one0?since=never", SSE)
    await is_told_by_status(client, 400, "invalid_timestamp")
    client = await connect(site, "/v2/stream/one0", SSE | {"Last-Event-ID": "[7]"})
    problem = await is_told_by_status(client, 400, "invalid_last_event_id")
    assert "entry 0" in problem["detail"]
    client = await connect(site, "/v2/stream/one0", SSE | {"Last-Event-ID": '["not.of.it"]'})
    problem = await is_told_by_status(client, 404, "topic_not_available")
    assert "not.of.it" in problem["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/v2/stream/one0", "/healthz", "/", "/metrics"])
async def test_another_method_is_refused_and_those_allowed_are_named(
    method: str, path: str, site: Site, connect: Connect
) -> None:
    client = await connect(site, path, SSE, method=method)
    problem = await is_told_by_status(client, 405, "method_not_allowed")
    assert (problem["method"], problem["uri"]) == (method, path)
    assert {name.strip() for name in client.headers["allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}


async def test_head_has_the_status_of_an_error_and_no_body(site: Site, connect: Connect) -> None:
    for path, status in (("nope", 404), ("one0?since=x", 400), ("one0", 200)):
        client = await connect(site, f"/v2/stream/{path}", {"Connection": "close"}, method="HEAD")
        assert client.status == status
        client.headers.pop("content-length", None)
        assert await client.body() == b""


# What Kafka lacks.


async def test_streams_whose_topics_all_do_not_exist_are_unavailable_and_create_none(
    site: Site, connect: Connect, broker: Broker, absent: Feed
) -> None:
    for headers in (SSE, NDJSON):
        client = await connect(site, f"{absent.path}?since=0", headers)
        problem = await is_told_by_status(client, 503, "no_topics_available")
        assert all(topic in problem["detail"] for topic in absent.topics)
    assert not set(absent.topics).intersection(await broker.topics())


async def test_the_topics_that_exist_are_served(
    site: Site, connect: Connect, broker: Broker, one: Feed, absent: Feed
) -> None:
    await broker.send(one.topic, *numbered(0))
    client = await connect(site, f"/v2/stream/{absent.stream},{one.stream}?since=0")
    assert client.status == 200
    assert ns(await client.take(1)) == [0]
    assert not set(absent.topics).intersection(await broker.topics())


async def test_no_stream_configuration_is_said(bare_site: Site, connect: Connect) -> None:
    for headers in (NDJSON, {}):
        await is_told_by_status(await connect(bare_site, "/v2/stream/one0", headers), 503, "no_stream_configuration")


# What is wrong with the server at the moment.


async def test_without_kafka_a_client_is_told_within_three_seconds(
    deaf_site: Site, connect: Connect, one: Feed
) -> None:
    began = time.monotonic()
    await is_told_by_status(await connect(deaf_site, one.path), 503, "kafka_unavailable")
    assert time.monotonic() - began < 3 + SLACK_SECONDS
    await is_unavailable(connect, deaf_site, one, "kafka_unavailable")


@pytest.mark.slow
async def test_an_outage_is_degraded_and_not_unready_and_streams_go_on_after_it(
    own_kafka: LocalKafka, tmp_path: Path, connect: Connect
) -> None:
    feed = Feed("outage", ("outage",))
    broker = Broker(own_kafka.bootstrap)
    await broker.create("outage")
    site = Site(tmp_path, own_kafka.bootstrap, {"outage": {"topics": ["outage"]}}, drain_seconds=0)
    try:
        await asyncio.to_thread(site.start)
        client = await connect(site, feed.path)
        events = client.events()
        await broker.send(feed.topic, Rec({"n": 0}, T0))
        assert (await anext(events)).json["n"] == 0
        await asyncio.to_thread(own_kafka.kill)
        async with asyncio.timeout(30):
            while "degraded" not in json.loads((answer := await asyncio.to_thread(site.get, "/readyz"))[2]):
                await asyncio.sleep(0.1)
        assert answer[0] == 200
        assert site.metric("eventstreams_kafka_up") == 0
        await is_unavailable(connect, site, feed, "kafka_unavailable")
        await asyncio.to_thread(own_kafka.start)
        await broker.send(feed.topic, Rec({"n": 1}, T0))
        async with asyncio.timeout(30):
            assert (await anext(events)).json["n"] == 1
            while "degraded" in await asyncio.to_thread(site.json, "/readyz"):
                await asyncio.sleep(0.1)
        assert site.metric("eventstreams_kafka_up") == 1
    finally:
        await asyncio.to_thread(site.close)


async def test_a_server_that_is_full_says_overloaded(strict_site: Site, connect: Connect, one: Feed) -> None:
    await is_empty(strict_site)
    clients = [
        await connect(strict_site, one.path, {"X-Client-IP": f"192.0.2.{number // 2}", **NDJSON}) for number in range(6)
    ]
    assert [client.status for client in clients] == [200] * 6
    await is_unavailable(connect, strict_site, one, "overloaded")
    clients[0].abort()
    async with asyncio.timeout(10):
        while (await connect(strict_site, one.path, NDJSON)).status != 200:
            await asyncio.sleep(0.05)


async def test_a_server_that_has_as_many_filters_as_it_keeps_says_overloaded(
    strict_site: Site, connect: Connect, one: Feed
) -> None:
    await is_empty(strict_site)
    filters = [f"{one.path}?wiki=w{number}" for number in range(4)]
    for number, path in enumerate(filters[:3]):
        assert (await connect(strict_site, path, of_ip(f"192.0.2.{number}") | NDJSON)).status == 200
    await is_told_by_status(await connect(strict_site, filters[3], NDJSON), 503, "overloaded")
    await is_told_by_event(await connect(strict_site, filters[3], SSE), "overloaded")
    (reason,) = strict_site.json("/readyz")["degraded"]
    assert "all 3 different subscriptions" in reason
    for path in (filters[0], one.path):
        assert (await connect(strict_site, path, of_ip("192.0.2.9") | NDJSON)).status == 200


# Too many connections from one client IP.


async def is_empty(site: Site) -> None:
    """Wait until the connections of earlier tests are gone."""
    async with asyncio.timeout(10):
        while site.metric("eventstreams_connected_clients"):
            await asyncio.sleep(0.05)


def of_ip(address: str) -> dict[str, str]:
    return {"X-Client-IP": address}


async def test_the_third_connection_of_one_client_ip_is_refused(strict_site: Site, connect: Connect, one: Feed) -> None:
    await is_empty(strict_site)
    mine = of_ip("203.0.113.7")
    clients = [await connect(strict_site, one.path, mine | accept) for accept in (SSE, NDJSON)]
    assert [client.status for client in clients] == [200, 200]
    for headers in ({}, SSE, NDJSON, NDJSON | resume_at(json.dumps(one.topic))):
        problem = await is_told_by_status(
            await connect(strict_site, one.path, mine | headers), 429, "too_many_requests"
        )
        assert problem["title"] == "Too Many Concurrent Connections From Your Client IP"
    client = await connect(strict_site, one.path, mine | resume_at(json.dumps(one.topic)))
    assert (await is_told_by_event(client, "too_many_requests"))["status"] == 429
    assert (await connect(strict_site, one.path, of_ip("203.0.113.8"))).status == 200
    assert (await connect(strict_site, "/healthz", mine)).status == 200
    clients[0].abort()
    async with asyncio.timeout(10):
        while (await connect(strict_site, one.path, mine)).status != 200:
            await asyncio.sleep(0.05)


async def test_head_takes_no_place(strict_site: Site, connect: Connect, one: Feed) -> None:
    await is_empty(strict_site)
    mine = of_ip("203.0.113.9")
    assert [(await connect(strict_site, one.path, mine)).status for _ in range(3)] == [200, 200, 429]
    for _ in range(4):
        client = await connect(strict_site, one.path, mine, method="HEAD")
        assert client.status == 200
        assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert strict_site.metric("eventstreams_connected_clients") == 2
    assert (await connect(strict_site, f"{one.path}?since=x", mine, method="HEAD")).status == 400
    assert (await connect(strict_site, "/v2/stream/nope", mine, method="HEAD")).status == 404


async def test_head_says_the_gap_that_get_would_say(site: Site, connect: Connect, broker: Broker, one: Feed) -> None:
    await broker.send(one.topic, *numbered(0, 1, 2, 3))
    await broker.delete_before(one.topic, 2)
    for headers in (resume_at({"topic": one.topic, "partition": 0, "offset": 0}), {"Last-Event-ID": ""}):
        answers = [await connect(site, f"{one.path}?since=0", headers, method=method) for method in ("HEAD", "GET")]
        assert [client.status for client in answers] == [200, 200]
        head, get = map(gap_of, answers)
        assert head == get
        assert [gap["topic"] for gap in head] == [one.topic]


async def test_the_clients_address_is_believed_from_a_trusted_proxy_alone(
    strict_site: Site, connect: Connect, one: Feed
) -> None:
    await is_empty(strict_site)
    statuses = [await status_from("127.0.0.2", strict_site, one, of_ip(f"203.0.113.{n}")) for n in (20, 21, 22)]
    try:
        assert [status for status, _ in statuses] == [200, 200, 429]
        # As many as it likes, to those who are not behind the untrusted peer.
        assert (await connect(strict_site, one.path, of_ip("203.0.113.20"))).status == 200
    finally:
        for _, writer in statuses:
            writer.close()
            await writer.wait_closed()


async def status_from(
    address: str, site: Site, feed: Feed, headers: Mapping[str, str]
) -> tuple[int, asyncio.StreamWriter]:
    """The status of a request that comes from another address of this machine; the connection stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, local_addr=(address, 0))
    lines = [f"GET {feed.path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return int((await reader.readline()).split()[1]), writer


# The end of a server.


@pytest.fixture
def ending_site(kafka: Any, supply: Supply, tmp_path: Path) -> Iterator[Site]:
    """A server that takes six seconds over its end."""
    site = Site(tmp_path, kafka.bootstrap, supply.catalogue, drain_seconds=6, keepalive_seconds=0)
    try:
        yield site.start()
    finally:
        site.close()


async def test_a_server_that_ends_turns_newcomers_away_and_ends_streams_with_the_final_chunk(
    ending_site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    site = ending_site
    # Enough of them, ending at random times, that one keeps the server up while newcomers are looked at.
    open_ones = [await connect(site, one.path, headers) for headers in (SSE, NDJSON) * 15]
    old = await connect(site, one.path, SSE, version="1.0")
    await broker.send(one.topic, *numbered(0, 1))
    async with asyncio.timeout(20):
        while await asyncio.to_thread(site.metric, "eventstreams_events_sent_total") < 2 * (len(open_ones) + 1):
            await asyncio.sleep(0.05)
    os.kill(site.pid, signal.SIGTERM)
    await asyncio.to_thread(site.wait_for, 503)
    assert site.json("/readyz")["reasons"] == ["draining"]
    assert site.get("/healthz")[0] == 200
    await is_unavailable(connect, site, one, "draining")
    for client in open_ones:
        body = await client.body(15)  # fails where the final chunk is missing
        assert client.ended_cleanly
        assert body.count(b'"n":') == 2
        # Nothing but the start and the events: with `keepalive_seconds` 0 there are no signs of life.
        is_sse = client.headers["content-type"].startswith("text/event-stream")
        assert (b"\n:" in body, body.count(b"\n\n")) == (False, 3 if is_sse else 0)
    assert (await old.body(15)).count(b'"n":') == 2
    assert await asyncio.to_thread(site.stop, signal.SIGCONT) == 0  # it has the signal already; this waits for it
