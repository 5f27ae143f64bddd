"""What admins change, followed by polling: the database is asked once a second, in threads of its own.

No broker is needed and no notification can be missed; an outage of the database leaves all as it is.
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

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
BEHIND_SECONDS = 3.5
"""With news older than this, a change may take more than 5 seconds until it is in force: that is reported. A database
at two seconds a round trip gives news that are at most three seconds old."""
LOG_SECONDS = 30.0
"""A failure that lasts is logged this often."""
LOG_AGAIN_SECONDS = 5.0
"""One that comes soon after the last was over is logged at most this often."""


class Followed(Generic[T]):
    """Something in the database. `read(last)` is called in a thread, with what `take` was last given or None; `take`
    in the event loop.

    `read` returns None where nothing has changed. `seen` is called after each successful reading.
    """

    def __init__(
        self,
        what: str,
        fetch: Callable[[T | None], T | None],
        on_change: Callable[[T], None],
        on_success: Callable[[], None] = lambda: None,
    ) -> None:
        self.what = what
        self.asked_at = time.monotonic()
        """When the question was asked whose answer is the newest that was taken."""
        self.wake = asyncio.Event()
        self._is_due = False
        """No thread was free for a question: it is asked as soon as an answer has come."""
        self._fetch = fetch
        self._on_change = on_change
        self._on_success = on_success
        self._last: T | None = None
        self._is_failure_logged = False
        self._next_log = 0.0

    @property
    def behind(self) -> float:
        """Return how old the newest news is, in seconds."""
        return time.monotonic() - self.asked_at

    async def follow(self) -> None:
        """Ask until the task is cancelled: every second, also while an earlier answer is still awaited."""
        threads = DatabaseThreads("watch")
        waits: set[asyncio.Task[None]] = set()
        try:
            while True:
                self.wake.clear()
                try:
                    answer = threads.run(self._question(self._last))
                except RuntimeError as error:  # no thread can be started
                    self._say(str(error))
                    answer = None
                self._is_due = answer is None
                if answer is not None:
                    task = asyncio.ensure_future(self._apply(answer, self._last, time.monotonic()))
                    waits.add(task)
                    task.add_done_callback(waits.discard)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self.wake.wait()
                if self.behind > BEHIND_SECONDS:
                    self._say("no answer from the database for %.0f s" % self.behind)
        finally:
            for task in waits:
                task.cancel()
            threads.close()

    def _question(self, last: T | None) -> Callable[[], T | None]:
        def ask() -> T | None:
            try:
                return self._fetch(last)
            except Exception:
                connections.close_all()  # this thread's: the next question makes a new one
                raise

        return ask

    async def _apply(self, answer: asyncio.Future[T | None], last: T | None, asked_at: float) -> None:
        try:
            new = await answer
            if asked_at < self.asked_at or last is not self._last:
                return  # a later question was answered first
            if new is not None:
                self._on_change(new)
                self._last = new
        except Exception as error:
            self._say(f"{type(error).__name__}: {error} (has `manage.py migrate` been run?)")
        else:
            self.asked_at = asked_at
            self._on_success()
            if self._is_failure_logged:
                log.warning("Can read %s again", self.what)
                self._is_failure_logged = False
                self._next_log = time.monotonic() + LOG_AGAIN_SECONDS
        finally:
            if self._is_due:
                self.wake.set()

    def _say(self, why: str) -> None:
        if time.monotonic() >= self._next_log:
            self._is_failure_logged = True
            self._next_log = time.monotonic() + LOG_SECONDS
            log.error("Cannot read %s: %s", self.what, why)


class Watch:
    """Follows each of `followed` by itself: one that hangs holds up no other."""

    def __init__(self, *followed: Followed[Any]) -> None:
        self._followed = followed

    def poll_now(self) -> None:
        """Look now rather than within a second: there is something new."""
        for each in self._followed:
            each.wake.set()

    @property
    def behind(self) -> dict[str, float]:
        """Return what is not as new as it should be, and how old the news is in seconds."""
        return {each.what: each.behind for each in self._followed if each.behind > BEHIND_SECONDS}

    async def run(self) -> None:
        """Follow until the task is cancelled. It then ends at once, whatever the database does."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._followed:
                tasks.create_task(each.follow())
