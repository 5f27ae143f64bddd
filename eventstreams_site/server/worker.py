"""One worker of `serve --workers N`, as the supervisor sees it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque

from eventstreams_site.server import handover
from eventstreams_site.server.handover import Report, State

LATE_SECONDS = 0.5
"""A worker that has not taken a connection after this time gets no more while another one does."""


class Worker:
    """A worker as the supervisor sees it; times are of time.monotonic."""

    def __init__(self, pid: int, channel: socket.socket, now: float) -> None:
        self.pid = pid
        self.channel = channel
        self.started_at = now
        self.heard_at: float | None = None
        self.is_replaced = False
        """Another one has been started in its place."""
        self.is_silent = False
        self.is_open = True
        """Its end of the channel is."""
        self.kill_at: float | None = None
        self.report = Report(State.READY, 0, 0, 0)
        self._handed = 0
        self._handed_at: deque[float] = deque()
        """When the connections were handed over that it has not taken yet."""

    @property
    def load(self) -> int:
        """Return its connections, with those that are on their way to it."""
        return self.report.connections + len(self._handed_at)

    def is_late(self, now: float) -> bool:
        """Whether a connection has been on its way to it for long."""
        return bool(self._handed_at) and now - self._handed_at[0] > LATE_SECONDS

    def takes(self, *states: State) -> bool:
        """Whether it takes connections, being in one of these states."""
        is_there = self.heard_at is not None and self.is_open and not self.is_silent
        return is_there and self.report.state in states and len(self._handed_at) < self.report.room

    def hand(self, connection: socket.socket, now: float) -> bool:
        """Hand it a connection; False where it takes none now."""
        if not handover.send_connection(self.channel, connection):
            return False
        self._handed += 1
        self._handed_at.append(now)
        return True

    def hear(self, now: float) -> bool:
        """Read its reports; False where none will come any more."""
        try:
            report = handover.last_report(self.channel)
        except EOFError:
            self.is_open = False
            return False
        if report is None:
            return True
        self.heard_at, self.report = now, report
        while len(self._handed_at) > (self._handed - report.taken) & 0xFFFFFFFF:
            self._handed_at.popleft()
        return True

    def signal(self, *numbers: int) -> None:
        """Send it signals; one that has just ended gets none."""
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
