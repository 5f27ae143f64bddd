"""The messages between the supervisor and a worker, over one Unix socket (unix(7), SOCK_SEQPACKET) for each worker.

Down: connections, as descriptors (SCM_RIGHTS), and the order to stop. Up: reports, which are the heartbeat too. This is
the supervisor's side; `supervisor_link.py` is the worker's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from enum import IntEnum
from typing import NamedTuple

CONNECTION, STOP, FAILURE = b"+", b".", b"!"
LONGEST = 200
"""Maximum bytes of a message to a worker."""
REPORT = struct.Struct("!BIII")
"""A `Report` as it is sent."""


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


def send_connection(to: socket.socket, connection: socket.socket) -> bool:
    """Send a connection to a worker; return False if it cannot take one now."""
    try:
        socket.send_fds(to, [CONNECTION], [connection.fileno()])
    except OSError:  # it has ended, or hangs
        return False
    return True


def tell_to_stop(to: socket.socket) -> bool:
    """Tell a worker to drain; return False if the message cannot be sent."""
    try:
        to.send(STOP)
    except OSError:
        return False
    return True


def tell_of_failure(to: socket.socket, why: str) -> None:
    """Tell a worker that the supervisor cannot accept connections."""
    with contextlib.suppress(OSError):  # it has ended, or hangs
        to.send(FAILURE + why.encode()[: LONGEST - 1])


def last_report(of: socket.socket) -> Report | None:
    """Return the newest report of a worker; None if there is no new one. Raises EOFError if the worker has ended."""
    last = None
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                message = of.recv(REPORT.size)
            except ConnectionError:
                message = b""
            if not message:
                raise EOFError
            state, *numbers = REPORT.unpack(message)
            last = Report(State(state), *numbers)
    return last
