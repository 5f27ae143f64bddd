"""One HTTP connection and its requests, as far as Twisted and Daphne read them: what is too large, too slow or no
request is answered here, with the headers of every answer, and no application sees it.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.web.http import HTTPChannel

from eventstreams_site.wire import Wire
from streams.core.errors import (
    BadRequest,
    ContentTooLarge,
    EventStreamsError,
    HeadersTooLarge,
    RequestTimeout,
    UriTooLong,
)
from streams.http.headers import SECURITY, common_headers, is_private
from streams.http.problems import problem_headers

MAX_HEADER_BYTES = 64 * 1024
"""Of a request line with all headers: an id of many partitions is long."""
PUBLIC_BODY_BYTES = 16 * 1024
"""Public routes do nothing with a body: so much is read over, for who sends one all the same."""
ADMIN_BODY_BYTES = 4 * 1024 * 1024
"""Imports are of at most 1 MiB (redaction/imports.py); form data around them."""
REQUEST_SECONDS = 30.0
"""From the first byte of a request until it has to be complete; the idle timer begins anew with every byte."""
LINGER_SECONDS = 2.0
"""So long a client that was refused may go on sending: closing at once would reset its answer (RFC 9112, 9.6)."""


class StreamChannel(HTTPChannel):
    """A connection that accepts long request lines and headers, but no large or slow requests."""

    MAX_LENGTH = MAX_HEADER_BYTES
    totalHeadersSize = MAX_HEADER_BYTES  # noqa: N815 (Twisted's name)
    wire: Wire
    body_limit = PUBLIC_BODY_BYTES
    _deadline: Any = None
    _is_deaf = False
    """Whatever still comes is not looked at."""

    @property
    def _service(self) -> Any:
        return self.factory.server.service

    def connectionMade(self) -> None:  # noqa: N802
        super().connectionMade()
        self.wire = Wire(self.transport, self._service.metrics.cut.inc)
        self._service.connections.add(self.wire)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self._service.connections.discard(self.wire)
        self.wire.close()
        self._stop_clock()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        if self._is_deaf:
            return
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self.callLater(REQUEST_SECONDS, self._give_up)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.lineLengthExceeded(line)
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802
        self.refuse(HeadersTooLarge(MAX_HEADER_BYTES) if hasattr(self, "_command") else UriTooLong(MAX_HEADER_BYTES))

    def allHeadersReceived(self) -> None:  # noqa: N802
        self.body_limit = ADMIN_BODY_BYTES if is_private(path_of(self._path)) else PUBLIC_BODY_BYTES
        if self.length is not None and self.length > self.body_limit:
            self.refuse(ContentTooLarge(self.body_limit))
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        if self._is_deaf:
            return
        if self._handlingRequest and sum(map(len, self._dataBuffer)) + len(data) > self._optimisticEagerReadSize:
            # Twisted would read no further, and not notice that the client leaves. The answer is still given.
            self._is_deaf = True
            self.persistent = False
            self._dataBuffer = []
            return
        super().rawDataReceived(data)

    def allContentReceived(self) -> None:  # noqa: N802
        self._stop_clock()
        if not self._is_deaf:
            super().allContentReceived()

    def refuse(self, error: EventStreamsError) -> None:
        """Answer in the application's place, and close."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self._stop_clock()
        self.setTimeout(None)
        self.setRawMode()
        command, target = getattr(self, "_command", b""), getattr(self, "_path", b"")
        body = json.dumps(error.problem(command.decode("latin-1"), target.decode("latin-1"))).encode()
        headers = [
            *problem_headers(error, len(body)),
            *common_headers(path_of(target), self._service.settings.cors.encode()),
            (b"Connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        if command == b"HEAD":
            body = b""
        self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (error.status, phrase(error.status), lines, body))
        self.transport.loseWriteConnection()
        self._abortingCall = self.callLater(LINGER_SECONDS, self.forceAbortClient)

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


class StreamRequest(WebRequest):
    _body_bytes = 0

    def process(self) -> Any:
        # Only HTTP/1.1 is spoken here, and an upgrade may be ignored (RFC 9110, 7.8); Daphne would begin a WebSocket.
        self.requestHeaders.removeHeader(b"Upgrade")
        # Daphne would take the path's root from whoever sends this, and we are at the root.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        return super().process()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._body_bytes += len(data)
        if self._body_bytes > self.channel.body_limit:  # of chunks, which say no length beforehand
            self.channel.refuse(ContentTooLarge(self.channel.body_limit))
        else:
            super().handleContentChunk(data)

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:  # noqa: N802
        """Twisted does not know every code's phrase."""
        super().setResponseCode(code, message or phrase(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What Daphne answers by itself, where no application sees the request, has the headers of every answer."""
        for name, value in SECURITY:
            self.responseHeaders.setRawHeaders(name, [value])
        super().basic_error(status, status_text, body)


class StreamFactory(HTTPFactory):
    protocol = StreamChannel

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        channel = super().buildProtocol(addr)
        channel.requestFactory = StreamRequest
        return channel


def path_of(target: bytes) -> str:
    """The path that a request's target names, decoded."""
    return unquote(origin_form(target).partition(b"?")[0].decode("latin-1"))


def origin_form(target: bytes) -> bytes:
    """A request target may be a whole URL (RFC 9112, 3.2.2): without scheme and host."""
    for scheme in (b"http://", b"https://"):
        if target.lower().startswith(scheme):
            _, slash, rest = target[len(scheme) :].partition(b"/")
            return slash + rest or b"/"
    return target


def phrase(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()
