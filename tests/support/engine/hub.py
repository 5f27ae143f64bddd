"""What the tests of the hub share."""

from __future__ import annotations

import time
from typing import ClassVar

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.tail.feed import Feed, FeedBlock
from streams.engine.tail.hub import Hub
from tests.support.engine import Engine, Received, numbered

TP = TopicPartition("t", 0)
MINUTE_MS = 60_000


class HastyEngine(Engine):
    """An engine in which what happens every few seconds happens a few times a second."""

    TUNED: ClassVar[dict[str, float]] = {
        "housekeeping_seconds": 0.1,
        "hidden_seconds": 0.1,
        "ping_seconds": 0.05,
        "refresh_seconds": 0.1,
        "trouble_seconds": 0.1,
        "retry_seconds": 0.02,
        "denied_seconds": 0.05,
    }


def topic(*timestamps: int, partitions: int = 1, name: str = "t") -> MemorySource:
    source = MemorySource()
    source.create(name, partitions)
    write(source, *timestamps, name=name)
    return source


def write(source: MemorySource, *timestamps: int, name: str = "t", partition: int = 0) -> None:
    for timestamp in timestamps:
        source.append(name, numbered(timestamp), timestamp, partition=partition)


def received(feed: Feed) -> Received:
    """All that a client was sent that has followed the feed from its first block."""
    got = Received()
    for block in blocks(feed):
        got.take(b"".join(block.parts))
    return got


def blocks(feed: Feed) -> list[FeedBlock]:
    found, number = [], -1
    while (block := feed.after(number)) is not None:
        found.append(block)
        number += 1
    return found


def tip(of: Hub, tp: TopicPartition = TP) -> int | None:
    found = of.partitions.get(tp)
    return found.ring.tip if found and found.ring else None


def now_ms() -> float:
    return time.time() * 1000
