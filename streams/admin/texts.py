"""Times, counts, names and sentences as the admin's pages write them, those of the redaction list too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NAMED = 10
"""Maximum number of names in one sentence."""


def moment(when: datetime | None) -> str:
    """Return the time in UTC, as `2026-11-28 18:00:00`; "" for None."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def moment_of(ms: int | None) -> str:
    """Return `moment` of a time in milliseconds since the epoch."""
    return "" if ms is None else moment(datetime.fromtimestamp(ms / 1000, UTC))


def span(seconds: float) -> str:
    """Return a rough duration: `42 s`, `5 min`, `7 h`, `12 days`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds)) // size} {unit}"
    return f"{int(seconds) // 86_400} days"


def counted(number: int, one: str, many: str) -> str:
    """Return the number with the noun that it needs: `1 page`, `2 pages`."""
    return f"{number} {one if number == 1 else many}"


def named(names: Sequence[str]) -> str:
    """Return the names, at most NAMED of them: `a, b and 7 more`."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def sentence(reason: object) -> str:
    """Return a reason with a capital letter and a full stop."""
    text = str(reason)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '.)')) else '.'}"
