"""The example configurations of deploy/ for nginx, HAProxy and Varnish, in front of one server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, async_playwright

from tests.integration.conftest import Supply
from tests.integration.kit import Broker, Feed, Rec
from tests.support.around.chromium import WANTED, find_chromium, launch, skip
from tests.support.around.proxies import PROGRAMS, Proxy, proxy
from tests.support.client.reading import dechunk
from tests.support.site import Site

LIMIT = 9
"""Connections of one address."""
HELD_BACK_SECONDS = 0.2
"""Linux holds back a small write of which the program says that more is to come."""


@pytest.fixture(scope="module")
def behind(kafka: Any, supply: Supply, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that trusts proxies at 127.0.0.1 alone."""
    site = Site(
        tmp_path_factory.mktemp("site"),
        kafka.bootstrap,
        supply.catalogue,
        keepalive_seconds=1,
        client_ip_connection_limit=LIMIT,
        trusted_proxies=["127.0.0.1/32"],
    )
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture(scope="module")
def all_before(behind: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Proxy]]]:
    """All proxies, started at once, in front of the server."""
    with ExitStack() as ends, ThreadPoolExecutor() as threads:

        def start(name: str, folder: Path) -> Proxy:
            return ends.enter_context(proxy(name, folder, behind.port))

        yield {name: threads.submit(start, name, tmp_path_factory.mktemp(name)) for name in PROGRAMS}


@pytest.fixture(scope="module", params=PROGRAMS)
def before(request: pytest.FixtureRequest, all_before: dict[str, Future[Proxy]]) -> Proxy:
    """Each proxy."""
    return all_before[request.param].result()  # raises that its program is missing


class Answer:
    """An answer as it comes; proxies make their own chunks."""

    def __init__(self, status: int, reader: asyncio.StreamReader) -> None:
        self.status = status
        self.body = b""
        self._reader, self._raw = reader, b""

    async def until(self, wanted: bytes, count: int = 1, seconds: float = 20) -> bytes:
        """Read until the body has `wanted` so often; returns the body."""
        async with asyncio.timeout(seconds):
            while self.body.count(wanted) < count:
                data = await self._reader.read(1 << 16)
                assert data, f"the answer ended: {self.body[-300:]!r}"
                self._raw += data
                self.body = dechunk(self._raw)
        return self.body

    async def end(self, seconds: float = 20) -> bytes:
        """Read until the final chunk; returns the body."""
        async with asyncio.timeout(seconds):
            while not self._raw.endswith(b"\r\n0\r\n\r\n"):
                data = await self._reader.read(1 << 16)
                assert data, "the answer ended without its final chunk"
                self._raw += data
        return dechunk(self._raw)


