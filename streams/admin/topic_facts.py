"""What Kafka has of a stream's topics, for the admin: asked when the page is opened, with a short timeout."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from streams.admin.process import Running
from streams.core.positions import TopicPartition
from streams.engine.lookups import Lookups
from streams.engine.source import Bounds, SourceError, SourceUnavailableError, answered

PATIENCE_SECONDS = 2.0
"""Maximum seconds to wait for Kafka."""
AWAY = "Kafka cannot be reached."
NO_ANSWER = f"Kafka did not answer within {PATIENCE_SECONDS:g} seconds."
NOT_ALL = "Kafka did not answer for some partitions: {}."
NONE = "Kafka did not answer: {}."
NOT_ASKED = "This process has not received the list of topics from Kafka yet."


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What one partition retains: its offsets (`end` is the next one), and the times of its oldest and newest event.

    Times are in milliseconds since the epoch; None: there is no event, or none with a time.
    """

    partition: int
    begin: int
    end: int
    oldest: int | None
    newest: int | None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic; `count` is its number of partitions, 0 if Kafka does not have it."""

    topic: str
    count: int
    partitions: tuple[PartitionFacts, ...] = ()

    @property
    def offsets(self) -> int:
        """Number of offsets that are retained, in all partitions."""
        return sum(each.end - each.begin for each in self.partitions)

    @property
    def oldest(self) -> int | None:
        """Time of the oldest event (ms)."""
        return min((each.oldest for each in self.partitions if each.oldest is not None), default=None)

    @property
    def newest(self) -> int | None:
        """Time of the newest event (ms)."""
        return max((each.newest for each in self.partitions if each.newest is not None), default=None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of some topics; `problem` says why that is not everything."""

    topics: tuple[TopicFacts, ...] = ()
    problem: str = ""


def known_topics(process: Running | None) -> Mapping[str, int] | None:
    """Return the topics of exposed streams that Kafka has, with the number of their partitions.

    None before Kafka answered; it is never asked for the topics of other streams.
    """
    if process is None or not process.hub.has_metadata:
        return None
    return process.source.partitions


def absent_topics(process: Running | None) -> Set[str] | None:
    """Return the topics of exposed streams that do not exist in Kafka; None before Kafka answered."""
    if process is None or not process.hub.has_metadata:
        return None
    return process.source.absent


async def missing_topics(process: Running | None, topics: Iterable[str]) -> tuple[list[str], str]:
    """Return which of the topics, exposed or not, Kafka does not have, and why that is unknown.

    Await it on the process's event loop; it takes at most PATIENCE_SECONDS.
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
    """Return what Kafka has of the topics.

    Await it on the process's event loop; it takes at most PATIENCE_SECONDS.
    """
    known = known_topics(process)
    if known is None:
        return Facts((), NOT_ASKED)
    counts = {topic: known.get(topic, 0) for topic in dict.fromkeys(topics)}
    bare = tuple(TopicFacts(topic, count) for topic, count in counts.items())
    if not process.hub.available:
        return Facts(bare, AWAY)
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    brokers: defaultdict[int, list[TopicPartition]] = defaultdict(list)
    for tp in partitions:
        brokers[process.source.broker_of(tp)].append(tp)
    # Each broker has its own task, so that a silent one does not hide what the others answer.
    looks = [asyncio.ensure_future(_look(process.hub.lookups, some)) for some in brokers.values()]
    if looks:
        await asyncio.wait(looks, timeout=PATIENCE_SECONDS)
    found: dict[TopicPartition, PartitionFacts | SourceError] = {}
    for look in looks:
        if look.done():
            found |= look.result()
        else:
            look.cancel()
    good = answered(found)
    if partitions and not found:
        return Facts(bare, NO_ANSWER)
    why = sorted({str(error) for error in found.values() if isinstance(error, SourceError)})
    if len(found) < len(partitions):
        why.append(NO_ANSWER.rstrip("."))
    by_topic: dict[str, list[PartitionFacts]] = {topic: [] for topic in counts}
    for tp in partitions:
        if tp in good:
            by_topic[tp.topic].append(good[tp])
    facts = tuple(TopicFacts(topic, count, tuple(by_topic[topic])) for topic, count in counts.items())
    return Facts(facts, (NOT_ALL if good else NONE).format("; ".join(why[:3])) if why else "")


async def _look(
    lookups: Lookups, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, PartitionFacts | SourceError]:
    """Return the facts of one broker's partitions; one that no longer exists is missing."""
    found: dict[TopicPartition, PartitionFacts | SourceError] = {}
    bounds = await lookups.bounds(partitions)
    oldest = await lookups.at_times(dict.fromkeys(answered(bounds), 0))

    async def one(tp: TopicPartition, bound: Bounds | SourceError) -> None:
        first = oldest.get(tp)
        try:
            if isinstance(bound, SourceError):
                raise bound
            if isinstance(first, SourceError):
                raise first
            newest = await lookups.newest(tp, bound)
        except SourceError as error:
            found[tp] = error
            return
        last = newest.timestamp if newest is not None and newest.timestamp >= 0 else None
        found[tp] = PartitionFacts(tp.partition, *bound, first.timestamp if first else None, last)

    await asyncio.gather(*(one(tp, bound) for tp, bound in bounds.items()))
    return found
