"""Headers that every answer has, CORS, and requests that are unusual in form."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, error_of, ns, numbered, resume_at
from tests.support.client import StreamClient
from tests.support.site import Site

PREFLIGHT = {
    "Origin": "https://tool.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "last-event-id",
}


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """A stream of two records; tests here only read it."""
    feed = supply.take("one")
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0, 1)))
    return feed


def names(client: StreamClient, header: str) -> set[str]:
    return {name.strip().lower() for name in client.headers.get(header, "").split(",")}


def is_protected(client: StreamClient) -> None:
    """What the contract asks of every answer."""
    assert client.headers["x-content-type-options"] == "nosniff"
    assert client.headers["x-frame-options"] == "SAMEORIGIN"
    policy = dict(part.strip().partition(" ")[::2] for part in client.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert "*" not in client.headers["content-security-policy"]
    assert "unsafe" not in client.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/stream/one0", 200),
        ("HEAD", "/v2/stream/one0", 200),
        ("POST", "/v2/stream/one0", 405),
        ("OPTIONS", "/v2/stream/one0", 204),
        ("GET", "/v2/stream/nope", 404),
        ("GET", "/v2/stream/one0?since=x", 400),
        ("GET", "/v2/stream/absent0", 503),
        ("GET", "/", 303),
        ("GET", "/?doc", 200),
        ("GET", "/rc", 301),
        ("GET", "/robots.txt", 200),
        ("GET", "/_info", 200),
        ("GET", "/_info/home", 301),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("OPTIONS", "/metrics", 204),
        ("GET", "/nothing", 404),
        ("DELETE", "/nothing", 404),
    ],
)
async def test_every_public_answer_is_protected_and_may_be_read_from_anywhere(
    method: str, path: str, status: int, site: Site, connect: Connect
) -> None:
    client = await connect(site, path, {"Origin": "https://tool.example"}, method=method)
    assert client.status == status
    is_protected(client)
    assert client.headers["access-control-allow-origin"] == "*"
    assert names(client, "access-control-expose-headers") == {
        "retry-after",
        "eventstreams-since",
        "eventstreams-gap",
        "eventstreams-filter",
    }
    assert "access-control-allow-credentials" not in client.headers


@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("/v2/stream/one0?since=\x80", "a time that is none"),
        ("/a b", "a blank too many"),
        ("/v2/stream/one0", "a control character: \x1c"),
    ],
)
async def test_an_answer_to_what_is_no_request_is_protected_too(
    path: str, note: str, site: Site, connect: Connect
) -> None:
    client = await connect(site, path, {"X-Note": note})
    assert client.status == 400
    is_protected(client)
    assert client.headers["access-control-allow-origin"] == "*"
    await error_of(client)
    assert (await connect(site, "/healthz")).status == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_the_page_of_a_path_that_is_not_there_is_protected(accept: str, site: Site, connect: Connect) -> None:
    client = await connect(site, "/nothing", {"Accept": accept})
    assert client.status == 404
    is_protected(client)


@pytest.mark.parametrize("path", ["/v2/stream/one0", "/v2/stream/nope", "/", "/?doc", "/_info", "/metrics", "/nothing"])
async def test_a_preflight_allows_what_streaming_clients_send(path: str, site: Site, connect: Connect) -> None:
    client = await connect(site, path, PREFLIGHT, method="OPTIONS")
    assert client.status == 204
    assert client.headers["access-control-allow-origin"] == "*"
    assert names(client, "access-control-allow-headers") >= {
        "accept",
        "last-event-id",
        "x-requested-with",
        "content-type",
        "cache-control",
        "api-user-agent",
        "user-agent",
    }
    assert names(client, "access-control-allow-methods") >= {"get", "head"}
    assert names(client, "allow") == {"get", "head", "options"}


@pytest.mark.parametrize(("method", "path"), [("GET", "/admin/"), ("OPTIONS", "/admin/"), ("GET", "/admin/login/")])
async def test_the_admin_is_never_answered_across_origins(method: str, path: str, site: Site, connect: Connect) -> None:
    client = await connect(site, path, PREFLIGHT, method=method)
    assert client.status < 500
    is_protected(client)
    assert not [header for header in client.headers if header.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/v2/stream/one0", "/_info", "/nothing"])
async def test_one_origin_can_be_configured(path: str, strict_site: Site, connect: Connect) -> None:
    for method in ("GET", "OPTIONS"):
        client = await connect(strict_site, path, PREFLIGHT, method=method)
        assert client.headers["access-control-allow-origin"] == "https://example.org"
        assert "origin" in names(client, "vary")
    client = await connect(strict_site, "/v2/stream/one0", method="HEAD")
    assert names(client, "vary") == {"accept", "origin"}


@pytest.mark.parametrize("host", ["event_streams", "a b", "-", "[::", "x" * 300])
@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 303), ("/?doc", 200), ("/_info", 200), ("/healthz", 200), ("/readyz", 200), ("/metrics", 200)],
)
async def test_public_routes_are_answered_under_any_name(
    host: str, path: str, status: int, site: Site, connect: Connect
) -> None:
    client = await connect(site, path, host=host)
    assert client.status == status
    is_protected(client)


async def test_the_admin_is_not_and_says_so_in_one_line(site: Site, connect: Connect) -> None:
    logged = len(site.log.read_text())
    client = await connect(site, "/admin/login/", host="event_streams")
    assert client.status == 400
    is_protected(client)
    async with asyncio.timeout(10):
        while not (lines := site.log.read_text()[logged:].splitlines()):
            await asyncio.sleep(0.02)
    assert len(lines) == 1
    assert " WARNING " in lines[0], "anybody can ask so: it is no error"
    assert "event_streams" in lines[0]


async def test_a_stream_says_how_it_may_be_kept_and_buffered(site: Site, connect: Connect, written: Feed) -> None:
    for headers in ({"Accept": "text/event-stream"}, {"Accept": "application/json"}):
        for method in ("GET", "HEAD"):
            client = await connect(site, written.path, headers, method=method)
            assert client.headers["cache-control"] == "no-cache"
            assert client.headers["x-accel-buffering"] == "no"
            assert names(client, "vary") == {"accept"}
            assert "content-length" not in client.headers


async def test_head_on_a_stream_is_answered_at_once_and_the_connection_serves_on(
    site: Site, connect: Connect, written: Feed
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        request = f"{{}} {written.path}?since=0 HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n\r\n"
        writer.write(request.format("HEAD").encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.write(request.format("GET").encode())
        async with asyncio.timeout(10):
            # Nothing of a body came between.
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert b'"n":0' in await reader.readuntil(b"}}")
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("accept", "start"), [("text/event-stream", b":ok\n\nevent: message\nid: ["), ("application/json", b'\n{"n":')]
)
async def test_http_1_0_gets_the_body_without_chunking(
    accept: str, start: bytes, site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, f"{written.path}?since=0", {"Accept": accept}, version="1.0")
    assert client.status == 200
    assert "transfer-encoding" not in client.headers
    assert "content-length" not in client.headers
    body = b""
    async with asyncio.timeout(10):
        async for data in client.chunks():
            body += data
            if body.count(b'"n":') == 2 and body.endswith(b"\n"):
                break
    assert body.startswith(start)
    assert b"\r" not in body


async def test_an_answer_to_http_1_0_ends_with_the_close(site: Site, connect: Connect, deaf_site: Site) -> None:
    client = await connect(deaf_site, "/v2/stream/one0", {"Accept": "text/event-stream"}, version="1.0")
    assert client.status == 200
    body = await client.body()
    assert body.startswith(b":ok\n\nretry: ")
    assert body.endswith(b"}\n\n")
    assert client.ended_cleanly


async def test_an_id_of_40_kb_is_read(site: Site, connect: Connect, written: Feed) -> None:
    entries = [{"topic": written.topic, "partition": number, "offset": 1} for number in range(800)]
    headers = resume_at(*entries)
    assert 40_000 <= len(headers["Last-Event-ID"]) <= 60_000
    client = await connect(site, written.path, headers)
    assert client.status == 200
    assert ns(await client.take(1)) == [1]


async def test_an_id_of_40_kb_is_read_from_the_request_line_too(site: Site, connect: Connect, written: Feed) -> None:
    text = json.dumps(
        [{"topic": written.topic, "partition": n, "offset": 1} for n in range(800)], separators=(",", ":")
    )
    client = await connect(site, f"{written.path}?lastEventId={text}")
    assert client.status == 200
    assert ns(await client.take(1)) == [1]


async def test_a_client_that_leaves_is_counted_out_and_others_stay(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    gauge = f'eventstreams_connected_clients{{stream="{one.stream}"}}'
    clients = [await connect(site, one.path) for _ in range(3)]
    assert await asyncio.to_thread(site.metric, gauge) == 3
    clients[0].abort()
    await clients[1].close()
    async with asyncio.timeout(10):
        while await asyncio.to_thread(site.metric, gauge) != 1:
            await asyncio.sleep(0.05)
    await broker.send(one.topic, Rec({"n": 5}, T0))
    assert ns(await clients[2].take(1)) == [5]
