"""Streams of one topic that have an end: what is in the topic, and what a client says of its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.core.catalogue import Stream
from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from tests.support.engine import Engine, Received, numbered
from tests.support.engine.connection import TP, Connection, QuickEngine, connected, id_of

ONE = Stream("one", ("a",), (), (), "", None, None, False, {})
T = 1_000_000
"""The time at which streams end here (ms)."""
FROM_THE_OLDEST = id_of({TP: OLDEST})
SSE_OR_JSON = pytest.mark.parametrize("is_sse", [True, False])
PULLED_OR_WRITTEN = pytest.mark.parametrize("takes", [None, lambda: True], ids=["pulled", "written to"])


class Clock:
    """The time of day, as the test sets it."""

    def __init__(self) -> None:
        self.ms = T + 1

    def time(self) -> float:
        return self.ms / 1000


def topic(*times: int, partitions: int = 1) -> MemorySource:
    source = MemorySource()
    source.create("a", partitions)
    write(source, *times)
    return source


def write(source: MemorySource, *times: int, partition: int = 0) -> None:
    """One record for each time, in ms from T."""
    for time in times:
        source.append("a", numbered(time), T + time, partition=partition)


def offsets(got: Received) -> list[int]:
    return got.offsets.get(TP, [])


def end_of(got: Received) -> tuple[str, int]:
    assert got.end is not None
    return got.end[1]["reason"], got.end[1]["events"]


def places_in(identifier: str) -> dict[TopicPartition, int]:
    """Where an id says to resume."""
    entries = json.loads(identifier)
    return {TopicPartition(e["topic"], e["partition"]): int(e["cursor"].split(":")[1]) for e in entries}


def next_of(got: Received) -> dict[TopicPartition, int]:
    """Where the end's id says to resume."""
    assert got.end is not None
    return places_in(got.end[0])


@asynccontextmanager
async def open_stream(source: MemorySource, **options: Any) -> AsyncIterator[tuple[Engine, Connection]]:
    async with QuickEngine(source).running("a") as engine, connected(engine, ONE, **options) as connection:
        yield engine, connection
