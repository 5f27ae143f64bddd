"""A worker's side of `handover.py`: takes connections from the supervisor, and reports to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable

from eventstreams_site.server.handover import CONNECTION, FAILURE, LONGEST, REPORT, State
from eventstreams_site.server.listening import AcceptFailures

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
"""Maximum seconds between two reports of a worker."""
FULL_SECONDS = 0.05
"""Seconds between the reports of a worker without room: it gets no connections until it reports room."""
ENDED_SECONDS = 0.02
"""Maximum seconds until the supervisor learns that connections have ended."""
MAX_TAKEN = 100
"""Maximum number of connections taken before anything else has its turn."""
PAUSE_SECONDS = 0.2
"""Pause after an error such as "too many open files"."""
LOG_SECONDS = 30.0
"""Seconds between two lines about such errors."""


class SupervisorLink:
    """Takes connections from the supervisor, and reports to it. Use it in an event loop."""

    def __init__(
        self,
        channel: socket.socket,
        adopt: Callable[[socket.socket], None],
        stop: Callable[[], None],
        look: Callable[[], tuple[State, int, int]],
        failures: AcceptFailures,
    ) -> None:
        """Prepare; `look` returns the state, the number of connections and the room for more.

        `failures` takes the reason if connections cannot be accepted, here or by the supervisor (which counts its own).
        """
        self._channel = channel
        self._adopt = adopt
        self._stop = stop
        self._look = look
        self._failures = failures
        self._taken = 0
        self._is_closed = self._is_paused = self._is_report_due = False
        self._next_log = float("-inf")

    def start(self) -> None:
        """Begin to take connections and to report."""
        self._resume()
        self._report_forever()

    def _resume(self) -> None:
        self._is_paused = False
        if not self._is_closed:
            asyncio.get_running_loop().add_reader(self._channel, self._take)

    def _pause(self, error: OSError) -> None:
        """Leave the connections in the channel for a while: taken without a descriptor, they would be lost."""
        self._is_paused = True
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel)
        loop.call_later(PAUSE_SECONDS, self._resume)
        why = os.strerror(error.errno or 0)
        self._failures.note(why)
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_SECONDS
            log.error("Cannot take connections from the supervisor, retrying: %s", why)

    def close(self) -> None:
        """Stop taking connections."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._channel)
            self._report()

    def connection_ended(self) -> None:
        """Report soon, for all connections that end meanwhile."""
        if not self._is_report_due and not self._is_closed:
            self._is_report_due = True
            asyncio.get_running_loop().call_later(ENDED_SECONDS, self._report)

    def _take(self) -> None:
        try:
            for _ in range(MAX_TAKEN):
                _ensure_free_descriptors(self._channel)
                message, descriptors, *_ = socket.recv_fds(self._channel, LONGEST, 1)
                if message == CONNECTION:
                    self._taken += 1
                    for descriptor in descriptors:
                        self._adopt(socket.socket(fileno=descriptor))
                elif message.startswith(FAILURE):
                    self._failures.note(message[1:].decode(errors="replace"), counts=False)
                else:  # to stop, or the supervisor has ended
                    if not message:
                        self.close()
                    self._stop()
                    break
        except BlockingIOError:
            pass
        except ConnectionError:
            self.close()
            self._stop()
        except OSError as error:
            self._pause(error)
        self._report()

    def _report_forever(self) -> None:
        state = self._report()
        seconds = FULL_SECONDS if state is State.FULL else REPORT_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._report_forever)

    def _report(self) -> State:
        self._is_report_due = False
        state, connections, room = self._look()
        if self._is_closed:
            state = State.CLOSED
        elif self._is_paused and state is State.READY:
            state = State.FULL
        with contextlib.suppress(OSError):  # the supervisor is busy or has gone: the next one will do
            self._channel.send(REPORT.pack(state, connections, self._taken & 0xFFFFFFFF, room))
        return state


def _ensure_free_descriptors(channel: socket.socket) -> None:
    """Raise OSError if there are not two free descriptors: the kernel's copy of a connection, and Twisted's."""
    first = os.dup(channel.fileno())
    try:
        os.close(os.dup(channel.fileno()))
    finally:
        os.close(first)
