"""Limits of connections over all replicas, in a process that serves without a supervisor."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from eventstreams_site.server.refusals import FULL
from eventstreams_site.server.shared_counts import SharedCounts
from streams.core.errors import Overloaded, TooManyRequests
from streams.http.limits import ConnectionLimits


class ReplicaLimits(ConnectionLimits):
    """This process's limits, and those that all replicas share. Use it in an event loop.

    `everywhere` is the maximum of the connections of all replicas; 0: no limit.
    """

    def __init__(self, per_ip: int, total: int, everywhere: int, url: str) -> None:
        super().__init__(per_ip, total)
        self._everywhere = everywhere
        self.shared = SharedCounts(url, lambda: (everywhere, per_ip))

    @property
    def total(self) -> int:
        """Maximum connections of the process, or of all replicas if that is reached."""
        return self._everywhere if not super().is_full and self.shared.is_full else super().total

    @property
    def is_full(self) -> bool:
        """Whether new clients get the error `overloaded`."""
        return super().is_full or self.shared.is_full

    @property
    def problem(self) -> str:
        """Return a sentence if limits do not hold over all replicas now; else an empty text."""
        return self.shared.problem

    async def admit(self, ip: str) -> Callable[[], None]:
        """Count a connection of `ip` here and in Redis; return the function that ends this.

        Raises:
            Overloaded: This process or all replicas together have as many as they may.
            TooManyRequests: This IP has.
        """
        self.take(ip)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def answered(refused: str) -> None:
            if not answer.done():
                answer.set_result(refused)
            elif not refused:  # its client has left
                self.shared.add(ip, -1)

        self.shared.take(ip, functools.partial(_call_in, loop, answered))
        try:
            refused = await answer
        except BaseException:
            self.give_back(ip)
            if answer.done() and not answer.cancelled() and not answer.result():  # it left just when it was let in
                self.shared.add(ip, -1)
            raise
        if refused:
            self.give_back(ip)
            raise Overloaded(self._everywhere) if refused == FULL else TooManyRequests(self._per_ip)
        return functools.partial(self._leave, ip)

    def take(self, ip: str) -> None:
        """Count a connection of `ip` in this process. Raises as `admit` does."""
        if super().is_full:
            raise Overloaded(super().total)
        self._check_address(ip)
        self._count(ip)

    def _leave(self, ip: str) -> None:
        self.give_back(ip)
        self.shared.add(ip, -1)

    def close(self) -> None:
        """Give back, in the background, what this process has of the shared limits."""
        self.shared.close()


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[str], None], refused: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, refused)
