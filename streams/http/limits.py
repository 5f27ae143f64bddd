"""Limits of connections: for each client IP, and for the process."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

from streams.core.errors import Overloaded, TooManyRequests


class ConnectionLimits:
    """Counts the streams of this process; a limit of 0 means no limit."""

    def __init__(self, per_ip: int, total: int) -> None:
        self._per_ip = per_ip
        self._total = total
        self._by_ip: Counter[str] = Counter()
        self.connections = 0

    @property
    def total(self) -> int:
        """Maximum connections of the process; 0: no limit."""
        return self._total

    @property
    def is_full(self) -> bool:
        """Whether new clients get the error `overloaded`."""
        return 0 < self._total <= self.connections

    @property
    def problem(self) -> str:
        """A sentence if the limits do not hold as configured now; else an empty text."""
        return ""

    def take(self, ip: str) -> None:
        """Count a connection of `ip`; call `give_back` when it ends.

        Raises:
            Overloaded: The process has as many as it may.
            TooManyRequests: This IP has.
        """
        if self.is_full:
            raise Overloaded(self._total)
        self._check_address(ip)
        self._count(ip)

    def _check_address(self, ip: str) -> None:
        if self._per_ip and self._by_ip[ip] >= self._per_ip:
            raise TooManyRequests(self._per_ip)

    async def admit(self, ip: str) -> Callable[[], None]:
        """Count a connection of `ip`; return the function to call when it ends. Raises as `take` does."""
        self.take(ip)
        return functools.partial(self.give_back, ip)

    def _count(self, ip: str) -> None:
        self.connections += 1
        self._by_ip[ip] += 1

    def give_back(self, ip: str) -> None:
        """Count a connection of `ip` no longer."""
        self.connections -= 1
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]
