"""Reads of history have a bound in bytes a second; what they do not take they give back."""

from __future__ import annotations

import asyncio

import pytest

from streams.engine.metrics import Metrics
from streams.engine.replay import pace as module
from streams.engine.replay.pace import Pace


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
