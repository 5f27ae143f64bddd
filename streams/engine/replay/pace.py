"""How fast history is read from Kafka: live events come first, so reads of the past may have a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from streams.engine.metrics import Metrics

BURST_SECONDS = 1.0
"""What was not used of the last second may be used at once."""


class Pace:
    """Lets reads begin so that together they take at most `rate` bytes a second from Kafka; 0: any number."""

    def __init__(self, rate: float, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._metrics = metrics
        self._now = now
        self._free_at = float("-inf")
        """When the bytes that were granted are paid for (seconds of the clock)."""

    async def grant(self, nbytes: int) -> None:
        """Wait until a read of that size may begin. Reads begin in the order in which they ask."""
        if not self._rate:
            return
        now = self._now()
        begins = max(self._free_at, now - BURST_SECONDS)
        self._free_at = begins + nbytes / self._rate
        if begins > now:
            self._metrics.throttled.inc(begins - now)
            await asyncio.sleep(begins - now)

    def took_less(self, nbytes: int) -> None:
        """Give back what a read was granted and did not take."""
        if self._rate and nbytes > 0:
            self._free_at -= nbytes / self._rate
