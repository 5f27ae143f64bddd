"""Records into events, with the redactor of the moment; what cannot become an event is counted and logged.

Hub and history share one encoder, so that nothing leaves by another way (invariant 2).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

import msgspec

from streams.core.events import (
    NO_MEMBER,
    Event,
    Fields,
    Record,
    Redactor,
    SkippedRecord,
    Withheld,
    encode,
    is_safe_to_cache,
)
from streams.engine.metrics import Metrics
from streams.engine.tuning import DEFAULT, Tuning

log = logging.getLogger(__name__)


class NoListYet:
    """The redactor until the list of pages has been read: nothing leaves (fail closed)."""

    version = -1

    def is_unlisted(self, _domain: msgspec.Raw, _server_name: msgspec.Raw, /) -> bool:
        """Return False: nobody knows yet which pages are listed."""
        return False

    def redact(self, _event: Fields, _meta: Fields | None = None, /) -> bool:
        """Withhold every event."""
        raise Withheld

    def redact_key(self, _key: bytes, /) -> bytes | None:
        """Withhold every key."""
        raise Withheld


class Encoder:
    """`redactor` is replaced when the list changes; who holds events of an older `version` drops them."""

    def __init__(self, redactor: Redactor, metrics: Metrics, tuning: Tuning = DEFAULT) -> None:
        self.redactor = redactor
        self._metrics = metrics
        self._log_seconds = tuning.skipped_log_seconds
        self._next_log = 0.0

    @property
    def version(self) -> int:
        """Of the redaction list that events are made with now."""
        return self.redactor.version

    def events(self, records: Iterable[Record]) -> list[Event]:
        """Return the events of the records that are events."""
        events = []
        redactor = self.redactor
        for record in records:
            try:
                events.append(encode(record, redactor))
            except Exception as error:
                event = self._after(error, record)
                if event is not None:
                    events.append(event)
        self._metrics.events_in.inc(len(events))
        return events

    def cacheable(self, records: Sequence[Record]) -> list[Record | Event]:
        """Return what of the records may stay in memory: those that are certainly of no listed page.

        In place of any other stands its event, without JSON if it is none.
        """
        redactor = self.redactor
        if redactor.is_unlisted(NO_MEMBER, NO_MEMBER):
            return [*records]  # none is listed
        risky = [record for record in records if self._is_risky(record, redactor)]
        return self.in_place(records, risky) if risky else [*records]

    @staticmethod
    def _is_risky(record: Record, redactor: Redactor) -> bool:
        try:
            return not is_safe_to_cache(record, redactor)
        except Exception:  # as where it becomes an event: it must not stop every client that reads there
            return True

    def in_place(self, items: Sequence[Record | Event], records: Sequence[Record]) -> list[Record | Event]:
        """Return the items, with an event in place of each that is among `records`, without JSON if it is none."""
        made = self.events(records)
        if len(made) == len(items):
            return [*made]
        events = {event.offset: event for event in made}
        instead = {r.offset: events.get(r.offset) or Event(r.offset, r.timestamp, b"") for r in records}
        return [instead.get(item.offset, item) for item in items]

    def _after(self, error: Exception, record: Record) -> Event | None:
        """The event all the same, where the second try succeeds."""
        if isinstance(error, SkippedRecord):
            reason = error.reason
        else:
            # A poisonous record must not stop every client that resumes at it: one more try, then it is skipped.
            try:
                return encode(record, self.redactor)
            except Exception as again:
                reason = f"error_{type(again).__name__}"
        self._metrics.skipped.labels(reason).inc()
        now = time.monotonic()
        if now >= self._next_log:
            self._next_log = now + self._log_seconds
            # No part of the record: it may be what had to be redacted.
            log.warning(
                "Skipped %s partition %s offset %s: %s (further ones are only counted for %s s)",
                record.topic,
                record.partition,
                record.offset,
                reason,
                int(self._log_seconds),
            )
        return None
