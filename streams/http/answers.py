"""Answers from memory: status, headers and bytes, sent on the event loop without Django and without a thread.

Source: RFC 9110, "Conditional Requests" (304) and "Accept-Encoding".
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.http import parse_etags

from streams.core.errors import EventStreamsError
from streams.http.negotiation import admitted
from streams.http.problems import problem_headers
from streams.http.requests import FLOW_EXTENSION, Scope, header, request_uri

SLICE_BYTES = 16 * 1024
"""Maximum bytes of a body that the transport holds at a time: a client that reads nothing costs no more memory."""
STALL_SECONDS = 30.0
"""Seconds without room in the client's socket after which the connection is closed."""
LONGEST_HEADER = 1_000
"""Maximum characters of a header that are parsed: parsing 64 kB would block the event loop."""

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
SAME_ORIGIN = (("Referrer-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"))
"""The same headers that Django's SecurityMiddleware sets in the admin."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Body:
    """A representation, plain and compressed; `etag` is weak, so that both share it."""

    plain: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, plain: bytes) -> Body:
        """Return the body with its compressed form and its ETag."""
        return cls(plain, gzip.compress(plain, 6, mtime=0), f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. A `Body` is sent compressed to clients that accept gzip, and as 304 to those that have it."""

    status: int
    content: bytes | Body
    headers: Headers


def answer(
    content: bytes | Body, content_type: str, *more: tuple[str, str], status: int = 200, cache: str = "no-store"
) -> Answer:
    """Return an answer; `cache` is the value of Cache-Control, `more` are further headers."""
    return Answer(status, content, (("Content-Type", content_type), ("Cache-Control", cache), *more))


def json_answer(value: Any, *, status: int = 200) -> Answer:
    """Return an answer in JSON."""
    return answer(json.dumps(value).encode(), JSON, status=status)


def redirect(status: int, location: str) -> Answer:
    """Return a redirect."""
    return Answer(status, b"", (("Content-Type", HTML), ("Location", location)))


def problem(scope: Scope, error: EventStreamsError) -> Answer:
    """Return the error as application/problem+json."""
    body = json.dumps(error.problem(scope["method"], request_uri(scope))).encode()
    given = ((name.decode(), value.decode()) for name, value in problem_headers(error, len(body)))
    return Answer(error.status, body, tuple(each for each in given if each[0] != "Content-Length"))


def wants_page(scope: Scope) -> bool:
    """Return whether the client accepts HTML, as browsers do."""
    return "text/html" in looked_at(scope, b"accept")


def looked_at(scope: Scope, name: bytes) -> str:
    """Return at most LONGEST_HEADER characters of a request header, "" if there is none."""
    return (header(scope, name) or "")[:LONGEST_HEADER]


async def send_answer(scope: Scope, send: Callable[[Any], Awaitable[None]], given: Answer) -> None:
    """Send an answer, without its body for HEAD.

    A client that stops reading is disconnected after STALL_SECONDS. That a client has disconnected is not an error.
    """
    status, headers, content = given.status, list(given.headers), given.content
    if isinstance(content, Body):
        headers.append(("ETag", content.etag))
        varies = [value for name, value in headers if name == "Vary"]
        headers = [each for each in headers if each[0] != "Vary"] + [("Vary", ", ".join([*varies, "Accept-Encoding"]))]
        if _has_it(scope, content.etag):
            status, body = 304, b""
        elif admitted(looked_at(scope, b"accept-encoding"), ("gzip",)):
            body = content.gzipped
            headers.append(("Content-Encoding", "gzip"))
        else:
            body = content.plain
    else:
        body = content
    if status != 304:
        headers.append(("Content-Length", str(len(body))))
    start = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*headers, *SAME_ORIGIN)]
    with contextlib.suppress(OSError):  # ClientGone; plain ASGI servers raise others
        if len(body) > SLICE_BYTES:
            await asyncio.sleep(0)  # clients that have disconnected meanwhile are noticed
        await send({"type": "http.response.start", "status": status, "headers": start})
        await _send_body(scope, send, b"" if scope["method"] == "HEAD" else body)


def _has_it(scope: Scope, etag: str) -> bool:
    known = parse_etags(looked_at(scope, b"if-none-match"))
    return "*" in known or etag.removeprefix("W/") in {each.removeprefix("W/") for each in known}


async def _send_body(scope: Scope, send: Callable[[Any], Awaitable[None]], body: bytes) -> None:
    flow = scope.get("extensions", {}).get(FLOW_EXTENSION)
    if flow is None or len(body) <= SLICE_BYTES:
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.body", "body": body[:SLICE_BYTES], "more_body": True})
    for piece in _slices(body, SLICE_BYTES):
        await asyncio.sleep(0)  # let other tasks run
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await flow.resumed()
        except TimeoutError:
            flow.abort()
            await flow.resumed()  # returns when the connection has closed
            return
        await flow.write((piece,))
    await send({"type": "http.response.body", "body": b""})


def _slices(body: bytes, start: int) -> Iterable[bytes]:
    return (body[at : at + SLICE_BYTES] for at in range(start, len(body), SLICE_BYTES))
