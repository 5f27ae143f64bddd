"""The figures of the last hour: what processes report becomes a point each 10 seconds. Bounded."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

POINT_SECONDS = 10.0
POINTS = 360
"""An hour of them."""
COUNT_SECONDS = 60.0
COUNTS = 61
"""As many copies of all counts as make up an hour."""
MAX_NAMES = 300
"""Maximum number of different counts; further ones are left out."""

WORST = frozenset({"lag_seconds", "loop_lag_seconds"})
"""Gauges of which the workers' highest value counts; of others, the sum."""
RATES = frozenset({"events_read", "events_sent", "bytes_sent"})
"""Counts that are plotted, per second."""

Figures = Mapping[str, Mapping[str, float | None]]
"""What a process reports: `gauges` and `counts` by name. None: nobody knows."""


class LastHour:
    """The figures of some processes, each known by its pid. Times are of time.monotonic."""

    def __init__(self, now: float) -> None:
        self._live: dict[int, Figures] = {}
        self._totals: Counter[str] = Counter()
        """Of all processes, also of those that have ended."""
        self._points: deque[dict[str, float | None]] = deque(maxlen=POINTS)
        self._copies: deque[dict[str, float]] = deque([{}], maxlen=COUNTS)
        """All counts, once a minute, the oldest first."""
        self._point_at = self._copied_at = now
        self._before: Counter[str] = Counter()

    def note(self, pid: int, figures: Figures) -> None:
        """Take what a process reports."""
        before = self._live.get(pid, {}).get("counts", {})
        for name, count in figures["counts"].items():
            if name in self._totals or len(self._totals) < MAX_NAMES:
                self._totals[name] += (count or 0) - (before.get(name) or 0)  # type: ignore[assignment]
        self._live[pid] = figures

    def end(self, pid: int) -> None:
        """Forget a process that has ended; its counts stay."""
        self._live.pop(pid, None)

    def is_due(self, now: float) -> bool:
        """Return whether it is time for a point."""
        return now - self._point_at >= POINT_SECONDS

    def look(self, now: float) -> None:
        """Make a point if it is time."""
        if self.is_due(now):
            seconds = now - self._point_at
            rates = {name: (self._totals[name] - self._before[name]) / seconds for name in RATES}
            self._points.append({**self.gauges(), **rates})
            self._point_at, self._before = now, Counter(self._totals)
        if now - self._copied_at >= COUNT_SECONDS:
            self._copies.append(dict(self._totals))
            self._copied_at = now

    def gauges(self) -> dict[str, float | None]:
        """Return the gauges of all processes as they are now."""
        found: dict[str, float | None] = {}
        for name in sorted({name for each in self._live.values() for name in each["gauges"]}):
            values = [each["gauges"].get(name) for each in self._live.values()]
            known = [value for value in values if value is not None]
            is_known = len(known) == len(values) or (name not in WORST and known)
            found[name] = (max(known) if name in WORST else sum(known)) if is_known else None
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the points, the oldest first, and of each count how much came in the last hour, and in all."""
        names = sorted({name for point in self._points for name in point})
        oldest = self._copies[0]
        return {
            "seconds": POINT_SECONDS,
            "points": {name: [_short(point.get(name)) for point in self._points] for name in names},
            "counts": {
                name: {"hour": total - oldest.get(name, 0), "all": total}
                for name, total in sorted(self._totals.items())
                if name not in RATES
            },
        }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
