"""Bounds the connections of a process by its limit of open files; some files are kept for Kafka and the database."""

from __future__ import annotations

import dataclasses
import logging
import resource
from typing import TYPE_CHECKING, NamedTuple

from eventstreams_site.server.listening import ListenError

if TYPE_CHECKING:
    from eventstreams_site.config.config import Config

log = logging.getLogger(__name__)

FILES = 40
"""Files kept for the database, logs, modules, threads and requests of the admin."""
BROKERS = 3
"""Brokers for whose connections files are kept: for each broker one per reader of history, and three more."""
MAX_OTHERS = 1_000
"""Maximum number of connections that are kept for other requests than streams."""
MIN_CONNECTIONS = 16
"""Fewest connections with which a process starts."""


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
            "(`ulimit -n`) or lower history_readers"
        )
    return Places(limit, connections, connections - min(connections // 4, MAX_OTHERS))


def bounded(config: Config, processes: int = 1, *, tells: bool = True) -> tuple[Config, Places]:
    """Raise the limit of open files, bound `max_connections` of all processes by it, and log that unless told not to.

    Raises ListenError.
    """
    places = places_of(raise_limit(), config.history_readers)
    most = places.streams * processes
    where = "in a process" if processes == 1 else f"in {processes} processes"
    if 0 < config.max_connections <= most:
        if tells:
            log.info("At most %s streams %s (max_connections)", config.max_connections, where)
        return config, places
    if tells:
        _tell_of_bound(config, most, where, places.limit)
    return dataclasses.replace(config, max_connections=most), places


def _tell_of_bound(config: Config, most: int, where: str, limit: int) -> None:
    log.warning(
        "At most %s streams %s, although max_connections is %s: a process may have %s open files, and some "
        "are kept for Kafka, the database and other requests; raise the limit (`ulimit -n`) for more",
        most,
        where,
        config.max_connections or "any number",
        limit,
    )
