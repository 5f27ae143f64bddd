"""The demo page's routes: the page, what it loads, and the list of streams that it shows."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import pytest

from streams.core.catalogue import Layers, compile_catalogue
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.lookups import Lookups
from streams.engine.rates import Rates
from streams.engine.tuning import Tuning
from streams.http import ui
from tests.integration.conftest import Connect
from tests.integration.kit import Broker, Rec
from tests.support.site import Site

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "templates" / "ui.html"
MODULES = ROOT / "streams" / "static" / "eventstreams" / "ui"
SCOPE: Any = {"method": "GET", "path": "/v2/ui/streams.json", "query_string": b"", "headers": []}
ALL_OF_IT = [TEMPLATE, *MODULES.iterdir(), MODULES.parent / "icon.svg"]


def loaded_by(page: str, url: str) -> list[str]:
    """The addresses of all that a page, style or module loads."""
    found = re.findall(r'(?:src|href)="(/static/[^"]*)"|(?:import|from) "(\./[^"]*)"', page)
    return [urljoin(url, one or other) for one, other in found]


@pytest.mark.parametrize("path", ["/v2/ui", "/v2/ui/"])
def test_the_page_and_all_that_it_loads_come_from_the_service_itself(strict_site: Site, path: str) -> None:
    status, headers, body = strict_site.get(path)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert 'href="/?doc"' in body.decode()
    todo, seen = loaded_by(body.decode(), path), set()
    while todo:
        url = todo.pop()
        if url not in seen:
            seen.add(url)
            status, headers, body = strict_site.get(url)
            assert status == 200, url
            todo += loaded_by(body.decode(), url)
            # Modules of two versions do not fit together.
            assert "/ui/" not in url or headers["cache-control"] == "no-cache"
    assert {Path(url).name for url in seen} == {path.name for path in ALL_OF_IT if path != TEMPLATE}


def test_the_page_is_small_and_needs_nobody_else() -> None:
    assert sum(path.stat().st_size for path in ALL_OF_IT) < 150_000
    for path in ALL_OF_IT:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://\w", text) == [], path
        assert " style=" not in text, f"{path}: the Content-Security-Policy would block it"
        assert "innerHTML" not in text, f"{path}: what is in an event is not ours"


@pytest.mark.parametrize("path", ["/v2/ui", "/v2/ui/", "/v2/ui/streams.json"])
def test_where_it_is_not_enabled_there_is_no_page(site: Site, path: str) -> None:
    status, headers, body = site.get(path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["type"] == "not_found"
    assert site.get(path, {"Accept": "text/html"})[1]["content-type"].startswith("text/html")


def test_the_list_has_every_stream_with_what_one_chooses_by(strict_site: Site) -> None:
    deadline = time.monotonic() + 30
    while True:  # a Kafka that is slow to answer has no rates yet, and the list says so
        status, headers, body = strict_site.get("/v2/ui/streams.json")
        rates = {stream["name"]: stream["rate"] for stream in json.loads(body)["streams"]}
        if rates["pair0"] is not None or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["cache-control"] == "public, max-age=10"
    assert headers["access-control-allow-origin"] == "https://example.org"
    found = json.loads(body)
    assert (found["max_streams"], found["keepalive_seconds"]) == (3, 1)
    by_name = {stream["name"]: stream for stream in found["streams"]}
    assert len(by_name) == len(found["streams"]) > 90
    assert by_name["pair0"].keys() == {"name", "aliases", "description", "topics", "rate", "has_topics"}
    assert by_name["pair0"]["aliases"] == ["pair0-alias"]
    assert by_name["pair0"]["description"] == "A stream of the kind pair"
    assert [topic[-2:] for topic in by_name["pair0"]["topics"]] == [".a", ".b"]
    assert by_name["pair0"]["rate"] >= 0
    assert by_name["absent0"]["rate"] is None, "there is nothing to measure"
    assert by_name["pair0"]["has_topics"]
    assert not by_name["absent0"]["has_topics"], "what cannot be watched need not be offered"


@pytest.mark.parametrize("path", ["/v2/ui", "/v2/ui/streams.json"])
async def test_they_are_read_only(strict_site: Site, connect: Connect, path: str) -> None:
    head = await connect(strict_site, path, method="HEAD")
    assert head.status == 200
    post = await connect(strict_site, path, method="POST")
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_without_a_stream_configuration_that_is_what_the_list_says() -> None:
    service: Any = SimpleNamespace(settings=SimpleNamespace(ui_enabled=True), catalogue=None)
    answer = await ui.Streams()(SCOPE, service)
    assert (answer.status, json.loads(answer.content)["type"]) == (503, "no_stream_configuration")


async def test_a_stream_is_as_lively_as_its_topics_together_and_has_its_own_description_or_none() -> None:
    async def of(topics: set[str]) -> dict[str, float]:
        return {topic: rate for topic, rate in {"a": 0.25, "b": 1 / 3}.items() if topic in topics}

    absent: set[str] = set()

    async def ask_kafka(topics: set[str]) -> None:
        absent.update(topics - {"a", "b"})

    described = {"both": {"topics": ["a", "b", "gone"], "schema_title": "x/y"}, "none": {"topics": ["gone"]}}
    settings = SimpleNamespace(ui_enabled=True, max_streams=50, keepalive_seconds=15.0)
    service: Any = SimpleNamespace(
        settings=settings,
        catalogue=compile_catalogue(Layers(described), 1),
        rates=SimpleNamespace(of=of),
        hub=SimpleNamespace(topics=ask_kafka),
        source=SimpleNamespace(absent=absent),
    )
    answer = await ui.Streams()(SCOPE, service)
    both, none = json.loads(answer.content.plain)["streams"]
    assert (both["rate"], both["description"], both["has_topics"]) == (0.583, "", True)
    assert (none["rate"], none["description"], none["has_topics"]) == (None, "", False)


async def test_rates_are_those_of_kafka(kafka: Any, topic: str) -> None:
    broker = Broker(kafka.bootstrap)
    await broker.send(
        topic, *(Rec({"n": n}, at=1_600_000_000_000) for n in range(5)), *(Rec({"n": n}) for n in range(9))
    )
    source = KafkaSource(kafka_options({"metadata.broker.list": kafka.bootstrap}), tuning=Tuning(history_readers=1))
    try:
        await source.refresh([topic])
        assert await Rates(source, Lookups(source)).of([topic]) == {topic: 9 / 60}
    finally:
        await source.close()
