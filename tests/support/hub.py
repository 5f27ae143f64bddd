"""What the tests of the hub share."""

from __future__ import annotations

import time

import pytest

from streams.core.positions import TopicPartition
from streams.engine import hub as module
from streams.engine.feed import Block, Feed
from streams.engine.hub import Hub
from streams.engine.memory import MemorySource
from tests.support.engine import Received, numbered

TP = TopicPartition("t", 0)
MINUTE_MS = 60_000


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the hub's times short, for one test."""
    """What happens every few seconds happens a few times a second."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.05)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)


def topic(*timestamps: int, partitions: int = 1, name: str = "t") -> MemorySource:
    source = MemorySource()
    source.create(name, partitions)
    write(source, *timestamps, name=name)
    return source


def write(source: MemorySource, *timestamps: int, name: str = "t", partition: int = 0) -> None:
    for timestamp in timestamps:
        source.append(name, numbered(timestamp), timestamp, partition=partition)


def received(feed: Feed) -> Received:
    """All that who has followed the feed from its first block has been sent."""
    got = Received()
    for block in blocks(feed):
        got.take(b"".join(block.sse()))
    return got


def blocks(feed: Feed) -> list[Block]:
    found, number = [], -1
    while (block := feed.after(number)) is not None:
        found.append(block)
        number += 1
    return found


def tip(hub: Hub, tp: TopicPartition = TP) -> int | None:
    partition = hub.partitions.get(tp)
    return partition.ring.tip if partition and partition.ring else None


def now_ms() -> float:
    return time.time() * 1000
