"""Requests that are too large, too slow or want another protocol: answered like any other, and they cost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.kit import Feed
from tests.integration.test_headers import is_protected
from tests.support.client import StreamClient
from tests.support.site import Site

MEGABYTE = 1_000_000
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


async def pour(writer: asyncio.StreamWriter, megabytes: int, frame: tuple[bytes, bytes] = (b"", b"")) -> None:
    """Send all of it, or until the server refuses."""
    with contextlib.suppress(OSError):
        for _ in range(megabytes):
            writer.write(frame[0] + b"x" * MEGABYTE + frame[1])
            await writer.drain()


async def refusal(reader: asyncio.StreamReader, status: int) -> StreamClient:
    """The server's refusal, whole, after which it closes the connection."""
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    client = StreamClient(reader, None)  # type: ignore[arg-type]
    first, *lines = head.decode().split("\r\n")
    client.status = int(first.split()[1])
    client.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert client.status == status, head
    is_protected(client)
    assert client.headers["connection"] == "close"
    if client.headers["content-type"].startswith("text/html"):
        assert len(body) == int(client.headers["content-length"])
        assert b"split the list" in body
        return client
    problem: Any = json.loads(body)
    assert problem["status"] == status
    return client


@pytest.mark.parametrize("path", ["/v2/stream/one0", "/_info", "/", "/nothing", "/admin/login/"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_body_is_refused_unread(path: str, is_chunked: bool, site: Site) -> None:
    before = site.rss_mb()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {100 * MEGABYTE}"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: test\r\n{length}\r\n\r\n".encode())
    frame = (b"%x\r\n" % MEGABYTE, b"\r\n") if is_chunked else (b"", b"")
    answer = asyncio.create_task(refusal(reader, 413))
    await pour(writer, 30, frame)
    client = await answer
    writer.transport.abort()
    assert ("access-control-allow-origin" in client.headers) == (not path.startswith("/admin"))
    assert site.rss_mb() - before < 15


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_upload_that_is_too_large_is_answered_by_a_page_in_the_admin_only(
    is_chunked: bool, site: Site
) -> None:
    for path, kind in (("/admin/redaction/redactedpage/import/", "text/html"), ("/_info", "application/problem+json")):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {30 * MEGABYTE}"
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nAccept: text/html,*/*;q=0.8\r\n{length}\r\n\r\n"
        writer.write(head.encode())
        answer = asyncio.create_task(refusal(reader, 413))
        await pour(writer, 10, (b"%x\r\n" % MEGABYTE, b"\r\n") if is_chunked else (b"", b""))
        assert (await answer).headers["content-type"].startswith(kind)
        writer.transport.abort()


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"PUT /_info HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    await refusal(reader, 413)
    writer.transport.abort()


async def test_a_small_body_is_read_over(site: Site, connect: Connect) -> None:
    client = await connect(site, "/v2/stream/one0", method="POST", body=b"x" * 10_000)
    assert client.status == 405
    assert "content-type" in client.headers
    assert (await connect(site, "/healthz", body=b"{}")).status == 200


async def test_a_request_line_that_is_too_long_is_told_so(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /v2/stream/one0?since=%s HTTP/1.1\r\nHost: test\r\n\r\n" % (b"1" * 70_000))
    await refusal(reader, 414)
    writer.transport.abort()


@pytest.mark.parametrize("lines", [1, 20])
async def test_headers_that_are_too_large_are_told_so(lines: int, site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n")
    writer.write(b"".join(b"X-Note-%d: %s\r\n" % (n, b"x" * (80_000 // lines)) for n in range(lines)))
    await refusal(reader, 431)
    writer.transport.abort()


@pytest.mark.parametrize("path", ["/v2/stream/one0", "/healthz", "/_info"])
async def test_an_upgrade_is_ignored(path: str, site: Site, connect: Connect) -> None:
    client = await connect(site, path, UPGRADE)
    assert client.status == 200
    is_protected(client)
    assert "upgrade" not in client.headers
    assert "Traceback" not in site.log.read_text()


@pytest.mark.parametrize("root", ["/x", "é"])
async def test_nobody_says_where_our_root_is(root: str, site: Site, connect: Connect) -> None:
    assert (await connect(site, "/healthz", {"Daphne-Root-Path": root})).status == 200
    assert (await connect(site, "/x/healthz", {"Daphne-Root-Path": root})).status == 404


async def test_a_client_that_sends_on_after_its_request_is_still_noticed_when_it_leaves(site: Site, one: Feed) -> None:
    name = f'eventstreams_connected_clients{{stream="{one.stream}"}}'
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET {one.path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    await reader.readuntil(b":ok\n\n")
    writer.write(b"GET /" + b"a" * 60_000)
    await writer.drain()
    await asyncio.sleep(0.3)
    assert await asyncio.to_thread(site.metric, name) == 1
    writer.transport.abort()
    async with asyncio.timeout(2):
        while await asyncio.to_thread(site.metric, name):
            await asyncio.sleep(0.05)


async def test_every_status_has_its_phrase(strict_site: Site, connect: Connect, one: Feed) -> None:
    mine = {"X-Client-IP": "203.0.113.99"}
    for _ in range(2):
        await connect(strict_site, one.path, mine)
    reader, writer = await asyncio.open_connection("127.0.0.1", strict_site.port)
    writer.write(f"GET {one.path} HTTP/1.1\r\nHost: test\r\nX-Client-IP: 203.0.113.99\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert await reader.readline() == b"HTTP/1.1 429 Too Many Requests\r\n"
    writer.transport.abort()
