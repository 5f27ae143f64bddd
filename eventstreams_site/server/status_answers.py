"""The supervisor's part of the status page: it keeps the last hour, and asks all workers when one of them is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventstreams_site.server.control import Message
from eventstreams_site.server.fleet import Fleet
from eventstreams_site.server.worker import Worker
from eventstreams_site.status.last_hour import LastHour

ANSWER_SECONDS = 2.0
"""Maximum seconds for the workers' reports."""
FRESH_SECONDS = 1.0
"""Seconds that reports are good for: many pages that are open cost no more than one."""

Trouble = tuple[list[str], list[str]]
"""Why the service is not ready, and its other problems."""


@dataclass
class _Gathering:
    """Reports that are being collected."""

    missing: set[int]
    """The pids of workers that have not answered."""
    deadline: float
    asked_by: list[tuple[int, int]]
    """Who waits for them: the worker's pid, and the number of its question."""


class StatusAnswers:
    """Answers the workers' questions for the status of all."""

    def __init__(self, fleet: Fleet, trouble: Callable[[], Trouble]) -> None:
        self._fleet = fleet
        self._trouble = trouble
        self._hour = LastHour(time.monotonic())
        self._gathering: _Gathering | None = None
        self._reports: dict[int, tuple[float, Any]] = {}
        """By pid, the last report of each worker, and when it came (time.monotonic)."""
        self._finished_at = float("-inf")
        self._told: Trouble | None = None

    def look(self, now: float) -> None:
        """Note the hour, tell workers what is wrong, and answer without workers that are late."""
        self._hour.look(now)
        if (trouble := self._trouble()) != self._told:
            self._told = trouble
            for worker in self._fleet.workers.values():
                self.tell(worker)
        if self._gathering is not None and now > self._gathering.deadline:
            self._finish(now)

    def tell(self, worker: Worker) -> None:
        """Tell a worker what is wrong with the service."""
        if self._told is not None:
            worker.control.send({"type": "trouble", "unready": self._told[0], "degraded": self._told[1]})

    def heard(self, worker: Worker, message: Message) -> None:
        """Take a worker's figures, report or question."""
        now = time.monotonic()
        if message["type"] == "figures":
            self._hour.note(worker.pid, message["figures"])
        elif message["type"] == "report":
            self._reports[worker.pid] = now, message["report"]
            self._has_answered(worker.pid, now)
        else:
            self._ask(worker.pid, message["number"], now)

    def ended(self, pid: int) -> None:
        """Forget a worker that has ended."""
        self._hour.end(pid)
        self._reports.pop(pid, None)
        self._has_answered(pid, time.monotonic())

    def _ask(self, pid: int, number: int, now: float) -> None:
        if self._gathering is not None:
            self._gathering.asked_by.append((pid, number))
            return
        self._gathering = _Gathering(set(), now + ANSWER_SECONDS, [(pid, number)])
        if now - self._finished_at <= FRESH_SECONDS:
            self._finish(now)
            return
        asked = [each for each in self._fleet.workers.values() if each.heard_at is not None and not each.is_silent]
        self._gathering.missing = {each.pid for each in asked}
        for each in asked:
            each.control.send({"type": "report"})

    def _has_answered(self, pid: int, now: float) -> None:
        if self._gathering is not None and pid in self._gathering.missing:
            self._gathering.missing.discard(pid)
            if not self._gathering.missing:
                self._finished_at = now
                self._finish(now)

    def _finish(self, now: float) -> None:
        assert self._gathering is not None
        asked_by, self._gathering = self._gathering.asked_by, None
        unready, degraded = self._trouble()
        body: Message = {
            "type": "status",
            "workers": self._workers(now),
            "hour": self._hour.as_json(),
            "unready": unready,
            "degraded": degraded,
        }
        for pid, number in asked_by:
            if (worker := self._fleet.workers.get(pid)) is not None:
                worker.control.send({**body, "number": number})

    def _workers(self, now: float) -> list[dict[str, Any]]:
        found = []
        for slot in self._fleet.slots:
            worker = slot.worker
            known = {"worker": slot.number, "pid": None, "state": "exited", "ready": False, "report": None}
            if worker is not None:
                reported_at, report = self._reports.get(worker.pid, (float("-inf"), None))
                is_late = now - reported_at > ANSWER_SECONDS + FRESH_SECONDS
                known |= {**worker.as_json(), "report": None if is_late else report}
            found.append({**known, "restarts": slot.restarts})
        return found
