"""Clients that take nothing: they may keep their places as long as there are enough for others.

A paused laptop or a stopped program holds a connection, and memory of the kernel, for nothing. While places are scarce,
a client that takes nothing for `stall_seconds` gives its place back; it can resume later by its id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Protocol

LOOK_SECONDS = 1.0
"""Seconds between two looks while places are scarce."""
QUIET_LOOK_SECONDS = 5.0
"""Seconds between two looks otherwise: each visits all clients, whose memory is cold."""
CUT_SECONDS = 60.0
"""Seconds without an acknowledgement after which the kernel closes a connection in any case (TCP_USER_TIMEOUT)."""
CUT_SLACK_SECONDS = 2 * QUIET_LOOK_SECONDS
"""A connection that ends at most this long before CUT_SECONDS counts as closed by the kernel: looks are rare."""


class Taking(Protocol):
    """An open stream, as far as it can stall."""

    @property
    def taken(self) -> int | None:
        """The bytes that a client has taken for which more wait; None if none wait, or if nobody knows."""

    def give_place_back(self) -> None:
        """Close the connection: the client has stalled."""


class Stalls:
    """The clients of one process that take nothing.

    Args:
        seconds: The setting `stall_seconds`; 0: they always keep their places.
        clients: Returns the open streams.
        is_scarce: Returns whether others need places.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        seconds: float,
        clients: Callable[[], Collection[Taking]],
        is_scarce: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._clients = clients
        self._is_scarce = is_scarce
        self._now = now
        self._stalled: dict[Taking, tuple[int, float]] = {}
        """By client, the bytes that it had taken, and since when (seconds) it has taken no more."""

    async def run(self) -> None:
        """Look forever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS if self._is_scarce() else QUIET_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Note who has stalled, and take the places of those that have for too long, if places are scarce."""
        now, before, self._stalled = self._now(), self._stalled, {}
        for client in self._clients():
            if (taken := client.taken) is None:
                continue
            known = before.get(client)
            self._stalled[client] = known if known is not None and known[0] == taken else (taken, now)
        if not self._seconds or not self._stalled or not self._is_scarce():
            return
        for client, (_, since) in list(self._stalled.items()):
            if now - since >= self._seconds:
                client.give_place_back()

    def was_cut(self, client: Taking) -> bool:
        """Return whether the kernel has closed the connection of this client, which took nothing for too long."""
        known = self._stalled.get(client)
        return known is not None and self._now() - known[1] >= CUT_SECONDS - CUT_SLACK_SECONDS
