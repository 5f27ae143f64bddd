"""`compress`: what a compressed client decodes is byte for byte what an uncompressed one gets."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.engine.compress.codings import NAMES
from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, entry, error_of, resume_at
from tests.support.client import StreamClient
from tests.support.client.compressed import decoder
from tests.support.site import Site

SSE, NDJSON = {"Accept": "text/event-stream"}, {"Accept": "application/json"}
COUNT = 300
QUERIES = ["since=0&limit=250", f"since=0&until={T0 + 200}", "since=0&wiki=dewiki&limit=60", ""]
COMMENT = "added to category, [[Special:WhatLinksHere/File:Example.jpg|this page is included within other pages]]"


def record(n: int, partition: int = 0) -> Rec:
    wiki = ("enwiki", "dewiki", "commonswiki")[n % 3]
    value = {"n": n, "wiki": wiki, "comment": COMMENT, "meta": {"domain": f"{wiki}.example.org"}, "title": f"P {n}"}
    return Rec(value, T0 + n, partition)


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """Events of one partition, of which Kafka no longer has the first."""
    feed = supply.take("one")

    async def write() -> None:
        broker = Broker(kafka.bootstrap)
        await broker.send(feed.topic, *map(record, range(COUNT)))
        await broker.delete_before(feed.topic, 5)

    asyncio.run(write())
    return feed


class Reader:
    """The body of a stream as it comes, read in the background."""

    def __init__(self, client: StreamClient) -> None:
        self.client = client
        self.body = b""
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for chunk in self.client.chunks():
            self.body += chunk

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(30):
            while text not in self.body:
                if self._reading.done():
                    await self._reading
                await asyncio.sleep(0.01)

    async def ended(self) -> None:
        async with asyncio.timeout(30):
            await self._reading

    def close(self) -> None:
        self._reading.cancel()


@pytest.fixture
async def readers() -> AsyncIterator[list[Reader]]:
    made: list[Reader] = []
    yield made
    for reader in made:
        reader.close()


@pytest.mark.parametrize("accept", [SSE, NDJSON])
@pytest.mark.parametrize(
    "query", ["since=0&limit=250", f"since=0&until={T0 + 200}", "since=0&wiki=dewiki&limit=60", ""]
)
async def test_a_replay_that_ends_is_the_same(
    query: str, accept: dict[str, str], site: Site, connect: Connect, written: Feed
) -> None:
    if not query:  # an id, with a gap
        query, accept = "limit=250", {**accept, **resume_at(entry(written, offset=1))}
    plain = await connect(site, f"{written.path}?{query}", accept)
    body = await plain.body()
    assert len(body) > 10_000
    for coding in NAMES:
        client = await connect(site, f"{written.path}?{query}&compress={coding}", accept)
        assert client.headers["content-encoding"] == coding
        assert client.headers.get("eventstreams-gap") == plain.headers.get("eventstreams-gap")
        assert await client.body() == body
        assert client.ended_cleanly
        assert client.sent_bytes < plain.sent_bytes / 4


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_clients_that_join_while_events_come_get_the_same(
    accept: dict[str, str], site: Site, kafka: Any, supply: Supply, connect: Connect, readers: list[Reader]
) -> None:
    feed, broker, said = supply.take("one"), Broker(kafka.bootstrap), 0
    for _ in range(4):
        for compress in ("", *(f"?compress={coding}" for coding in NAMES)):
            readers.append(Reader(await connect(site, feed.path + compress, accept)))
            await readers[-1].until(b"\n")
        await broker.send(feed.topic, *[record(n)._replace(at=None) for n in range(said, said + 20)])
        said += 20
        for reader in readers:
            await reader.until(b'"n":%d,' % (said - 1))
    for first in range(0, len(readers), 3):
        plain, *compressed = readers[first : first + 3]
        assert [each.body for each in compressed] == [plain.body] * 2
    plain, *compressed = readers[:3]  # which have been there since the window began
    assert all(each.client.sent_bytes < plain.client.sent_bytes / 2 for each in compressed)
    assert site.metric("eventstreams_compression_windows") >= 2
    before, after = (site.metric(f"eventstreams_compression_{which}_bytes_total") for which in ("in", "out"))
    assert 0 < after < before / 2


@pytest.mark.parametrize("coding", NAMES)
async def test_a_client_that_stalls_later_gets_the_same(
    coding: str, site: Site, kafka: Any, supply: Supply, connect: Connect, readers: list[Reader]
) -> None:
    feed, broker = supply.take("one"), Broker(kafka.bootstrap)
    plain = Reader(await connect(site, feed.path))
    slow = Reader(await connect(site, f"{feed.path}?compress={coding}", receive_buffer=4096, limit=4096))
    readers += [plain, slow]
    await plain.until(b":ok\n\n")
    await slow.until(b":ok\n\n")
    slow.client.pause()
    noise = base64.b64encode(random.Random(1).randbytes(300_000)).decode()  # nothing makes that small
    for n in range(8):
        await broker.send(feed.topic, Rec({"n": n, "noise": noise}))
        await broker.send(feed.topic, *[record(n)._replace(at=None)] * 20)
    await broker.send(feed.topic, Rec({"end": True}))
    await plain.until(b'"end":true')
    assert b'"end":true' not in slow.body
    slow.client.resume()
    await slow.until(b'"end":true')
    await broker.send(feed.topic, Rec({"next": True}))
    for reader in (plain, slow):
        await reader.until(b'"next":true')
    assert slow.body == plain.body


async def test_head_says_what_get_would_and_nothing_is_compressed_unasked(
    site: Site, connect: Connect, written: Feed
) -> None:
    takes = {"Accept-Encoding": "gzip, deflate, br, zstd"}
    for query, coding, vary in (
        ("compress=auto", "zstd", "Accept, Accept-Encoding"),
        ("compress=gzip", "gzip", "Accept, Accept-Encoding"),
        ("", None, "Accept"),
        ("compress=", None, "Accept"),
    ):
        for method in ("HEAD", "GET"):
            client = await connect(site, f"{written.path}?{query}", takes, method=method)
            assert (client.status, client.headers.get("content-encoding")) == (200, coding)
            assert client.headers["vary"] == vary
    client = await connect(site, f"{written.path}?compress=auto")
    assert "content-encoding" not in client.headers, "a client that names none may have none"
    assert client.headers["vary"] == "Accept, Accept-Encoding"


async def test_what_cannot_be_is_refused_with_the_value_and_what_to_do(
    site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, f"{written.path}?compress=br", SSE)
    assert client.status == 400
    problem = await error_of(client)
    assert problem["type"] == "invalid_compression"
    assert problem["detail"] == "compress is 'br'; use auto, zstd, gzip, or leave it out for an uncompressed stream"
    client = await connect(site, f"{written.path}?compress=zstd", {"Accept-Encoding": "gzip"})
    problem = await error_of(client)
    assert (client.status, problem["type"]) == (400, "invalid_compression")
    assert problem["detail"].startswith("compress is 'zstd', but Accept-Encoding excludes it; send ")
    assert client.headers["vary"] == "Accept, Accept-Encoding"


async def test_http_1_0_gets_it_without_chunks(site: Site, connect: Connect, written: Feed) -> None:
    plain = await (await connect(site, f"{written.path}?since=0&limit=50")).body()
    client = await connect(site, f"{written.path}?since=0&limit=50&compress=gzip", version="1.0")
    reader = decoder("gzip")
    reader.feed(await client.body())
    assert reader.is_whole
    assert reader.plain == plain
