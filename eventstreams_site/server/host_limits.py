"""Limits of connections over all workers of a host: the supervisor counts, and workers ask it (`worker_limits.py`).

A worker that ends, however it ends, frees its counts: they are those of its control socket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from eventstreams_site.server.control import Message

if TYPE_CHECKING:
    from eventstreams_site.config.config import Config
    from eventstreams_site.server.check import Checked

FULL, TOO_MANY = "overloaded", "too_many"
"""Why a connection is refused."""


class HostLimits:
    """The supervisor's counts. `config` returns the configuration in force."""

    def __init__(self, config: Callable[[], Checked | Config]) -> None:
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
            refused = FULL
        elif 0 < config.client_ip_connection_limit <= self._by_ip[ip]:
            refused = TOO_MANY
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
