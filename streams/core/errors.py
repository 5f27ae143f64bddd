"""What can go wrong for a client, as values.

EventStreamsError               status, type, title; becomes problem+json (RFC 9457)
├── PathNotFound                404  not_found
├── StreamNotFound              404  not_found
│   └── StreamWithdrawn         404  not_found; sent as an event to its followers
├── TooManyStreams              400  too_many_streams
├── InvalidTimestamp            400  invalid_timestamp
├── InvalidLastEventId          400  invalid_last_event_id
├── InvalidFilter               400  invalid_filter; of limit and checkpoint too
├── InvalidCompression          400  invalid_compression
├── TopicNotAvailable           404  topic_not_available
├── MethodNotAllowed            405  method_not_allowed
├── BadRequest                  400  bad_request; these five close the connection
├── RequestTimeout              408  request_timeout
├── ContentTooLarge             413  content_too_large
├── UriTooLong                  414  uri_too_long
├── HeadersTooLarge             431  headers_too_large
├── TooManyRequests             429  too_many_requests
├── TooManyLogins               429  too_many_logins; of the admin
├── InternalError               500  internal_error
├── NoTopicsAvailable           503  no_topics_available
├── NoStreamConfiguration       503  no_stream_configuration
├── DatabaseAway                503  database_unavailable; of the admin
└── Unavailable                 503  the client may get it as an SSE event, and reconnects automatically
    ├── KafkaUnavailable        503  kafka_unavailable
    ├── NoRedactionList         503  no_redaction_list
    ├── Draining                503  draining
    └── Overloaded              503  overloaded
        └── AdminOverloaded     503  overloaded; of the admin

Source: wire contract, "Errors before the stream begins".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class EventStreamsError(Exception):
    """An error that a client gets.

    `detail` is one sentence for the client; it never holds a value of an event.
    `retry_after` is in seconds, or None if a retry would not help.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal Error"
    retry_after: int | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def problem(self, method: str, uri: str) -> dict[str, str | int]:
        """Return the error as the members of a problem+json object."""
        return {
            "status": self.status,
            "type": self.type,
            "title": self.title,
            "detail": self.detail,
            "method": method,
            "uri": uri,
        }


class PathNotFound(EventStreamsError):
    """No route has this path."""

    status, type, title = 404, "not_found", "Not Found"

    def __init__(self, path: str, prefix: str = "") -> None:
        """Both as the client sees them; `prefix` is what a proxy puts before all paths."""
        super().__init__(f"There is nothing at {path[:200]}; streams are at {prefix}/v2/stream/{{streams}}")


class StreamNotFound(EventStreamsError):
    """A requested stream is not in the catalogue."""

    status, type, title = 404, "not_found", "Stream Not Found"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"Invalid streams: {','.join(names)}")


class StreamWithdrawn(StreamNotFound):
    """A stream that the client follows is no longer exposed."""

    def __init__(self, names: Iterable[str]) -> None:
        EventStreamsError.__init__(self, f"No longer exposed: {','.join(names)}")


class TooManyStreams(EventStreamsError):
    """The request joins more streams than the server allows."""

    status, type, title = 400, "too_many_streams", "Too Many Streams"

    def __init__(self, asked: int, allowed: int) -> None:
        super().__init__(f"The request joins {asked} streams; at most {allowed} are allowed")


class InvalidTimestamp(EventStreamsError):
    """`since` or `until` is not a valid time."""

    status, type, title = 400, "invalid_timestamp", "Invalid timestamp"


class InvalidLastEventId(EventStreamsError):
    """The last event id is not valid."""

    status, type, title = 400, "invalid_last_event_id", "Invalid Last-Event-ID"


class InvalidFilter(EventStreamsError):
    """A parameter that chooses events is invalid; the detail says which, its value and what was expected."""

    status, type, title = 400, "invalid_filter", "Invalid filter"

    SHOWN = 100
    """Characters of a wrong value that the detail quotes."""

    @classmethod
    def of_value(cls, parameter: str, value: str, expected: str) -> InvalidFilter:
        """Return the error of a parameter with an invalid value."""
        shown = value if len(value) <= cls.SHOWN else f"{value[: cls.SHOWN]}…"
        return cls(f"{parameter} is {shown!r}; expected {expected}")


class InvalidCompression(EventStreamsError):
    """`compress` cannot be read, or `Accept-Encoding` excludes what it insists on."""

    status, type, title = 400, "invalid_compression", "Invalid compression"

    @classmethod
    def of_value(cls, value: str, known: Iterable[str]) -> InvalidCompression:
        """Return the error of a value that is none of those known."""
        shown = value if len(value) <= InvalidFilter.SHOWN else f"{value[: InvalidFilter.SHOWN]}…"
        return cls(f"compress is {shown!r}; use {', '.join(known)}, or leave it out for an uncompressed stream")

    @classmethod
    def excluded(cls, coding: str) -> InvalidCompression:
        """Return the error of a coding that the request's `Accept-Encoding` does not admit."""
        return cls(
            f"compress is {coding!r}, but Accept-Encoding excludes it; send Accept-Encoding: {coding} if your client "
            "can decode it, or use compress=auto, which falls back to an uncompressed stream"
        )


