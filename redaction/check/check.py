"""The test of a redaction: what clients get of a page's events, beside what was produced, with a verdict on each.

History is read through the service's own HTTP API; beside it, where Kafka is at hand, the raw records of the same
window. The verdict is `redaction.check.verdict`'s, which knows nothing of how redaction is done.

Source: docs/redaction.md, "Testing a redaction".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec

from redaction.check.api_client import CheckError, HistoryReader
from redaction.check.findings import Finding, Progress, Proof, RecordPlace, Result, Verdict, instant, judge
from redaction.check.page_filter import PageFilter
from redaction.check.proof import Proofs, held_from
from streams.core.durations import parse_duration
from streams.core.errors import InvalidTimestamp
from streams.core.positions import TopicPartition
from streams.core.since import parse_since
from streams.engine.source import OutOfRangeError, RecordSource, SourceError, UnknownPartitionError, answered

IDLE_SECONDS = 10.0
"""Seconds without an event of the window after which there are no more: topics whose end is not known may be silent."""
MAX_STREAMS = 50
"""In one request, by default (setting `max_streams`)."""
MAX_FOUND = 2_000
"""Events of a page that one check looks at: all of them are held in memory."""
READ_BYTES = 1 << 20
REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class Question:
    """Which events are looked for. `streams` are names as clients give them; `since_ms` is ms since the epoch."""

    domain: str
    title: str
    rev_id: int | None
    since_ms: int
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Raw:
    """Kafka at hand: `topics` by stream name. The source knows their partitions already."""

    source: RecordSource
    topics: Mapping[str, Sequence[str]]


Report = Callable[[Progress | Finding], object]


def window_start(text: str, now_ms: int) -> int:
    """In ms since the epoch: ``30m``, ``1h`` or ``2d`` before now, or what the API's `since` takes.

    Raises ValueError with a sentence.
    """
    try:
        since = now_ms - int(parse_duration(text.strip()) * 1000)
    except ValueError:
        try:
            since = parse_since(text if text.strip() else "nothing")  # which to the API is 1970
        except InvalidTimestamp:
            raise ValueError(
                f"{text[:60]!r} is not a valid time window: expected 30m, 1h or 2d, or a time such as "
                "2026-07-01T12:00:00Z"
            ) from None
    if not 0 <= since <= now_ms:
        raise ValueError(f"{text[:60]!r} is not in the past")
    return since


async def check(
    question: Question, url: str, raw: Raw | None, report: Report, *, max_streams: int = MAX_STREAMS
) -> Result:
    """Look at all events of the page from `since_ms` to now; findings and progress go to `report` as they come.

    With `raw` it ends where Kafka's log ended when it began, else where the events' own time says so; in any case when
    nothing of the window has come for IDLE_SECONDS. Cancel it to stop. Raises CheckError.
    """
    return await _Check(question, url, raw, report).run(max_streams)


class _Complete(Exception):
    """All that was waited for has come."""


class _Meta(msgspec.Struct):
    topic: Any = None
    partition: Any = None
    offset: Any = None
    stream: Any = None
    dt: Any = None


class _Placed(msgspec.Struct):
    meta: _Meta | None = None


_decode_placed = msgspec.json.Decoder(_Placed).decode


@dataclass
class _Window:
    """What a partition held when the check began: offsets `start` to `end`, the last of them a record at `last`."""

    start: int
    end: int
    last: int = -1


class _Hit(NamedTuple):
    """A raw record of the page."""

    value: bytes
    timestamp: int


_Place = tuple[TopicPartition, int]
_Answer = TypeVar("_Answer")


class _Check:
    def __init__(self, question: Question, url: str, raw: Raw | None, report: Report) -> None:
        self._question = question
        self._url = url
        self._raw = raw
        self._report = report
        self._page = PageFilter(question.domain, question.title, question.rev_id)
        self._until_ms = int(time.time() * 1000)
        self._windows: dict[TopicPartition, _Window] = {}
        self._hits: dict[_Place, _Hit] = {}
        self._seen: set[_Place] = set()
        self._stream_of: dict[str, str] = {}
        self._step = "raw" if raw is not None else "served"
        self._records = 0
        self._reached = ""
        self._part: Callable[[], float | None] = lambda: None
        self._counts = dict.fromkeys(Verdict, 0)
        self._proofs = Proofs(question.domain, question.title, question.rev_id)
        self._held_from = ""

    async def run(self, max_streams: int) -> Result:
        reporting = asyncio.ensure_future(self._say_progress())
        try:
            return await self._run(max_streams)
        finally:
            reporting.cancel()

    async def _say_progress(self) -> None:
        said = None
        while True:
            progress = Progress(self._step, self._records, self._reached, self._part())
            if progress != said:
                said = progress
                self._report(progress)
            await asyncio.sleep(REPORT_SECONDS)

    async def _run(self, max_streams: int) -> Result:
        streams = list(dict.fromkeys(self._question.streams))
        requests = [streams[start : start + max_streams] for start in range(0, len(streams), max_streams)]
        for names in requests:  # what the service would refuse is better known before all is read
            await self._history(names).ask()
        if self._raw is not None:
            self._stream_of = {topic: name for name in streams for topic in self._raw.topics.get(name, ())}
            try:
                await self._read_raw(self._raw.source)
            except SourceError as error:
                raise CheckError(f"The raw records cannot be read: {error}") from None
        self._step, self._records = "served", 0
        for number, names in enumerate(requests):
            await self._read_served(names, number / len(requests), 1 / len(requests))
        for place, hit in self._hits.items():
            if place not in self._seen:
                self._add(self._finding(place, hit, None))
        return self._result()

    def _result(self) -> Result:
        counts = self._counts
        proof, doubts = self._proofs.conclude(counts[Verdict.CLEAN] > 0)
        is_proved = proof in (Proof.REAL, Proof.NAMESPACE)
        verdict = Verdict.LEAK if counts[Verdict.LEAK] else Verdict.CLEAN if is_proved else Verdict.NOT_FOUND
        return Result(
            verdict,
            counts[Verdict.CLEAN],
            counts[Verdict.LEAK],
            counts[Verdict.NOT_FOUND],
            self._records,
            instant(self._question.since_ms),
            instant(self._until_ms),
            self._raw is None,
            proof,
            self._held_from,
            doubts,
        )

    # The raw records

    async def _read_raw(self, source: RecordSource) -> None:
        partitions = [
            TopicPartition(topic, number)
            for topic in self._stream_of
            for number in range(source.partitions.get(topic, 0))
        ]
        bounds = _all_of(await source.bounds(partitions))
        found = _all_of(await source.offsets_for_times(dict.fromkeys(bounds, self._question.since_ms)))
        for tp, first in found.items():
            if first.offset < bounds[tp].end:
                self._windows[tp] = _Window(first.offset, bounds[tp].end)
        self._held_from = held_from(bounds, found)
        total = sum(window.end - window.start for window in self._windows.values())
        done = 0
        self._part = lambda: done / max(1, total)
        for tp, window in self._windows.items():
            offset = window.start
            while offset < window.end:
                try:
                    batch = await source.read(tp, offset, READ_BYTES)
                except OutOfRangeError:  # the log's start has moved over it meanwhile
                    begin = _all_of(await source.bounds([tp]))[tp].begin
                    if begin <= offset:
                        raise
                    done += min(begin, window.end) - offset
                    offset = begin
                    continue
                for record in batch.records:
                    if record.offset >= window.end:
                        break
                    self._records += 1
                    if record.value is None or not record.value.lstrip().startswith(b"{"):
                        continue  # it is no event
                    window.last = record.offset
                    is_of_page = self._page.matches(record.value)
                    self._proofs.take(record.value, is_of_page)
                    if is_of_page:
                        self._hits[tp, record.offset] = _Hit(record.value, record.timestamp)
                        self._bound(len(self._hits))
                if batch.records:
                    self._reached = instant(batch.records[-1].timestamp)
                if batch.next_offset <= offset:
                    break  # the log ends here: what was there has gone
                done += min(batch.next_offset, window.end) - offset
                offset = batch.next_offset
                await asyncio.sleep(0)
            done += max(0, window.end - offset)

    # What clients get

    def _history(self, streams: Sequence[str]) -> HistoryReader:
        return HistoryReader(self._url, streams, self._question.since_ms)

    async def _read_served(self, streams: Sequence[str], before: float, share: float) -> None:
        """`before` and `share` are parts of this whole step."""
        waited: dict[TopicPartition, _Window] = {}
        if self._raw is not None:
            topics = {topic for name in streams for topic in self._raw.topics.get(name, ())}
            waited = {tp: window for tp, window in self._windows.items() if tp.topic in topics and window.last >= 0}
            if not waited:
                return  # nothing was produced in the window
        total = sum(window.last - window.start + 1 for window in waited.values())
        reached = {tp: window.start for tp, window in waited.items()}

        def part() -> float | None:
            """Of offsets, which have holes: near enough."""
            if self._raw is None:
                return None
            left = sum(max(0, window.last + 1 - reached[tp]) for tp, window in waited.items())
            return before + share * (1 - left / total)

        def on_event(data: bytes) -> bool:
            tp, offset, dt, stream = _place(data)
            if self._raw is None:
                is_inside = self._is_inside(dt)
            else:
                window = self._windows.get(tp)
                is_inside = window is not None and window.start <= offset < window.end
                if not is_inside:
                    return False
            self._records += 1
            self._reached = dt or self._reached
            hit = self._hits.get((tp, offset))
            is_of_page = hit is not None or self._page.matches(data)
            if self._raw is None:
                self._proofs.take(data, is_of_page)
            if (tp, offset) not in self._seen and is_of_page:
                if offset >= 0:
                    self._seen.add((tp, offset))
                    self._bound(len(self._seen))
                self._add(self._finding((tp, offset), hit, data, dt, stream))
            if tp in waited:
                reached[tp] = offset + 1
                if offset >= waited[tp].last:
                    del waited[tp]
                    if not waited:
                        raise _Complete
            return is_inside

        self._part = part
        with contextlib.suppress(_Complete):
            await self._history(streams).read(on_event, IDLE_SECONDS)

    def _is_inside(self, dt: str) -> bool:
        """Whether an event's own time says that it was there when the check began."""
        try:
            return parse_since(dt) <= self._until_ms
        except InvalidTimestamp:
            return False

    # Verdicts

    def _finding(
        self, place: _Place, hit: _Hit | None, served: bytes | None, dt: str = "", stream: str = ""
    ) -> Finding:
        tp, offset = place
        return judge(
            RecordPlace(
                self._stream_of.get(tp.topic) or stream,
                *tp,
                offset,
                instant(hit.timestamp) if hit is not None else dt,
            ),
            hit.value if hit is not None else None,
            served,
            is_raw_known=self._raw is not None,
        )

    def _add(self, finding: Finding) -> None:
        self._counts[finding.verdict] += 1
        self._report(finding)

    def _bound(self, count: int) -> None:
        if count > MAX_FOUND:
            raise CheckError(f"The page has more than {MAX_FOUND:,} events in this window: choose a shorter one")


def _all_of(answers: Mapping[TopicPartition, _Answer | SourceError]) -> dict[TopicPartition, _Answer]:
    """The answers, but for partitions that do not exist (any more).

    Raises SourceError where one could not be found: a check that leaves out a partition proves nothing.
    """
    for answer in answers.values():
        if isinstance(answer, SourceError) and not isinstance(answer, UnknownPartitionError):
            raise answer
    return answered(answers)


def _place(data: bytes) -> tuple[TopicPartition, int, str, str]:
    """Where an event stands in Kafka, its time and its stream, as it says itself."""
    meta = None
    try:
        meta = _decode_placed(data).meta
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Slower, but it takes lone surrogates, as JSON does and msgspec does not.
        with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
            meta = msgspec.convert(json.loads(data), _Placed).meta
    meta = meta or _Meta()
    is_placed = isinstance(meta.topic, str) and isinstance(meta.partition, int) and isinstance(meta.offset, int)
    tp, offset = (TopicPartition(meta.topic, meta.partition), meta.offset) if is_placed else (TopicPartition("", 0), -1)
    return tp, offset, _text(meta.dt), _text(meta.stream)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
