"""FaultLog beneath the applications, which only Twisted's log would have: said at a bounded rate, and counted."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import LogLevel, eventAsText

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Seconds between two lines: who can provoke a fault can do it as often as they like."""


class FaultLog:
    """`count` is called for each fault."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count
        self._next_log = 0.0
        self._unsaid = 0

    def report(self, what: str) -> None:
        """Report the exception that is being handled."""
        self._say(what, sys.exc_info()[1])

    def observe(self, event: Mapping[str, Any]) -> None:
        """Observe Twisted's log (ILogObserver)."""
        failure = event.get("log_failure")
        if failure is not None:
            error = failure.value.with_traceback(failure.getTracebackObject())
            self._say("Twisted reports a failure", error)
        elif event.get("log_level") in (LogLevel.warn, LogLevel.error, LogLevel.critical):  # Python's warnings too
            self._say(f"Twisted reports: {eventAsText(dict(event), includeTimestamp=False)}", None)

    def _say(self, what: str, error: BaseException | None) -> None:
        self._count()
        now = time.monotonic()
        if now < self._next_log:
            self._unsaid += 1
            return
        self._next_log = now + LOG_SECONDS
        log.error("%s (%s more were not logged)", what, self._unsaid, exc_info=error)
        self._unsaid = 0
