"""What a client asked for: makes a StreamRequest of an ASGI scope.

Source: wire contract, "Routes", "The two formats", "Choosing where to start", "Choosing events".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from streams.core.errors import (
    InvalidCompression,
    InvalidFilter,
    InvalidLastEventId,
    InvalidTimestamp,
    TooManyStreams,
)
from streams.core.filters import Filter, parse_filter
from streams.core.formats import iso_time
from streams.core.positions import LastEventId, parse_last_event_id
from streams.core.since import parse_since
from streams.engine.compress.codings import NAMES
from streams.http.negotiation import Format, admitted, names_event_stream, negotiate

STREAM_PATH = "/v2/stream/"
FLOW_EXTENSION = "eventstreams.flow"
"""Key in scope["extensions"]: the client's socket, to write shared bytes and to wait for room (see server/flow.py)."""
ID_PARAMETERS = ("lastEventId", "last-event-id", "last_event_id")
"""For polyfills that cannot set headers."""

LIMITS = (1, 10**9)
"""Minimum and maximum of `limit` (events)."""
CHECKPOINT_SECONDS = (5, 3600)
"""Minimum and maximum of `checkpoint` (seconds)."""

COMPRESSIONS = ("auto", *NAMES)
"""Values of `compress`."""

LONGEST_QUERY = 2_000
"""Maximum characters of a query that `parameters` reads."""

_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)

Scope = Mapping[str, Any]


@dataclass(frozen=True)
class StreamRequest:
    """A request for streams. Methods parse what was given, and raise the contract's errors."""

    method: str
    uri: str
    path: str
    format: Format
    names_event_stream: bool
    last_event_ids: tuple[str, ...]
    """The different ids that were given, without empty ones."""
    since_texts: tuple[str, ...]
    until_texts: tuple[str, ...]
    limit_texts: tuple[str, ...]
    checkpoint_texts: tuple[str, ...]
    compress_texts: tuple[str, ...]
    accept_encoding: str | None
    """None if the header is missing."""
    query: bytes

    @classmethod
    def from_scope(cls, scope: Scope) -> StreamRequest:
        """Return the request of an ASGI scope."""
        accept = header(scope, b"accept")
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        ids = [header_values(scope, b"last-event-id"), *(query.get(name, []) for name in ID_PARAMETERS)]
        return cls(
            method=scope["method"],
            uri=request_uri(scope),
            path=scope["path"],
            format=negotiate(accept),
            names_event_stream=names_event_stream(accept),
            last_event_ids=next(filter(None, map(_different, ids)), ()),
            since_texts=tuple(query.get("since", ())),
            until_texts=tuple(query.get("until", ())),
            limit_texts=tuple(filter(None, query.get("limit", ()))),
            checkpoint_texts=tuple(filter(None, query.get("checkpoint", ()))),
            compress_texts=tuple(filter(None, query.get("compress", ()))),
            accept_encoding=header(scope, b"accept-encoding"),
            query=scope["query_string"],
        )

    @property
    def may_be_told_by_event(self) -> bool:
        """Whether the client certainly speaks SSE, so that it can get an error as an event and reconnect."""
        return self.format.is_sse and (self.has_id or self.names_event_stream)

    @property
    def has_id(self) -> bool:
        """Whether an id was given."""
        return bool(self.last_event_ids)

    def stream_names(self, limit: int) -> list[str]:
        """Return the names that were asked for, each once, including empty ones.

        Raises:
            TooManyStreams: There are more than `limit`.
        """
        names = list(dict.fromkeys(self.path.removeprefix(STREAM_PATH).removesuffix("/").split(",")))
        if len(names) > limit:
            raise TooManyStreams(len(names), limit)
        return names

    def since(self) -> int | None:
        """Return the time from which on events are wanted, in ms, None if none was given.

        Raises:
            InvalidTimestamp: It is neither a number nor a date, or was given twice.
        """
        return _time("since", self.since_texts)

    def until(self) -> int | None:
        """Return the time before which the stream ends, in ms, None if none was given.

        Raises:
            InvalidTimestamp: It is neither a number nor a date, was given twice, or is not after `since`.
        """
        since, until = self.since(), _time("until", self.until_texts)
        if until is not None and since is not None and until <= since:
            raise InvalidTimestamp(
                f"until ({iso_time(until)}) is not after since ({iso_time(since)}); the stream would have no events"
            )
        return until

    def limit(self) -> int | None:
        """Return the maximum number of events, None if there is none.

        Raises:
            InvalidFilter: It is not a number within LIMITS.
        """
        return _integer("limit", self.limit_texts, LIMITS, "events")

    def checkpoint(self) -> int | None:
        """Return the seconds without an event after which a checkpoint is sent, None for never.

        Raises:
            InvalidFilter: It is not a number within CHECKPOINT_SECONDS.
        """
        return _integer("checkpoint", self.checkpoint_texts, CHECKPOINT_SECONDS, "seconds")

    @property
    def may_be_compressed(self) -> bool:
        """Whether the answer depends on `Accept-Encoding`."""
        return bool(self.compress_texts)

    def coding(self) -> str | None:
        """Return the coding in which the stream is sent, None for none.

        Without an `Accept-Encoding` anything may be sent (RFC 9110, 12.5.3), but `auto` does not rely on it.

        Raises:
            InvalidCompression: `compress` is not one of COMPRESSIONS, or insists on what `Accept-Encoding` excludes.
        """
        if not self.compress_texts:
            return None
        if len(self.compress_texts) > 1:
            raise InvalidCompression("compress was given more than once; give it once, as " + ", ".join(COMPRESSIONS))
        wanted = self.compress_texts[0]
        if wanted not in COMPRESSIONS:
            raise InvalidCompression.of_value(wanted, COMPRESSIONS)
        if wanted == "auto":
            return next(iter(admitted(self.accept_encoding or "", NAMES)), None)
        if self.accept_encoding is not None and wanted not in admitted(self.accept_encoding, NAMES):
            raise InvalidCompression.excluded(wanted)
        return wanted

    def filter(self) -> Filter:
        """Return which events are wanted.

        Raises:
            InvalidFilter: A parameter of the filter is invalid.
        """
        return parse_filter(self.query)

    def last_event_id(self) -> LastEventId | None:
        """Return the id to resume after, None if none was given.

        Raises:
            InvalidLastEventId: It is malformed, or several were given.
        """
        if len(self.last_event_ids) > 1:
            raise InvalidLastEventId(
                f"Last-Event-ID was given with {len(self.last_event_ids)} different values; send one"
            )
        return parse_last_event_id(self.last_event_ids[0]) if self.last_event_ids else None


