"""Writes one streaming response at the pace of its client's socket.

Daphne's `send()` never waits: the process would buffer everything for a client that reads nothing. Twisted tells a push
producer when the socket's buffer is full and when it is empty again; `Flow` makes that awaitable.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from twisted.web.http_headers import Headers
from zope.interface import implementer

from eventstreams_site.server.connection import ClientConnection
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Send, Share, Sink
from streams.http.service import ClientGone
from streams.http.stalls import CUT_SECONDS

SLICE_BYTES = 64 * 1024
"""Maximum bytes of a large event that are given to the transport at a time."""
MAX_WRITE_BYTES = 80 * 1024
"""Maximum bytes of a chunk that is given to the transport whole, as nearly all are. The stream can then end at any
time, not only after its client has taken the rest of a chunk."""
FULL_BYTES = 4 * 1024
"""Bytes from which a transport counts as full; Twisted's own bound is 64 kB."""
UNSENT_BYTES = 64 * 1024
"""Maximum unsent bytes that the kernel keeps for a client (TCP_NOTSENT_LOWAT); otherwise 4 MB."""
DEAD_PEER_MS = int(CUT_SECONDS * 1000)
"""Milliseconds without an acknowledgement after which a connection is closed (TCP_USER_TIMEOUT, RFC 5482)."""
BYTES_ACKED = struct.Struct("120x Q")
"""What of the kernel's `struct tcp_info` says how many bytes the peer has acknowledged (tcpi_bytes_acked)."""


_NO_HEADERS = Headers()


class ChunkedShare(Share):
    """What is written to all sockets as the same HTTP chunks."""

    __slots__ = ("events", "nbytes")

    def __init__(self) -> None:
        self.events = self.nbytes = 0
        """What each member has had, if it was there from the beginning."""

    def fits(self, other: Share) -> bool:
        """See Share."""
        return isinstance(other, ChunkedShare)

    def data(self, chunk: Chunk) -> bytes | None:
        """See Share."""
        return _framed(chunk) if chunk.nbytes <= MAX_WRITE_BYTES else None

    def sent(self, chunk: Chunk, _members: int) -> None:
        """See Share."""
        self.events += chunk.events
        self.nbytes += chunk.nbytes


