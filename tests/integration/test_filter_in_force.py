"""What filter is in force is reported: in a header, and in a comment at the beginning of the body."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import Broker, Feed, first_chunk, gap_of, numbered, resume_at
from tests.support.client import StreamClient
from tests.support.site import Site

MAX_BYTES = 3_500
"""Of all headers of an answer with its status line."""
LONG = "title=" + "&title=".join(f"{number:02}{'Ü' * 15}" for number in range(40))
"""4 kB in the canonical form."""


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """A stream whose first two records are gone."""
    feed = supply.take("one")

    async def write() -> None:
        broker = Broker(kafka.bootstrap)
        await broker.send(feed.topic, *numbered(0, 1, 2))
        await broker.delete_before(feed.topic, 2)

    asyncio.run(write())
    return feed


def head_bytes(client: StreamClient) -> int:
    return 60 + sum(len(name) + len(value) + 4 for name, value in client.headers.items())


CANONICAL = [
    ("wiki=enwiki&wiki=dewiki,enwiki&namespace=0", "namespace=0&wiki=dewiki,enwiki"),
    ("wiki=enwiki%2Cdewiki", "wiki=dewiki,enwiki"),
    ("domain=EN.wikipedia.org", "domain=en.wikipedia.org"),
    ("title=Main_Page&title=foo/*&user=Ex+ample", "title=foo%2F*&title=main_page&user=ex_ample"),
    ("bot=!true&canary=false", "bot=!true&canary=false"),
    ("where=a.b>%3D1&where=!c", "where=!c&where=a.b%3E%3D1"),
    ("type=edit&since=2020-01-01&until=2100-01-01&limit=5&checkpoint=5&canary=true&stream=message", "type=edit"),
]


@pytest.mark.parametrize(("query", "canonical"), CANONICAL)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_header_has_the_canonical_form(
    method: str, query: str, canonical: str, site: Site, written: Feed, connect: Connect
) -> None:
    client = await connect(site, f"{written.path}?{query}", method=method)
    assert (client.status, client.headers["eventstreams-filter"]) == (200, canonical)


@pytest.mark.parametrize("query", ["", "?since=1&limit=5&checkpoint=5", "?wiki=&canary=true", "?stream=message"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_without_a_filter_there_is_no_header(
    method: str, query: str, site: Site, written: Feed, connect: Connect
) -> None:
    client = await connect(site, written.path + query, method=method)
    assert client.status == 200
    assert "eventstreams-filter" not in client.headers


async def test_a_canonical_form_asked_for_gives_itself(site: Site, written: Feed, connect: Connect) -> None:
    for _, canonical in CANONICAL:
        client = await connect(site, f"{written.path}?{canonical}")
        assert client.headers["eventstreams-filter"] == canonical


async def test_the_comment_stands_after_the_beginning(site: Site, written: Feed, connect: Connect) -> None:
    client = await connect(site, f"{written.path}?wiki=b,a")
    assert await first_chunk(client) == b":ok\n\n:filter wiki=a,b\n"


async def test_the_comment_stands_after_that_of_a_gap(site: Site, written: Feed, connect: Connect) -> None:
    asked = resume_at({"topic": written.topic, "partition": 0, "offset": 0})
    client = await connect(site, f"{written.path}?wiki=b,a", asked)
    gap = client.headers["eventstreams-gap"]
    assert await first_chunk(client) == b":ok\n\n:gap %s\n:filter wiki=a,b\n" % gap.encode()


async def test_lines_of_json_have_no_comment(site: Site, written: Feed, connect: Connect) -> None:
    asked = resume_at({"topic": written.topic, "partition": 0, "offset": 0})
    client = await connect(site, f"{written.path}?wiki=b,a", asked | {"Accept": "application/json"})
    assert client.headers["eventstreams-filter"] == "wiki=a,b"
    assert await first_chunk(client) == b"\n"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_long_filter_is_whole_in_the_comment_and_leaves_the_headers_short(
    method: str, site: Site, written: Feed, connect: Connect
) -> None:
    whole = "&".join(f"title={number:02}{quote('ü') * 15}" for number in range(40))
    assert 3_800 < len(whole) <= 4_096
    client = await connect(site, f"{written.path}?{quote(LONG, safe='=&')}&since=2020-01-01", method=method)
    said = client.headers["eventstreams-filter"]
    assert whole.startswith(said + "&")
    assert len(said) > 2_000
    assert head_bytes(client) < MAX_BYTES
    if method == "GET":
        assert (await first_chunk(client)).endswith(b"\n:filter %s\n" % whole.encode())


async def test_many_gaps_and_a_long_filter_leave_the_headers_short_too(
    site: Site, supply: Supply, broker: Broker, connect: Connect
) -> None:
    feed = supply.take("wide")
    for number in range(20):
        await broker.send(feed.topic, *numbered(0, 1, partition=number))
    await broker.delete_before(feed.topic, 1, 20)
    asked = resume_at(*({"topic": feed.topic, "partition": n, "offset": 0} for n in range(20)))
    client = await connect(site, f"{feed.path}?{quote(LONG, safe='=&')}", asked | {"Origin": "https://tool.example"})
    assert 10 < len(gap_of(client)) < 20
    assert len(client.headers["eventstreams-filter"]) > 500
    assert head_bytes(client) < MAX_BYTES
    first = await first_chunk(client)
    assert first.count(b'"asked"') == 20
    assert first.count(b"title=") == 40
