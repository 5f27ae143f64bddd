"""Checkpoints: a client that is sent no events is told its position from time to time.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import time

from streams.core.positions import Position


class Checkpoints:
    """When one client's next checkpoint is due: `seconds` after the last event or checkpoint, if it has moved since."""

    def __init__(self, seconds: float, position: Position, look_seconds: float) -> None:
        self._seconds = seconds
        self._look_seconds = look_seconds
        self._told = dict(position)
        self._due_at = time.monotonic() + seconds

    def sent(self) -> None:
        """Note that an event or checkpoint is being sent now."""
        self._due_at = time.monotonic() + self._seconds

    def told(self, position: Position) -> None:
        """Note that the last id that was sent says this position; an empty one: less than the client's."""
        self._told = dict(position)

    @property
    def seconds_left(self) -> float:
        """Seconds after which a checkpoint may be due."""
        left = self._due_at - time.monotonic()
        return left if left > 0 else self._look_seconds

    def is_due(self, position: Position) -> bool:
        """Return whether a client at `position` is to be told so now."""
        if time.monotonic() < self._due_at:
            return False
        return any(mark[:2] != self._told.get(tp, _NOWHERE)[:2] for tp, mark in position.items())


_NOWHERE = (-1, -1)
