"""The service on containers: migrations, events, exact resume, redaction, and limits that two replicas share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import POSTGRES_VARIABLE, REDIS_VARIABLE
from tests.integration.kit import Broker, Rec
from tests.support.client import StreamClient
from tests.support.site import Site

LIMIT = 3
"""Connections of one address, over both replicas."""
TITLE = "A listed page"
SSE = {"Accept": "text/event-stream"}


@pytest.fixture
def replicas(kafka: Any, topic: str, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two servers that share a database and a Redis; the first one has migrated it."""
    first, second = (
        Site(
            tmp_path,
            kafka.bootstrap,
            {"one": {"topics": [topic]}},
            database=os.environ[POSTGRES_VARIABLE],
            redis_url=os.environ[REDIS_VARIABLE],
            client_ip_connection_limit=LIMIT,
            mediawiki_redacted_pages={"en.wikipedia.org": [TITLE]},
            drain_seconds=0.2,
        )
        for _ in range(2)
    )
    migrated = first.manage("migrate", "--noinput")
    assert migrated.returncode == 0, migrated.stderr
    try:
        yield first.start(), second.start()
    finally:
        first.close()
        second.close()


def event(number: int, title: str = "Another") -> Rec:
    return Rec({"meta": {"domain": "en.wikipedia.org"}, "title": title, "user": "Grace", "n": number})


async def test_events_are_resumed_and_redacted_and_limits_are_shared(
    replicas: tuple[Site, Site], kafka: Any, topic: str, make_topic: Callable[..., str]
) -> None:
    first, second = replicas
    broker = Broker(kafka.bootstrap)
    await broker.send(topic, *(event(n) for n in range(5)), event(5, TITLE))
    client = await StreamClient.connect(first.port, "/v2/stream/one?since=0", SSE)
    events = await client.take(6)
    assert [each.json["n"] for each in events] == list(range(6))
    assert ["user" in each.json for each in events] == [True] * 5 + [False]
    client.abort()
    resumed = await StreamClient.connect(second.port, "/v2/stream/one", {**SSE, "Last-Event-ID": str(events[2].id)})
    assert [each.json["n"] for each in await resumed.take(3)] == [3, 4, 5]
    resumed.abort()
    await _limit(first, second)


async def _limit(first: Site, second: Site) -> None:
    open_ones: list[StreamClient] = []
    refused = False
    for n in range(2 * LIMIT + 4):  # those that have just left may still count for a moment
        client = await StreamClient.connect(
            (first, second)[n % 2].port, "/v2/stream/one", {"Accept": "application/json"}
        )
        refused = refused or client.status == 429
        open_ones.append(client)
    assert refused
    assert sum(client.status == 200 for client in open_ones) <= LIMIT
    for client in open_ones:
        client.abort()
