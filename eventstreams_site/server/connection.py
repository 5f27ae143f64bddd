"""Counts what one TCP connection has still to send of its streams.

It outlives them: a stream may have ended while its last bytes still wait here for a client that reads nothing.
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
"""Seconds after a change of the redaction list in which a client must take what is on its way to it. (A change must be
complete after 3 s.)"""


class ClientConnection:
    """Counts the bytes that leave Twisted's transport. A transport other than plain TCP counts as empty.

    Bytes leave in the order in which they were written, so later answers on a keep-alive connection do not change
    these counts.
    """

    __slots__ = ("_on_cut", "_transport", "_write_some", "expected", "sent", "tcp")

    def __init__(self, transport: Any, on_cut: Callable[[], None]) -> None:
        self.sent = 0
        """Bytes that the kernel has taken from the transport."""
        self.expected = 0
        """The value of `sent` once all bytes of streams, including the chunk being written, have left."""
        self._transport = transport
        self._on_cut = on_cut
        self.tcp: Connection | None = None
        """The transport, if it may be written to directly: a TLS transport must not be bypassed."""
        if isinstance(transport, Connection) and not getattr(transport, "TLS", False):
            self.tcp = transport
            self._write_some = transport.writeSomeData
            transport.writeSomeData = self._write_some_data

    def close(self) -> None:
        """Clean up after the connection has ended."""
        if self.tcp is not None:
            del self.tcp.writeSomeData  # which held a cycle
            self.tcp = None
        self.sent = self.expected

    @property
    def is_clear(self) -> bool:
        """Return whether no bytes of a stream wait in this process."""
        return self.sent >= self.expected

    @property
    def is_flushed(self) -> bool:
        """Return whether no bytes wait in this process."""
        return self.tcp is None or not (self.tcp.dataBuffer or self.tcp._tempDataBuffer)

    def expect(self, nbytes: int) -> None:
        """Expect that `nbytes` bytes of a stream are written next."""
        transport = self.tcp
        if transport is not None:
            waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
            self.expected = self.sent + waiting + nbytes

    def forget(self) -> None:
        """Abort the connection if its present bytes are not sent within FORGET_SECONDS: the list has changed."""
        if not self.is_clear:
            asyncio.get_running_loop().call_later(FORGET_SECONDS, self._cut_unless_sent, self.expected)

    def abort(self) -> None:
        """Close the connection at once; unsent bytes, also in the kernel, are dropped."""
        self._transport.abortConnection()

    @property
    def is_reset(self) -> bool:
        """Return whether both directions have ended, as by a reset, even if Twisted does not know yet."""
        if self.tcp is None or not self.tcp.connected:
            return False
        poll = select.poll()
        poll.register(self.tcp.fileno(), 0)
        return bool(poll.poll(0))

    def close_connection(self) -> None:
        """Close it now, without a reset; unsent bytes in this process are dropped."""
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
