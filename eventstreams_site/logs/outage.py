"""Logs an outage: a line at once, one a minute while it lasts, and one when it is over."""

from __future__ import annotations

import logging
import time

AGAIN_SECONDS = 60.0
"""Seconds between two lines about one outage; also from its line to the first one of an outage that follows soon."""


class Outage:
    """The outages of one dependency."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        """Prepare; lines begin with `what`, a clause such as "Redis does not answer"."""
        self._log = log
        self._what = what
        self._since: float | None = None
        self._is_logged = False
        self._next_log = float("-inf")

    def continues(self, why: str) -> None:
        """Note that there is an outage, and why."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now >= self._next_log:
            self._next_log = now + AGAIN_SECONDS
            lasted = f", for {now - self._since:.0f} s" if self._is_logged else ""
            self._is_logged = True
            self._log.error("%s%s: %s", self._what, lasted, why)

    def is_over(self, text: str) -> None:
        """Note that there is none; `text` is logged if the outage was."""
        if self._since is not None and self._is_logged:
            self._log.warning("%s (after %.0f s)", text, time.monotonic() - self._since)
        self._since, self._is_logged = None, False
