"""Regular looks, which wake the process together: to be woken costs more than what most of them do."""

from __future__ import annotations

import time

TOO_SOON = 0.1
"""Share of the time between two looks; a timer may be early by its own resolution."""


def until_next(seconds: float) -> float:
    """Return the seconds until the clock's next multiple of `seconds`, which others wait for, too."""
    left = seconds - time.monotonic() % seconds
    return left if left > TOO_SOON * seconds else left + seconds
