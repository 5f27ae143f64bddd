"""The test of a redaction: what clients get of a page's events, beside what was produced, with a verdict on each.

It reads history through the service's own HTTP API and, where Kafka is at hand, the raw records of the same window. The
verdict comes from `redaction.check.verdict`, which knows nothing of how redaction is done.

Source: docs/redaction.md, "Testing a redaction".
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from redaction.check.api_client import CheckError, HistoryReader
from redaction.check.findings import Finding, Progress, Proof, RecordPlace, Result, Verdict, instant, judge
from redaction.check.page_filter import PageFilter
from redaction.check.proof import Proofs
from redaction.check.raw_records import RawRecords, Window
from redaction.check.served_events import Awaited, ServedPlace, place_of
from streams.core.durations import parse_duration
from streams.core.errors import InvalidTimestamp
from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.core.since import parse_since
from streams.engine.source import RecordSource, SourceError

IDLE_SECONDS = 10.0
"""Seconds without an event of the window after which none is expected: the end of a topic may not be known."""
MAX_STREAMS = 50
"""Maximum streams of one request, where the setting `max_streams` is not known."""
MAX_FOUND = 2_000
"""Maximum events of a page that one check looks at, all of which it holds in memory."""
REPORT_SECONDS = 0.25
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Question:
    """Which events to look for. `streams` are names as clients give them; `since_ms` is in ms since the epoch."""

    domain: str
    title: str
    rev_id: int | None
    since_ms: int
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Raw:
    """Kafka at hand, with the topics of each stream. The source knows their partitions already."""

    source: RecordSource
    topics: Mapping[str, Sequence[str]]


Report = Callable[[Progress | Finding], object]


def window_start(text: str, now_ms: int) -> int:
    """Return when a time window begins, in ms since the epoch.

    `text` is how long ago (``30m``, ``1h``, ``2d``), or a time as the API's `since` takes it. Raises ValueError with a
    sentence.
    """
    try:
        since = now_ms - int(parse_duration(text.strip()) * 1000)
    except ValueError:
        try:
            since = parse_since(text if text.strip() else "nothing")  # to the API, an empty text is 1970
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
    """Look at all events of the page from `since_ms` to now, and give findings and progress to `report` meanwhile.

    With `raw`, it ends where Kafka's log ended when it began, else when the events' own time is later than that; in any
    case after IDLE_SECONDS without an event of the window. Cancel it to stop. Raises CheckError.
    """
    return await _Check(question, url, raw, report).run(max_streams)


class _CompleteError(Exception):
    """Everything that was awaited has been served."""


class _Hit(NamedTuple):
    """A raw record of the page."""

    value: bytes
    timestamp: int


_Place = tuple[TopicPartition, int]


class _Check:
    def __init__(self, question: Question, url: str, raw: Raw | None, report: Report) -> None:
        self._question = question
        self._url = url
        self._raw = raw
        self._report = report
        self._page = PageFilter(question.domain, question.title, question.rev_id)
        self._until_ms = int(time.time() * 1000)
        self._windows: dict[TopicPartition, Window] = {}
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
        reporting = asyncio.ensure_future(self._report_progress())
        try:
            return await self._run(max_streams)
        finally:
            reporting.cancel()

    async def _report_progress(self) -> None:
        reported = None
        while True:
            progress = Progress(self._step, self._records, self._reached, self._part())
            if progress != reported:
                reported = progress
                self._report(progress)
            await asyncio.sleep(REPORT_SECONDS)

    async def _run(self, max_streams: int) -> Result:
        streams = list(dict.fromkeys(self._question.streams))
        requests = [streams[start : start + max_streams] for start in range(0, len(streams), max_streams)]
        for names in requests:  # what the service would refuse is better known before everything is read
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
        raw = RawRecords(source, self._stream_of, self._question.since_ms)
        self._part = lambda: raw.part
        await raw.find_windows()
        self._windows, self._held_from = raw.windows, raw.held_from
        async with contextlib.aclosing(raw.batches()) as batches:
            async for tp, records in batches:
                for record in records:
                    self._take_raw(tp, record)
                if records:
                    self._reached = instant(records[-1].timestamp)
                await asyncio.sleep(0)

    def _take_raw(self, tp: TopicPartition, record: Record) -> None:
        self._records += 1
        if record.value is None or not record.value.lstrip().startswith(b"{"):
            return  # it is no event
        self._windows[tp].last = record.offset
        is_of_page = self._page.matches(record.value)
        self._proofs.take(record.value, is_of_page)
        if is_of_page:
            self._hits[tp, record.offset] = _Hit(record.value, record.timestamp)
            self._bound(len(self._hits))

    # What clients get

    def _history(self, streams: Sequence[str]) -> HistoryReader:
        return HistoryReader(self._url, streams, self._question.since_ms)

    async def _read_served(self, streams: Sequence[str], before: float, share: float) -> None:
        """Read the history of some streams; `before` and `share` are their parts of this whole step."""
        topics = {topic for name in streams for topic in self._raw.topics.get(name, ())} if self._raw else set()
        awaited = Awaited({tp: window for tp, window in self._windows.items() if tp.topic in topics})
        if self._raw is not None and not awaited:
            return  # nothing was produced in the window

        def on_event(event: bytes) -> bool:
            place = place_of(event)
            is_inside = self._is_inside(place)
            if is_inside or self._raw is None:
                self._take_served(place, event)
            awaited.note(place)
            if self._raw is not None and not awaited:
                raise _CompleteError
            return is_inside

        self._part = lambda: before + share * awaited.part if self._raw is not None else None
        with contextlib.suppress(_CompleteError):
            await self._history(streams).read(on_event, IDLE_SECONDS)

    def _take_served(self, place: ServedPlace, event: bytes) -> None:
        self._records += 1
        self._reached = place.dt or self._reached
        key = place.tp, place.offset
        hit = self._hits.get(key)
        is_of_page = hit is not None or self._page.matches(event)
        if self._raw is None:
            self._proofs.take(event, is_of_page)
        if is_of_page and key not in self._seen:
            if place.offset >= 0:
                self._seen.add(key)
                self._bound(len(self._seen))
            self._add(self._finding(key, hit, event, place.dt, place.stream))

    def _is_inside(self, place: ServedPlace) -> bool:
        """Return whether an event was there when the check began: by its offset, else by its own time."""
        if self._raw is not None:
            window = self._windows.get(place.tp)
            return window is not None and window.start <= place.offset < window.end
        try:
            return parse_since(place.dt) <= self._until_ms
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
