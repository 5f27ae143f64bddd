"""One HTTP connection: reads requests, and refuses those that are too large, too slow or invalid.

A refusal has the headers of every answer; no application sees the request.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from daphne.http_protocol import HTTPFactory
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from eventstreams_site.gate.gate import says_it_has_session
from eventstreams_site.server.connection import ClientConnection
from eventstreams_site.server.request import StreamRequest, page_too_large, path_of, phrase, refusal
from streams.core.errors import (
    BadRequest,
    ContentTooLarge,
    EventStreamsError,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    RequestTimeout,
    UriTooLong,
)
from streams.http.headers import is_private

log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 * 1024
"""Maximum bytes of a request line with all headers: an id of many partitions is long."""
MAX_HEADER_LINES = 500
"""Maximum number of headers of a request."""
PUBLIC_BODY_BYTES = 16 * 1024
"""Maximum bytes of a body for public routes, which ignore it. The admin has the same limit for requests without a
session: the form of its login is small."""
ADMIN_BODY_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a body for the admin: imports have at most 1 MiB (redaction/imports/lists.py) and form data."""
REQUEST_SECONDS = 30.0
"""Maximum seconds from the first byte of a request to its last; the idle timer restarts with every byte."""
LINGER_SECONDS = 2.0
"""Seconds that a refused client may continue to send: closing at once would reset its answer (RFC 9112, 9.6)."""
HALF_CLOSED_SECONDS = 5.0
"""Maximum seconds for answering a client that has ended its input: it may have left."""
RESET_CHECK_SECONDS = 1.0
"""Seconds between two checks whether such a client has reset its connection."""

_CONTROLS = bytes(code for code in (*range(32), 127) if code != ord("\t"))
"""No header may hold these (RFC 9110, 5.5); bytes from 0x80 on are taken as they are."""
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