def _time(name: str, texts: tuple[str, ...]) -> int | None:
    if len(texts) > 1:
        raise InvalidTimestamp(f"{name} was given more than once; give it once")
    return parse_since(texts[0], name) if texts and texts[0] else None


def _integer(name: str, texts: tuple[str, ...], bounds: tuple[int, int], unit: str) -> int | None:
    if not texts:
        return None
    expected = f"a whole number of {unit} from {bounds[0]} to {bounds[1]}"
    if len(texts) > 1:
        raise InvalidFilter(f"{name} was given more than once; give it once, as {expected}")
    if not _INTEGER.fullmatch(texts[0]) or not bounds[0] <= int(texts[0]) <= bounds[1]:
        raise InvalidFilter.of_value(name, texts[0], expected)
    return int(texts[0])


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Return each text once, stripped, without empty ones: an empty id counts as none."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def header_values(scope: Scope, name: bytes) -> list[str]:
    """Return the values of all request headers with this name."""
    return [value.decode("utf-8", "replace") for key, value in scope["headers"] if key == name]


def header(scope: Scope, name: bytes) -> str | None:
    """Return a request header, None if it is missing; several with one name are one list (RFC 9110, 5.3)."""
    values = header_values(scope, name)
    return ", ".join(values) if values else None


def request_uri(scope: Scope) -> str:
    """Return path and query as they were sent."""
    uri: bytes = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        uri += b"?" + scope["query_string"]
    return uri.decode("latin-1")


def parameters(scope: Scope) -> dict[str, str]:
    """Return the query's parameters by name, the first of each.

    Only LONGEST_QUERY characters are read: parsing 64 kB would block the event loop.
    """
    pairs = parse_qsl(scope["query_string"][:LONGEST_QUERY].decode("latin-1"), keep_blank_values=True)
    return dict(reversed(pairs))
