"""What has been written of each partition of the source: what comes a second time, and where to resume. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from streams.core.positions import TopicPartition
from streams.mirror.event import MirroredEvent, entries_of


class Written(NamedTuple):
    """The newest record of a partition: its offset in the source, and its timestamp in ms."""

    offset: int
    timestamp: int


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
        self._newest: dict[TopicPartition, int] = {}
        """The newest timestamp of each partition in ms: records need not be in the order of time."""
        self._silent: dict[TopicPartition, int] = {}
        """Partitions of which nothing has been written, and from when on they are read, in ms."""

    def found(self, tp: TopicPartition, written: Written, names: str, latest: int) -> None:
        """Take over what one's own Kafka says of a partition: a mirror of the streams `names` has written it.

        `latest` is the latest timestamp of its newest records in ms: the newest one may have an earlier one.
        """
        if not set(names.split(",")) & set(self.names.split(",")):
            return  # another mirror's
        if names != self.names:
            self._others[tp] = names
        self._newest[tp] = latest
        self._keep(tp, written)

    def _keep(self, tp: TopicPartition, written: Written) -> None:
        self._written[tp] = written
        self._newest[tp] = max(written.timestamp, self._newest.get(tp, 0))

    def saw(self, identifiers: Iterable[str]) -> None:
        """Take over from ids which partitions there are; what a silent one gets from then on is wanted."""
        for identifier in identifiers:
            entries = entries_of(identifier)
            times = [int(each["timestamp"]) for each in entries if isinstance(each.get("timestamp"), int)]
            for entry in entries:
                tp = TopicPartition(entry["topic"], entry.get("partition") or 0)
                at = entry["timestamp"] if isinstance(entry.get("timestamp"), int) else max(times, default=0)
                self._silent.setdefault(tp, at)

    def judge(self, event: MirroredEvent) -> Verdict:
        """Return what an event is; unless it is repeated, it counts as written."""
        tp = TopicPartition(event.topic, event.partition)
        last = self._written.get(tp)
        verdict = Verdict.NEXT
        if last is not None and event.offset <= last.offset:
            # What has been written is no newer than the newest of it: another cluster, or a topic made again.
            if event.timestamp <= self._newest[tp]:
                return Verdict.REPEATED
            verdict = Verdict.RESTARTED
        elif last is not None and event.offset > last.offset + 1:
            verdict = Verdict.AFTER_HOLE
        self._keep(tp, Written(event.offset, event.timestamp))
        self._others.pop(tp, None)
        return verdict

    @property
    def resume_since(self) -> str:
        """The `since` to continue with, where other streams were mirrored before; else empty.

        An id would leave out the topics of new ones, and might name those of old ones. What was written comes again,
        and is dropped.
        """
        return str(min(self._written[tp].timestamp for tp in self._others)) if self._others else ""

    @property
    def resume_id(self) -> str:
        """The `Last-Event-ID` to continue with; empty where nothing is known.

        By the time of each partition's last event, not after it: whatever has the same time comes again, and is known
        by its offset. So the old service's ids lose nothing either.
        """
        if self._others:
            return ""
        at = self._silent | {tp: written.timestamp for tp, written in self._written.items()}
        entries = [{"topic": tp.topic, "partition": tp.partition, "timestamp": ms} for tp, ms in sorted(at.items())]
        return json.dumps(entries, separators=(",", ":")) if entries else ""
