"""Every row of the contract's table of routes but the OpenAPI document and the demo page."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import Broker, Feed, Rec, error_of, ns, numbered, resume_at
from tests.support.site import Site


@pytest.fixture(scope="module")
def two_written(kafka: Any, supply: Supply) -> list[Feed]:
    """Two streams with one record each, the same two for all tests here."""
    feeds = [supply.take("one"), supply.take("one")]
    for feed in feeds:
        asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0)))
    return feeds


async def read_two(connect: Connect, site: Site, path: str, feeds: list[Feed]) -> None:
    """The path leads to the streams of `feeds`, each of which has one record."""
    client = await connect(site, f"{path}{'&' if '?' in path else '?'}since=0")
    assert client.status == 200
    got = {event.json["meta"]["topic"] for event in await client.take(len(feeds))}
    assert got == {feed.topic for feed in feeds}
    assert len(json.loads(client.last_id)) == len(feeds)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/stream/{a}",
        "/v2/stream/{a}/",
        "/v2/stream/{a}-alias",
        "/v2/stream/{a},{b}",
        "/v2/stream/{a},{b}/",
        "/v2/stream/{b},{a}",
        "/v2/stream/{a}%2C{b}",
        "/v2/stream/{a}%2c{b}%2C{a}",
        "/v2/stream/{a},{a}",
        "/v2/stream/{a},{a}-alias,{b}-alias",
        "/v2/stream/{quoted}",
        "/v2/stream/{a}?stream=message",
        "/v2/stream/{a}?stream=message&x&y=%ff&%00=1&since",
    ],
)
async def test_streams_are_served_by_name_alias_and_list(
    path: str, site: Site, connect: Connect, two_written: list[Feed]
) -> None:
    a, b = two_written
    quoted = "".join(f"%{byte:02x}" for byte in a.stream.encode())
    both = "{b}" in path
    filled = path.format(a=a.stream, b=b.stream, quoted=quoted)
    if filled.endswith("&since"):
        # An empty `since` is none, and a further one would be one too many.
        client = await connect(site, filled, resume_at({"topic": a.topic, "partition": 0, "offset": -2}))
        assert client.status == 200
        assert ns(await client.take(1)) == [0]
    else:
        await read_two(connect, site, filled, two_written if both else [a])


async def test_a_request_target_may_be_a_whole_url(site: Site, connect: Connect, two_written: list[Feed]) -> None:
    feed = two_written[0]
    for scheme in ("http", "HTTPS"):
        client = await connect(site, "", target=f"{scheme}://streams.example.org:8092{feed.path}?since=0")
        assert client.status == 200
        assert ns(await client.take(1)) == [0]
    page = await connect(site, "", target="http://streams.example.org/_info/name")
    assert json.loads(await page.body()) == {"name": "eventstreams"}
    root = await connect(site, "", target="http://streams.example.org")
    assert root.status == 303


async def test_a_stream_of_a_wide_topic_has_ids_that_fit_into_a_header(
    site: Site, connect: Connect, supply: Supply, broker: Broker
) -> None:
    feed = supply.take("wide")
    assert 60 <= len(feed.topic) <= 72
    await broker.send(feed.topic, Rec({"n": 7}, partition=19))
    client = await connect(site, f"{feed.path}?since=0")
    (event,) = await client.take(1)
    assert [entry["partition"] for entry in json.loads(event.id)] == list(range(20))
    longest = event.id.replace(feed.topic, feed.topic.ljust(72, "x")).replace(':0"', ':99999999999"')
    assert longest.isascii()
    assert len(longest) < 4096


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/", 303, "/?doc"),
        ("/?x=1", 303, "/?doc"),
        ("/rc", 301, "/?doc"),
        ("/_info/home", 301, "https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service"),
    ],
)
def test_a_redirect_leads_on(path: str, status: int, location: str, site: Site) -> None:
    answer = site.get(path)
    assert (answer[0], answer[1]["location"]) == (status, location)


def test_the_root_leads_to_the_demo_page_where_it_is_enabled(strict_site: Site) -> None:
    status, headers, _ = strict_site.get("/")
    assert (status, headers["location"]) == (303, "/v2/ui")


def test_the_documentation_loads_nothing_from_elsewhere(site: Site) -> None:
    status, headers, body = site.get("/?doc")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b"<html" in body
    assert not re.search(rb"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//""", body)


