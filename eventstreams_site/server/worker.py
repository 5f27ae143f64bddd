"""A worker of `serve --workers N`, as the supervisor sees it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eventstreams_site.server import handover
from eventstreams_site.server.check import Checked
from eventstreams_site.server.control import SupervisorEnd
from eventstreams_site.server.handover import Report, State

LATE_SECONDS = 0.5
"""Seconds after which a worker that has not taken a connection gets no more while another one does."""


SETTLED_SECONDS = 10.0
"""Seconds after which a worker that exits has not exited soon after its start, and may be replaced for its size."""


class Worker:
    """A worker as the supervisor sees it; times are of time.monotonic."""

    def __init__(
        self, pid: int, slot: int, channel: socket.socket, control: socket.socket, now: float, config: Checked
    ) -> None:
        self.pid = pid
        self.slot = slot
        """The number of its place among the workers: its successor has the same."""
        self.channel = channel
        self.control = SupervisorEnd(control)
        self.config = config
        self.started_at = now
        self.heard_at: float | None = None
        self.unready: Sequence[str] | None = None
        """Why it is not ready; empty if it is, None before it has said so."""
        self.degraded: Sequence[str] = ()
        self.is_waiting = False
        """It is a successor: it gets no connections before it is ready, and its predecessor is told to stop."""
        self.is_replaced = False
        """Another one is started in its place."""
        self.is_silent = False
        self.is_open = True
        """Its end of the channel is open."""
        self.stop_by: float | None = None
        """When it is ended if it has not stopped; None if it has not been told to stop."""
        self.kill_at: float | None = None
        self.report = Report(State.READY, 0, 0, 0)
        self._is_blocked = False
        """It could not be sent a connection since its last report."""
        self._sent = 0
        self._sent_at: deque[float] = deque()
        """When each connection was sent that it has not taken yet (time.monotonic)."""

    @property
    def load(self) -> int:
        """Return the number of its connections, including those on their way to it."""
        return self.report.connections + len(self._sent_at)

    @property
    def is_ready(self) -> bool:
        """Return whether it has said that it is ready to serve streams."""
        return self.unready is not None and not self.unready

    def is_settled(self, now: float) -> bool:
        """Return whether it serves, and has not only just started."""
        return self.is_ready and now - self.started_at > SETTLED_SECONDS

    def is_late(self, now: float) -> bool:
        """Return whether it has not taken a connection for LATE_SECONDS."""
        return bool(self._sent_at) and now - self._sent_at[0] > LATE_SECONDS

    def takes(self, *states: State) -> bool:
        """Return whether it is in one of these states and takes connections."""
        is_there = self.heard_at is not None and self.is_open and not self.is_waiting
        is_well = is_there and not self.is_silent and not self._is_blocked
        return is_well and self.report.state in states and len(self._sent_at) < self.report.room

    def send(self, connection: socket.socket, now: float) -> bool:
        """Send it a connection; return False if it takes none now."""
        if not handover.send_connection(self.channel, connection):
            self._is_blocked = True
            return False
        self._sent += 1
        self._sent_at.append(now)
        return True

    def hear(self, now: float) -> bool:
        """Read its reports; return False once its end of the channel is closed."""
        try:
            report = handover.last_report(self.channel)
        except EOFError:
            self.is_open = False
            return False
        if report is None:
            return True
        self.heard_at, self.report, self._is_blocked = now, report, False
        while len(self._sent_at) > (self._sent - report.taken) & 0xFFFFFFFF:
            self._sent_at.popleft()
        return True

    def signal(self, *numbers: int) -> None:
        """Send it signals, unless it has just ended."""
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def rss(self) -> int:
        """Return the bytes of its resident memory; 0 if it has just ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0

    def close(self) -> None:
        """Close the supervisor's ends of its sockets."""
        self.channel.close()
        self.control.socket.close()

    def as_json(self) -> dict[str, Any]:
        """Return what the operations port says of it."""
        return {
            "worker": self.slot,
            "pid": self.pid,
            "state": "starting" if self.heard_at is None else self.report.state.name.lower(),
            "ready": self.is_ready,
            "connections": self.report.connections,
            "configuration": self.config.number,
        }
