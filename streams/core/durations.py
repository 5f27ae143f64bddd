"""Durations as people write them."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds of 90s, 30m, 1h, 1.5h, 2d or 0. Raises ValueError."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: expected a number and a unit, such as 90s, 30m, 1h or 2d")
    return float(match[1]) * _UNITS[match[2]]
