"""Accepts connections in an event loop: those of a server of one process."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from eventstreams_site.server.listening import Acceptor

log = logging.getLogger(__name__)

FULL_SECONDS = 0.02
"""Seconds for which newcomers wait in the backlog if there is no room for them."""


class Listening:
    """Accepts connections in an event loop."""

    def __init__(
        self,
        listener: socket.socket,
        adopt: Callable[[socket.socket], None],
        has_room: Callable[[], bool],
        on_failure: Callable[[str], None],
    ) -> None:
        self._listener = listener
        self._acceptor = Acceptor(listener, on_failure)
        self._adopt = adopt
        self._has_room = has_room
        self._is_closed = False

    def start(self) -> None:
        """Begin to accept."""
        self._resume()
        log.info("Listening on http://%s:%s", *self._listener.getsockname()[:2])

    def _resume(self) -> None:
        if not self._is_closed:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Stop accepting: the system refuses newcomers."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        if self._has_room():
            for connection in self._acceptor.accept():
                self._adopt(connection)
                if not self._has_room():
                    self._acceptor.pause(FULL_SECONDS)
        else:
            self._acceptor.pause(FULL_SECONDS)
        pause = self._acceptor.paused_until - time.monotonic()
        if pause > 0 and not self._is_closed:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(pause, self._resume)
