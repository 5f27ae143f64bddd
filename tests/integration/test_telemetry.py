"""Faults to a Sentry and spans to a collector, by the real libraries: what arrives, and what never does."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import Broker, Feed, Rec
from tests.support import SLACK_SECONDS
from tests.support.around.collectors import Collector, attributes, wait_for
from tests.support.site import Site

NAME = f"Grace{uuid.uuid4().hex}"
"""Of a user: a name that nothing else has."""
TITLE = f"Page{uuid.uuid4().hex}"
"""Of a listed page."""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def watched(
    kafka: Any, supply: Supply, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A service that reports to the collector, with faults."""
    site = Site(
        tmp_path_factory.mktemp("site"),
        kafka.bootstrap,
        supply.catalogue,
        command=("-m", "tests.support.broken.faulty"),
        sentry_dsn=f"http://key@127.0.0.1:{collector.port}/1",
        otlp_endpoint=f"http://127.0.0.1:{collector.port}",
        mediawiki_redacted_pages={"en.wikipedia.org": [TITLE]},
        drain_seconds=0.2,
    )
    try:
        yield site.start()
    finally:
        site.close()


def event(**more: Any) -> Rec:
    meta = {"domain": "en.wikipedia.org", "stream": "x"}
    return Rec({"meta": meta, "title": TITLE, "user": NAME, "comment": f"for {NAME}", **more})


def kinds(collector: Collector) -> set[str]:
    return {fault["type"] for each in collector.sentry_events() for fault in each["exception"]["values"]}


async def test_sentry_gets_where_faults_arose_and_nothing_of_what_was_being_done(
    watched: Site, collector: Collector, broker: Broker, one: Feed, connect: Connect
) -> None:
    await connect(watched, one.path)
    await broker.send(one.topic, event(), event(fails=True))
    for path in ("/admin/login/", "/rc"):
        status = (await asyncio.to_thread(watched.get, f"{path}?q={NAME}&title={TITLE}", {"Cookie": f"a={NAME}"}))[0]
        assert status == 500
    await asyncio.to_thread(wait_for, lambda: kinds(collector) >= {"ValueError", "KeyError", "RuntimeError"}, "faults")
    frames = {
        frame["function"]
        for each in collector.sentry_events()
        for fault in each["exception"]["values"]
        for frame in fault["stacktrace"]["frames"]
    }
    assert {"_failing_events", "_failing_login", "_failing_info"} <= frames
    assert holds_nothing(collector.all_of("/api/"))
    assert b'"vars"' not in collector.all_of("/api/")
    assert NAME in watched.log.read_text(), "the faults had the name, so that it could have been sent"


async def test_a_collector_gets_a_span_of_each_request_and_refresh_without_what_was_asked_for(
    watched: Site, collector: Collector, broker: Broker, one: Feed, connect: Connect
) -> None:
    filtered = f"{one.path}?user={NAME}&title={TITLE}&where=comment*={NAME}"
    client = await connect(watched, filtered, {"traceparent": PARENT, "User-Agent": NAME})
    await broker.send(one.topic, *(event() for _ in range(20)))
    await asyncio.to_thread(watched.get, "/healthz")
    await asyncio.to_thread(watched.get, f"/{NAME}/{TITLE}")
    assert not of_streams(collector, PARENT), "a stream that is open has not ended"
    client.abort()
    (span, *_) = await asyncio.to_thread(wait_for, lambda: of_streams(collector, PARENT), "the span of a stream")
    assert attributes(span)["http.response.status_code"] == 200
    assert span.end_time_unix_nano > span.start_time_unix_nano
    names = {each.name for each in collector.spans()}
    assert names >= {"GET /v2/stream/{streams}", "GET unknown", "refresh of the stream configuration"}
    assert not [each for each in names if "healthz" in each or "readyz" in each]
    assert len(of_streams(collector, PARENT)) == 1, "one of a stream, whatever its events"
    assert holds_nothing(collector.all_of("/v1/traces"))


def of_streams(collector: Collector, parent: str = "") -> list[Any]:
    trace = bytes.fromhex(parent.split("-")[1]) if parent else None
    return [
        each
        for each in collector.spans()
        if each.name == "GET /v2/stream/{streams}" and (trace is None or each.trace_id == trace)
    ]


def holds_nothing(sent: bytes) -> bool:
    assert sent
    return not [each for each in (NAME, TITLE, "en.wikipedia.org") if each.encode() in sent]


async def test_servers_that_take_nothing_hold_up_neither_requests_nor_the_stop_and_are_named(
    kafka: Any, supply: Supply, one: Feed, tmp_path: Path, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as deaf, socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()[1]
        closed.close()
        site = Site(
            tmp_path,
            kafka.bootstrap,
            supply.catalogue,
            command=("-m", "tests.support.broken.faulty"),
            otlp_endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}",
            sentry_dsn=f"http://key@127.0.0.1:{gone}/1",
            drain_seconds=0.2,
        ).start()
        try:
            await connect(site, one.path)
            assert (await asyncio.to_thread(site.get, "/rc"))[0] == 500
            longest = 0.0
            for _ in range(50):
                began = time.monotonic()
                assert (await asyncio.to_thread(site.get, "/_info"))[0] == 200
                longest = max(longest, time.monotonic() - began)
            assert longest < SLACK_SECONDS
            problems = await asyncio.to_thread(wait_for, lambda: both(site), "both problems")
            assert problems == {"faults cannot be sent to Sentry", "the collector does not take spans"}
            assert await asyncio.to_thread(site.metric, "eventstreams_telemetry_lost_total") >= 2
            began = time.monotonic()
            assert await asyncio.to_thread(site.stop) == 0
            assert time.monotonic() - began < 3.5 + SLACK_SECONDS
        finally:
            site.close()


def both(site: Site) -> set[str]:
    said = json.loads(site.get("/readyz")[2]).get("degraded", [])
    found = {
        text
        for text in ("faults cannot be sent to Sentry", "the collector does not take spans")
        for each in said
        if each.startswith(text)
    }
    return found if len(found) == 2 else set()


async def test_streams_that_end_with_the_service_have_their_spans(
    watched: Site, collector: Collector, one: Feed, connect: Connect
) -> None:
    before = len(of_streams(collector))
    for _ in range(3):
        await connect(watched, one.path)
    assert await asyncio.to_thread(watched.stop) == 0
    assert len(of_streams(collector)) >= before + 3
