"""A client that reads all day: it reconnects, resumes, and sees that nothing is lost or repeated, in constant memory.

The events are those of a `Writer`, spread over partitions in a fixed order: in each partition the numbers of those that
a client wants grow by a fixed step.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Mapping

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.reading import SSE

_META = re.compile(rb'"topic":"([^"]+)","partition":(\d+),"offset":(\d+)')
_NUMBER = re.compile(rb'"n":(\d+)')
_ID = re.compile(rb"^id: (.+)$", re.MULTILINE)
_ERROR = re.compile(rb'^event: error\ndata: .*?"type": ?"(\w+)"', re.MULTILINE)
RETRY_SECONDS = 0.3
CONNECT_SECONDS = 30.0


class ExactReader:
    """An SSE client. `step` is by how much the numbers of its events grow within a partition.

    `wrong` says what was lost or repeated; `ends` counts how its connections ended: "whole", "cut", or an error's type.
    """

    def __init__(self, port: int, path: str, step: int, last_id: str = "") -> None:
        self.last: dict[TopicPartition, int] = {}
        """The number of the last event of each partition."""
        self.received_at: dict[TopicPartition, float] = {}
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()
        self.connections = 0
        self.is_open = False
        """It is connected: it gets what is written from now on."""
        self.last_id = last_id
        self._port, self._path, self._step = port, path, step

    async def read_forever(self) -> None:
        """Read, and reconnect at once whatever happens."""
        while True:
            await self.read()
            await asyncio.sleep(RETRY_SECONDS)

    async def read(self, seconds: float | None = None) -> None:
        """Connect and read until the stream ends, or for `seconds`; then leave."""
        headers = {**SSE, **({"Last-Event-ID": self.last_id} if self.last_id else {})}
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await StreamClient.connect(self._port, self._path, headers)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.ends["not connected"] += 1
            return
        try:
            if client.status != 200:
                self.ends[str(client.status)] += 1
                return
            self.connections += 1
            self.is_open = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for chunk in client.chunks():
                        self.take(chunk)
                    self.ends["whole"] += 1
        except (OSError, asyncio.IncompleteReadError):
            self.ends["cut"] += 1
        finally:
            self.is_open = False
            client.abort()

    def take(self, chunk: bytes) -> None:
        """Look at whole events."""
        places, numbers = _META.findall(chunk), _NUMBER.findall(chunk)
        if len(places) != len(numbers):
            self.wrong.append(f"{len(places)} places, {len(numbers)} numbers in {chunk[:300]!r}")
        for (topic, partition, _), text in zip(places, numbers, strict=False):
            tp, number = TopicPartition(topic.decode(), int(partition)), int(text)
            last = self.last.get(tp)
            if last is not None and number != last + self._step:
                self.wrong.append(f"{tp}: {number} after {last}, with steps of {self._step}")
            self.last[tp] = number
            self.received_at[tp] = time.monotonic()
        if found := _ID.findall(chunk):
            self.last_id = found[-1].decode()
        for kind in _ERROR.findall(chunk):
            self.ends[kind.decode()] += 1
        if b"\n:gap" in chunk or chunk.startswith(b":gap"):
            self.wrong.append("a gap was reported")

    def has(self, newest: Mapping[TopicPartition, int]) -> bool:
        """Return whether it has the newest event of each partition, or those that its step lets it have."""
        return all(number - self._step < self.last.get(tp, -1) <= number for tp, number in newest.items())


async def all_have(readers: list[ExactReader], newest: Mapping[TopicPartition, int], seconds: float) -> list[str]:
    """Wait until all readers have the newest events; return what is wrong in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(reader.has(newest) for reader in readers):
        await asyncio.sleep(0.1)
    wrong = [each for reader in readers for each in reader.wrong]
    wrong += [f"{reader.last} instead of {dict(newest)}" for reader in readers if not reader.has(newest)]
    return wrong
