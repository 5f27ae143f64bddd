"""Listening for connections and accepting them, whatever accept(2) says: no error of it ends the service."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that wait to be accepted (the kernel bounds it by net.core.somaxconn): many come back at once."""
MAX_PORT = 65_535
MAX_ACCEPTED = 100
"""Maximum number of connections accepted before anything else has its turn."""
PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 1.0
"""Rests after an error that will not pass at once; each following one is twice as long, up to this."""
LOG_SECONDS = 30.0
"""An error that lasts is logged this often."""
FULL_SECONDS = 0.02
"""Seconds for which those who come wait in the backlog, where there is no room for them."""

_OF_ONE_CONNECTION = {
    errno.ECONNABORTED,
    errno.EINTR,
    errno.ENETDOWN,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
    errno.EPERM,
}
"""accept(2) hands on what befell the connection that was to be accepted: the next one may be fine."""


class ListenError(Exception):
    """The address cannot be listened on."""


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens there. Raises ListenError."""
    if not 0 <= port <= MAX_PORT:
        raise ListenError(f"Cannot listen on {host} port {port}: a port is a number from 0 to {MAX_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"Cannot listen on {host} port {port}: {error}") from None
    listener.setblocking(False)
    return listener


class Acceptor:
    """Accepts connections. After an error such as "too many open files" it has to `rest`, or it would spin."""

    def __init__(self, listener: socket.socket) -> None:
        self.paused_until = float("-inf")
        """Nothing is accepted before this time (time.monotonic, seconds)."""
        self.failed_at = float("-inf")
        """When it last had to rest because of an error (time.monotonic, seconds)."""
        self._listener = listener
        self._pause = PAUSE_SECONDS
        self._next_log = float("-inf")

    def accept(self) -> Iterator[socket.socket]:
        """Yield connections that wait, at most MAX_ACCEPTED; the one who takes them closes them."""
        error: OSError | None = None
        for _ in range(MAX_ACCEPTED):
            if time.monotonic() < self.paused_until:
                return
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as failed:
                error = failed
                if failed.errno not in _OF_ONE_CONNECTION:
                    break
            else:
                error, self._pause = None, PAUSE_SECONDS
                yield connection
        if error is not None:  # one that lasts, or nothing but errors
            self.fail(error)

    def pause(self, seconds: float) -> None:
        """Accept nothing for a while: those who come wait in the backlog."""
        self.paused_until = time.monotonic() + seconds

    def fail(self, error: OSError) -> None:
        """Rest after an error of the system, and log it."""
        now = self.failed_at = time.monotonic()
        self.pause(self._pause)
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        if now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            log.error("Cannot accept connections, trying again: %s", os.strerror(error.errno or 0) or error)


class Listening:
    """Accepts connections in an event loop."""

    def __init__(
        self, listener: socket.socket, adopt: Callable[[socket.socket], None], has_room: Callable[[], bool]
    ) -> None:
        self._listener = listener
        self._acceptor = Acceptor(listener)
        self._adopt = adopt
        self._has_room = has_room
        self._is_closed = False

    def start(self) -> None:
        """Accept from now on."""
        self._resume()
        log.info("Listening on http://%s:%s", *self._listener.getsockname()[:2])

    def _resume(self) -> None:
        if not self._is_closed:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept nothing more: who comes is refused by the system."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    @property
    def failed_at(self) -> float:
        """When accepting last failed (time.monotonic, seconds)."""
        return self._acceptor.failed_at

    def _accept(self) -> None:
        if self._has_room():
            for connection in self._acceptor.accept():
                self._adopt(connection)
                if not self._has_room():
                    self._acceptor.pause(FULL_SECONDS)
        else:
            self._acceptor.pause(FULL_SECONDS)
        rest = self._acceptor.paused_until - time.monotonic()
        if rest > 0 and not self._is_closed:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(rest, self._resume)