class TopicNotAvailable(EventStreamsError):
    """The id names a topic that the requested streams do not have."""

    status, type, title = 404, "topic_not_available", "Topic Not Available"


class MethodNotAllowed(EventStreamsError):
    """The path does not support the request's method."""

    status, type, title = 405, "method_not_allowed", "Method Not Allowed"

    def __init__(self, method: str) -> None:
        super().__init__(f"{method[:20]} is not supported here; use GET, HEAD or OPTIONS")


class BadRequest(EventStreamsError):
    """The bytes are not a valid HTTP request."""

    status, type, title = 400, "bad_request", "Bad Request"

    def __init__(self, detail: str = "The request is not valid HTTP/1.0 or HTTP/1.1") -> None:
        super().__init__(detail)


class RequestTimeout(EventStreamsError):
    """The request was not complete in time."""

    status, type, title = 408, "request_timeout", "Request Timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The request was not complete after {seconds:g} seconds")


class ContentTooLarge(EventStreamsError):
    """The body of the request is larger than the server accepts."""

    status, type, title = 413, "content_too_large", "Content Too Large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body of a request to this path may have at most {limit} bytes")


class UriTooLong(EventStreamsError):
    """The target of the request is longer than the server accepts."""

    status, type, title = 414, "uri_too_long", "URI Too Long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request line has more than {limit} bytes")


class HeadersTooLarge(EventStreamsError):
    """The headers of the request are larger than the server accepts."""

    status, type, title = 431, "headers_too_large", "Request Header Fields Too Large"

    def __init__(self, limit: str) -> None:
        super().__init__(f"The request line and all headers together have more than {limit}")


class TooManyRequests(EventStreamsError):
    """The client's address has reached its limit of connections."""

    status, type, title = 429, "too_many_requests", "Too Many Concurrent Connections From Your Client IP"
    retry_after = 30

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"At most {limit} concurrent connections are allowed from one client IP; close one, or join the streams "
            "in one request (with commas between their names)"
        )


class TooManyLogins(EventStreamsError):
    """The address, or the account, has failed to log in too often."""

    status, type, title = 429, "too_many_logins", "Too Many Failed Logins"

    def __init__(self, failures: int, seconds: float) -> None:
        super().__init__(
            f"{failures} logins from your address have failed, so no more are accepted for {seconds / 60:.0f} minutes; "
            "not even with the correct password"
        )
        self.retry_after = max(1, round(seconds))


class InternalError(EventStreamsError):
    """A fault of the server. The log has the details, the answer never does."""

    def __init__(self) -> None:
        super().__init__("Internal server error (it has been logged). Resume with your last event id")


class NoTopicsAvailable(EventStreamsError):
    """None of the topics can be read."""

    status, type, title = 503, "no_topics_available", "No Topics Available"
    retry_after = 30

    def __init__(self, topics: Iterable[str], why: str = "exists in Kafka") -> None:
        super().__init__(f"None of the topics of these streams {why}: {', '.join(sorted(topics))}")


class NoStreamConfiguration(EventStreamsError):
    """The stream configuration has never been loaded."""

    status, type, title = 503, "no_stream_configuration", "No Stream Configuration"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__("The stream configuration has not been loaded yet; the server keeps trying")


class DatabaseAway(EventStreamsError):
    """The admin's database does not answer."""

    status, type, title = 503, "database_unavailable", "Database Unavailable"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__(
            "The database does not answer, so the admin cannot work; streams are not affected. Try again later"
        )


class Unavailable(EventStreamsError):
    """A temporary state of the whole server."""

    status = 503
    retry_after = 10


class KafkaUnavailable(Unavailable):
    """Kafka does not answer."""

    type, title = "kafka_unavailable", "Kafka Unavailable"

    def __init__(self) -> None:
        super().__init__("Kafka cannot be reached at the moment; nothing is lost, resume with your last event id")


class NoRedactionList(Unavailable):
    """The redaction list has never been read, so no event may leave."""

    type, title = "no_redaction_list", "No Redaction List"

    def __init__(self) -> None:
        super().__init__(
            "The server does not have the complete list of redacted pages; no events are sent until then, and nothing "
            "is lost"
        )


class Draining(Unavailable):
    """The server is stopping."""

    type, title = "draining", "Draining"

    def __init__(self) -> None:
        super().__init__("This server is about to stop; reconnect to reach another server")


class Overloaded(Unavailable):
    """The server has reached its limit of connections."""

    type, title = "overloaded", "Overloaded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"This server has reached its limit of {limit} connections; retry later")


class TooManyFeeds(Overloaded):
    """A filter that nobody uses yet, while the server has reached its limit of different subscriptions."""

    def __init__(self, limit: int) -> None:
        EventStreamsError.__init__(
            self,
            f"This server has reached its limit of {limit} different subscriptions; retry later, or without a filter",
        )


class AdminOverloaded(Overloaded):
    """The admin has reached its limit of requests that run and wait."""

    def __init__(self) -> None:
        EventStreamsError.__init__(
            self, "The admin has reached its limit of requests at a time; retry in a few seconds"
        )
