"""Positions, and the ids that carry them: reading a ``Last-Event-ID``, writing the ``id`` of an event.

The one convention for offsets, everywhere: **an offset is the next record to read.** Offsets have holes, so they are
searched and compared, never subtracted.

Source: wire contract, "Choosing where to start" and "Resuming".
"""

from __future__ import annotations

import enum
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streams.core.errors import InvalidLastEventId
from streams.core.quoted import has_topic_characters

MAX_OFFSET = 2**63 - 1
MAX_PARTITION = 2**31 - 1
END = -1
"""In place of an offset: the end of the partition (Kafka's ListOffsets, KIP-79)."""
OLDEST = -2
"""In place of an offset: the oldest retained event."""

CLUSTER_PREFIX = 8
"""Maximum characters of the cluster's id in a cursor."""

_CURSOR = re.compile(r"([^:]{0,%d}):([0-9]{1,19})" % CLUSTER_PREFIX, re.ASCII)


def record_timestamp(ms: int | None) -> int:
    """Return a record's timestamp as the engine has it: -1 for none, and at most 2^63-2.

    A producer may write any 64-bit number. Ids and marks say one more, which must be a timestamp too (0…2^63-1).
    """
    return ms if ms is not None and -1 <= ms < MAX_OFFSET else -1 if ms is None or ms < 0 else MAX_OFFSET - 1


class TopicPartition(NamedTuple):
    """One partition of a Kafka topic."""

    topic: str
    partition: int


class Mark(NamedTuple):
    """How far one partition has been read.

    `incarnation` counts how often the partition was recreated or truncated since this process watches it;
    marks are ordered by it, then by `offset`, the next record to read. `timestamp` is that of the last record seen,
    plus one, in ms.
    """

    incarnation: int
    offset: int
    timestamp: int


Position = Mapping[TopicPartition, Mark]


class Scope(enum.Enum):
    """What a subscription follows besides the partitions that it lists; it travels in the id, as `only`."""

    STREAMS = None
    """All topics of the streams, and whatever partitions they get."""
    TOPICS = "topics"
    """Just these topics, and whatever partitions they get (a client that fails over to one datacentre)."""
    PARTITIONS = "partitions"
    """Just these partitions."""


class Cursor(NamedTuple):
    """Where an id of ours says to continue: the next offset, and in which cluster that is true."""

    cluster: str
    offset: int


class Entry(NamedTuple):
    """One topic-partition of a Last-Event-ID. `partition` is None for a bare topic name; `offset` outranks the rest."""

    topic: str
    partition: int | None
    offset: int | None = None
    timestamp: int | None = None
    cursor: Cursor | None = None


class LastEventId(NamedTuple):
    """What a client's last id says: an entry for each partition or topic, and what the subscription follows besides."""

    entries: tuple[Entry, ...]
    scope: Scope

    @property
    def is_ours(self) -> bool:
        """Whether this server (or another of its kind) made the id: it carries cursors."""
        return any(entry.cursor for entry in self.entries)


def parse_last_event_id(text: str) -> LastEventId | None:
    """Parse what a client sent as its last id; None if it sent nothing.

    Raises InvalidLastEventId, which says which entry is wrong and why.
    """
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidLastEventId("Last-Event-ID is not JSON; send the id of an event as it was received") from None
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise InvalidLastEventId("Last-Event-ID is not a JSON array of {topic, partition, timestamp or offset} objects")
    if not value:
        raise InvalidLastEventId("Last-Event-ID lists no topic; leave it out to start without an id")
    entries = tuple(_entry(number, item) for number, item in enumerate(value))
    _refuse_twice(entries)
    scopes = [item.get("only") for item in value if isinstance(item, dict)]
    scope = next((s for s in (Scope.PARTITIONS, Scope.TOPICS) if s.value in scopes), Scope.STREAMS)
    return LastEventId(entries, scope)


def _entry(number: int, item: Any) -> Entry:
    def wrong(why: str) -> InvalidLastEventId:
        return InvalidLastEventId(f"Last-Event-ID, entry {number}: {why}")

    def integer(name: str, low: int, high: int) -> int | None:
        if name not in item:
            return None
        value = item[name]
        if type(value) is not int or not low <= value <= high:
            raise wrong(f"{name} is {_as_json(value)}, not an integer from {low} to {high}")
        return value

    topic = item.get("topic") if isinstance(item, dict) else item
    if not isinstance(topic, str):
        raise wrong("it is neither an object with a topic nor a topic's name")
    if not has_topic_characters(topic):
        raise wrong(f"{_as_json(topic)} cannot be the name of a Kafka topic")
    if not isinstance(item, dict):
        return Entry(topic, None)
    partition = integer("partition", 0, MAX_PARTITION)
    if partition is None:
        raise wrong("it has no partition")
    offset = integer("offset", OLDEST, MAX_OFFSET)
    timestamp = integer("timestamp", 0, MAX_OFFSET)
    if offset is None and timestamp is None:
        raise wrong("it has neither offset nor timestamp")
    cursor = None
    if offset is None and "cursor" in item:
        cursor = _cursor(item["cursor"])
        if cursor is None:
            raise wrong(f"cursor is {_as_json(item['cursor'])}, not <cluster>:<offset> as this service writes it")
    return Entry(topic, partition, offset, timestamp, cursor)


