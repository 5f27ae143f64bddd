"""Where a client starts in a log: what tests of it share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from streams.core.plan import Start
from streams.core.positions import Cursor, Gap, Mark, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.resume import resolve
from streams.engine.source import PollResult
from tests.support.engine import Engine, numbered, whole

TP = TopicPartition("t", 0)
HERE = "memory-c"
"""What a cursor has of the cluster's id."""


class LaggingSource(MemorySource):
    """The tail can be stopped: the hub then lags behind what Kafka has."""

    lags = False

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.lags else results


def log_of(*timestamps: int | None) -> LaggingSource:
    """Offsets from 0 on; None is a hole."""
    source = LaggingSource()
    source.create("t")
    write(source, *timestamps)
    return source


def write(source: MemorySource, *timestamps: int | None) -> None:
    for timestamp in timestamps:
        if timestamp is None:
            source.skip("t")
        else:
            source.append("t", numbered(timestamp), timestamp)


@asynccontextmanager
async def watched(source: MemorySource) -> AsyncIterator[Engine]:
    engine = Engine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")):
        yield engine


async def started(engine: Engine, start: Start) -> tuple[Mark, list[Gap]]:
    position, gaps = await resolve(engine.hub, {TP: start})
    return position[TP], gaps


def cursor(offset: int, timestamp: int, cluster: str = HERE) -> Start:
    return Start(timestamp=timestamp, cursor=Cursor(cluster, offset))


def tip(engine: Engine) -> int:
    ring = engine.hub.partitions[TP].ring
    assert ring is not None
    return ring.tip
