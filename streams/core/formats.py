"""The bytes of the two formats: SSE (WHATWG HTML, section 9.2) and newline-delimited JSON.

Source: wire contract, "The two formats" and "When something is wrong after the client has committed to SSE".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from streams.core.positions import Gap, gaps_json

SSE_START = b":ok\n\n"
NDJSON_START = b"\n"
SSE_KEEPALIVE = b":\n"
"""A comment and one newline: a comment with a blank line reaches several client libraries as an empty event."""
NDJSON_KEEPALIVE = b"\n"

ERROR_RETRY_MS = 10_000

_CYCLE_MS = 146_097 * 86_400_000
"""400 years, after which the calendar repeats itself."""


SSE_HEAD = b"event: message\nid: ["
SSE_DATA = b"]\ndata: "
SSE_ID = SSE_HEAD + b"%b" + SSE_DATA
"""Both, around the members of the id."""
SSE_TAIL = b"\n\n"
"""An event: head, the members of its id, data, its JSON, tail."""


def sse_head(ids: bytes) -> bytes:
    """Return all of an SSE event that comes before its JSON."""
    return SSE_ID % ids


def sse_start(gaps: Collection[Gap], filter_text: str) -> bytes:
    """Return the beginning of a stream, which names gaps and the filter; `filter_text` is "" without a filter."""
    said = (sse_gap(gaps) if gaps else b"", sse_filter(filter_text) if filter_text else b"")
    return SSE_START + b"".join(said)


def sse_gap(gaps: Iterable[Gap]) -> bytes:
    """Return a comment that says what is missing."""
    return b":gap %s\n" % gaps_json(gaps)


def sse_end(ids: bytes, reason: str, events: int) -> bytes:
    """Return the event that ends a stream, after `events` events; `ids` are the members of the id of its position."""
    return b'event: end\nid: [%s]\ndata: {"reason":"%s","events":%d}\n\n' % (ids, reason.encode(), events)


def sse_checkpoint(ids: bytes, now: int) -> bytes:
    """Return an event that says a position; `now` in ms."""
    return b"event: checkpoint\nid: [%s]\ndata: {%s}\n\n" % (ids, _checkpoint_meta(now))


def ndjson_checkpoint(ids: bytes, now: int) -> bytes:
    """Return the same as a line, with the id in it."""
    return b'{%s,"last_event_id":[%s]}\n' % (_checkpoint_meta(now), ids)


def _checkpoint_meta(now: int) -> bytes:
    """What makes a client that discards canary events, as all must, pass over a checkpoint."""
    return b'"meta":{"domain":"canary","stream":"eventstreams.checkpoint","dt":"%s"}' % iso_time(now).encode()


def sse_filter(text: str) -> bytes:
    """Return a comment that says which filter is in force, by its canonical form."""
    return b":filter %s\n" % text.encode()


def sse_retry(retry_ms: int) -> bytes:
    """Return the line that says when to reconnect.

    One newline, as after a comment: a block without data reaches clients as an empty event.
    """
    return b"retry: %d\n" % retry_ms


def iso_time(ms: int) -> str:
    """Return ms since the epoch as JavaScript's `toISOString()` writes them (UTC).

    Years beyond 9999 have a sign and at least six digits; unlike there, no year is too far away.
    """
    cycles, rest = divmod(ms, _CYCLE_MS)
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=rest)
    year = time.year + 400 * cycles
    text = time.isoformat(timespec="milliseconds").partition("+")[0]
    return f"{year:04}{text[4:]}Z" if 0 <= year <= 9999 else f"{year:+07}{text[4:]}Z"


def sse_error(problem: Mapping[str, str | int], retry_ms: int = ERROR_RETRY_MS) -> bytes:
    """Return an error event: without an id, so that the client resumes where it was."""
    data = json.dumps(problem, separators=(",", ":")).encode()
    return b"retry: %d\nevent: error\ndata: %s\n\n" % (retry_ms, data)
