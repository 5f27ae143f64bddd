"""The place of one worker among those of a supervisor: its successors take it, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from eventstreams_site.server.worker import SETTLED_SECONDS, Worker

RESTART_SECONDS = 1.0
MAX_RESTART_SECONDS = 60.0
"""Seconds until a worker that has exited is restarted; they double up to the maximum while it exits soon after."""
CRASH_LOOP = 3
"""Exits in a row, each soon after the start, from which a slot counts as a crash loop."""


@dataclass
class Slot:
    """The place of one worker."""

    number: int
    worker: Worker | None = None
    """The one that serves."""
    successor: Worker | None = None
    """Its successor, which is not ready yet."""
    start_at: float | None = 0.0
    """When a worker is to be started, if there is none (time.monotonic)."""
    failures: int = 0
    """Exits in a row, each soon after the start."""
    restarts: int = 0

    @property
    def is_crash_loop(self) -> bool:
        """Return whether its workers keep exiting soon after their start."""
        return self.failures >= CRASH_LOOP

    def next_wait(self, lived: float) -> float:
        """Count an exit after `lived` seconds; return the seconds until the restart."""
        self.failures = 1 if lived > SETTLED_SECONDS else self.failures + 1
        return float(min(RESTART_SECONDS * 2 ** min(self.failures - 1, 16), MAX_RESTART_SECONDS))
