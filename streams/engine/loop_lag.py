"""How late the event loop is: all clients of a process wait while one task keeps it busy."""

from __future__ import annotations

import asyncio
import time

from streams.engine.ticks import until_next

TICK_SECONDS = 0.5
"""Seconds between two looks, which wake an idle process. Of a delay, at most as much is missed."""
WINDOW_SECONDS = 15.0
"""The worst of at least this many seconds is kept, and of at most twice as many: a scrape each 15 s misses none."""


class LoopLag:
    """Measures while `watch` runs."""

    def __init__(self) -> None:
        self._worst = self._worst_before = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return by how much a timer was late at worst, lately (seconds)."""
        return max(self._worst, self._worst_before)

    async def watch(self) -> None:
        """Measure until the task is cancelled."""
        while True:
            pause = until_next(TICK_SECONDS)
            due = time.monotonic() + pause
            await asyncio.sleep(pause)
            self.note(time.monotonic() - due, due)

    def note(self, late: float, now: float) -> None:
        """Take a measurement."""
        if now - self._began > WINDOW_SECONDS:
            self._began, self._worst_before, self._worst = now, self._worst, 0.0
        self._worst = max(self._worst, late)
