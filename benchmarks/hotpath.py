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
