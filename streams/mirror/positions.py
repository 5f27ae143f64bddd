"""What has been written of each partition of the source: what comes a second time, and where to resume. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from streams.core.positions import TopicPartition
from streams.mirror.event import MirroredEvent, entries_of


class Written(NamedTuple):
    """The newest record of a partition: its offset in the source, its timestamp and the newest up to it, in ms."""

    offset: int
    timestamp: int
    newest: int
    """Records need not be in the order of time."""


class Verdict(Enum):
    """What an event is, beside what has been written."""

    NEXT = "next"
    REPEATED = "repeated"
    AFTER_HOLE = "after a hole"
    RESTARTED = "of a log that began again"


class Positions:
    """What has been written of the streams `names`, by the source's topic-partitions."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are those that are mirrored now."""
        self.names = ",".join(sorted(names))
        self._others: dict[TopicPartition, str] = {}
        """Partitions that were written by a mirror of other streams, and those streams."""
        self._written: dict[TopicPartition, Written] = {}
        self._entries: dict[TopicPartition, dict[str, Any]] = {}
        """What an id is to say of each partition: after the newest record, or where one that is silent was seen."""
        self._absent: set[TopicPartition] = set()
        """Partitions that the source no longer has."""
        self._is_id_refused = False

    def found(self, tp: TopicPartition, written: Written, names: str, identifier: str) -> None:
        """Take over what one's own Kafka says of a partition: a mirror of the streams `names` has written it.

        `identifier` is the id with which its newest record came.
        """
        if not set(names.split(",")) & set(self.names.split(",")):
            return  # another mirror's
        self._keep(tp, written, identifier)
        if names == self.names:
            self.saw([identifier])
        else:
            self._others[tp] = names

    @property
    def other_names(self) -> dict[str, list[TopicPartition]]:
        """The streams of other mirrors that have written some of these, and the partitions that they wrote last."""
        found: dict[str, list[TopicPartition]] = {}
        for tp, names in self._others.items():
            found.setdefault(names, []).append(tp)
        return found

    def _keep(self, tp: TopicPartition, written: Written, identifier: str) -> None:
        self._written[tp] = written
        # An id with a cursor is exact. By a time alone, whatever has the same time as the last event comes again, and
        # is known by its offset: so the old service's ids lose nothing either.
        entry = {"topic": tp.topic, "partition": tp.partition, "timestamp": written.timestamp}
        for each in entries_of(identifier):
            if (each["topic"], each.get("partition")) == tp and "cursor" in each:
                entry = each
        self._entries[tp] = entry

    def saw(self, identifiers: Iterable[str]) -> None:
        """Take over from ids which partitions there are; what a silent one gets from then on is wanted."""
        for identifier in identifiers:
            entries = entries_of(identifier)
            times = [int(each["timestamp"]) for each in entries if isinstance(each.get("timestamp"), int)]
            there = set()
            for entry in entries:
                tp = TopicPartition(entry["topic"], entry.get("partition") or 0)
                there.add(tp)
                if tp not in self._entries:
                    at = entry["timestamp"] if isinstance(entry.get("timestamp"), int) else max(times, default=0)
                    asked = {"topic": tp.topic, "partition": tp.partition, "timestamp": at}
                    self._entries[tp] = entry if "cursor" in entry else asked
            if self._is_id_refused:
                self._is_id_refused = False
                self._absent = self._entries.keys() - there
            elif self._absent:
                self._absent -= there

    def judge(self, event: MirroredEvent, identifier: str) -> Verdict:
        """Return what an event is; unless it is repeated, it counts as written. `identifier` is its id."""
        tp = TopicPartition(event.topic, event.partition)
        last = self._written.get(tp)
        verdict = Verdict.NEXT
        if last is not None and event.offset <= last.offset:
            # What has been written is no newer than the newest of it: another cluster, or a topic made again.
            if event.timestamp <= last.newest:
                return Verdict.REPEATED
            verdict = Verdict.RESTARTED
        elif last is not None and event.offset > last.offset + 1:
            verdict = Verdict.AFTER_HOLE
        newest = event.timestamp if last is None else max(event.timestamp, last.newest)
        self._keep(tp, Written(event.offset, event.timestamp, newest), identifier)
        self._others.pop(tp, None)
        return verdict

    def newest(self, event: MirroredEvent) -> int:
        """Return the newest timestamp in ms of what has been written of the partition of an event."""
        return self._written[TopicPartition(event.topic, event.partition)].newest

    def distrust_id(self) -> None:
        """The source refuses the id: ask by time, until an event says which partitions there are."""
        self._is_id_refused = True

    @property
    def resume_since(self) -> str:
        """The `since` to continue with, where an id cannot say it; else empty.

        Where other streams were mirrored before, an id would leave out the topics of new ones, and might name those of
        old ones. What was written comes again, and is dropped.
        """
        asked = self._entries.keys() - self._absent if self._is_id_refused else self._others.keys()
        times = [self._written[tp].timestamp if tp in self._written else self._entries[tp]["timestamp"] for tp in asked]
        return str(min(times)) if times else ""

    @property
    def resume_id(self) -> str:
        """The `Last-Event-ID` to continue with; empty where nothing is known, or where `resume_since` says it."""
        if self.resume_since:
            return ""
        entries = [entry for tp, entry in sorted(self._entries.items()) if tp not in self._absent]
        return json.dumps(entries, separators=(",", ":")) if entries else ""
