"""What Kafka's metadata says of the catalogue's topics: which exist, which are new, which cannot be told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from streams.core.errors import KafkaUnavailable
from streams.core.positions import TopicPartition
from streams.engine.source import RecordSource, SourceUnavailableError
from streams.engine.tuning import Tuning

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Topics:
    """`changed` is called after each answer, with a test of whether a partition is newly created."""

    def __init__(
        self,
        source: RecordSource,
        spawn: Spawn,
        changed: Callable[[Callable[[TopicPartition], bool]], None],
        tuning: Tuning,
    ) -> None:
        self.has_metadata = False
        """Whether Kafka has answered for the catalogue, and the brokers that it names have answered too."""
        self._source = source
        self._tuning = tuning
        self._spawn = spawn
        self._changed = changed
        self._topics: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        """The topics that the last answer was about."""
        self._seen: dict[str, int] = {}
        """The number of partitions in the last answer that told of a topic, 0 where it did not exist."""
        self._refreshed_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    def set_topics(self, topics: Iterable[str]) -> None:
        """Take over the topics of the catalogue: only these are ever named to Kafka."""
        self._topics = frozenset(topics)
        self._seen = {topic: count for topic, count in self._seen.items() if topic in self._topics}
        self._refreshed_at = float("-inf")

    @property
    def age(self) -> float:
        """The seconds since the last answer about the catalogue was asked for."""
        return time.monotonic() - self._refreshed_at

    def exists(self, tp: TopicPartition) -> bool:
        """Return whether Kafka had the partition when it was last asked."""
        return tp.partition < self._source.partitions.get(tp.topic, 0)

    def unreadable(self, wanted: Iterable[str]) -> set[str]:
        """Return those of `wanted` that may well exist, but that Kafka does not show, or cannot answer for now."""
        source = self._source
        return {topic for topic in wanted if topic not in source.partitions and topic not in source.absent}

    async def of(self, wanted: Iterable[str], needed: Iterable[TopicPartition] = ()) -> dict[str, int]:
        """Return those of `wanted` that Kafka has, with the number of their partitions.

        Asks again if the last answer does not suffice: it has none of them, was not about one of them, or lacks one of
        `needed`. Raises KafkaUnavailable where Kafka cannot be asked, or cannot answer for one that is `needed`.
        """
        wanted = frozenset(wanted)
        needed = [tp for tp in needed if tp.topic in wanted]
        hidden = self.unreadable(wanted) - self._source.denied
        try:
            if (
                not wanted & self._topics <= self._asked
                or not wanted & self._source.partitions.keys()
                or not all(map(self.exists, needed))
            ):
                await self.refresh(max_age=0.0)
            elif hidden & self._topics:
                await self.refresh(max_age=self._tuning.hidden_seconds)
        except SourceUnavailableError:
            raise KafkaUnavailable from None
        known = {topic: count for topic, count in self._source.partitions.items() if topic in wanted}
        hidden = (self.unreadable(wanted) & self._topics) - self._source.denied
        if hidden and (not known or any(tp.topic in hidden for tp in needed)):
            raise KafkaUnavailable
        return known

    async def refresh(self, max_age: float = 1.0) -> None:
        """Ask Kafka for topics and partitions, unless the last answer is at most `max_age` seconds old.

        Raises SourceUnavailableError.
        """
        oldest = time.monotonic() - max_age
        while self._refreshed_at < oldest:  # more than one round where the one under way was begun too early
            if self._refreshing is None:
                self._refreshing = self._spawn(self._refresh(self._topics))
                self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._refreshing)

    async def _refresh(self, topics: frozenset[str]) -> None:
        began = time.monotonic()
        try:
            if not self.has_metadata:
                await self._source.ping()
            await self._source.refresh(topics)
            self._asked = topics
            if topics is self._topics:
                self._refreshed_at = began
                self.has_metadata = True
        finally:
            self._refreshing = None
        self._changed(self._is_new)
        for topic in topics & self._topics:
            if topic in self._source.partitions:
                self._seen[topic] = self._source.partitions[topic]
            elif topic in self._source.absent:
                self._seen[topic] = 0

    def _is_new(self, tp: TopicPartition) -> bool:
        """Return whether an earlier answer told of the topic, and did not have the partition.

        An answer that was not about the topic, or could not tell, says nothing: what it lacks may be full of events.
        """
        seen = self._seen.get(tp.topic)
        return seen is not None and tp.partition >= seen
