"""Turns a request that Twisted has read into an ASGI scope, and answers requests that no application sees."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from urllib.parse import unquote

from daphne.http_protocol import WebRequest

from streams.core.errors import BadRequest, ContentTooLarge, EventStreamsError, InternalError
from streams.http.headers import common_headers
from streams.http.prefix import below, page
from streams.http.problems import problem_headers
from streams.http.service import EdgeSettings


class StreamRequest(WebRequest):
    """One HTTP request."""

    is_endless = False
    """The answer is a stream that has begun: a client that ends its input has then left."""
    _body_bytes = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Read a part of the body, within bounds (Twisted)."""
        self._body_bytes += len(data)
        if self._body_bytes > self.channel.body_limit:  # a chunked body, whose length is unknown until its end
            self.channel.refuse(ContentTooLarge(self.channel.body_limit))
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        """Start the application; Twisted would first parse forms (Twisted)."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query_string = path.partition(b"?")
        self.content.seek(0)
        self.process()

    def process(self) -> None:
        """Start the application.

        Daphne's own method would refuse bytes such as 0x85 in headers, begin a WebSocket if a client asks for an
        upgrade (which may be ignored: RFC 9110, 7.8), and take `root_path` from a header that any client may send.
        """
        self.request_start = time.time()
        self.client_addr, server_addr = (
            [str(address.host), address.port] if hasattr(address, "port") else None
            for address in (self.client, self.host)
        )
        scope = {
            "type": "http",
            "http_version": self.clientproto.partition(b"/")[2].decode(),
            "method": self.method.decode(),
            "path": unquote(self.path.decode()),
            "raw_path": self.path,
            "root_path": "",
            "scheme": "https" if self.isSecure() else "http",
            "query_string": self.query_string,
            # A name with an underscore could pass for one with a hyphen (CVE-2015-0219).
            "headers": [
                (name.lower(), value)
                for name, values in self.requestHeaders.getAllRawHeaders()
                if b"_" not in name
                for value in values
            ],
            "client": self.client_addr,
            "server": server_addr,
        }
        self.application_queue = self.server.create_application(self, scope)
        self.application_queue.put_nowait({"type": "http.request", "body": self.content.read(), "more_body": False})

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:  # noqa: N802
        """Set the status with its phrase; Twisted does not know all phrases."""
        super().setResponseCode(code, message or phrase(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:  # noqa: ARG002 (Daphne's)
        """Answer instead of an application that has failed; Daphne would send its own page."""
        if self._response_started:
            self.channel.forceAbortClient()
            return
        error = InternalError() if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest(body)
        headers, content = refusal(error, self.method, self.uri, self.server.service.settings)
        self.handle_reply({"type": "http.response.start", "status": error.status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": content})


def refusal(
    error: EventStreamsError, method: bytes, target: bytes, settings: EdgeSettings
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of the answer to a request that no application sees."""
    body = json.dumps(error.problem(method.decode("latin-1"), target.decode("latin-1"))).encode()
    return [
        *problem_headers(error, len(body)),
        *common_headers(path_of(target, settings.url_prefix), settings.cors.encode()),
    ], body


def page_too_large(target: bytes, prefix: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body for an upload in the admin that is too large: a browser shows the answer."""
    body = page("413.html", {}, prefix).encode()
    headers = [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
    ]
    return [*headers, *common_headers(path_of(target, prefix), b"")], body


def path_of(target: bytes, prefix: str) -> str:
    """Return the decoded path of a request's target, without the prefix (`url_prefix`)."""
    return below(prefix, unquote(origin_form(target).partition(b"?")[0].decode("latin-1")))


def origin_form(target: bytes) -> bytes:
    """Return a request's target without scheme and host: it may be a whole URL (RFC 9112, 3.2.2)."""
    for scheme in (b"http://", b"https://"):
        if target.lower().startswith(scheme):
            _, slash, rest = target[len(scheme) :].partition(b"/")
            return slash + rest or b"/"
    return target


def phrase(status: int) -> bytes:
    """Return the reason phrase of a status."""
    return HTTPStatus(status).phrase.encode()
