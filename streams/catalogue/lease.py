"""Which replica may store its stream configuration, where several replicas share a database.

Each replica fetches its own source. If their documents differ (a rolling deployment that changes one, a mistake), they
would overwrite each other at each refresh, and clients would be disconnected again and again. So one of them holds a
lease. A replica whose document differs serves what is stored; it stores its own document only if it is newer than the
one that is stored, by the start of its process, and stays, or once nobody keeps the stored one any longer.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from streams.models import SourceLease

STAYS_SECONDS = 15.0
"""Seconds for which a newer replica's document must differ until it is stored: one that crashes at its start
changes nothing."""
LEASE_SECONDS = 30.0
"""Minimum seconds for which a lease is valid."""
LEASE_REFRESHES = 3
"""A lease is valid for at least this number of refreshes, too."""
RENEW_SHARE, INHERIT_SHARE = 0.75, 0.4
"""The holder renews a lease of which less than the first share is left; another replica with the same document takes it
over if less than the second share is left: its holder does not renew it. That is longer than from one refresh to the
next, so that it comes before replicas with other documents, which wait for the end."""


class Replica:
    """A process that refreshes the stream configuration every `ttl` seconds; `is_brief`: a command, which then ends."""

    def __init__(self, ttl: float, *, is_brief: bool = False) -> None:
        self._started = timezone.now()
        self._knows_clock = False
        """Whether `_started` is by the database's clock."""
        self._id = "" if is_brief else uuid.uuid4().hex
        self._lease = timedelta(seconds=max(LEASE_SECONDS, LEASE_REFRESHES * ttl))
        self._differs: tuple[str, float] | None = None
        """The document that differs, and since when (time.monotonic)."""
        self.may_hold = False
        """Whether it has taken the lease, which others may have taken since."""

    def now(self) -> datetime:
        """Return the time by the database's clock: replicas whose own clocks differ must agree on what came first."""
        ahead = database_is_ahead()
        if not self._knows_clock:
            self._started += ahead
            self._knows_clock = True
        return timezone.now() + ahead

    def agrees(self) -> None:
        """Note that the document is the stored one."""
        self._differs = None

    def seconds_to_wait(self, lease: SourceLease | None, fingerprint: str, now: datetime) -> float | None:
        """Return the seconds until this replica may store a document that differs; None: another one has precedence.

        Args:
            lease: The stored one.
            fingerprint: Equal for equal documents.
            now: The time, of `now`.
        """
        if self._differs is None or self._differs[0] != fingerprint:
            self._differs = fingerprint, time.monotonic()
        if self.holds(lease) or lease is None or now >= lease.until:
            return 0.0
        if lease.wanted_since > self._started:
            return None
        if not lease.holder:
            return 0.0
        return max(0.0, self._differs[1] + STAYS_SECONDS - time.monotonic())

    def may_tell(self, lease: SourceLease | None, now: datetime) -> bool:
        """Return whether the history shows what this replica finds, such as that its source fails."""
        return lease is None or not lease.holder or self.holds(lease) or now >= lease.until

    def is_due(self, lease: SourceLease | None, now: datetime) -> bool:
        """Return whether this replica, whose document is the stored one, is to take or to renew the lease."""
        if not self._id:
            return False
        if lease is None or not lease.holder:
            return True
        share = RENEW_SHARE if self.holds(lease) else INHERIT_SHARE
        return lease.until - now < self._lease * share

    def take(self, lease: SourceLease | None, source: str, now: datetime, *, agrees: bool, asked: bool) -> None:
        """Store that this replica keeps the stored document, which it has just fetched; in the writer's transaction.

        Args:
            lease: The stored one.
            source: Where the document comes from, without secrets.
            now: The time.
            agrees: Whether the document was stored before, so that it is as new as its newest replica.
            asked: Whether a person asked for it, whose word counts from now on.
        """
        self.may_hold = bool(self._id)
        since = now if asked else self._started
        if lease is not None and (agrees or self.holds(lease)):
            since = max(since, lease.wanted_since)
        SourceLease.objects.update_or_create(
            name=SourceLease.STREAMS,
            defaults={"holder": self._id, "wanted_since": since, "until": now + self._lease, "source": source},
        )

    def release(self) -> None:
        """Let others have the lease at once, at the end of the process; replicas with the same document come first."""
        SourceLease.objects.filter(name=SourceLease.STREAMS, holder=self._id).update(holder="")

    def holds(self, lease: SourceLease | None) -> bool:
        """Return whether the lease is this replica's."""
        return lease is not None and bool(self._id) and lease.holder == self._id


def database_is_ahead() -> timedelta:
    """Return by how much the database's clock is ahead of ours. SQLite has no other clock."""
    if connection.vendor == "sqlite":
        return timedelta()
    with connection.cursor() as cursor:
        asked = timezone.now()
        cursor.execute("SELECT clock_timestamp()")
        said: datetime = cursor.fetchone()[0]
    return said - asked


def stored_lease() -> SourceLease | None:
    """Return the lease in the database, if any."""
    return SourceLease.objects.filter(name=SourceLease.STREAMS).first()
