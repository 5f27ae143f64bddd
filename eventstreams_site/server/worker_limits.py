"""A worker's limits of connections: it asks the supervisor, which counts for all workers (`host_limits.py`)."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
from collections.abc import Callable

from eventstreams_site.config.config import Config
from eventstreams_site.server.control import Message
from eventstreams_site.server.refusals import FULL, TOO_MANY
from streams.core.errors import Overloaded, TooManyRequests
from streams.http.limits import ConnectionLimits

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""Maximum seconds for the supervisor's answer; without one, the worker's own counts decide."""
LOG_SECONDS = 30.0
"""Seconds between two lines about missing answers."""


class WorkerLimits(ConnectionLimits):
    """A worker's limits: its own, and those that the supervisor counts for all. Use it in an event loop."""

    def __init__(self, config: Config, places: int, send: Callable[[Message], None]) -> None:
        """Prepare; `places` are the streams that the open files of this worker allow."""
        super().__init__(config.client_ip_connection_limit, min(places, config.max_connections or places))
        self._host_total = config.max_connections
        self._per_ip = config.client_ip_connection_limit
        self._send = send
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[tuple[str, int]]] = {}
        self._is_host_full = False
        self._problem = ""
        self._next_log = float("-inf")

    @property
    def total(self) -> int:
        """Maximum connections of this host, or of this worker if its own limit is reached."""
        return self._host_total if self._is_host_full else super().total

    @property
    def is_full(self) -> bool:
        """Whether new clients get the error `overloaded`."""
        return self._is_host_full or super().is_full

    @property
    def problem(self) -> str:
        """A sentence of the supervisor's if the limits do not hold over all replicas now; else an empty text."""
        return self._problem

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
                refused, limit = await answer
        except TimeoutError:
            self._log_silence()
            refused, limit = TOO_MANY if 0 < self._per_ip < self._by_ip[ip] else "", self._per_ip
        except BaseException:
            release()
            raise
        finally:
            del self._asked[number]
        if refused:
            release()
            raise Overloaded(limit) if refused == FULL else TooManyRequests(limit)
        return release

    def receive(self, message: Message) -> None:
        """Take an answer of the supervisor, or its word on the limits of all workers."""
        if message["type"] == "limits":
            self._is_host_full, self._problem = message["is_full"], message["problem"]
            return
        answer = self._asked.get(message["number"])
        if answer is not None and not answer.done():
            answer.set_result((message["refused"], message["limit"]))

    def _release(self, number: int, ip: str) -> None:
        self.give_back(ip)
        self._send({"type": "release", "number": number})

    def _log_silence(self) -> None:
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_SECONDS
            log.warning("The supervisor does not answer: this worker's own counts of connections decide")
