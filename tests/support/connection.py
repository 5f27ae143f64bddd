"""A client of the engine, without HTTP: a subscription that is opened and read as the edge does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from streams.core.catalogue import Stream
from streams.core.plan import plan
from streams.core.positions import Gap, TopicPartition, parse_last_event_id
from streams.engine import feed as feed_module
from streams.engine import hub as hub_module
from streams.engine import subscription as module
from streams.engine.feed import Feed, Selection
from streams.engine.start import resolve
from streams.engine.subscription import Subscription
from tests.support.engine import PATIENCE_SECONDS, Engine, Received

STREAM = Stream("s", ("a", "b"), (), (), "", None, None, False, {})
TP = TopicPartition("a", 0)


class Connection:
    """One open stream, and what it has been sent."""

    def __init__(self, subscription: Subscription, feed: Feed, gaps: list[Gap], is_sse: bool) -> None:
        self.subscription = subscription
        self.feed = feed
        self.gaps = gaps
        self.start = {tp: mark.offset for tp, mark in subscription.position.items()}
        self.received = Received()
        self._is_sse = is_sse
        self._chunks = subscription.chunks()

    async def chunk(self) -> None:
        """Wait for the next chunk and read it."""
        parts, events = await anext(self._chunks)
        before = len(self.received.events)
        if self._is_sse:
            self.received.take(b"".join(parts))
        else:
            for line in b"".join(parts).splitlines():
                self.received.take(b"event: message\nid: []\ndata: %s\n\n" % line if line else b":\n")
        assert len(self.received.events) - before == events

    async def until(self, condition: Callable[[Received], object]) -> Received:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.received):
                await self.chunk()
        return self.received

    async def close(self) -> None:
        await self._chunks.aclose()


@asynccontextmanager
async def connected(
    engine: Engine,
    stream: Stream = STREAM,
    *,
    since: int | None = None,
    last_event_id: str = "",
    is_sse: bool = True,
    keepalive_seconds: float = 0,
) -> AsyncIterator[Connection]:
    """Open a stream as the edge does (see StreamConsumer)."""
    hub = engine.hub
    last = parse_last_event_id(last_event_id)
    needed = [TopicPartition(entry.topic, entry.partition or 0) for entry in last.entries] if last else []
    planned = plan([stream], since, last, await hub.topics(stream.topics, needed))
    others = frozenset(tp for tp in planned.starts if tp.topic not in planned.topics)
    async with hub.feed(Selection(planned.topics, others, planned.scope), needed) as feed:
        position, gaps = await resolve(hub, planned.starts)
        subscription = Subscription(
            hub,
            engine.history,
            feed,
            position,
            is_sse=is_sse,
            keepalive_seconds=keepalive_seconds,
            metrics=engine.metrics,
        )
        connection = Connection(subscription, feed, [*planned.gaps, *gaps], is_sse)
        try:
            yield connection
        finally:
            await connection.close()


def id_of(offsets: Mapping[TopicPartition, int]) -> str:
    return json.dumps([{"topic": t, "partition": p, "offset": offset} for (t, p), offset in offsets.items()])


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine's times short and its bounds tight, for one test."""
    monkeypatch.setattr(module, "FEED_SECONDS", 0.001)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.02)
    monkeypatch.setattr(feed_module, "WAKE_SECONDS", 0.001)
