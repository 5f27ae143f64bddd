"""Whether Kafka answers, and whether what clients follow is being read: flag, metrics, sentences, and the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping

from streams.core.positions import TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.outage import Outage
from streams.engine.source import NotAuthorizedError, RecordSource, SourceError
from streams.engine.tail.partition import Partition
from streams.engine.tail.topics import Topics
from streams.engine.tuning import Tuning

log = logging.getLogger(__name__)

PINGS_TO_BE_AWAY = 3
MAX_NAMES = 5
"""Maximum number of topics that one sentence names."""


class Health:
    """`available` says whether Kafka answers at all (invariant 6); `problems` what people have to know."""

    def __init__(
        self,
        source: RecordSource,
        topics: Topics,
        partitions: Mapping[TopicPartition, Partition],
        metrics: Metrics,
        tuning: Tuning,
    ) -> None:
        self.available = self.was_available = False
        """Whether clients can be served now, and whether they could at any time."""
        self.reason = ""
        """Why Kafka did not answer the last time, if it did not."""
        self._source = source
        self._topics = topics
        self._partitions = partitions
        self._metrics = metrics
        self._tuning = tuning
        self._heard_at = float("-inf")
        """When a fetch of the tail was last answered."""
        self._looked_at = time.monotonic()
        self._unread: list[str] = []
        self._is_read = True
        self._away = Outage(log, "Kafka cannot be reached", again_seconds=tuning.log_seconds)
        self._stalled = Outage(
            log,
            "Partitions are not read",
            again_seconds=tuning.log_seconds,
            changed_seconds=tuning.changed_log_seconds,
        )

    def heard(self) -> None:
        """Note that a fetch of the tail was answered."""
        self._heard_at = time.monotonic()

    def answered(self) -> None:
        """Note that Kafka has answered for the catalogue: from the first time on, it is there."""
        if not self.available and self._topics.has_metadata and not self._away.is_on:
            self.available = self.was_available = True

    def problems(self) -> list[str]:
        """Return what is wrong with Kafka, as sentences; empty when all that clients follow is read."""
        if not self.available:
            return [self._is_away()]
        return [*self._unread, *self._denied()]

    async def watch(self) -> None:
        """Ask once a second whether Kafka is there, and from time to time which topics and partitions it has."""
        failures = 0
        while True:
            try:
                if self._source.is_stale or self._topics.age > self._tuning.refresh_seconds:
                    await self._topics.refresh()
                if time.monotonic() - self._heard_at > self._tuning.ping_seconds:
                    await self._source.ping()
            except SourceError as error:
                failures += 1
                self.reason = str(error)
                if failures >= PINGS_TO_BE_AWAY:
                    self.available = False
                if not self.available:  # at the start, from the first failure on
                    self._away.continues(self.reason or "it has not answered yet")
            else:
                failures = 0
                self.reason = ""
                self.available = self._topics.has_metadata
                self.was_available |= self.available
                self._away.is_over("Kafka answers again")
            self._metrics.kafka_up.set(self.available and self._is_read)
            await asyncio.sleep(self._tuning.ping_seconds)

    def look(self) -> None:
        """Look which partitions are not read; to be called once a second."""
        now = time.monotonic()
        was_late = now - self._looked_at > self._tuning.late_loop_seconds
        self._looked_at = now
        if was_late:
            return
        wanted = [each for tp, each in self._partitions.items() if self._topics.exists(tp)]
        unread = [each for each in wanted if each.is_denied or now - each.read_at > self._tuning.stall_seconds]
        for partition in unread:
            if partition.trouble is None:
                partition.trouble = _SILENT
        self._unread = _sentences(unread)
        self._is_read = len(unread) < len(wanted) or not wanted
        if self.available or not self._unread:  # while Kafka is away, only that is reported
            self._log_unread()
        placed = [each for each in wanted if each.ring is not None]
        lag = sum(each.lag for each in placed)
        metrics = self._metrics
        metrics.kafka_up.set(self.available and self._is_read)
        metrics.unread.set(len(unread))
        metrics.oldest_read.set(max((now - each.read_at for each in wanted), default=0.0))
        metrics.held.set(sum(each.held for each in placed))
        metrics.held_seconds.set(max((each.held_seconds for each in placed), default=0.0))
        # Nobody knows how far Kafka is ahead while it cannot be asked; 0 would say that all is well.
        is_known = self.available and self._is_read
        metrics.hub_lag.set(lag if is_known else float("nan"))
        now_ms = time.time() * 1000
        metrics.hub_lag_seconds.set(
            max((each.lag_seconds(now_ms) for each in placed), default=0.0) if is_known else float("nan")
        )

    def _log_unread(self) -> None:
        if self._unread:
            self._stalled.continues("; ".join(self._unread))
        else:
            self._stalled.is_over("All partitions that clients follow are read again")

    def _is_away(self) -> str:
        return f"Kafka cannot be reached: {self.reason}" if self.reason else "Kafka has not answered yet"

    def _denied(self) -> list[str]:
        denied = self._source.denied - {each.tp.topic for each in self._partitions.values() if each.is_denied}
        return [_not_authorised(denied)] if denied else []


_SILENT = SourceError("no broker has answered for it")


def _sentences(unread: Collection[Partition]) -> list[str]:
    """One for each reason, with the topics."""
    by_reason: defaultdict[str, set[str]] = defaultdict(set)
    denied: set[str] = set()
    for partition in unread:
        if isinstance(partition.trouble, NotAuthorizedError):
            denied.add(partition.tp.topic)
        else:
            by_reason[str(partition.trouble)].add(partition.tp.topic)
    sentences = [f"No events are read of {_names(topics)}: {reason}" for reason, topics in sorted(by_reason.items())]
    return [*sentences[:MAX_NAMES], *([_not_authorised(denied)] if denied else [])]


def _not_authorised(topics: Collection[str]) -> str:
    return f"Kafka does not authorise this service to read {_names(topics)}; grant it READ on them"


def _names(topics: Collection[str]) -> str:
    names = sorted(topics)
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
