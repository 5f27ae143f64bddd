"""Follows what admins change: polls the database once a second, in dedicated threads.

Polling needs no broker and misses no notification. During an outage of the database, the last values stay in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db import connections

from eventstreams_site.database_threads import DatabaseThreads
from streams.engine.metrics import Metrics
from streams.engine.outage import Outage
from streams.engine.ticks import until_next

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
BEHIND_SECONDS = 3.5
"""Age of a value, in seconds, from which it is reported as old: a change may then take more than 5 seconds to apply.
A database with round trips of two seconds gives values that are at most three seconds old."""


class DatabaseTrouble:
    """Logs the trouble that the database gives to all that follows it: as one, since it is one."""

    def __init__(self) -> None:
        self._outage = Outage(log, "The database cannot be used")
        self._failing: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Return whether the database gives trouble now."""
        return self._outage.is_on

    def fails(self, what: str, why: str) -> None:
        """Note that something cannot be read or written, and why."""
        self._failing.add(what)
        self._outage.continues(f"{what}: {why}")

    def works(self, what: str) -> None:
        """Note that it can."""
        self._failing.discard(what)
        if not self._failing:
            self._outage.is_over("The database can be used again")


class Followed(Generic[T]):
    """A value in the database.

    Args:
        what: The value's name in messages.
        fetch: Called in a thread, with the last value given to `on_change`, or None. Returns None if nothing changed.
        on_change: Called in the event loop with each new value.
        on_success: Called in the event loop after each successful fetch.
        trouble: Told when the database fails; those who follow one database share it.
        is_due: Called in the event loop: whether there is anything to ask. If not, no thread is woken.
    """

    def __init__(
        self,
        what: str,
        fetch: Callable[[T | None], T | None],
        on_change: Callable[[T], None],
        on_success: Callable[[], None] = lambda: None,
        trouble: DatabaseTrouble | None = None,
        is_due: Callable[[], bool] = lambda: True,
    ) -> None:
        self.what = what
        self.asked_at = time.monotonic()
        """When the query began that gave the newest value (time.monotonic)."""
        self.wake = asyncio.Event()
        self.seconds = 0.0
        """Seconds that the last answer took."""
        self.failures = 0
        """Queries that failed."""
        self._is_overdue = False
        """No thread was free: the next query begins as soon as an answer has arrived."""
        self._is_due = is_due
        self._fetch = fetch
        self._on_change = on_change
        self._on_success = on_success
        self._last: T | None = None
        self._trouble = trouble or DatabaseTrouble()

    @property
    def behind(self) -> float:
        """Return the age of the value in seconds."""
        return time.monotonic() - self.asked_at

    async def follow(self) -> None:
        """Query every second until the task is cancelled, even while an earlier answer is awaited."""
        threads = DatabaseThreads("watch")
        waits: set[asyncio.Task[None]] = set()
        try:
            while True:
                self.wake.clear()
                if self._is_due():
                    self._ask(threads, waits)
                else:
                    self.asked_at = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until_next(POLL_SECONDS)):
                        await self.wake.wait()
                if self.behind > BEHIND_SECONDS:
                    self._trouble.fails(self.what, "no answer from the database for %.0f s" % self.behind)
        finally:
            for task in waits:
                task.cancel()
            threads.close()

    def _ask(self, threads: DatabaseThreads, waits: set[asyncio.Task[None]]) -> None:
        try:
            answer = threads.run(self._query(self._last))
        except RuntimeError as error:  # no thread can be started
            self._trouble.fails(self.what, str(error))
            answer = None
        self._is_overdue = answer is None
        if answer is not None:
            task = asyncio.ensure_future(self._apply(answer, self._last, time.monotonic()))
            waits.add(task)
            task.add_done_callback(waits.discard)

    def _query(self, last: T | None) -> Callable[[], T | None]:
        def fetch() -> T | None:
            try:
                return self._fetch(last)
            except Exception:
                connections.close_all()  # this thread's: the next query makes a new one
                raise

        return fetch

    async def _apply(self, answer: asyncio.Future[T | None], last: T | None, asked_at: float) -> None:
        try:
            new = await answer
            if asked_at < self.asked_at or last is not self._last:
                return  # a later query was answered first
            if new is not None:
                self._on_change(new)
                self._last = new
        except Exception as error:
            self.failures += 1
            self._trouble.fails(self.what, f"{type(error).__name__}: {error} (has `manage.py migrate` been run?)")
        else:
            self.seconds = time.monotonic() - asked_at
            self.asked_at = asked_at
            self._on_success()
            self._trouble.works(self.what)
        finally:
            if self._is_overdue:
                self.wake.set()


class Watch:
    """Follows several values, each separately: one that hangs delays no other."""

    def __init__(self, *followed: Followed[Any]) -> None:
        self._followed = followed

    def poll_now(self) -> None:
        """Query now rather than within a second: there is something new."""
        for each in self._followed:
            each.wake.set()

    def measured_by(self, metrics: Metrics) -> None:
        """Add the metrics of the database."""
        metrics.gauge_by(
            "eventstreams_database_seconds",
            "Seconds that the database's last answer took",
            "query",
            lambda: {each.what: each.seconds for each in self._followed},
        )
        metrics.gauge_by(
            "eventstreams_database_age_seconds",
            "Age of what is known from the database",
            "query",
            lambda: {each.what: each.behind for each in self._followed},
        )
        metrics.count_by(
            "eventstreams_database_failures",
            "Queries that failed",
            "query",
            lambda: {each.what: each.failures for each in self._followed},
        )

    @property
    def behind(self) -> dict[str, float]:
        """Return the names and ages, in seconds, of values that are too old."""
        return {each.what: each.behind for each in self._followed if each.behind > BEHIND_SECONDS}

    async def run(self) -> None:
        """Follow until the task is cancelled. It then ends at once, even if the database hangs."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._followed:
                tasks.create_task(each.follow())
