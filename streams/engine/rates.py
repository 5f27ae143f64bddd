"""How active topics are: events per second over the last minute, also of those that nobody reads.

From Kafka's offsets: what a minute ago was the next one, and what it is now. A transaction's marker counts as an event
there, a record that is skipped does too: it is for people who choose a stream, not for accounts.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

from streams.core.positions import TopicPartition
from streams.engine.lookups import Lookups
from streams.engine.source import RecordSource, SourceError, answered
from streams.engine.tuning import DEFAULT, Tuning

WINDOW_SECONDS = 60
BATCH = 100
"""Partitions in one question: the lookups of clients that connect go over the same connection, and come in between."""


class Rates:
    """Asks when somebody wants to know, one question at a time, and never on a stream's connect path."""

    def __init__(self, source: RecordSource, lookups: Lookups, tuning: Tuning = DEFAULT) -> None:
        self._tuning = tuning
        self._source = source
        self._lookups = lookups
        self._rates: dict[str, float] = {}
        self._good_until = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def of(self, topics: Iterable[str]) -> dict[str, float]:
        """Return events per second by topic; missing where Kafka does not have the topic, or does not answer for it."""
        wanted = frozenset(topics)
        if self._asking is None and time.monotonic() >= self._good_until:
            self._asking = asyncio.ensure_future(self._ask(wanted))
        if self._asking is not None:
            await asyncio.wait(
                {self._asking}, timeout=self._tuning.rates_patience_seconds
            )  # who gives up does not stop it for the others
        return {topic: rate for topic, rate in self._rates.items() if topic in wanted}

    async def _ask(self, topics: frozenset[str]) -> None:
        known = self._source.partitions
        partitions = [TopicPartition(topic, p) for topic in sorted(topics) for p in range(known.get(topic, 0))]
        counts: defaultdict[str, int] = defaultdict(int)
        unknown: set[str] = set()
        try:
            for start in range(0, len(partitions), BATCH):
                some = partitions[start : start + BATCH]
                found = await self._counts(some)
                for tp in some:
                    if tp in found:
                        counts[tp.topic] += found[tp]
                    else:
                        unknown.add(tp.topic)
        finally:
            self._rates = {topic: count / WINDOW_SECONDS for topic, count in counts.items() if topic not in unknown}
            self._good_until = time.monotonic() + self._tuning.rates_seconds
            self._asking = None

    async def _counts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """How many offsets each partition has moved on in the window; missing where Kafka does not say."""
        bounds = answered(await self._lookups.bounds(partitions))
        since = int((time.time() - WINDOW_SECONDS) * 1000)
        found = await self._lookups.at_times(dict.fromkeys(bounds, since))
        counts = {}
        for tp, bound in bounds.items():
            first = found.get(tp)
            if not isinstance(first, SourceError):
                counts[tp] = max(0, bound.end - first.offset) if first else 0
        return counts
