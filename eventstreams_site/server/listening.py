"""Listens for connections and accepts them. No error of accept(2) ends the service."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Maximum number of connections that wait to be accepted (the kernel bounds it by net.core.somaxconn)."""
MAX_PORT = 65_535
MAX_ACCEPTED = 100
"""Maximum number of connections accepted before anything else has its turn."""
PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 1.0
"""Pause after an error that lasts, in seconds; each further one is twice as long, up to this maximum."""
LOG_SECONDS = 30.0
"""Seconds between two lines about an error that lasts."""
RECENT_SECONDS = 5.0
"""Seconds after a failure for which it is reported as a problem."""

ACCEPT_FAILURES = "eventstreams_accept_failures"
ACCEPT_FAILURES_HELP = "Failures of accepting connections, as with too many open files"

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
"""Errors of the connection that was to be accepted (accept(2)): the next one may be fine."""


class AcceptFailures:
    """Counts failures of accepting connections, and remembers the last one for RECENT_SECONDS."""

    def __init__(self) -> None:
        self.count = 0
        self._why = ""
        self._failed_at = float("-inf")

    def note(self, why: str, *, counts: bool = True) -> None:
        """Count a failure, unless another process counts it."""
        self.count += counts
        self._why, self._failed_at = why, time.monotonic()

    @property
    def problem(self) -> str:
        """Return a sentence about a recent failure; empty if there is none."""
        if time.monotonic() - self._failed_at > RECENT_SECONDS:
            return ""
        advice = "; raise the limit (`ulimit -n`)" if self._why == os.strerror(errno.EMFILE) else ""
        return f"connections cannot be accepted, so clients wait or are disconnected: {self._why}{advice}"


class ListenError(Exception):
    """The server cannot listen on the address."""


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens on the address. Raises ListenError."""
    if not 0 <= port <= MAX_PORT:
        raise ListenError(f"Cannot listen on {host} port {port}: a port is a number from 0 to {MAX_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        address = host.strip("[]")
        is_any = address == "::" and socket.has_dualstack_ipv6()  # IPv4 too
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_any)
    except OSError as error:
        raise ListenError(f"Cannot listen on {host} port {port}: {error}") from None
    listener.setblocking(False)
    return listener


class Acceptor:
    """Accepts connections. It pauses after an error such as "too many open files", or it would spin."""

    def __init__(self, listener: socket.socket, on_failure: Callable[[str], None]) -> None:
        """Prepare; `on_failure` is called with the reason of each pause after an error."""
        self.paused_until = float("-inf")
        """Nothing is accepted before this time (time.monotonic, seconds)."""
        self._listener = listener
        self._on_failure = on_failure
        self._pause = PAUSE_SECONDS
        self._next_log = float("-inf")

    def accept(self) -> Iterator[socket.socket]:
        """Yield waiting connections, at most MAX_ACCEPTED; the caller closes them."""
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
        """Accept nothing for a while: newcomers wait in the backlog."""
        self.paused_until = time.monotonic() + seconds

    def fail(self, error: OSError) -> None:
        """Pause after an error of the system, and log it."""
        now = time.monotonic()
        why = os.strerror(error.errno or 0) or str(error)
        self._on_failure(why)
        self.pause(self._pause)
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        if now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            log.error("Cannot accept connections, retrying: %s", why)
