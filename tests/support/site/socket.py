"""The response of a client whose socket has as much room as the test says, without a reactor."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.tcp import Connection

from eventstreams_site.server.connection import ClientConnection
from eventstreams_site.server.flow import Flow


class Socket:
    """Takes `room` bytes."""

    def __init__(self) -> None:
        self.taken = b""
        self.room = 1_000
        self.sends = 0
        self.is_closed = False

    def send(self, data: bytes) -> int:
        """Take as much as there is room for, or raise as a full or closed socket does."""
        self.sends += 1
        if self.is_closed:
            raise OSError(errno.EBADF, "closed")
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        some = bytes(data[: self.room])
        self.taken += some
        self.room -= len(some)
        return len(some)

    def setsockopt(self, *_: object) -> None:
        """Take any option."""


class Transport(Connection):
    """As Twisted's, without a reactor."""

    def __init__(self, socket: Socket) -> None:
        self.socket: Any = socket
        self.connected = 1
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0
        self.dataBuffer = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self._tempDataBuffer.append(data)

    def drain(self) -> None:
        """Write what waits, as the reactor does once the socket has room."""
        waiting = b"".join(self._tempDataBuffer)
        self._tempDataBuffer.clear()
        assert self.socket.send(waiting) == len(waiting)


class Part:
    """One of Twisted's objects."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def opened(socket: Socket, *, chunked: bool = True) -> tuple[Flow, Transport]:
    """Return the open response of a client with this socket."""
    transport = Transport(socket)
    channel = Part(write=transport.write)
    request: Any = Part(
        channel=channel,
        chunked=chunked,
        _disconnected=False,
        registerProducer=lambda *_: None,
        unregisterProducer=lambda: None,
    )
    flow = Flow(request, ClientConnection(transport, lambda: None))
    flow.open()
    return flow, transport
