"""Reads of history have a bound in bytes a second; what they do not take they give back."""

from __future__ import annotations

import asyncio

import pytest

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.replay import pace as module
from streams.engine.replay.history import Log
from streams.engine.replay.pace import Pace
from streams.engine.source import Batch, SourceUnavailableError
from tests.support.engine import Engine, numbered

LOG = Log(TopicPartition("t", 0), 0)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_many_reads_together_take_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, metrics = Clock(monkeypatch), Metrics()
    pace = Pace(1_000_000, metrics, lambda: clock.now)
    for _ in range(100):
        await pace.grant(500_000)
    assert clock.now - 1000 == pytest.approx(100 * 0.5 - module.BURST_SECONDS - 0.5)
    assert b"eventstreams_history_throttled_seconds_total 48.5" in metrics.text()


async def test_what_a_read_does_not_take_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pace = Pace(1_000_000, Metrics(), lambda: clock.now)
    for _ in range(100):
        await pace.grant(1_000_000)
        pace.took_less(990_000)
    assert clock.now == pytest.approx(1000, abs=0.1)


async def test_without_a_bound_nothing_waits() -> None:
    pace = Pace(0, Metrics())
    async with asyncio.timeout(5):
        for _ in range(1000):
            await pace.grant(1 << 30)


class Counting(MemorySource):
    """Counts what is read of it, and may fail."""

    fails = False

    def __init__(self) -> None:
        super().__init__()
        self.offsets: list[int] = []
        self.create("t")
        for number in range(100):
            self.append("t", numbered(number), 1000 + number)

    async def read(self, tp: TopicPartition, offset: int, nbytes: int) -> Batch:
        self.offsets.append(offset)
        if self.fails:
            raise SourceUnavailableError("away")
        return await super().read(tp, offset, nbytes)


async def test_reads_that_nobody_waits_for_any_longer_take_no_share_and_do_not_pile_up() -> None:
    """Else clients that come and go would keep all others from the past."""
    source = Counting()
    history = Engine(source, history_bytes_per_second=1, read_bytes=1000).history
    await history.read(LOG, 0)
    owed = history._pace._free_at
    leaving = [asyncio.ensure_future(history.read(LOG, offset)) for offset in range(1, 50) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(history._reads) == 49
    assert history._pace._free_at > owed + 40_000
    for each in leaving[::2]:
        each.cancel()
    await asyncio.wait(leaving[::2])
    assert len(history._reads) == 49, "others wait for them"
    for each in leaving[1::2]:
        each.cancel()
    await asyncio.wait(leaving)
    assert not history._reads
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert history._pace._free_at == pytest.approx(owed, abs=1)
    assert source.offsets == [0]


async def test_a_read_that_fails_takes_no_share() -> None:
    source = Counting()
    source.fails = True
    history = Engine(source, history_bytes_per_second=1000, read_bytes=1_000_000).history
    async with asyncio.timeout(10):
        for _ in range(3):
            with pytest.raises(SourceUnavailableError):
                await history.read(LOG, 0)
