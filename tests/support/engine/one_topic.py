"""A topic "a" in memory, and a client that reads it from its oldest record on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.core.catalogue import Stream
from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, PollResult
from tests.support.engine import Received, numbered
from tests.support.engine.connection import TP, id_of

ONE = Stream("one", ("a",), (), (), "", None, None, False, {})


def topic(count: int, padding: int = 0) -> MemorySource:
    source = MemorySource()
    source.create("a")
    write(source, count, padding)
    return source


def write(source: MemorySource, count: int, padding: int = 0, number: int = 0) -> None:
    for n in range(number, number + count):
        source.append("a", numbered(n, padding), 1_000 + n)


def offsets(got: Received) -> list[int]:
    return got.offsets.get(TP, [])


FROM_THE_OLDEST = id_of({TP: OLDEST})


class StoppingSource(MemorySource):
    """Its tail can be stopped, and its reads take a while."""

    stopped = False
    read_seconds = 0.0

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.stopped else results

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await asyncio.sleep(self.read_seconds)
        return await super().read(partition, offset, max_bytes)
