"""Logs an outage of a dependency: a line at once, one a minute while it lasts, and one when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

AGAIN_SECONDS = 60.0
"""Seconds between two lines about one outage."""
SOON_SECONDS = 10.0
"""Seconds from a line to the first one of an outage that follows: one that comes and goes does not fill the log."""


class Outage:
    """The outages of one dependency.

    Args:
        log: Where the lines go.
        what: How lines begin: a clause such as "Redis does not answer".
        again_seconds: Seconds between two lines.
        changed_seconds: Seconds after which another reason has a line.
        level: That of lines about an outage; the line about its end is a warning.
        clock: Returns seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        what: str,
        *,
        again_seconds: float = AGAIN_SECONDS,
        changed_seconds: float = AGAIN_SECONDS,
        level: int = logging.ERROR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._what = what
        self._again_seconds = again_seconds
        self._changed_seconds = changed_seconds
        self._level = level
        self._clock = clock
        self._since: float | None = None
        self._is_logged = False
        self._why = ""
        self._logged_at = float("-inf")

    @property
    def is_on(self) -> bool:
        """Return whether there is an outage."""
        return self._since is not None

    def continues(self, why: str) -> None:
        """Note that there is an outage, and why."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        pause = self._again_seconds if why == self._why else self._changed_seconds
        if now - self._logged_at >= (pause if self._is_logged else min(pause, SOON_SECONDS)):
            lasted = f", for {now - self._since:.0f} s" if self._is_logged else ""
            self._is_logged, self._why, self._logged_at = True, why, now
            self._log.log(self._level, "%s%s: %s", self._what, lasted, why)

    def is_over(self, text: str) -> None:
        """Note that there is none; `text` is logged if the outage was."""
        if self._since is not None and self._is_logged:
            self._log.warning("%s, after %.0f s", text, self._clock() - self._since)
        self._since, self._is_logged = None, False
