"""Evidence from a running process: the newest events in its memory and, if those are few, the ends of Kafka's logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from asgiref.sync import async_to_sync
from django.http import HttpRequest

from redaction.entries.evidence import MAX_EVENTS, Evidence
from streams.admin.process import Running, running
from streams.core.positions import TopicPartition
from streams.engine.source import RecordSource, SourceError, answered

READ_SECONDS = 2.5
"""Maximum seconds of a read from Kafka: somebody waits for the page."""
READ_BYTES = 1 << 20
"""Maximum bytes of one read."""
KEPT_SECONDS = 60.0
"""Seconds for which evidence is used again."""
ENOUGH = MAX_EVENTS // 2
"""Events in memory with which Kafka is not asked."""
MIN_OF_PARTITION = 200
"""Minimum events that one partition contributes, if it has as many."""
SLICE = 500
"""Events that are read before the event loop gets a turn."""

NOT_SERVED = "this page is not served by the service"
AWAY = "Kafka cannot be reached, and this process has no event in memory"
NO_EVENTS = "neither this process nor Kafka has an event of the streams"
NO_STREAMS = "the stream configuration has not been loaded yet"


class EvidenceReader:
    """Reads the evidence of the process that serves a page of the admin, and keeps it for a minute."""

    def __init__(self) -> None:
        self._kept: tuple[Running, float, Evidence] | None = None

    def of(self, request: HttpRequest) -> Evidence:
        """Return the evidence, in a view's thread, after about READ_SECONDS at most. It contains Kafka's errors."""
        process = running(request)
        if process is None:
            return Evidence(NOT_SERVED)
        if self._kept is not None:
            kept, at, evidence = self._kept
            if kept is process and time.monotonic() - at < KEPT_SECONDS:
                return evidence
        seen: Evidence = async_to_sync(read_evidence)(process)
        if seen.events:
            self._kept = process, time.monotonic(), seen
        return seen


async def read_evidence(process: Running) -> Evidence:
    """Read the evidence of a process, on its event loop."""
    seen = Evidence()
    in_memory = await _take_memory(process, seen)
    if seen.events >= ENOUGH:
        return seen
    if process.catalogue is None:
        seen.trouble = NO_STREAMS
    elif not process.hub.available:
        seen.trouble = AWAY
    else:
        seen.trouble = NO_EVENTS
        left = [tp for tp in _partitions(process) if tp not in in_memory]
        try:
            async with asyncio.timeout(READ_SECONDS):
                await _take_history(process.source, left, seen)
        except TimeoutError:
            pass
        except SourceError:
            seen.trouble = AWAY
    return seen


async def _take_memory(process: Running, seen: Evidence) -> set[TopicPartition]:
    """Take what the rings hold, which is redacted; return the partitions of those that hold something."""
    rings = [(tp, p.ring) for tp, p in list(process.hub.partitions.items()) if p.ring is not None and p.ring.bytes]
    share = max(MIN_OF_PARTITION, MAX_EVENTS // max(1, len(rings)))
    for _, ring in rings:
        found = ring.read(ring.floor, ring.tip, 1 << 62)
        events = [event.json for event in found[0][-share:]] if found is not None else []
        await _take(events[: MAX_EVENTS - seen.events], seen)
    return {tp for tp, _ in rings}


def _partitions(process: Running) -> Iterator[TopicPartition]:
    """Yield all partitions that streams expose, first those of the streams that have every wiki's edits."""
    assert process.catalogue is not None

    def rank(name: str) -> int:
        return next((n for n, word in enumerate(("recentchange", "page_change", "revision-create")) if word in name), 9)

    streams = sorted(process.catalogue.streams.values(), key=lambda stream: rank(stream.name))
    known = process.source.partitions
    topics = dict.fromkeys(topic for stream in streams for topic in stream.topics)
    return (TopicPartition(topic, number) for topic in topics for number in range(known.get(topic, 0)))


async def _take_history(source: RecordSource, partitions: list[TopicPartition], seen: Evidence) -> None:
    """Take the newest records of each partition that can be read. Raises SourceError."""
    answers = await source.bounds(partitions)
    bounds = answered(answers)
    if answers and not bounds:
        raise next(answer for answer in answers.values() if isinstance(answer, SourceError))
    left = [(tp, bounds[tp]) for tp in partitions if tp in bounds and bounds[tp].end > bounds[tp].begin]
    for number, (tp, (begin, end)) in enumerate(left):
        wanted = MAX_EVENTS - seen.events
        if wanted <= 0:
            return
        share = max(MIN_OF_PARTITION, wanted // (len(left) - number))
        offset = max(begin, end - share)
        while offset < end:
            batch = await source.read(tp, offset, READ_BYTES)
            values = [record.value for record in batch.records if record.value is not None and record.offset < end]
            await _take(values[: MAX_EVENTS - seen.events], seen)
            if batch.next_offset <= offset:
                break
            offset = batch.next_offset


async def _take(events: list[bytes], seen: Evidence) -> None:
    for start in range(0, len(events), SLICE):
        seen.take(events[start : start + SLICE])
        await asyncio.sleep(0)
