"""Counts faults beneath the applications, and logs them at a bounded rate. Only Twisted's log would have them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import LogLevel, eventAsText

from streams.engine.faults import without_text

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Seconds between two lines: a client may provoke a fault at any rate."""


class FaultLog:
    """Logs faults; calls `count` for each."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count
        self._next_log = 0.0
        self._suppressed = 0

    def report(self, what: str) -> None:
        """Count and log the exception that is being handled."""
        self._log(what, sys.exc_info()[1])

    def observe(self, event: Mapping[str, Any]) -> None:
        """Count and log a warning or error of Twisted (ILogObserver)."""
        failure = event.get("log_failure")
        if failure is not None:
            error = failure.value.with_traceback(failure.getTracebackObject())
            self._log("Twisted reports a failure", error)
        elif event.get("log_level") in (LogLevel.warn, LogLevel.error, LogLevel.critical):  # Python's warnings too
            self._log(f"Twisted reports: {eventAsText(dict(event), includeTimestamp=False)}", None)

    def _log(self, what: str, error: BaseException | None) -> None:
        self._count()
        now = time.monotonic()
        if now < self._next_log:
            self._suppressed += 1
            return
        self._next_log = now + LOG_SECONDS
        log.error(
            "%s (%s more were suppressed)", what, self._suppressed, exc_info=without_text(error) if error else None
        )
        self._suppressed = 0
