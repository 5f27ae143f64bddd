"""Requests that are odd and allowed, and those that are not: each gets a whole answer, in the form of every answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from tests.integration.conftest import Connect
from tests.integration.kit import T0, Broker, Feed, error_of, numbered
from tests.integration.test_headers import is_protected, names
from tests.support.client import StreamClient
from tests.support.site import Site

MAX_BYTES = 3_500


class Ask(Protocol):
    """Sends these bytes and reads the head of the answer."""

    async def __call__(self, site: Site, data: bytes, *, half_close: bool = False) -> StreamClient: ...


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    clients: list[StreamClient] = []

    async def asked(site: Site, data: bytes, *, half_close: bool = False) -> StreamClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        client = StreamClient(reader, writer)
        clients.append(client)
        writer.write(data)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(15):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        client.status = int(head[0].split()[1])
        client.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        is_protected(client)
        assert client.headers["access-control-allow-origin"] == "*"
        return client

    yield asked
    for client in clients:
        client.abort()
        await client.close()


def get(path: str, *lines: str) -> bytes:
    return ("\r\n".join((f"GET {path} HTTP/1.1", "Host: test", *lines)) + "\r\n\r\n").encode()


def head_bytes(client: StreamClient) -> int:
    return 60 + sum(len(name) + len(value) + 4 for name, value in client.headers.items())


@pytest.mark.parametrize("path", ["/v2/stream/one0", "/healthz", "/_info", "/?spec", "/readyz"])
@pytest.mark.parametrize("agent", ["ÅngstromBot/1.0", "бот", "a\x85b"])
async def test_a_header_may_have_any_text(agent: str, path: str, site: Site, ask: Ask) -> None:
    client = await ask(site, get(path, f"User-Agent: {agent}"))
    assert client.status == 200


async def test_a_path_that_is_not_ascii_is_one_that_is_not_there(site: Site, ask: Ask) -> None:
    client = await ask(site, get("/v2/stream/Å"))
    assert client.status == 404
    assert "Å" in (await error_of(client))["detail"]


@pytest.mark.parametrize(("method", "line", "status"), [("POST", "", 405), ("DELETE", "", 405)])
async def test_errors_of_files_have_the_form_of_all(method: str, line: str, status: int, site: Site, ask: Ask) -> None:
    request = f"{method} /static/eventstreams/ui/main.js HTTP/1.1\r\nHost: test\r\n{line or 'X: y'}\r\n\r\n"
    client = await ask(site, request.encode())
    assert client.status == status
    assert ("allow" if status == 405 else "content-range") in client.headers
    await error_of(client)


@pytest.mark.parametrize("target", ["example.org:443", "example.org", "/v2/stream/one0", "/nothing"])
async def test_connect_is_not_allowed(target: str, site: Site, ask: Ask) -> None:
    client = await ask(site, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert client.status == 405
    assert client.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await error_of(client))["method"] == "CONNECT"


@pytest.mark.parametrize(("count", "size"), [(2_000, 100), (600, 2), (501, 10), (10, 20_000), (30_000, 2)])
async def test_too_many_headers_are_told_so(count: int, size: int, site: Site, ask: Ask) -> None:
    client = await ask(site, get("/v2/stream/one0", *(f"X:{n:0{size}}" for n in range(count))))
    assert client.status == 431
    assert (await error_of(client))["type"] == "headers_too_large"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/?spec", 200),
        ("/?doc", 200),
        ("/nothing", 404),
        ("/v2/stream/nope", 404),
        ("/v2/stream/one0?since=x", 400),
        ("/v2/stream/absent0", 503),
    ],
)
async def test_who_has_ended_the_input_gets_an_answer_that_ends(path: str, status: int, site: Site, ask: Ask) -> None:
    client = await ask(site, get(path), half_close=True)
    assert client.status == status
    assert len(await client.body()) > 2
    assert await client._reader.read() == b""


async def test_all_requests_that_a_client_sent_before_it_ended_its_input_are_answered(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(get("/healthz") * 3)
    writer.write_eof()
    async with asyncio.timeout(10):
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 3
    writer.close()


async def test_a_stream_whose_client_ends_its_input_is_over(site: Site, ask: Ask, one: Feed) -> None:
    gauge = f'eventstreams_connected_clients{{stream="{one.stream}"}}'
    client = await ask(site, get(one.path))
    assert await client._reader.readuntil(b":ok\n\n")
    assert await asyncio.to_thread(site.metric, gauge) == 1
    client._writer.write_eof()
    async with asyncio.timeout(5):
        assert await client._reader.read() is not None
        while await asyncio.to_thread(site.metric, gauge):
            await asyncio.sleep(0.05)


async def test_a_stream_for_who_has_ended_the_input_is_empty(site: Site, ask: Ask, one: Feed) -> None:
    client = await ask(site, get(one.path), half_close=True)
    assert client.status == 200
    assert await client.body() == b":ok\n\n"
    assert client.ended_cleanly


def id_of(feed: Feed, timestamp: int) -> str:
    return json.dumps([{"topic": feed.topic, "partition": 0, "timestamp": timestamp}])


async def test_an_id_that_is_given_twice_counts_once(site: Site, ask: Ask, broker: Broker, one: Feed) -> None:
    await broker.send(one.topic, *numbered(0, 1, 2))
    line = f"Last-Event-ID: {id_of(one, T0 + 1)}"
    client = await ask(site, get(one.path, line, "Last-Event-ID: ", line))
    assert client.status == 200
    assert (await client.take(1))[0].json["n"] == 1


@pytest.mark.parametrize("place", ["header", "parameter"])
async def test_different_ids_are_told_so(place: str, site: Site, ask: Ask, one: Feed) -> None:
    ids = [id_of(one, T0), id_of(one, T0 + 1)]
    if place == "header":
        request = get(one.path, *(f"Last-Event-ID: {text}" for text in ids))
    else:
        request = get(one.path + "?" + "&".join("lastEventId=" + text.replace(" ", "%20") for text in ids))
    client = await ask(site, request)
    assert client.status == 400
    problem = await error_of(client)
    assert problem["type"] == "invalid_last_event_id"
    assert "2 different values" in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("since", "understood"),
    [
        ("1700000000", "1970-01-20T16:13:20.000Z"),
        ("20261128180000", "2612-01-19T19:09:40.000Z"),
        ("2026-11-28T18:00:00Z", "2026-11-28T18:00:00.000Z"),
        ("2026-11-28T18:00:00.5+01:00", "2026-11-28T17:00:00.500Z"),
        ("-5", "1970-01-01T00:00:00.000Z"),
        ("1e300", "+292278994-08-17T07:12:55.807Z"),
    ],
)
async def test_how_since_was_understood_is_said(
    since: str, understood: str, method: str, site: Site, one: Feed, connect: Connect
) -> None:
    client = await connect(site, f"{one.path}?since={since.replace('+', '%2B')}", method=method)
    assert client.headers["eventstreams-since"] == understood
    assert "eventstreams-since" in names(client, "access-control-expose-headers")


async def test_a_since_that_decides_nothing_is_not_said(site: Site, one: Feed, connect: Connect) -> None:
    for path, headers in (
        (one.path, {}),
        (f"{one.path}?since=", {}),
        (f"{one.path}?since=5", {"Last-Event-ID": id_of(one, T0)}),
    ):
        client = await connect(site, path, headers)
        assert client.status == 200
        assert "eventstreams-since" not in client.headers
    by_name = await connect(site, f"{one.path}?since=5", {"Last-Event-ID": json.dumps([one.topic])})
    assert by_name.headers["eventstreams-since"] == "1970-01-01T00:00:00.005Z"


async def test_the_headers_of_many_gaps_are_small_and_the_comment_has_all(
    site: Site, one: Feed, connect: Connect
) -> None:
    lost = [{"topic": f"{'x' * 200}.{n}", "partition": 0, "timestamp": T0, "cursor": "cluster0:5"} for n in range(40)]
    client = await connect(site, f"{one.path}?since=5", {"Last-Event-ID": json.dumps(lost)})
    assert client.status == 200
    header = client.headers["eventstreams-gap"]
    assert len(header) < 2_000
    assert head_bytes(client) < MAX_BYTES
    said: list[Any] = json.loads(header)
    body = await client._reader.readuntil(b":gap ") and await client._reader.readuntil(b"\n")
    everything = json.loads(body)
    assert len(everything) == 40
    assert said == everything[: len(said)] != []


@pytest.mark.parametrize(
    "path",
    [
        "/admin/streams/stream/?q=" + "x" * 20_000,
        "/admin/?" + "%C3%A9" * 1_000,
        "/v2/stream/" + "x" * 20_000,
        "/nothing/" + "x" * 20_000,
        "/rc?" + "x" * 20_000,
        "/?" + "x" * 20_000,
        "/static/admin?" + "x" * 20_000,
        "/_info/home?" + "x" * 20_000,
    ],
)
async def test_no_answer_has_headers_that_a_proxy_would_refuse(path: str, site: Site, connect: Connect) -> None:
    client = await connect(site, path)
    assert head_bytes(client) < MAX_BYTES
    if path.startswith("/admin/?"):
        assert client.headers["location"] == "/admin/login/"
