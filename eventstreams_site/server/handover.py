"""What the supervisor and a worker tell each other, over one Unix socket (unix(7), SOCK_SEQPACKET) for each worker.

Down: a connection, as a descriptor (SCM_RIGHTS), or that it is time to stop. Up: reports, which are signs of life too.
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
"""Seconds between the reports of a worker that has nothing new to say."""
FULL_SECONDS = 0.05
"""Seconds between those of a worker that waits for room: it is given nothing before it reports some."""
MAX_TAKEN = 100
"""Maximum number of connections taken before anything else has its turn."""
LOG_SECONDS = 30.0

_CONNECTION, _STOP = b"+", b"."
_REPORT = struct.Struct("!BIII")


class State(IntEnum):
    """Whether a worker takes connections."""

    READY = 0
    FULL = 1
    """It has as many as it may have open files."""
    DRAINING = 2
    """Whoever comes is told so."""
    CLOSED = 3


class Report(NamedTuple):
    """`connections` are those that a worker has now, `taken` all that it was ever handed, `room` how many it can still
    take."""

    state: State
    connections: int
    taken: int
    room: int


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the supervisor's end and the worker's; neither blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


# In the supervisor.


def send_connection(to: socket.socket, connection: socket.socket) -> bool:
    """Hand a connection to a worker; False where it takes nothing now."""
    try:
        socket.send_fds(to, [_CONNECTION], [connection.fileno()])
    except OSError:  # it has ended, or hangs
        return False
    return True


def tell_to_stop(to: socket.socket) -> bool:
    """Tell a worker to drain; False where that did not get through."""
    try:
        to.send(_STOP)
    except OSError:
        return False
    return True


def last_report(of: socket.socket) -> Report | None:
    """Return the newest report of a worker, None where there is no new one. Raises EOFError where it has ended."""
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
    """Takes connections from the supervisor, and reports to it. To be used in an event loop."""

    def __init__(
        self,
        channel: socket.socket,
        adopt: Callable[[socket.socket], None],
        stop: Callable[[], None],
        look: Callable[[], tuple[State, int, int]],
    ) -> None:
        """`look` says the state, the number of connections and the room for more."""
        self._channel = channel
        self._adopt = adopt
        self._stop = stop
        self._look = look
        self._taken = 0
        self._is_closed = False
        self._next_log = float("-inf")

    def start(self) -> None:
        """Take what comes from now on."""
        asyncio.get_running_loop().add_reader(self._channel, self._take)
        self._report_forever()

    def close(self) -> None:
        """Take nothing more."""
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