@implementer(IPushProducer)
class Flow(Sink):
    """The streaming response of one Twisted request. Call `open` after its first chunk, `close` before its last."""

    __slots__ = (
        "_connection",
        "_direct",
        "_ends_at",
        "_is_chunked",
        "_is_gone",
        "_is_open",
        "_own_bytes",
        "_own_events",
        "_request",
        "_resumed",
        "_send",
        "_share",
        "_when_gone",
        "paused",
        "paused_at",
    )

    def __init__(self, request: Any, connection: ClientConnection) -> None:
        self.paused = False
        self.paused_at = 0.0
        """When the client began to take nothing, if it is paused (time.monotonic)."""
        self._own_events = self._own_bytes = 0
        """What was given to it beside that which its share has counted."""
        self._share: ChunkedShare | None = None
        self._request = request
        self._connection = connection
        self._is_open = self._is_chunked = self._is_gone = False
        self._when_gone: Callable[[], None] | None = None
        self._ends_at: int | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._direct: Connection | None = None
        self._send: Send | None = None
        """The socket's own `send`, while all earlier bytes have left this process, as far as is known."""

    @property
    def events(self) -> int:
        """Return the number of events that were given to it."""
        return self._own_events + (self._share.events if self._share is not None else 0)

    @property
    def nbytes(self) -> int:
        """Return the bytes of its body that were given to it."""
        return self._own_bytes + (self._share.nbytes if self._share is not None else 0)

    def open(self) -> None:
        """Begin to observe the socket, and limit what the kernel buffers."""
        if self._is_open or self._request.channel is None:
            return
        self._is_open = True
        self._is_chunked = self._request.chunked
        self._request.registerProducer(self, True)
        self._request.requestHeaders = self._request.responseHeaders = _NO_HEADERS  # they have been read and sent
        self._request.content = None
        for each in (self._request, self._request.channel):
            _shrink(each)
        self._direct = self._connection.tcp
        if self._direct is not None:
            self._direct.bufferSize = FULL_BYTES
            with contextlib.suppress(OSError):
                handle = self._direct.getHandle()
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25), UNSENT_BYTES)
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)

    def close(self) -> None:
        """End the observation; all but the last chunk is written."""
        if self._is_open:
            self._is_open = False
            self._send = None
            self._ends_at = self._connection.expected
            if self._request.channel is not None:
                self._request.unregisterProducer()

    def stay_open(self) -> bool:
        """From now on, treat the end of the client's input as its leaving; return False if that has already ended."""
        self._request.is_endless = True
        return self._request.channel is not None and not self._request.channel.input_has_ended

    def when_gone(self, call: Callable[[], None] | None) -> None:
        """Call this, soon, once the client has disconnected; None: nothing."""
        self._when_gone = call
        if self._is_gone:
            self.gone()

    def gone(self) -> None:
        """Note that the client has disconnected, or has its whole answer."""
        self._is_gone = True
        asyncio.get_running_loop().call_soon(self._tell_gone)

    def _tell_gone(self) -> None:
        call, self._when_gone = self._when_gone, None
        if call is not None:
            call()

    async def resumed(self) -> None:
        """Wait until the client takes more."""
        while self.paused:
            if self._resumed is None:
                self._resumed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._resumed)

    async def write(self, parts: tuple[bytes, ...], events: int = 0) -> None:
        """Write one HTTP chunk; return once at most a slice of it waits in this process. Raises ClientGone."""
        size = sum(map(len, parts))
        self._own_events += events
        self._own_bytes += size
        head, tail = (b"%x\r\n" % size, b"\r\n") if self._request.chunked else (b"", b"")
        self._connection.expect(len(head) + size + len(tail))
        if size <= MAX_WRITE_BYTES:
            self._put(memoryview(b"".join((head, *parts, tail))))
            return
        for piece in (head, *parts, tail):
            view = memoryview(piece)
            for start in range(0, len(piece), SLICE_BYTES):
                await self.resumed()
                self._put(view[start : start + SLICE_BYTES])

    def try_write(self, chunk: Chunk) -> bool:
        """Write one HTTP chunk directly to the socket; return False, with nothing written, if that is impossible now.

        What the socket does not take waits in the transport.
        """
        send, data = self._send, chunk.framed
        if send is None:
            if (found := self._prepare(chunk)) is None:
                return False
            send, data = found
        elif data is None:
            if chunk.nbytes > MAX_WRITE_BYTES:
                return False
            data = _framed(chunk)
        try:
            sent = send(data)
        except OSError:  # full or closed: the pull loop finds out
            return False
        self._own_events += chunk.events
        self._own_bytes += chunk.nbytes
        return sent == len(data) or self.put_rest(data, sent)

    def share(self) -> Share | None:
        """See Sink."""
        return ChunkedShare() if self._send is not None else None

    def join(self, share: Share) -> Send:
        """See Sink."""
        assert self._send is not None  # it has a share
        assert isinstance(share, ChunkedShare)  # which this fits
        self._share = share
        self._own_events -= share.events
        self._own_bytes -= share.nbytes
        return self._send

    def part(self) -> None:
        """See Sink."""
        self._own_events, self._own_bytes = self.events, self.nbytes
        self._share = None

    def _prepare(self, chunk: Chunk) -> tuple[Send, bytes] | None:
        """Return how to write, and what: the chunk, framed for all clients; None if it cannot be written directly now.

        How to write is kept, and what waits in the transport is not looked at again: while this is open, nobody else
        writes there.
        """
        transport = self._direct
        if transport is None or chunk.nbytes > MAX_WRITE_BYTES:
            return None
        if not self._is_open or self.paused or not _is_empty(transport):
            return None
        send: Send = transport.socket.send
        if not self._is_chunked:
            return send, b"".join(chunk.parts)
        self._send = send
        return send, _framed(chunk)

    def put_rest(self, data: bytes, taken: int) -> bool:
        """See Sink."""
        self._connection.expect(len(data) - taken)
        try:
            self._put(memoryview(data)[taken:])
        except ClientGone:
            return False
        return True

    @property
    def is_over(self) -> bool:
        """Return whether the response has ended and all of it has left this process."""
        return self._ends_at is not None and self._connection.sent >= self._ends_at

    @property
    def taken(self) -> int | None:
        """Return the bytes that the client's system has acknowledged; None if none wait for it, or if nobody knows."""
        if not self.paused or self._direct is None:
            return None
        try:
            told = self._direct.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.size)
            return int(BYTES_ACKED.unpack(told)[0])
        except (OSError, struct.error):  # the connection has ended; an old kernel
            return None

    def abort(self) -> None:
        """Close the connection at once; what is unsent, in the kernel also, is thrown away."""
        self._connection.abort()

    def _put(self, data: memoryview) -> None:
        channel = self._request.channel
        if channel is None or self._request._disconnected:
            raise ClientGone
        transport = self._direct
        if transport is not None and not self.paused and _is_empty(transport):
            sent = transport.writeSomeData(data)
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
        self._send = None
        try:
            channel.write(bytes(data))
        except RuntimeError:
            if not self._connection.is_reset:
                raise
            raise reset_by_peer(self._request) from None

    # Twisted's IPushProducer.

    def pauseProducing(self) -> None:  # noqa: N802
        """Pause: the buffer is full."""
        self.paused = True
        self._send = None
        self.paused_at = time.monotonic()

    def resumeProducing(self) -> None:  # noqa: N802
        """Resume: the buffer is empty."""
        self.paused = False
        if self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

    def stopProducing(self) -> None:  # noqa: N802
        """Resume: the client has left, as the next write finds out."""
        self.resumeProducing()


def reset_by_peer(request: Any) -> ClientGone:
    """Abort a connection that its peer has reset, and return the error to raise.

    uvloop closes its handle of such a socket without informing Twisted, and raises RuntimeError at the next write.
    """
    if request.channel is not None:
        request.channel.forceAbortClient()
    return ClientGone()


def _framed(chunk: Chunk) -> bytes:
    """Return the chunk as an HTTP chunk, which it keeps for all clients."""
    if chunk.framed is None:
        chunk.framed = b"".join((b"%x\r\n" % chunk.nbytes, *chunk.parts, b"\r\n"))
    return chunk.framed


def _is_empty(transport: Connection) -> bool:
    """Return whether the kernel has taken all earlier bytes: a direct write must not overtake them."""
    return (
        transport.connected
        and not transport.disconnecting
        and not transport.dataBuffer
        and not transport._tempDataBuffer
    )


def _shrink(thing: Any) -> None:
    """Drop the attributes that are as its class has them, and the room for more: a stream has them for days."""
    kind = type(thing)
    thing.__dict__ = {name: value for name, value in vars(thing).items() if getattr(kind, name, thing) is not value}
