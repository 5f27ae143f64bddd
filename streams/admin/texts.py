"""Times, counts and names as the admin's pages say them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NAMED = 10
"""So many names stand in one sentence."""


def moment(when: datetime | None) -> str:
    """UTC."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def moment_of(ms: int | None) -> str:
    return "" if ms is None else moment(datetime.fromtimestamp(ms / 1000, UTC))


def span(seconds: float) -> str:
    """A duration, roughly: `42 s`, `5 min`, `7 h`, `12 days`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds)) // size} {unit}"
    return f"{int(seconds) // 86_400} days"


def counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def named(names: Sequence[str]) -> str:
    """`a, b and 7 more`."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
