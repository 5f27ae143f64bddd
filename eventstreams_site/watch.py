"""What admins change, followed by polling: the database is asked once a second, in a thread of its own.

No broker is needed and no notification can be missed; an outage of the database leaves all as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from django.db import connections

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
LOG_SECONDS = 30.0
"""A failure that lasts is logged so often."""


class Followed(Generic[T]):
    """Something in the database. `read(last)` is called in the thread, with what `take` was last given or None; `take`
    in the event loop.

    `read` returns None where nothing has changed. `seen` is called after each successful reading.
    """

    def __init__(
        self,
        what: str,
        read: Callable[[T | None], T | None],
        take: Callable[[T], None],
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        self._what = what
        self._read = read
        self._take = take
        self._seen = seen
        self._last: T | None = None
        self._failing = False
        self._next_log = 0.0

    def ask(self) -> T | Exception | None:
        """In the thread: what is new, or why that could not be read."""
        try:
            return self._read(self._last)
        except Exception as error:
            connections.close_all()  # this thread's: the next try makes new ones
            return error

    def heed(self, answer: T | Exception | None) -> None:
        """In the event loop: what `ask` gave."""
        try:
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                self._take(answer)
                self._last = answer
        except Exception as error:
            self._failing = True
            if time.monotonic() >= self._next_log:
                self._next_log = time.monotonic() + LOG_SECONDS
                log.error(
                    "Cannot read %s: %s: %s (has `manage.py migrate` been run?)",
                    self._what,
                    type(error).__name__,
                    error,
                )
        else:
            self._seen()
            if self._failing:
                log.warning("Can read %s again", self._what)
            self._failing, self._next_log = False, 0.0


class Watch:
    """Asks for all that is followed, once a second."""

    def __init__(self, *followed: Followed[Any]) -> None:
        self._followed = followed
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """There is something new: look now rather than within a second."""
        self._hurry.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        with ThreadPoolExecutor(1, thread_name_prefix="watch") as thread:
            loop = asyncio.get_running_loop()
            while True:
                answers = await loop.run_in_executor(thread, self._ask)
                for each, answer in zip(self._followed, answers, strict=True):
                    each.heed(answer)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._hurry.wait()
                self._hurry.clear()

    def _ask(self) -> list[Any]:
        return [each.ask() for each in self._followed]
