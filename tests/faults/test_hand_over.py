"""From history to live: clients that start anywhere get every event once while new ones keep coming.

Invariant 4: hand-over is by position. Offsets have holes where transactions were aborted or ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.reading import NDJSON, SSE, Follower
from tests.support.serving import PATH, serving
from tests.support.writing import Writer, partitions_of, writer

EVENTS = 50_000
PER_SECOND = 200
PARTITIONS = 3
PAD = "x" * 150
TINY_RING = 65_536
STEP_MS = 10
"""Between two events of history, by their timestamps."""


class History:
    """A topic with EVENTS events, each STEP_MS after the one before it, dealt to the partitions in blocks."""

    def __init__(self, to: Writer, partitions: list[TopicPartition]) -> None:
        self.to = to
        self.partitions = partitions
        self.start = int(time.time() * 1000) - (EVENTS + 1000) * STEP_MS
        self.timestamps: dict[TopicPartition, list[int]] = {tp: [] for tp in partitions}

    async def write(self) -> None:
        block = 100
        for number, first in enumerate(range(0, EVENTS, block)):
            tp = self.partitions[number % PARTITIONS]
            timestamps = [self.start + i * STEP_MS for i in range(first, first + block)]
            if await self._write(tp, timestamps, abort=number % 7 == 3):
                self.timestamps[tp] += timestamps

    async def _write(self, tp: TopicPartition, timestamps: list[int], *, abort: bool) -> bool:
        await self.to.write(tp, timestamps, PAD)
        return True

    async def go_on(self, seconds: float) -> None:
        await self.to.go_on(self.partitions, PER_SECOND, seconds, PAD)

    def since(self, ms: int) -> dict[TopicPartition, list[int]]:
        """The offsets of history from a time on, by partition."""
        return {
            tp: [offset for (offset, _), at in zip(self.to.held[tp], self.timestamps[tp], strict=False) if at >= ms]
            for tp in self.partitions
        }
