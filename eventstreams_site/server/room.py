"""Makes room for newcomers when a process has as many connections as it may."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Any

from eventstreams_site.server.descriptors import Places

ROOM_SECONDS = 1.0
"""Age, in seconds, from which a connection without a request is closed if there is no room."""
LOOK_SECONDS = 0.05
"""Seconds between two attempts to make room."""


class Room:
    """Knows whether there is room for a further connection, and closes connections without a request to make room."""

    def __init__(self, places: Places, count: Callable[[], int]) -> None:
        """Make room within `places`; `count` returns the number of connections."""
        self._places = places
        self._count = count
        self._opened: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
        """When each connection was opened (time.monotonic), the oldest first."""
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        """Connections that had no request at the last attempt to make room."""
        self._is_making_room = False
        self.closed = 0
        """Connections that were closed to make room."""

    def opened(self, channel: Any) -> None:
        """Add a new connection."""
        self._opened[channel] = time.monotonic()

    @property
    def is_crowded(self) -> bool:
        """Return whether few places are left: refused clients are then disconnected at once."""
        others = self._places.connections - self._places.streams
        return self._count() > self._places.connections - others // 2

    @property
    def left(self) -> int:
        """Return how many further connections can be accepted."""
        return max(0, self._places.connections - self._count())

    def has_room(self) -> bool:
        """Return whether a connection can be accepted now; if not, begin to make room. Call it in the event loop."""
        if self._count() < self._places.connections:
            return True
        if not self._is_making_room:
            self._is_making_room = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._make_room)
        return False

    def make_room(self) -> None:
        """Close connections that have no request, now and at the last attempt: one may not be read yet."""
        now = time.monotonic()
        waiting = [
            channel
            for channel, opened in self._opened.items()
            if now - opened > ROOM_SECONDS and not channel._handlingRequest
        ]
        others = self._places.connections - self._places.streams
        for channel in [each for each in waiting if each in self._waiting][: max(1, others // 2)]:
            channel.loseConnection()
            self.closed += 1
        self._waiting = weakref.WeakSet(waiting)

    def _make_room(self) -> None:
        self._is_making_room = False
        if self._count() >= self._places.connections:
            self.make_room()
            self.has_room()