def _cursor(text: Any) -> Cursor | None:
    match = _CURSOR.fullmatch(text) if isinstance(text, str) else None
    return None if match is None or int(match[2]) > MAX_OFFSET else Cursor(match[1], int(match[2]))


def _refuse_twice(entries: Sequence[Entry]) -> None:
    seen: set[tuple[str, int | None]] = set()
    whole = {entry.topic for entry in entries if entry.partition is None}
    for number, entry in enumerate(entries):
        named = (entry.topic, entry.partition)
        if named in seen or (entry.topic in whole and entry.partition is not None):
            where = entry.topic if entry.partition is None else f"{entry.topic} partition {entry.partition}"
            raise InvalidLastEventId(f"Last-Event-ID, entry {number}: {where} is listed twice")
        seen.add(named)


def _as_json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


class IdWriter:
    """Writes the ids of one subscription: ASCII JSON, in the order of the partitions' names.

    Only the entry of the partition that moved is formatted again, by `set`; `ids()` joins what is there.
    """

    def __init__(self, cluster: str, scope: Scope) -> None:
        self._cluster = json.dumps(cluster[:CLUSTER_PREFIX]).encode()[1:-1]
        self._only = f',"only":"{scope.value}"'.encode() if scope.value else b""
        self._between = b',"cursor":"%s:' % self._cluster
        self._end = b'"%s}' % self._only
        self.form = self._between + self._end
        """Two writers of the same form write the same entries."""
        self._heads: dict[TopicPartition, bytes] = {}
        self._places: dict[TopicPartition, int] = {}
        self._entries: list[bytes] = []
        self.nbytes = 0
        """The length of all entries, from `reset` until `put`, which does not count."""

    def reset(self, position: Position) -> None:
        """Take over a whole position, with just its partitions."""
        self._heads = {tp: self._head(tp) for tp in sorted(position)}
        self._places = {tp: place for place, tp in enumerate(self._heads)}
        self._entries = [b""] * len(self._heads)
        self.nbytes = 0
        for tp, mark in position.items():
            self.set(tp, mark.offset, mark.timestamp)

    def set(self, tp: TopicPartition, offset: int, timestamp: int) -> None:
        """Say where one partition stands."""
        entry, place = self.entry(tp, offset, timestamp), self._places[tp]
        self.nbytes += len(entry) - len(self._entries[place])
        self._entries[place] = entry

    def entry(self, tp: TopicPartition, offset: int, timestamp: int) -> bytes:
        """Return what ids say of one partition; with an offset below 0, which is not known, without a cursor."""
        if offset < 0:
            return b"%b%d%b}" % (self._heads[tp], timestamp, self._only)
        return b"%b%d%b%d%b" % (self._heads[tp], timestamp, self._between, offset, self._end)

    def put(self, tp: TopicPartition, entry: bytes) -> bytes:
        """Say of one partition what `entry` returned; return the ids."""
        self._entries[self._places[tp]] = entry
        return b",".join(self._entries)

    def ids(self) -> bytes:
        """Return the members of the JSON array, without its brackets."""
        return b",".join(self._entries)

    def around(self, tp: TopicPartition) -> tuple[bytes, bytes, bytes]:
        """Return what stands before the partition's timestamp in the ids, between that and its offset, and after it."""
        place = self._places[tp]
        before = [*self._entries[:place], self._heads[tp]]
        after = [self._end, *self._entries[place + 1 :]]
        return b",".join(before), self._between, b",".join(after)

    @staticmethod
    def _head(tp: TopicPartition) -> bytes:
        return b'{"topic":%s,"partition":%d,"timestamp":' % (json.dumps(tp.topic).encode(), tp.partition)


class Gap(NamedTuple):
    """Records that a client asked for and cannot have.

    `asked` and `served` are offsets where an offset or cursor was asked for, else ms; `served` is None for a topic
    that is gone.
    """

    topic: str
    partition: int
    asked: int
    served: int | None


def gaps_json(gaps: Iterable[Gap], max_bytes: int | None = None) -> bytes:
    """Return gaps as the contract writes them: an array of {topic, partition, asked, served}; ASCII.

    Of more than `max_bytes` the last entries are left out, whole.
    """
    entries = [json.dumps(gap._asdict(), separators=(",", ":")) for gap in gaps]
    if max_bytes is not None:
        lengths = itertools.accumulate(len(entry) + 1 for entry in entries)
        entries = entries[: sum(1 + length <= max_bytes for length in lengths)]
    return b"[%s]" % ",".join(entries).encode()
