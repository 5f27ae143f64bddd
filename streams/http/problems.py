"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable

from streams.core.errors import EventStreamsError, TooManyRequests, Unavailable
from streams.http.requests import StreamRequest

PROBLEM_TYPE = b"application/problem+json"
ALLOWED_METHODS = b"GET, HEAD, OPTIONS"


VARY = ((b"Vary", b"Accept"),)


def problem_headers(
    error: EventStreamsError, length: int, vary: Iterable[tuple[bytes, bytes]] = VARY
) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error's answer, whose body has `length` bytes."""
    headers = [
        (b"Content-Type", PROBLEM_TYPE),
        (b"Content-Length", str(length).encode()),
        (b"Cache-Control", b"no-store"),
        *vary,
    ]
    if error.retry_after is not None:
        headers.append((b"Retry-After", str(error.retry_after).encode()))
    if error.status == 405:
        headers.append((b"Allow", ALLOWED_METHODS))
    return headers


def may_be_told_by_event(error: EventStreamsError, request: StreamRequest) -> bool:
    """Return whether a client that connects gets the error as an event: it then reconnects."""
    is_soft = isinstance(error, Unavailable) or (isinstance(error, TooManyRequests) and request.has_id)
    return is_soft and request.may_be_told_by_event and request.method == "GET"
