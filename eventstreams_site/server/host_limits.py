"""Limits of connections over all workers of a host: the supervisor counts, and workers ask it (`worker_limits.py`).

A worker that ends, however it ends, frees its counts: they are those of its control socket. With `redis_url`, a
connection that this host may have is also counted beside those of all other hosts (`shared_counts.py`).
"""

from __future__ import annotations

import functools
import queue
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from eventstreams_site.server.control import Message
from eventstreams_site.server.refusals import FULL, TOO_MANY
from eventstreams_site.server.shared_counts import SharedCounts

if TYPE_CHECKING:
    from eventstreams_site.server.check import Checked


class HostLimits:
    """The supervisor's counts. `config` returns the configuration in force.

    `wake` is called, from a thread, when `answers` has something.
    """

    def __init__(self, config: Callable[[], Checked], wake: Callable[[], None] = lambda: None) -> None:
        self.shared: SharedCounts | None = None
        """The counts of all hosts, if there is a Redis."""
        self.connections = 0
        self._config = config
        self._wake = wake
        self._url: str | None = None
        self._granted: dict[int, dict[int, str]] = {}
        """By the worker's pid: number of the connection → its client IP."""
        self._asked: set[tuple[int, int]] = set()
        """The pids and numbers of those of them about which Redis is being asked."""
        self._answers: queue.SimpleQueue[tuple[SharedCounts | None, int, int, str, str]] = queue.SimpleQueue()
        self._by_ip: Counter[str] = Counter()
        self.look()

    @property
    def is_full(self) -> bool:
        """Return whether all connections are in use, of this host or of all."""
        return self._host_is_full or (self.shared is not None and self.shared.is_full)

    @property
    def _host_is_full(self) -> bool:
        return 0 < self._config().max_connections <= self.connections

    @property
    def problem(self) -> str:
        """Return a sentence if limits do not hold over all hosts now; else an empty text."""
        return self.shared.problem if self.shared is not None else ""

    def look(self) -> None:
        """Use the Redis of the configuration in force."""
        url = self._config().redis_url
        if url == self._url:
            return
        self.close()
        self.shared = SharedCounts(url, self._shared_limits) if url is not None else None
        self._url = url
        for pid, numbers in self._granted.items():
            for number, ip in numbers.items():
                if (pid, number) in self._asked:
                    self._ask(pid, number, ip)
                else:
                    self._share(ip, 1)

    def close(self) -> None:
        """Give back, in the background, what this host has of the shared limits."""
        if self.shared is not None:
            self.shared.close()

    def _shared_limits(self) -> tuple[int, int]:
        config = self._config()
        return config.max_replicas_connections, config.client_ip_connection_limit

    def answer(self, pid: int, message: Message) -> Message | None:
        """Take a message of a worker; return the answer, if it gets one now (others come from `answers`)."""
        number = message["number"]
        if message["type"] == "release":
            ip = self._granted.get(pid, {}).pop(number, None)
            if ip is not None:
                self._free(pid, number, ip)
            return None
        config, ip = self._config(), message["ip"]
        if self._host_is_full:
            return _answer(number, FULL, config.max_connections)
        if 0 < config.client_ip_connection_limit <= self._by_ip[ip]:
            return _answer(number, TOO_MANY, config.client_ip_connection_limit)
        self._granted.setdefault(pid, {})[number] = ip
        self._by_ip[ip] += 1
        self.connections += 1
        if self.shared is None:
            return _answer(number)
        self._asked.add((pid, number))
        self._ask(pid, number, ip)
        return None

    def _ask(self, pid: int, number: int, ip: str) -> None:
        heard = functools.partial(self._heard, self.shared, pid, number, ip)
        if self.shared is not None:
            self.shared.take(ip, heard)
        else:
            heard("")

    def _heard(self, shared: SharedCounts | None, pid: int, number: int, ip: str, refused: str) -> None:
        self._answers.put((shared, pid, number, ip, refused))
        self._wake()

    def answers(self) -> Iterator[tuple[int, Message]]:
        """Yield the answers that have come meanwhile, each with the pid of its worker."""
        while not self._answers.empty():
            shared, pid, number, ip, refused = self._answers.get()
            if shared is not self.shared:  # the configuration has changed, and the Redis in force is asked
                continue
            is_there = (pid, number) in self._asked
            self._asked.discard((pid, number))
            if not is_there:  # it has left meanwhile
                if not refused:
                    self._share(ip, -1)
                continue
            if refused:
                del self._granted[pid][number]
                self._forget(ip)
            yield pid, _answer(number, refused, self._shared_limits()[refused == TOO_MANY])

    def end(self, pid: int) -> None:
        """Free the counts of a worker that has ended."""
        for number, ip in self._granted.pop(pid, {}).items():
            self._free(pid, number, ip)

    def _free(self, pid: int, number: int, ip: str) -> None:
        self._forget(ip)
        if (pid, number) in self._asked:
            self._asked.discard((pid, number))  # its answer finds nobody
        else:
            self._share(ip, -1)

    def _share(self, ip: str, count: int) -> None:
        if self.shared is not None:
            self.shared.add(ip, count)

    def _forget(self, ip: str) -> None:
        self.connections -= 1
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]


def _answer(number: int, refused: str = "", limit: int = 0) -> Message:
    return {"type": "granted", "number": number, "refused": refused, "limit": limit}
