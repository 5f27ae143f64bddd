"""Headers of every answer, CORS and OPTIONS: one ASGI layer around the whole service.

Source: wire contract, "Routes"; Fetch standard, CORS protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from streams.core.filters import Filter, shortened
from streams.core.formats import iso_time
from streams.core.positions import Gap, gaps_json
from streams.http.problems import ALLOWED_METHODS
from streams.http.requests import StreamRequest

Headers = list[tuple[bytes, bytes]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

_POLICY = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
PAGE_POLICY = f"{_POLICY}; img-src 'self' data:"
"""For the documentation: the styles of Swagger UI contain small images."""
SECURITY = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"Content-Security-Policy", _POLICY.encode()),
)
"""On every answer that does not set its own."""
CORS_HEADERS = b"Accept, Last-Event-ID, X-Requested-With, Content-Type, Cache-Control, Api-User-Agent, User-Agent"
"""Wikimedia's User-Agent policy requires the last two of tools."""
CORS_EXPOSED = b"Retry-After, EventStreams-Since, EventStreams-Gap, EventStreams-Filter"
MAX_ANSWER_BYTES = 3_500
"""Maximum bytes of all headers of an answer: nginx rejects more than 4 kB by default (proxy_buffer_size)."""
STATUS_LINE_BYTES = 60
"""Bytes reserved for the status line."""
MAX_GAP_BYTES = 1_900
"""Maximum bytes of EventStreams-Gap; the comment in the body has all gaps."""
MAX_TOLD_BYTES = 2_500
"""Maximum bytes of EventStreams-Gap and EventStreams-Filter together; the comments in the body have all of both."""
PREFLIGHT_SECONDS = b"86400"
"""Seconds for which browsers may cache the answer to a preflight."""
PRIVATE_PATHS = ("/admin/",)
"""Never answered cross-origin."""


def is_private(path: str) -> bool:
    """Return whether the path belongs to the admin."""
    return path.startswith(PRIVATE_PATHS) or path == "/admin"


def common_headers(path: str, cors: bytes) -> Headers:
    """Return the headers of every answer; `cors` is the value of Access-Control-Allow-Origin, b"" for none."""
    headers = [*SECURITY]
    if cors and not is_private(path):
        headers += [
            (b"Access-Control-Allow-Origin", cors),
            (b"Access-Control-Expose-Headers", CORS_EXPOSED),
        ]
        if cors != b"*":
            headers.append((b"Vary", b"Origin"))
    return headers


def stream_headers(request: StreamRequest) -> Headers:
    """Return the headers of every stream, also of one that only tells an error."""
    return [
        (b"Content-Type", request.format.content_type.encode()),
        (b"Cache-Control", b"no-cache"),
        *vary(request),
        (b"X-Accel-Buffering", b"no"),
    ]


def vary(request: StreamRequest) -> Headers:
    """Return which headers of the request an answer depends on."""
    return [(b"Vary", b"Accept, Accept-Encoding" if request.may_be_compressed else b"Accept")]


def encoding_header(request: StreamRequest) -> Headers:
    """Return how a stream is compressed, if it is."""
    coding = request.coding()
    return [] if coding is None else [(b"Content-Encoding", coding.encode())]


def told_headers(since: int | None, gaps: Collection[Gap], wanted: Filter) -> Headers:
    """Return the headers of a stream that say how its request was understood; `since` in ms, where it decides."""
    headers = []
    if since is not None:
        headers.append((b"EventStreams-Since", iso_time(since).encode()))
    room = MAX_TOLD_BYTES
    if gaps:
        told = gaps_json(gaps, MAX_GAP_BYTES)
        headers.append((b"EventStreams-Gap", told))
        room -= len(told)
    if wanted:
        headers.append((b"EventStreams-Filter", shortened(wanted.text, room).encode()))
    return headers


def _bounded(headers: Headers) -> Headers:
    """Return the headers, without the query of a redirect's Location if proxies would reject them as too long."""
    if sum(len(name) + len(value) + 4 for name, value in headers) < MAX_ANSWER_BYTES - STATUS_LINE_BYTES:
        return headers
    return [(name, value.partition(b"?")[0] if name.lower() == b"location" else value) for name, value in headers]


class CommonHeaders:
    """Adds these headers; `cors` is the value of Access-Control-Allow-Origin, "" for none."""

    def __init__(self, app: ASGIApp, cors: str) -> None:
        self._app = app
        self._cors = cors.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer OPTIONS, and let the application answer all else, with these headers."""
        path = scope["path"]
        extra = common_headers(path, self._cors)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", [])
                names = {name.lower() for name, _ in given}
                more = [header for header in extra if header[0].lower() not in names or header[0] == b"Vary"]
                message = {**message, "headers": _bounded([*given, *more])}
            await send(message)

        if scope["method"] == "OPTIONS" and not is_private(path):
            await self._options(send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    async def _options(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        headers = [(b"Allow", ALLOWED_METHODS)]
        if self._cors:
            headers += [
                (b"Access-Control-Allow-Methods", ALLOWED_METHODS),
                (b"Access-Control-Allow-Headers", CORS_HEADERS),
                (b"Access-Control-Max-Age", PREFLIGHT_SECONDS),
            ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
