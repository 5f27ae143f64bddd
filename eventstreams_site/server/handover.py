"""The messages between the supervisor and a worker, over one Unix socket (unix(7), SOCK_SEQPACKET) for each worker.

Down: connections, as descriptors (SCM_RIGHTS), and the order to stop. Up: reports, which are the heartbeat too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
"""Maximum seconds between two reports of a worker."""
FULL_SECONDS = 0.05
"""Seconds between the reports of a worker without room: it gets no connections until it reports room."""
MAX_TAKEN = 100
"""Maximum number of connections taken before anything else has its turn."""
LOG_SECONDS = 30.0

_CONNECTION, _STOP = b"+", b"."
_REPORT = struct.Struct("!BIII")


class State(IntEnum):
    """What a worker does with connections."""

    READY = 0
    FULL = 1
    """It takes none: it has as many as its open files allow."""
    DRAINING = 2
    """It takes them, and answers `draining`."""
    CLOSED = 3


class Report(NamedTuple):
    """The report of a worker: its connections now, those it has taken since it started, and room for how many more."""

    state: State
    connections: int
    taken: int
    room: int


def channel() -> tuple[socket.socket, socket.socket]:
    """Return two connected non-blocking sockets: the supervisor's and the worker's."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


# In the supervisor.


def send_connection(to: socket.socket, connection: socket.socket) -> bool:
    """Send a connection to a worker; return False if it cannot take one now."""
    try:
        socket.send_fds(to, [_CONNECTION], [connection.fileno()])
    except OSError:  # it has ended, or hangs
        return False
    return True


def tell_to_stop(to: socket.socket) -> bool:
    """Tell a worker to drain; return False if the message cannot be sent."""
    try:
        to.send(_STOP)
    except OSError:
        return False
    return True


def last_report(of: socket.socket) -> Report | None:
    """Return the newest report of a worker; None if there is no new one. Raises EOFError if the worker has ended."""
    last = None
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                message = of.recv(_REPORT.size)
            except ConnectionError:
                message = b""
            if not message:
                raise EOFError
            state, *numbers = _REPORT.unpack(message)
            last = Report(State(state), *numbers)
    return last


# In a worker.


class SupervisorLink:
    """Takes connections from the supervisor, and reports to it. Use it in an event loop."""

    def __init__(
        self,
        channel: socket.socket,
        adopt: Callable[[socket.socket], None],
        stop: Callable[[], None],
        look: Callable[[], tuple[State, int, int]],
    ) -> None:
        """Prepare; `look` returns the state, the number of connections and the room for more."""
        self._channel = channel
        self._adopt = adopt
        self._stop = stop
        self._look = look
        self._taken = 0
        self._is_closed = False
        self._next_log = float("-inf")

    def start(self) -> None:
        """Begin to take connections and to report."""
        asyncio.get_running_loop().add_reader(self._channel, self._take)
        self._report_forever()

    def close(self) -> None:
        """Stop taking connections."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._channel)
            self._report()

    def _take(self) -> None:
        try:
            for _ in range(MAX_TAKEN):
                message, descriptors, *_ = socket.recv_fds(self._channel, 1, 1)
                if message != _CONNECTION:  # to stop, or the supervisor has gone
                    if not message:
                        self.close()
                    self._stop()
                    break
                self._taken += 1
                for descriptor in descriptors:
                    self._adopt(socket.socket(fileno=descriptor))
                if not descriptors and time.monotonic() >= self._next_log:
                    self._next_log = time.monotonic() + LOG_SECONDS
                    log.error("A connection was lost: this worker has too many open files")
        except BlockingIOError:
            pass
        except ConnectionError:
            self.close()
            self._stop()
        self._report()

    def _report_forever(self) -> None:
        state = self._report()
        seconds = FULL_SECONDS if state is State.FULL else REPORT_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._report_forever)

    def _report(self) -> State:
        state, connections, room = self._look()
        if self._is_closed:
            state = State.CLOSED
        with contextlib.suppress(OSError):  # the supervisor is busy or has gone: the next one will do
            self._channel.send(_REPORT.pack(state, connections, self._taken & 0xFFFFFFFF, room))
        return state
