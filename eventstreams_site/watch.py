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
from typing import Generic, TypeVar

from django.db import connections

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
LOG_SECONDS = 30.0
"""A failure that lasts is logged so often."""


class Watch(Generic[T]):
    """`read(version)` is called in the thread, with what `take` was last given or None; `take` in the event loop.

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
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """There is something new: look now rather than within a second."""
        self._hurry.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        failing = False
        next_log = 0.0
        with ThreadPoolExecutor(1, thread_name_prefix="watch") as thread:
            loop = asyncio.get_running_loop()
            while True:
                try:
                    found = await loop.run_in_executor(thread, self._ask)
                    if found is not None:
                        self._take(found)
                        self._last = found
                except Exception as error:
                    failing = True
                    if time.monotonic() >= next_log:
                        next_log = time.monotonic() + LOG_SECONDS
                        log.error(
                            "Cannot read %s: %s: %s (has `manage.py migrate` been run?)",
                            self._what,
                            type(error).__name__,
                            error,
                        )
                else:
                    self._seen()
                    if failing:
                        log.warning("Can read %s again", self._what)
                    failing, next_log = False, 0.0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._hurry.wait()
                self._hurry.clear()

    def _ask(self) -> T | None:
        try:
            return self._read(self._last)
        except Exception:
            connections.close_all()  # this thread's: the next try makes new ones
            raise
