"""Limits of connections over all workers of a host: the supervisor counts, and workers ask it.

A worker that ends, however it ends, frees its counts: they are those of its control socket.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable

from eventstreams_site.config.config import Config
from eventstreams_site.server.control import Message
from streams.core.errors import Overloaded, TooManyRequests
from streams.http.limits import ConnectionLimits

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""Maximum seconds for the supervisor's answer; without one, the worker's own counts decide."""
LOG_SECONDS = 30.0
"""Seconds between two lines about missing answers."""

_FULL, _TOO_MANY = "overloaded", "too_many"


class HostLimits:
    """The supervisor's counts. `config` returns the configuration in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._granted: dict[int, dict[int, str]] = {}
        """By the worker's pid: number of the connection → its client IP."""
        self._by_ip: Counter[str] = Counter()
        self.connections = 0

    @property
    def is_full(self) -> bool:
        """Return whether all connections are in use."""
        return 0 < self._config().max_connections <= self.connections

    def answer(self, pid: int, message: Message) -> Message | None:
        """Take a message of a worker; return the answer, if it gets one."""
        number = message["number"]
        if message["type"] == "release":
            ip = self._granted.get(pid, {}).pop(number, None)
            if ip is not None:
                self._free(ip)
            return None
        config, ip = self._config(), message["ip"]
        refused = ""
        if self.is_full:
            refused = _FULL
        elif 0 < config.client_ip_connection_limit <= self._by_ip[ip]:
            refused = _TOO_MANY
        else:
            self._granted.setdefault(pid, {})[number] = ip
            self._by_ip[ip] += 1
            self.connections += 1
        return {"type": "granted", "number": number, "refused": refused}

    def end(self, pid: int) -> None:
        """Free the counts of a worker that has ended."""
        for ip in self._granted.pop(pid, {}).values():
            self._free(ip)

    def _free(self, ip: str) -> None:
        self.connections -= 1
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]


class WorkerLimits(ConnectionLimits):
    """A worker's limits: its own, and those that the supervisor counts for all. Use it in an event loop."""

    def __init__(self, config: Config, places: int, send: Callable[[Message], None]) -> None:
        """Prepare; `places` are the streams that the open files of this worker allow."""
        super().__init__(config.client_ip_connection_limit, min(places, config.max_connections or places))
        self._host_total = config.max_connections
        self._per_ip = config.client_ip_connection_limit
        self._send = send
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._is_host_full = False
        self._next_log = float("-inf")

    @property
    def total(self) -> int:
        """Maximum connections of this host, or of this worker if its own limit is reached."""
        return self._host_total if self._is_host_full else super().total

    @property
    def is_full(self) -> bool:
        """Whether new clients get the error `overloaded`."""
        return self._is_host_full or super().is_full

    async def admit(self, ip: str) -> Callable[[], None]:
        """Count a connection of `ip`, here and on the host; return the function that ends this.

        Raises:
            Overloaded: The host or this worker has as many as it may.
            TooManyRequests: This IP has.
        """
        if super().is_full:
            raise Overloaded(super().total)
        self._count(ip)
        number = next(self._numbers)
        release = functools.partial(self._release, number, ip)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"type": "take", "number": number, "ip": ip})
            async with asyncio.timeout(ANSWER_SECONDS):
                refused = await answer
        except TimeoutError:
            self._log_silence()
            refused = _TOO_MANY if 0 < self._per_ip < self._by_ip[ip] else ""
        except BaseException:
            release()
            raise
        finally:
            del self._asked[number]
        if refused:
            release()
            raise Overloaded(self._host_total) if refused == _FULL else TooManyRequests(self._per_ip)
        return release

    def receive(self, message: Message) -> None:
        """Take an answer of the supervisor, or its word on whether the host is full."""
        if message["type"] == "full":
            self._is_host_full = message["is_full"]
            return
        answer = self._asked.get(message["number"])
        if answer is not None and not answer.done():
            answer.set_result(message["refused"])

    def _release(self, number: int, ip: str) -> None:
        self.give_back(ip)
        self._send({"type": "release", "number": number})

    def _log_silence(self) -> None:
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_SECONDS
            log.warning("The supervisor does not answer: this worker's own counts of connections decide")
