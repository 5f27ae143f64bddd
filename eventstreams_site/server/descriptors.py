"""Bounds the connections of a process by its limit of open files; some files are kept for Kafka and the database."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import resource
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from eventstreams_site.config.config import Config
from eventstreams_site.server.listening import ListenError

log = logging.getLogger(__name__)

FILES = 40
"""Files kept for the database, logs, modules, threads and requests of the admin."""
BROKERS = 3
"""Brokers for whose connections files are kept: for each broker one per reader of history, and three more."""
MAX_OTHERS = 1_000
"""Maximum number of connections that are kept for other requests than streams."""
MIN_CONNECTIONS = 16
"""Fewest connections with which a process starts."""
ROOM_SECONDS = 1.0
"""Age, in seconds, from which a connection without a request is closed if there is no room."""
LOOK_SECONDS = 0.05
"""Seconds between two attempts to make room."""


class Places(NamedTuple):
    """Of `limit` files that may be open, `connections` may be connections, and of these `streams` may be streams."""

    limit: int
    connections: int
    streams: int


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # no limit at all is more than the kernel allows
            return soft
    return hard


def places_of(limit: int, history_readers: int) -> Places:
    """Divide the files that a process may open. Raises ListenError if they are too few."""
    reserve = FILES + BROKERS * (history_readers + 3)
    connections = limit - reserve
    if connections < MIN_CONNECTIONS:
        raise ListenError(
            f"A process may have only {limit} open files, and needs {reserve + MIN_CONNECTIONS}: raise the limit "
            "(`ulimit -n`)"
        )
    return Places(limit, connections, connections - min(connections // 4, MAX_OTHERS))


def bounded(config: Config, processes: int = 1) -> tuple[Config, Places]:
    """Raise the limit of open files, bound `max_connections` of all processes by it, and log that.

    Raises ListenError.
    """
    places = places_of(raise_limit(), config.history_readers)
    most = places.streams * processes
    where = "in a process" if processes == 1 else f"in {processes} processes"
    if 0 < config.max_connections <= most:
        log.info("At most %s streams %s (max_connections)", config.max_connections, where)
        return config, places
    log.warning(
        "At most %s streams %s, although max_connections is %s: a process may have %s open files, and some "
        "are kept for Kafka, the database and other requests; raise the limit (`ulimit -n`) for more",
        most,
        where,
        config.max_connections or "any number",
        places.limit,
    )
    return dataclasses.replace(config, max_connections=most), places


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
        self._waiting = weakref.WeakSet(waiting)

    def _make_room(self) -> None:
        self._is_making_room = False
        if self._count() >= self._places.connections:
            self.make_room()
            self.has_room()
