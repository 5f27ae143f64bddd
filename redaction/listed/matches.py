"""When each page last matched an event, and how many: written by every server process, read by the admin.

An event counts once in each process that encodes its record, and again when its history is read. Only the page is
stored, nothing of the event.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.utils import timezone

from redaction.listed.recording import BATCH
from redaction.models import PageMatch, RedactedPage
from redaction.redactor import Identity
from streams.engine.outage import Outage

log = logging.getLogger(__name__)

WRITE_SECONDS = 30.0
"""Seconds between two writes of a process."""
MAX_WRITTEN = 500
"""Maximum pages of one write; the others wait for the next."""


class Match(NamedTuple):
    """When a page last matched, and how many events. `last_at` is at most `WRITE_SECONDS` and a second late."""

    last_at: datetime
    events: int


def matches_of(pages: Iterable[Identity]) -> dict[Identity, Match]:
    """Return the counts of pages, by normalised domain and title; pages that never matched are missing."""
    keys: dict[str, list[str]] = {}
    for domain, key in pages:
        keys.setdefault(domain, []).append(key)
    found = {}
    for domain, of_domain in keys.items():
        for start in range(0, len(of_domain), BATCH):
            rows = PageMatch.objects.filter(domain=domain, key__in=of_domain[start : start + BATCH])
            for key, last_at, events in rows.values_list("key", "last_at", "events"):
                found[domain, key] = Match(last_at, events)
    return found


def never_matched(pages: models.QuerySet[RedactedPage]) -> models.QuerySet[RedactedPage]:
    """Return the pages that have matched no event since they were listed."""
    return pages.filter(~models.Exists(_matches_of_outer_page()))


def matched(pages: models.QuerySet[RedactedPage]) -> models.QuerySet[RedactedPage]:
    """Return the pages that have matched an event since they were listed."""
    return pages.filter(models.Exists(_matches_of_outer_page()))


def _matches_of_outer_page() -> models.QuerySet[PageMatch]:
    return PageMatch.objects.filter(domain=models.OuterRef("domain"), key=models.OuterRef("key"))


class MatchWriter:
    """Counts of one process that are not yet written.

    Call `add` and `is_due` in the event loop, the other methods in threads.
    """

    def __init__(self) -> None:
        self._added: deque[Mapping[Identity, int]] = deque()
        self._pending: Counter[Identity] = Counter()
        self._next_write = time.monotonic() + 1.0
        self._writing = threading.Lock()
        self._outage = Outage(log, "Cannot write which redacted pages matched events, retrying", level=logging.WARNING)

    def is_due(self) -> bool:
        """Return whether `write` would write something now."""
        return time.monotonic() >= self._next_write and bool(self._added or self._pending)

    def add(self, matches: Mapping[Identity, int]) -> None:
        """Take over how many events each page has matched."""
        if matches:
            self._added.append(matches)

    def write(self, _known: object = None) -> None:
        """Write what was counted, at most every `WRITE_SECONDS`.

        What cannot be written is kept for the next time, as one number for each page.
        """
        if time.monotonic() < self._next_write or not self._writing.acquire(blocking=False):
            return
        self._next_write = time.monotonic() + WRITE_SECONDS
        try:
            self._write(MAX_WRITTEN)
            self._outage.is_over("Counts of matched events are written again")
        except DatabaseError as error:
            connection.close()  # the next write opens another
            self._outage.continues(type(error).__name__)
        finally:
            self._writing.release()

    def write_all(self) -> None:
        """Write all that was counted, now: the process is about to end. Raises django.db.Error."""
        with self._writing:
            self._write(None)

    def _write(self, at_most: int | None) -> None:
        while self._added:
            self._pending.update(self._added.popleft())
        for page in list(self._pending)[:at_most]:
            _add(page, self._pending[page])
            del self._pending[page]


def _add(page: Identity, events: int) -> None:
    domain, key = page
    row = PageMatch.objects.filter(domain=domain, key=key)
    now = timezone.now()
    more = models.F("events") + events
    if row.update(last_at=now, events=more):
        return
    try:
        with transaction.atomic():
            PageMatch.objects.create(domain=domain, key=key, last_at=now, events=events)
    except IntegrityError:  # another process was first
        row.update(last_at=now, events=more)
