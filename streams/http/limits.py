"""How many connections there may be: of one client IP, and of the whole process."""

from __future__ import annotations

from collections import Counter

from streams.core.errors import Overloaded, TooManyRequests


class ConnectionLimits:
    """Counts streams in this process; a limit of 0 is none."""

    def __init__(self, per_ip: int, total: int) -> None:
        self._per_ip = per_ip
        self._total = total
        self._by_ip: Counter[str] = Counter()
        self.connections = 0

    @property
    def total(self) -> int:
        """Maximum number of connections of the process; 0: any number."""
        return self._total

    @property
    def is_full(self) -> bool:
        """Whether newcomers are told `overloaded`."""
        return 0 < self._total <= self.connections

    def take(self, ip: str) -> None:
        """A connection of `ip`, until it is given back. Raises Overloaded, TooManyRequests."""
        if self.is_full:
            raise Overloaded(self._total)
        if self._per_ip and self._by_ip[ip] >= self._per_ip:
            raise TooManyRequests(self._per_ip)
        self.connections += 1
        self._by_ip[ip] += 1

    def give_back(self, ip: str) -> None:
        self.connections -= 1
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]
