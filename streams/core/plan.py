"""What a request reads, and from where: its streams, id and `since` against the partitions that Kafka has.

Source: wire contract, "Choosing where to start".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from streams.core.catalogue import Stream
from streams.core.errors import NoTopicsAvailable, TopicNotAvailable
from streams.core.positions import END, OLDEST, Cursor, Entry, Gap, LastEventId, Scope, TopicPartition

UNREADABLE = "can be read: Kafka does not authorise this service, or they do not exist"
"""The end of a sentence about topics."""


class Start(NamedTuple):
    """Where one partition is to be read from: `offset` (or END, OLDEST), else `cursor`, else `timestamp` in ms."""

    offset: int | None = None
    timestamp: int | None = None
    cursor: Cursor | None = None


class Plan(NamedTuple):
    """`topics` are followed as they grow; `gaps` are what the id asks for and no longer exists."""

    topics: frozenset[str]
    starts: dict[TopicPartition, Start]
    scope: Scope
    gaps: tuple[Gap, ...] = ()


def plan(
    streams: Iterable[Stream],
    since: int | None,
    last_event_id: LastEventId | None,
    kafka: Mapping[str, int],
    unreadable: Set[str] = frozenset(),
) -> Plan:
    """Return what a request reads, and from where.

    `kafka` gives the number of partitions of the topics that exist; `since` is in ms. Topics that are `unreadable` may
    well exist, but Kafka does not show them: they are left out, and become gaps.

    Raises NoTopicsAvailable and TopicNotAvailable.
    """
    streams = list(streams)
    topics = frozenset(topic for stream in streams for topic in stream.topics)
    allowed = topics.union(topic for stream in streams for topic in stream.topics_allowed)
    default = Start(offset=END) if since is None else Start(timestamp=since)
    unseen = unreadable - kafka.keys()
    gaps = tuple(Gap(topic, 0, END if since is None else since, None) for topic in sorted(topics & unseen))
    if last_event_id is None:
        return _of_streams(topics, default, kafka, gaps)
    if last_event_id.is_ours:
        planned = _of_our_id(topics, allowed, default, last_event_id, kafka)
    else:
        planned = _of_foreign_id(topics, allowed, default, last_event_id, kafka, unseen)
    named = {gap.topic for gap in planned.gaps}
    others = (gap for gap in gaps if gap.topic in planned.topics and gap.topic not in named)
    return planned._replace(gaps=(*planned.gaps, *others))


def _partitions(topics: Iterable[str], kafka: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in sorted(topics) for number in range(kafka.get(topic, 0))]


def _of_streams(topics: frozenset[str], default: Start, kafka: Mapping[str, int], gaps: tuple[Gap, ...] = ()) -> Plan:
    starts = dict.fromkeys(_partitions(topics, kafka), default)
    if not starts:
        raise NoTopicsAvailable(topics, UNREADABLE if gaps else "exists in Kafka")
    return Plan(topics, starts, Scope.STREAMS, gaps)


def _start(entry: Entry, default: Start) -> Start:
    return default if entry.partition is None else Start(entry.offset, entry.timestamp, entry.cursor)


def _asked(entry: Entry) -> int:
    """The offset or time (ms) that an entry asks for; a bare topic's is the end."""
    if entry.cursor is not None:
        return entry.cursor.offset
    if entry.offset is not None:
        return entry.offset
    return END if entry.timestamp is None else entry.timestamp


def _of_foreign_id(
    topics: frozenset[str],
    allowed: frozenset[str],
    default: Start,
    last: LastEventId,
    kafka: Mapping[str, int],
    unseen: Set[str],
) -> Plan:
    """An id by the old rules: what it lists is read, and nothing else."""
    starts: dict[TopicPartition, Start] = {}
    gaps: list[Gap] = []
    for entry in last.entries:
        if entry.topic not in allowed:
            raise TopicNotAvailable(f"Topic {entry.topic} does not belong to the requested streams")
        if entry.topic in unseen:
            gaps.append(Gap(entry.topic, entry.partition or 0, _asked(entry), None))
            continue
        if entry.topic not in kafka:
            raise TopicNotAvailable(f"Topic {entry.topic} does not exist in Kafka at the moment")
        numbers = range(kafka[entry.topic]) if entry.partition is None else [entry.partition]
        starts |= {TopicPartition(entry.topic, n): _start(entry, default) for n in numbers if n < kafka[entry.topic]}
    if gaps and not starts:
        raise NoTopicsAvailable({gap.topic for gap in gaps}, UNREADABLE)
    if not starts:  # it lists only partitions that do not exist, which are ignored
        return _of_streams(topics, default, kafka)
    listed = frozenset(tp.topic for tp in starts)
    if len(starts) < len(_partitions(listed, kafka)):
        return Plan(frozenset(), starts, Scope.PARTITIONS, tuple(gaps))
    existing = {topic for topic in topics if topic in kafka}
    if existing - listed:
        return Plan(listed, starts, Scope.TOPICS, tuple(gaps))
    return Plan(topics | listed, starts, Scope.STREAMS, tuple(gaps))


def _of_our_id(
    topics: frozenset[str], allowed: frozenset[str], default: Start, last: LastEventId, kafka: Mapping[str, int]
) -> Plan:
    """An id that we made: streams and topics may have changed since, which is followed or said, never refused."""
    newest = Start(timestamp=max(entry.timestamp or 0 for entry in last.entries))
    starts: dict[TopicPartition, Start] = {}
    gaps: list[Gap] = []
    for entry in last.entries:
        if entry.topic not in allowed or entry.topic not in kafka:
            if entry.partition is not None:
                gaps.append(Gap(entry.topic, entry.partition, _asked(entry), None))
            continue
        numbers = range(kafka[entry.topic]) if entry.partition is None else [entry.partition]
        starts |= {TopicPartition(entry.topic, n): _start(entry, default) for n in numbers if n < kafka[entry.topic]}
    listed = frozenset(tp.topic for tp in starts)
    if not listed:
        return _of_streams(topics, newest, kafka, tuple(gaps))
    if last.scope is Scope.PARTITIONS:
        return Plan(frozenset(), starts, last.scope, tuple(gaps))
    # Partitions that are missing from a listed topic have been created since; so have topics of the streams.
    starts = dict.fromkeys(_partitions(listed, kafka), Start(offset=OLDEST)) | starts
    if last.scope is Scope.TOPICS:
        return Plan(listed, starts, last.scope, tuple(gaps))
    starts = dict.fromkeys(_partitions(topics, kafka), newest) | starts
    return Plan(topics | listed, starts, Scope.STREAMS, tuple(gaps))
