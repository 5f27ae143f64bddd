"""Loads the configuration again: has it checked, and the workers replaced if it is right."""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable

from eventstreams_site.server.check import CHECK_SECONDS, Check, Checked
from eventstreams_site.server.fleet import Fleet

log = logging.getLogger(__name__)

Answer = Callable[[str], None]
"""Takes what is wrong with the configuration; empty if nothing is."""


class Reloading:
    """Reloads the configuration of a fleet, in a loop around a selector whose data are callables."""

    def __init__(self, fleet: Fleet, selector: selectors.BaseSelector) -> None:
        self._fleet = fleet
        self._selector = selector
        self._check: Check | None = None
        self._answers: list[Answer] = []
        """Those who asked for the check under way."""
        self._next: list[Answer] = []
        """Those who asked since it began. The file may have changed after it was read, so they get another check."""
        self._loaded = fleet.config.number

    def begin(self, answer: Answer) -> None:
        """Have the configuration checked. `answer` is called with the result."""
        self._next.append(answer)
        if self._check is None:
            self._begin_next()

    def _begin_next(self) -> None:
        if self._fleet.is_stopping:
            self._answers, self._next = self._next, []
            self._refuse("the service is stopping")
        while self._next:
            self._answers, self._next = self._next, []
            try:
                self._check = Check()
            except OSError as error:
                self._refuse(f"the check of the configuration cannot be started: {error}")
            else:
                self._selector.register(self._check.descriptor, selectors.EVENT_READ, self._read)
                return

    def look(self, now: float) -> None:
        """End a check that takes too long."""
        if self._check is not None and now > self._check.deadline:
            self._end_check().kill()
            self._refuse(f"the check of the configuration did not end within {CHECK_SECONDS:.0f} s")
            self._begin_next()

    def _end_check(self) -> Check:
        assert self._check is not None
        check, self._check = self._check, None
        self._selector.unregister(check.descriptor)
        return check

    def close(self) -> None:
        """End a check under way."""
        if self._check is not None:
            self._end_check().kill()

    def _read(self) -> None:
        check = self._check
        assert check is not None
        self._selector.unregister(check.descriptor)  # `read` may close it
        if not check.read():
            self._selector.register(check.descriptor, selectors.EVENT_READ, self._read)
            return
        self._check = None
        result = check.result(self._loaded + 1)
        if isinstance(result, Checked):
            self._loaded = result.number
            self._fleet.reload(result)
            self._tell("")
        else:
            self._refuse(result or f"the check of the configuration exited with {check.status}: the log says why")
        self._begin_next()

    def _refuse(self, problem: str) -> None:
        self._fleet.reload_problem = problem
        log.error("The configuration is not reloaded, the old one stays in force: %s", problem)
        self._tell(problem)

    def _tell(self, problem: str) -> None:
        answers, self._answers = self._answers, []
        for answer in answers:
            answer(problem)