@implementer(IHalfCloseableProtocol)
class StreamChannel(HTTPChannel):
    """A connection that accepts long request lines and headers, but no large or slow requests."""

    MAX_LENGTH = MAX_HEADER_BYTES
    totalHeadersSize = MAX_HEADER_BYTES  # noqa: N815 (Twisted's name)
    connection: ClientConnection
    _dataBuffer: list[bytes]  # noqa: N815
    body_limit = PUBLIC_BODY_BYTES
    input_has_ended = False
    """The client has ended its input, and may still wait for an answer (`nc -N`)."""
    _deadline: Any = None
    _reset_check: Any = None
    _header_lines = 0
    _ignores_input = False
    """Further bytes are not read."""

    @property
    def _service(self) -> Any:
        return self.factory.server.service

    def connectionMade(self) -> None:  # noqa: N802
        """Begin (Twisted)."""
        super().connectionMade()
        self.connection = ClientConnection(self.transport, self._service.metrics.cut.inc)
        self._service.connections.add(self.connection)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        """Clean up (Twisted)."""
        self._service.connections.discard(self.connection)
        self.factory.server.connection_ended()
        self.connection.close()
        self._stop_clock()
        if self._reset_check is not None and self._reset_check.active():
            self._reset_check.cancel()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Read a part of a request, and notice a reset that came with it (Twisted)."""
        if not self._ignores_input:
            self._read(data)
        if self._abortingCall is None and self.connection.is_reset:
            # A reset is reported once. If there was something to read before it, uvloop closes its handle and never
            # informs Twisted.
            self.connection.abort()

    def _read(self, data: bytes) -> None:
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self.callLater(REQUEST_SECONDS, self._give_up)
        try:
            super().dataReceived(data)
        except Exception:
            self.factory.server.faults.report("A request could not be read")
            self.refuse(InternalError())

    def readConnectionLost(self) -> None:  # noqa: N802
        """Note that the client has ended its input; called again when reading resumes after an answer (Twisted)."""
        self.input_has_ended = True
        if self._handlingRequest:
            if self.requests and self.requests[0].is_endless:
                self.connection.close_connection()
            elif self._reset_check is None:
                self._check_for_reset(HALF_CLOSED_SECONDS)
        elif (self.requests or self._buffer) and not self._ignores_input:
            self.refuse(BadRequest("The request ended before it was complete"))
        else:
            self.loseConnection()

    def _check_for_reset(self, seconds: float) -> None:
        """Close the connection once it is reset, or after `seconds`: nothing is read, so nothing else would notice."""
        if seconds <= 0 or self.connection.is_reset:
            self.connection.close_connection()
        else:
            self._reset_check = self.callLater(
                RESET_CHECK_SECONDS, self._check_for_reset, seconds - RESET_CHECK_SECONDS
            )

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Do nothing: after a refusal, the client has LINGER_SECONDS to close (Twisted)."""

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        """Read the request line or a header, within bounds (Twisted)."""
        is_first = not hasattr(self, "_command")
        if is_first:
            # Twisted accepts some of these bytes, Daphne none; percent-encoding keeps the target's meaning.
            line = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)
        else:
            self._header_lines += 1
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.lineLengthExceeded(line)
        elif self._header_lines > MAX_HEADER_LINES + 1:  # with the empty one that ends them
            self.refuse(HeadersTooLarge(f"{MAX_HEADER_LINES} lines"))
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802
        """Refuse a line that is too long (Twisted)."""
        if hasattr(self, "_command"):
            self.refuse(HeadersTooLarge(f"{MAX_HEADER_BYTES} bytes"))
        else:
            self.refuse(UriTooLong(MAX_HEADER_BYTES))

    def headerReceived(self, line: bytes) -> bool:  # noqa: N802
        """Read a header; return False if the request is refused (Twisted)."""
        if len(line.translate(None, _CONTROLS)) != len(line):
            self.refuse(BadRequest("A header has a control character"))
            return False
        try:
            received: bool = super().headerReceived(line)
        except ValueError:  # a length of thousands of digits
            self.refuse(BadRequest("A header cannot be read"))
            return False
        return received

    def allHeadersReceived(self) -> None:  # noqa: N802
        """Refuse CONNECT and bodies that are too long (Twisted)."""
        cookies = self.requests[-1].requestHeaders.getRawHeaders(b"cookie", [])
        is_admin = is_private(path_of(self._path, self._service.settings.url_prefix)) and says_it_has_session(cookies)
        self.body_limit = ADMIN_BODY_BYTES if is_admin else PUBLIC_BODY_BYTES
        if self._command == b"CONNECT":
            self.refuse(MethodNotAllowed("CONNECT"))
        elif self.length is not None and self.length > self.body_limit:
            self.refuse(ContentTooLarge(self.body_limit))
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        """Read a part of a body (Twisted)."""
        if self._ignores_input:
            return
        if self._handlingRequest and sum(map(len, self._dataBuffer)) + len(data) > self._optimisticEagerReadSize:
            # Twisted would read no further, and not notice that the client leaves. The answer is still sent.
            self._ignores_input = True
            self.persistent = False
            self._dataBuffer = []
            return
        super().rawDataReceived(data)

    def allContentReceived(self) -> None:  # noqa: N802
        """Pass a complete request on (Twisted)."""
        self._stop_clock()
        self._header_lines = 0
        if not self._ignores_input:
            super().allContentReceived()

    def refuse(self, error: EventStreamsError) -> None:
        """Answer instead of an application, and close the connection."""
        if self._ignores_input:
            return
        self._ignores_input = True
        self._service.metrics.errors.labels(error.type).inc()
        self._stop_clock()
        self.setTimeout(None)
        self.setRawMode()
        command, target = getattr(self, "_command", b""), getattr(self, "_path", b"")
        settings = self._service.settings
        headers, body = refusal(error, command, target, settings)
        is_admin = is_private(path_of(target, settings.url_prefix))
        if isinstance(error, ContentTooLarge) and is_admin and self._is_browser():
            headers, body = page_too_large(target, settings.url_prefix)
        lines = b"".join(b"%s: %s\r\n" % header for header in (*headers, (b"Connection", b"close")))
        if command == b"HEAD":
            body = b""
        self._abortingCall = self.callLater(LINGER_SECONDS, self.forceAbortClient)
        try:
            self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (error.status, phrase(error.status), lines, body))
            if self.input_has_ended:
                self.loseConnection()
            else:
                self.transport.loseWriteConnection()
        except RuntimeError:  # uvloop's, which has closed its handle of a connection that was reset
            self.connection.abort()

    def _is_browser(self) -> bool:
        accepted = self.requests[-1].requestHeaders.getRawHeaders(b"accept", []) if self.requests else []
        return any(b"text/html" in each for each in accepted)

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802
        self.refuse(BadRequest())

    def _give_up(self) -> None:
        self._deadline = None
        if self.requests or self._buffer:
            self.refuse(RequestTimeout(REQUEST_SECONDS))
        else:  # an empty line, after which nothing came
            self.loseConnection()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class StreamFactory(HTTPFactory):
    """Makes a channel for each connection."""

    protocol = StreamChannel

    def log(self, request: Any) -> None:
        """Do nothing: Twisted would log each request."""

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        """Return the channel of a new connection (Twisted)."""
        channel = super().buildProtocol(addr)
        channel.requestFactory = StreamRequest
        return channel
