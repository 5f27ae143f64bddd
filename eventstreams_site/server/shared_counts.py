"""The counts of connections that all replicas share, from a thread: neither a server nor a supervisor waits for Redis.

There is one place for each host: the supervisor, or the process that serves without one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from eventstreams_site.server.refusals import Answered

STOP_SECONDS = 0.5
"""Maximum seconds for ending the lease at a stop."""


class SharedCounts(Collector):
    """Counts connections of this host beside those of all others; it also reports that in metrics."""

    def __init__(self, url: str, limits: Callable[[], tuple[int, int]]) -> None:
        """Begin; `limits`, called in a thread, returns the maximum of all connections and of those of one address."""
        import asyncio  # noqa: PLC0415 (a supervisor without Redis does without an event loop)

        from eventstreams_site.server.redis_counts import RedisCounts  # noqa: PLC0415

        self._limits = limits
        self._loop = asyncio.SelectorEventLoop()
        self._counts = RedisCounts(url, limits)
        self._running = self._loop.create_task(self._counts.run())
        self._thread = threading.Thread(target=self._run, name="redis", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        import asyncio  # noqa: PLC0415

        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._running)
        self._loop.close()

    def take(self, ip: str, answered: Answered) -> None:
        """Ask for a connection of `ip`; `answered` is called in the thread, soon, whatever Redis does."""
        if not self._call(self._counts.take, ip, answered):
            answered("")

    def add(self, ip: str, count: int) -> None:
        """Count connections that have come, or (below 0) gone, without asking."""
        self._call(self._counts.add, ip, count)

    def close(self) -> None:
        """End the lease, in the background."""
        self._call(self._running.cancel)

    @property
    def is_closed(self) -> bool:
        """Return whether the lease has ended."""
        return not self._thread.is_alive()

    def wait_until_closed(self, seconds: float = STOP_SECONDS) -> None:
        """Wait for the end of the lease, at most `seconds` and STOP_SECONDS, before the process ends."""
        self._thread.join(max(0.0, min(seconds, STOP_SECONDS)))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> bool:
        """Call a function in the thread; return False if that has ended."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    @property
    def is_full(self) -> bool:
        """Return whether all connections of all hosts together are in use, as far as is known."""
        return not self._counts.reason and 0 < self._limits()[0] <= self._counts.everywhere

    @property
    def problem(self) -> str:
        """Return a sentence if limits do not hold over all replicas now; else an empty text."""
        reason = self._counts.reason
        return (
            f"limits of connections hold for each host separately: Redis cannot be asked ({reason})" if reason else ""
        )

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics (prometheus_client)."""
        counts = self._counts
        yield GaugeMetricFamily("eventstreams_redis_up", "1 while Redis answers", float(not counts.reason))
        yield GaugeMetricFamily(
            "eventstreams_replicas_connections", "Streams of all replicas, as Redis said last", counts.everywhere
        )
        yield CounterMetricFamily(
            "eventstreams_redis_failures", "Questions to Redis without an answer", counts.failures
        )
        yield SummaryMetricFamily(
            "eventstreams_redis_seconds", "Answers of Redis, and their seconds", counts.questions, counts.seconds
        )