@asynccontextmanager
async def get(
    port: int, target: str, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1", **headers: str
) -> AsyncIterator[Answer]:
    """The answer to a client at `address`."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, local_addr=(address, 0))
        try:
            lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException:
            writer.transport.abort()
            raise
    try:
        yield Answer(int(head.split()[1]), reader)
    finally:
        writer.transport.abort()


async def latencies(port: int, tls: ssl.SSLContext | None, bootstrap: str, feed: Feed) -> list[float]:
    """Seconds from Kafka to a client, of nine events; each is written when the one before it has come."""
    waited = []
    async with get(port, feed.path, tls) as answer, AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await answer.until(b":ok\n\n", seconds=5)  # while there is no event at all
        for number in range(9):
            record = b'{"n":%d,"run":"%s"}' % (number, uuid.uuid4().hex.encode())
            await producer.send_and_wait(feed.topic, record)
            written = time.monotonic()
            await answer.until(record[1:-1], seconds=5)
            waited.append(time.monotonic() - written)
        await answer.until(b"\n:\n", seconds=10)
    return waited


async def test_events_and_signs_of_life_pass_at_once(before: Proxy, kafka: Any, one: Feed) -> None:
    waited = await latencies(before.port, before.tls, kafka.bootstrap, one)
    assert statistics.median(waited) < 1, f"held back, small as they are: {waited}"


async def test_haproxy_holds_back_no_event_of_a_client_without_tls(
    behind: Site, kafka: Any, one: Feed, tmp_path: Path
) -> None:
    """Without `option http-no-delay`, it tells the kernel that more is to come (MSG_MORE), which waits 200 ms for it.

    That is so behind a proxy that ends TLS: towards clients with TLS, HAProxy 2.6 sends at once in either case.
    """
    waited: list[float] = []
    with proxy("haproxy", tmp_path, behind.port, tls=False) as plain:
        for _ in range(5):  # only a busy machine needs more than one
            waited = await latencies(plain.port, None, kafka.bootstrap, one)
            if statistics.median(waited) < HELD_BACK_SECONDS / 2:
                return
    raise AssertionError(f"held back, small as they are: {waited}")


async def test_long_ids_pass_and_resume_exactly(before: Proxy, broker: Broker, three: Feed) -> None:
    await broker.send(three.topic, *(Rec({"n": n}, partition=n % 3) for n in range(30)))
    entries = [{"topic": three.topic, "partition": n, "offset": 0} for n in range(3)]
    entries += [{"topic": three.topic, "partition": n, "offset": 0} for n in range(3, 400)]  # it has no such partitions
    long = json.dumps(entries, separators=(",", ":"))
    assert len(long) > 20_000, "longer than what each proxy takes by default"
    async with get(before.port, three.path, before.tls, Last_Event_ID=long) as answer:
        assert answer.status == 200
        body = await answer.until(b"\ndata: ", 30)
    async with get(before.port, f"{three.path}?lastEventId={quote(long)}", before.tls) as answer:
        assert answer.status == 200
        await answer.until(b"\ndata: ", 30)
    ids = [line.removeprefix(b"id: ").decode() for line in body.split(b"\n") if line.startswith(b"id: ")]
    async with get(before.port, f"{three.path}?limit=3", before.tls, Last_Event_ID=ids[26]) as answer:
        rest = await answer.end()
    first = [json.loads(line[6:])["n"] for line in body.split(b"\n") if line.startswith(b"data: ")][:27]
    then = [json.loads(line[6:])["n"] for line in rest.split(b"\n") if line.startswith(b'data: {"n"')]
    assert sorted(first + then) == list(range(30))


async def test_the_address_that_counts_is_the_peers_whatever_a_client_claims(
    before: Proxy, behind: Site, one: Feed
) -> None:
    number = list(PROGRAMS).index(before.name) + 1
    at_proxy, past_it = (before.port, before.tls, f"127.0.1.{number}"), (behind.port, None, f"127.0.2.{number}")
    for port, tls, address in (at_proxy, past_it):
        async with AsyncExitStack() as streams:
            for n in range(LIMIT):
                forged = {"X_Client_IP": f"10.1.1.{n}", "X_Forwarded_For": f"10.1.1.{n}"}
                answer = await streams.enter_async_context(get(port, one.path, tls, address, **forged))
                assert answer.status == 200
                await answer.until(b":ok\n")
            plain = {"Accept": "application/json", "X_Client_IP": "10.1.1.99"}
            async with get(port, one.path, tls, address, **plain) as answer:
                assert answer.status == 429
            async with get(port, one.path, tls, f"127.0.3.{number}", **plain) as answer:
                assert answer.status == 200


async def test_a_later_request_of_a_connection_cannot_claim_another_address_either(before: Proxy, one: Feed) -> None:
    address = f"127.0.4.{list(PROGRAMS).index(before.name) + 1}"
    first, later = (
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Client-IP: 10.1.1.1\r\n\r\n".encode()
        for target in ("/v2/stream/no-such-stream", one.path)
    )
    opened, writers = 0, []
    try:
        async with asyncio.timeout(20):
            for _ in range(LIMIT):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", before.port, ssl=before.tls, local_addr=(address, 0)
                )
                writers.append(writer)
                writer.write(first)
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 404 " in head
                await reader.readexactly(int(re.findall(rb"(?i)\r\ncontent-length: (\d+)", head)[0]))
                # A proxy may also take one request of a connection, and no more.
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    writer.write(later)
                    opened += b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert opened in (0, LIMIT)
        async with get(before.port, one.path, before.tls, address, Accept="application/json") as answer:
            assert answer.status == (429 if opened else 200)
    finally:
        for writer in writers:
            writer.transport.abort()


async def test_a_browser_has_more_than_six_streams_by_http_2(
    all_before: dict[str, Future[Proxy]], behind: Site, broker: Broker, one: Feed
) -> None:
    path = find_chromium()
    if path is None:
        skip(WANTED)
    async with async_playwright() as playwright:
        browser = await launch(playwright, path)
        try:
            for name in PROGRAMS:
                if name != "varnish":  # it has no TLS, so no HTTP/2 towards browsers
                    await until_nobody_is_connected(behind)  # all come from the browser's address
                    await open_eight_streams(browser, all_before[name].result(), broker, one)
        finally:
            await browser.close()


async def until_nobody_is_connected(site: Site) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(site.metric, "eventstreams_connected_clients"):
            await asyncio.sleep(0.05)


async def open_eight_streams(browser: Browser, before: Proxy, broker: Broker, one: Feed) -> None:
    context = await browser.new_context(ignore_https_errors=True, bypass_csp=True)
    page = await context.new_page()
    await page.goto(f"{before.url}/_info")
    await page.evaluate(
        """path => {
            window.got = [0, 0, 0, 0, 0, 0, 0, 0];
            window.opened = 0;
            window.sources = got.map((_, n) => {
                const source = new EventSource(path + "?n=" + n);
                source.onopen = () => { opened += 1; };
                source.onmessage = () => { got[n] += 1; };
                return source;
            });
        }""",
        one.path,
    )
    await page.wait_for_function("opened === 8", timeout=20_000)
    await broker.send(one.topic, Rec({"n": 1}))
    await page.wait_for_function("got.every(count => count === 1)", timeout=20_000)
    protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    assert protocol == "h2"
    await context.close()
