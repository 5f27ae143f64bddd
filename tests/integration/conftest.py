"""One server process for each configuration that the tests need, and the topics that they write to."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Feed, numbered
from tests.support.client import StreamClient
from tests.support.site import Site, free_port

# How a stream of each kind is made: its own topics, further topics that an id may name, partitions of each; and how
# many streams of the kind there are, since each test that counts records takes one for itself.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]] = {
    "one": (("",), (), 1, 80),
    "three": (("",), (), 3, 14),
    "pair": ((".a", ".b"), (), 1, 12),
    "failover": ((".here",), (".there",), 2, 8),
    "wide": (("." + "x" * 52,), (), 20, 2),
}
ABSENT = 49
"""Streams whose topics (two each) no one creates but the test itself; as many as a request may name, less one."""


class Supply:
    """Streams of the catalogue that no test has taken yet."""

    def __init__(self) -> None:
        prefix = uuid.uuid4().hex[:8]
        self.catalogue: dict[str, dict[str, Any]] = {}
        self.partitions: dict[str, int] = {}
        self._left: dict[str, deque[Feed]] = {"absent": deque()}
        for kind, (own, allowed, partitions, count) in KINDS.items():
            self._left[kind] = deque()
            for number in range(count):
                stem = f"{prefix}.{kind}{number}"
                self._add(kind, f"{kind}{number}", [stem + end for end in own], [stem + end for end in allowed])
                self.partitions |= {stem + end: partitions for end in (*own, *allowed)}
        for number in range(ABSENT):
            self._add("absent", f"absent{number}", [f"{prefix}.absent{number}.{end}" for end in "ab"], [])

    def _add(self, kind: str, stream: str, topics: list[str], allowed: list[str]) -> None:
        self.catalogue[stream] = {
            "topics": topics,
            "topics_allowed": allowed,
            "stream_aliases": [f"{stream}-alias"],
            "description": f"A stream of the kind {kind}",
        }
        self._left[kind].append(Feed(stream, (*topics, *allowed)))

    def take(self, kind: str) -> Feed:
        return self._left[kind].popleft()


class Connect(Protocol):
    """Opens a response, and aborts it at the end of the test."""

    async def __call__(
        self, site: Site, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> StreamClient: ...


@pytest.fixture(scope="session")
def supply(kafka: Any) -> Iterator[Supply]:
    supply = Supply()
    by_count: dict[int, dict[str, int]] = {}
    for topic, count in supply.partitions.items():
        by_count.setdefault(count, {})[topic] = count

    async def create() -> None:
        for topics in by_count.values():
            await create_topics(kafka.bootstrap, topics, KEEP)

    asyncio.run(create())
    yield supply
    if kafka.lasting:
        asyncio.run(Broker(kafka.bootstrap).drop(supply.partitions))


@pytest.fixture(scope="session")
def site(kafka: Any, supply: Supply, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with the settings that it has by default."""
    yield from _running(Site(_folder(tmp_path_factory), kafka.bootstrap, supply.catalogue))


@pytest.fixture(scope="session")
def strict_site(kafka: Any, supply: Supply, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with low limits: two connections of one IP, six in all, three streams a request, three feeds."""
    yield from _running(
        Site(
            _folder(tmp_path_factory),
            kafka.bootstrap,
            supply.catalogue,
            client_ip_connection_limit=2,
            max_connections=6,
            max_streams=3,
            max_feeds=3,
            trusted_proxies=["127.0.0.1/32"],
            keepalive_seconds=1,
            cors="https://example.org",
            stream_ui_enabled=True,
        )
    )


@pytest.fixture(scope="session")
def deaf_site(supply: Supply, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service where no Kafka listens."""
    site = Site(_folder(tmp_path_factory), f"127.0.0.1:{free_port()}", supply.catalogue)
    for running in _running(site, ready=False):
        deadline = time.monotonic() + 20
        while not site.metric("eventstreams_catalogue_streams") and time.monotonic() < deadline:
            time.sleep(0.05)
        yield running


@pytest.fixture(scope="session")
def bare_site(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service without any stream configuration."""
    folder = _folder(tmp_path_factory)
    site = Site(folder, kafka.bootstrap, {}, stream_config_uri=str(folder / "is-not-there.yaml"))
    yield from _running(site, ready=False)


@pytest.fixture
def broker(kafka: Any) -> Broker:
    return Broker(kafka.bootstrap)


@pytest.fixture
def one(supply: Supply) -> Feed:
    """A stream of one topic with one partition, which no other test uses."""
    return supply.take("one")


@pytest.fixture
def three(supply: Supply) -> Feed:
    """A stream of one topic with three partitions, which no other test uses."""
    return supply.take("three")


@pytest.fixture
def pair(supply: Supply) -> Feed:
    """A stream of two topics, which no other test uses."""
    return supply.take("pair")


@pytest.fixture
def failover(supply: Supply) -> Feed:
    """A stream of one topic with two partitions, and another such topic that an id may name."""
    return supply.take("failover")


@pytest.fixture
def absent(supply: Supply) -> Feed:
    """A stream of two topics that Kafka does not have."""
    return supply.take("absent")


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    clients: list[StreamClient] = []

    async def connected(
        site: Site, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> StreamClient:
        async with asyncio.timeout(20):
            client = await StreamClient.connect(site.port, path, headers, **options)
        clients.append(client)
        return client

    yield connected
    for client in clients:
        client.abort()
        await client.close()


def _folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("site")


def _running(site: Site, *, ready: bool = True) -> Iterator[Site]:
    try:
        site.start(wait_ready=ready)
        if not ready:
            site.wait_for(200, "/healthz")
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """A stream of four records, at T0, T0 + 1000, T0 + 2000 and T0 + 3000; tests only read it."""
    feed = supply.take("one")
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0, 1000, 2000, 3000)))
    return feed


@pytest.fixture(scope="module")
def at_end(kafka: Any, supply: Supply) -> Feed:
    """A stream with records, to which tests add more."""
    feed = supply.take("one")
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0, 1000, 2000, 3000)))
    return feed
