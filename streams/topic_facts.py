"""What Kafka holds of a stream's topics, for the admin: asked now, with little patience."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streams.core.positions import TopicPartition
from streams.engine.lookups import Lookups
from streams.engine.source import Bounds, SourceUnavailableError
from streams.running import Running

PATIENCE_SECONDS = 2.0
AWAY = "Kafka cannot be reached now."
NO_ANSWER = f"Kafka did not answer within {PATIENCE_SECONDS:g} seconds."
NOT_ASKED = "Kafka has not been asked for topics yet."


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """Offsets of what is retained (`end` is the next one), and the times of its oldest and newest event in ms.

    None: it holds none, or none with a time.
    """

    partition: int
    begin: int
    end: int
    oldest: int | None
    newest: int | None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """`count` is the number of partitions that the topic has, 0 where Kafka has no such topic."""

    topic: str
    count: int
    partitions: tuple[PartitionFacts, ...] = ()

    @property
    def offsets(self) -> int:
        """How many are retained, in all partitions."""
        return sum(each.end - each.begin for each in self.partitions)

    @property
    def oldest(self) -> int | None:
        return min((each.oldest for each in self.partitions if each.oldest is not None), default=None)

    @property
    def newest(self) -> int | None:
        return max((each.newest for each in self.partitions if each.newest is not None), default=None)


@dataclass(frozen=True, slots=True)
class Facts:
    """`problem` says why nothing, or not all, is known."""

    topics: tuple[TopicFacts, ...] = ()
    problem: str = ""


def known_topics(process: Running | None) -> Mapping[str, int] | None:
    """The topics of exposed streams that Kafka has, with the number of their partitions; None where it was not asked
    yet. It is never asked for the others."""
    if process is None or not process.hub.has_metadata:
        return None
    return process.source.partitions


async def missing_topics(process: Running | None, topics: Iterable[str]) -> tuple[list[str], str]:
    """Return those of the topics, of whatever stream, that Kafka does not have, and why that is not known.

    To be awaited on the process's event loop; takes PATIENCE_SECONDS at most.
    """
    wanted = list(dict.fromkeys(topics))
    if process is None or not process.hub.available:
        return [], "" if process is None else AWAY
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            missing = await process.source.missing(wanted)
    except (TimeoutError, SourceUnavailableError):
        return [], NO_ANSWER
    return [topic for topic in wanted if topic in missing], ""


async def topic_facts(process: Running, topics: Iterable[str]) -> Facts:
    """To be awaited on the process's event loop; takes PATIENCE_SECONDS at most."""
    known = known_topics(process)
    if known is None:
        return Facts((), NOT_ASKED)
    counts = {topic: known.get(topic, 0) for topic in dict.fromkeys(topics)}
    bare = tuple(TopicFacts(topic, count) for topic, count in counts.items())
    if not process.hub.available:
        return Facts(bare, AWAY)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return Facts(await _look(process.hub.lookups, counts))
    except (TimeoutError, SourceUnavailableError):
        return Facts(bare, NO_ANSWER)


async def _look(lookups: Lookups, counts: Mapping[str, int]) -> tuple[TopicFacts, ...]:
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    bounds = await lookups.bounds(partitions)
    found = await lookups.at_times(dict.fromkeys(bounds, 0))
    newest = dict(zip(bounds, await asyncio.gather(*(_newest(lookups, *each) for each in bounds.items())), strict=True))
    by_topic: dict[str, list[PartitionFacts]] = {topic: [] for topic in counts}
    for tp, bound in bounds.items():
        oldest = found[tp].timestamp if tp in found else None
        by_topic[tp.topic].append(PartitionFacts(tp.partition, *bound, oldest, newest[tp]))
    return tuple(TopicFacts(topic, count, tuple(by_topic[topic])) for topic, count in counts.items())


async def _newest(lookups: Lookups, tp: TopicPartition, bounds: Bounds) -> int | None:
    record = await lookups.newest(tp, bounds)
    return record.timestamp if record is not None and record.timestamp >= 0 else None
