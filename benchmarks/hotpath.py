"""Microseconds that each step costs one 1.4 kB event, without Kafka and sockets: prints JSON.

Watches the path that every event takes: `encode` (decode, redact, encode; once in the process), `id` (once for each
subscription), `frame` (Feed.extend: once for each subscription, live) and `merge` (once for each client that is
behind, out of memory). Run from the repository: ``python -m benchmarks.hotpath``
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

from benchmarks.events import value
from redaction.redactor import Redactor
from streams.core.events import Event, Record, encode
from streams.core.positions import IdWriter, Mark, Scope, TopicPartition
from streams.engine.encoder import Encoder
from streams.engine.fanout import Pace
from streams.engine.feed import Feed, Selection
from streams.engine.history import History
from streams.engine.hub import Hub, HubLimits
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.subscription import Subscription

ROUNDS = 7
EVENTS = 5_000
PARTITIONS = 2
BATCH = 5
"""Live events come few at a time."""

TOPICS = [TopicPartition(f"{datacentre}.mediawiki.recentchange", 0) for datacentre in ("eqiad", "codfw")]
SELECTION = Selection(frozenset(tp.topic for tp in TOPICS), frozenset(), Scope.STREAMS)


def _records() -> list[Record]:
    return [
        Record(TOPICS[number % PARTITIONS].topic, 0, number // PARTITIONS, number, None, value(number, 1.7e9))
        for number in range(EVENTS)
    ]


def _fastest(step: Callable[[], object]) -> float:
    """Microseconds for each event, of the fastest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best / EVENTS * 1e6


def _encode(records: list[Record]) -> list[Event]:
    redactor = Redactor({})
    return [encode(record, redactor) for record in records]


def _write_ids(events: list[Event]) -> None:
    writer = IdWriter("benchmark", Scope.STREAMS)
    writer.reset(dict.fromkeys(TOPICS, Mark(0, 0, 0)))
    for number, event in enumerate(events):
        writer.set(TOPICS[number % PARTITIONS], event.offset + 1, event.timestamp + 1)
        writer.ids()


def _frame(events: list[Event]) -> None:
    feed = Feed(SELECTION, "benchmark", 15.0, 0.0, Pace(0.0), Metrics())
    for tp in TOPICS:
        feed.place(tp, Mark(0, 0, 0))
    for number, tp in enumerate(TOPICS):
        own = events[number::PARTITIONS]
        for first in range(0, len(own), BATCH):
            some = own[first : first + BATCH]
            feed.extend(tp, some, Mark(0, some[-1].offset + 1, some[-1].timestamp + 1), 0.0)


async def _merge(records: list[Record], *, is_sse: bool) -> float:
    """A client far behind, everything in the hub's rings: microseconds for each event, of the fastest round."""
    source, metrics = MemorySource(), Metrics()
    for tp in TOPICS:
        source.create(tp.topic)
    encoder = Encoder(Redactor({}), metrics)
    hub = Hub(source, encoder, metrics, HubLimits(ring_bytes=64 << 20))
    hub.know(SELECTION.topics)
    hub.start()
    try:
        await hub.refresh()
        async with hub.feed(SELECTION) as feed:
            start = dict(feed.vector)
            for record in records:
                source.append(record.topic, record.value, record.timestamp)
            while sum(mark.offset for mark in feed.vector.values()) < EVENTS:
                await asyncio.sleep(0.01)
            best = float("inf")
            for _ in range(ROUNDS):
                history = History(source, encoder, metrics, 1, 0)
                client = Subscription(
                    hub, history, feed, dict(start), is_sse=is_sse, keepalive_seconds=0, metrics=metrics
                )
                began = time.perf_counter()
                got = 0
                async with contextlib.aclosing(client.chunks()) as chunks:
                    async for chunk in chunks:
                        got += chunk.events
                        if got == EVENTS:
                            break
                best = min(best, time.perf_counter() - began)
            return best / EVENTS * 1e6
    finally:
        await hub.close()


async def main() -> None:
    records = _records()
    events = _encode(records)
    results = {
        "encode": _fastest(lambda: _encode(records)),
        "id": _fastest(lambda: _write_ids(events)),
        "frame": _fastest(lambda: _frame(events)),
        "merge_sse": await _merge(records, is_sse=True),
        "merge_ndjson": await _merge(records, is_sse=False),
    }
    rounded = {step: round(microseconds, 2) for step, microseconds in results.items()}
    print(json.dumps({"benchmark": "hotpath", "partitions": PARTITIONS, "us_per_event": rounded}))


if __name__ == "__main__":
    asyncio.run(main())
