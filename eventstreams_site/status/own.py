"""The status of one process that serves: all there is if it serves alone, and what is left if no supervisor answers."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from eventstreams_site.status.last_hour import LastHour
from eventstreams_site.status.whole import whole
from streams.engine.ticks import until_next
from streams.http.service import Service
from streams.http.status import figures, report

LOOK_SECONDS = 1.0
"""Seconds between two looks at whether figures are due."""


class OwnStatus:
    """Keeps the figures of a process while `watch` runs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._hour = LastHour(time.monotonic())

    async def watch(self) -> None:
        """Note the figures for each point of the last hour, until the task is cancelled."""
        while True:
            now = time.monotonic()
            if self._hour.is_due(now):
                self._note()
            self._hour.look(now)
            await asyncio.sleep(until_next(LOOK_SECONDS))

    def _note(self) -> None:
        self._hour.note(0, figures(self._service))

    async def status(self) -> dict[str, Any]:
        """Return the status of this process."""
        return self.alone("")

    def alone(self, note: str) -> dict[str, Any]:
        """Return the status of this process, with a note on what is missing."""
        self._note()
        service = self._service
        trouble = service.unready(), service.degraded()
        itself = {
            "worker": 0,
            "pid": os.getpid(),
            "ready": not trouble[0],
            "state": "draining" if service.draining else "ready",
            "report": report(service),
        }
        return whole([itself], self._hour.as_json(), trouble, note)
