"""What one TCP connection holds of the streams that it carries.

It outlives them: a stream may have ended while the last bytes of it still wait here for a client that reads nothing.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

FORGET_SECONDS = 1.0
"""After a change of the redaction list, a client has so long to take what is on its way to it (3 s for all of it)."""


class ClientConnection:
    """Counts what leaves Twisted's transport. One that is not plain TCP is not seen into, and counts as empty.

    Bytes leave in the order in which they were written, so what a keep-alive connection carries after a stream
    changes nothing in what is said here.
    """

    __slots__ = ("_on_cut", "_transport", "_write_some", "expected", "sent", "tcp")

    def __init__(self, transport: Any, on_cut: Callable[[], None]) -> None:
        self.sent = 0
        """Bytes that the kernel has taken out of the transport."""
        self.expected = 0
        """`gone` gets so far when all that was written of streams, and of a chunk that is being written, has left."""
        self._transport = transport
        self._on_cut = on_cut
        self.tcp: Connection | None = None
        """The transport, where it may be written to directly: a TLS transport must not be bypassed."""
        if isinstance(transport, Connection) and not getattr(transport, "TLS", False):
            self.tcp = transport
            self._write_some = transport.writeSomeData
            transport.writeSomeData = self._write_some_data

    def close(self) -> None:
        """The connection has ended."""
        if self.tcp is not None:
            del self.tcp.writeSomeData  # which held a cycle
            self.tcp = None
        self.sent = self.expected

    @property
    def is_clear(self) -> bool:
        """Whether nothing of a stream waits in this process."""
        return self.sent >= self.expected

    @property
    def is_flushed(self) -> bool:
        """Whether nothing at all waits in this process."""
        return self.tcp is None or not (self.tcp.dataBuffer or self.tcp._tempDataBuffer)

    def expect(self, nbytes: int) -> None:
        """So many bytes of a stream will be written next."""
        transport = self.tcp
        if transport is not None:
            waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
            self.expected = self.sent + waiting + nbytes

    def forget(self) -> None:
        """The redaction list has changed: what is still here a moment later must not be sent any more."""
        if not self.is_clear:
            asyncio.get_running_loop().call_later(FORGET_SECONDS, self._cut_unless_sent, self.expected)

    def abort(self) -> None:
        """Close the connection at once; what is unsent, in the kernel also, is thrown away."""
        self._transport.abortConnection()

    @property
    def is_reset(self) -> bool:
        """Whether the connection has ended in both directions, as by a reset, though Twisted may not know it yet."""
        if self.tcp is None or not self.tcp.connected:
            return False
        poll = select.poll()
        poll.register(self.tcp.fileno(), 0)
        return bool(poll.poll(0))

    def close_connection(self) -> None:
        """Close it now, in order; what is unsent in this process is dropped."""
        if self.tcp is not None:
            self.tcp.connectionLost(Failure(ConnectionDone()))
        else:
            self.abort()

    def _cut_unless_sent(self, expected: int) -> None:
        if self.sent < expected:
            self._on_cut()
            self.abort()

    def _write_some_data(self, data: bytes) -> Any:
        sent = self._write_some(data)
        if isinstance(sent, int):
            self.sent += sent
        return sent