def test_robots_are_asked_to_stay_away(site: Site) -> None:
    status, headers, body = site.get("/robots.txt")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert body.splitlines() == [b"User-agent: *", b"Disallow: /"]


def test_the_service_says_what_it_is(site: Site) -> None:
    info = site.json("/_info")
    assert site.json("/_info/") == info
    assert info.keys() == {"name", "version", "description", "home"}
    assert all(isinstance(text, str) and text for text in info.values())
    assert site.json("/_info/name") == {"name": info["name"]}
    assert site.json("/_info/version") == {"version": info["version"]}
    assert site.get("/_info/home")[1]["location"] == info["home"]


def test_a_site_that_runs_is_alive_and_ready(site: Site) -> None:
    assert site.get("/healthz")[0] == 200
    status, headers, body = site.get("/readyz")
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    assert "degraded" not in json.loads(body)
    assert headers["cache-control"] == "no-store"
    assert headers["access-control-allow-origin"] == "*"


def test_a_site_that_has_never_seen_kafka_is_alive_and_not_ready(deaf_site: Site) -> None:
    assert deaf_site.get("/healthz")[0] == 200
    status, _, body = deaf_site.get("/readyz")
    assert status == 503
    assert any("Kafka" in reason for reason in json.loads(body)["reasons"])


def test_a_site_without_stream_configuration_is_alive_and_not_ready(bare_site: Site) -> None:
    assert bare_site.get("/healthz")[0] == 200
    bare_site.wait_for(503, "/readyz")
    assert any("stream configuration" in reason for reason in bare_site.json("/readyz")["reasons"])


async def test_dashboards_find_the_gauge_and_the_counter_of_the_old_service(
    site: Site, connect: Connect, pair: Feed, one: Feed
) -> None:
    client = await connect(site, f"/v2/stream/{pair.stream}-alias,{one.stream}")
    streams = ",".join(sorted([pair.stream, one.stream]))
    status, headers, body = site.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    assert f'eventstreams_client_connections_total{{streams="{streams}"}} 1.0' in lines
    for feed in (pair, one):
        assert f'eventstreams_connected_clients{{stream="{feed.stream}"}} 1.0' in lines
    await client.close()
    async with asyncio.timeout(10):
        while site.metric(f'eventstreams_connected_clients{{stream="{one.stream}"}}'):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v2",
        "/v2/stream",
        "/v2/stream/",
        "/v2/stream?since=0",
        "/rc/",
        "/_info/nothing",
        "/_info//",
        "/_info/name/",
        "/healthz/",
        "/v1/x",
    ],
)
async def test_any_other_path_is_not_found(path: str, site: Site, connect: Connect) -> None:
    client = await connect(site, path)
    assert client.status == 404
    problem = await error_of(client)
    assert problem["type"] == "not_found"
    assert problem["method"] == "GET"
    assert problem["uri"] == path


def test_a_browser_gets_a_page_for_what_is_not_there(site: Site) -> None:
    status, headers, body = site.get(f"/{quote('<script>')}", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert status == 404
    assert headers["content-type"].startswith("text/html")
    assert b"<script>" not in body


@pytest.mark.parametrize("path", ["/", "/rc", "/robots.txt", "/_info", "/healthz", "/readyz", "/metrics", "/nothing"])
async def test_head_is_answered_as_get_without_the_body(path: str, site: Site, connect: Connect) -> None:
    got = site.get(path)
    client = await connect(site, path, {"Connection": "close"}, method="HEAD")
    assert client.status == got[0]
    assert client.headers["content-type"] == got[1]["content-type"]
    assert client.headers.get("location") == got[1].get("location")
    client.headers.pop("content-length", None)  # that of the body which is not sent
    assert await client.body() == b""
