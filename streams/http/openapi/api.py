"""GET /v2/stream/{streams} and the errors of the contract, described for drf-spectacular.

Source: wire contract, "Routes", "Choosing where to start", "Errors before the stream begins".
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.views import APIView

from streams.core.errors import (
    Draining,
    EventStreamsError,
    HeadersTooLarge,
    InternalError,
    InvalidCompression,
    InvalidFilter,
    InvalidLastEventId,
    InvalidTimestamp,
    KafkaUnavailable,
    MethodNotAllowed,
    NoRedactionList,
    NoStreamConfiguration,
    NoTopicsAvailable,
    Overloaded,
    StreamNotFound,
    TooManyRequests,
    TooManyStreams,
    TopicNotAvailable,
    UriTooLong,
)
from streams.http.negotiation import Format
from streams.http.openapi.parameters import CHOICES, ENCODING_HEADER, FILTER_HEADER
from streams.http.problems import ALLOWED_METHODS, PROBLEM_TYPE
from streams.http.requests import COMPRESSIONS

FORMATS = tuple(sorted((each.value for each in Format), key=lambda each: each != Format.JSON.value))
"""Media types that `Accept` may name. `application/json` comes first: generators read an answer as the first type that
they know, and take Server-Sent Events for plain text."""
TAG = "Streams"
EXAMPLE_TOPIC = "eqiad.mediawiki.recentchange"

ERRORS: tuple[EventStreamsError, ...] = (
    TooManyStreams(51, 50),
    InvalidTimestamp("since was given more than once; give it once"),
    InvalidLastEventId("Last-Event-ID is not JSON; send the id of an event as it was received"),
    InvalidFilter.of_value("namespace", "talk", "integers such as 0 or 14, separated by commas"),
    InvalidCompression.of_value("br", COMPRESSIONS),
    StreamNotFound(["no-such-stream"]),
    TopicNotAvailable(f"Topic {EXAMPLE_TOPIC} does not belong to the requested streams"),
    MethodNotAllowed("POST"),
    UriTooLong(64 * 1024),
    TooManyRequests(2),
    HeadersTooLarge("65536 bytes"),
    InternalError(),
    KafkaUnavailable(),
    NoRedactionList(),
    Draining(),
    Overloaded(10_000),
    NoTopicsAvailable([EXAMPLE_TOPIC]),
    NoStreamConfiguration(),
)
"""One of each error that a request for streams may get."""

EVENT_ID: dict[str, Any] = {
    "title": "Id of an event",
    "description": "The client's position: one entry for each partition of a topic. Send it back unchanged. In an id "
    "that you write yourself, each entry has a `timestamp` or an `offset` (the first one to read; −1 is the end, −2 "
    "the oldest event). A list of topics is an id too.",
    "type": "array",
    "items": {
        "oneOf": [
            {
                "type": "object",
                "required": ["topic", "partition"],
                "properties": {
                    "topic": {"type": "string"},
                    "partition": {"type": "integer", "minimum": 0},
                    "timestamp": {"type": "integer", "minimum": 0, "description": "Milliseconds since the epoch."},
                    "offset": {"type": "integer", "minimum": -2},
                    "cursor": {"type": "string", "description": "The exact position; only the service can read it."},
                },
            },
            {"type": "string", "description": "A topic."},
        ]
    },
}
"""The component `EventId`. Parameters only mention it: with `contentSchema`, tools would treat it as a file."""

_EVENT = {
    "type": "object",
    "description": "An event of one of the streams, with the schema of that stream.",
    "properties": {
        "meta": {
            "type": "object",
            "description": "What the producer wrote, and the event's place in Kafka.",
            "properties": {
                "topic": {"type": "string"},
                "partition": {"type": "integer"},
                "offset": {"type": "integer"},
                "key": {"type": "string", "description": "Present if the message has a key."},
            },
            "required": ["topic", "partition", "offset"],
        }
    },
    "required": ["meta"],
}


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    status = serializers.IntegerField(help_text="The HTTP status.")
    type = serializers.CharField(help_text="Identifies the error; never changes.")
    title = serializers.CharField(help_text="The error in words.")
    detail = serializers.CharField(help_text="What went wrong.")
    method = serializers.CharField(help_text="The method of the request.")
    uri = serializers.CharField(help_text="Path and query of the request.")


def id_examples(topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return values of `Last-Event-ID` for a stream with these topics, as the parameter's `examples`.

    The first is empty, the initial value of a form.
    """
    place = f'"topic":"{topics[0]}","partition":0'
    values = {
        "None": ("None: start at since, or now", ""),
        "Id": (
            "The id of an event, as received",
            f'[{{{place},"timestamp":1596207527001,"cursor":"x3Nq0aZk:91"}}]',
        ),
        "Offset": ("Start at an offset", f'[{{{place},"offset":91}}]'),
        "Oldest": ("Start at the oldest event", f'[{{{place},"offset":-2}}]'),
        "Timestamp": ("Start at a time", f'[{{{place},"timestamp":1596207527001}}]'),
        "Topics": ("Only these topics", json.dumps(list(topics[:2]))),
    }
    return {name: {"value": value, "summary": summary} for name, (summary, value) in values.items()}


def _errors() -> dict[tuple[int, str], OpenApiResponse]:
    by_status: defaultdict[int, list[EventStreamsError]] = defaultdict(list)
    for error in ERRORS:
        by_status[error.status].append(error)
    method = {405: "POST"}
    return {
        (status, PROBLEM_TYPE.decode()): OpenApiResponse(
            ProblemSerializer,
            description=f"{', '.join(f'`{error.type}`' for error in errors)}.{_HINTS.get(status, '')}",
            examples=[
                OpenApiExample(
                    error.type,
                    summary=error.title,
                    value=error.problem(method.get(status, "GET"), "/v2/stream/recentchange"),
                )
                for error in errors
            ],
        )
        for status, errors in sorted(by_status.items())
    }


_HINTS = {
    405: " Only GET, HEAD and OPTIONS are supported.",
    429: " A client of Server-Sent Events that sends a `Last-Event-ID` gets this error as an event.",
    503: " Retry after `Retry-After` seconds. A client that sends a `Last-Event-ID`, or whose `Accept` names "
    "`text/event-stream`, gets a temporary error as an event, with status 200.",
}
_STREAMS = OpenApiParameter(
    "streams",
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
    OpenApiParameter.PATH,
    required=True,
    style="simple",
    explode=False,
    description="Names or aliases of streams, separated by commas. Duplicates are ignored.",
)
_SINCE = OpenApiParameter(
    "since",
    str,
    description="Start at the first event at or after this time: milliseconds since the epoch, or a date-time as "
    "JavaScript's `Date.parse()` reads it, UTC if no time zone is given. A time in the future means now. "
    "Ignored when `Last-Event-ID` is sent.",
    examples=[
        OpenApiExample("None", summary="None: start now", value=""),
        OpenApiExample("Date", summary="A date-time", value="2026-01-31T12:00:00Z"),
        OpenApiExample("Milliseconds", summary="Milliseconds since the epoch", value=1769860800000),
    ],
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    str,
    OpenApiParameter.HEADER,
    description="Resume after the event with this id (the schema `EventId`, as JSON); `EventSource` sends it "
    "automatically when it reconnects. Only the topic-partitions that it lists are read. Clients that cannot set "
    "headers may send it as the query parameter `lastEventId`.",
    examples=[
        OpenApiExample(name, value=example["value"], summary=example["summary"])
        for name, example in id_examples([EXAMPLE_TOPIC]).items()
    ],
)
_GAP = OpenApiParameter(
    "EventStreams-Gap",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description="Present if requested events are missing: a JSON array of `{topic, partition, asked, served}`. "
    "`asked` and `served` are offsets if the request named an offset, else milliseconds.",
)
_UNDERSTOOD = OpenApiParameter(
    "EventStreams-Since",
    {"type": "string", "examples": ["2026-11-28T18:00:00.000Z"]},
    OpenApiParameter.HEADER,
    response=[200],
    description="Present if the stream starts at `since`: the time as the service understood it, in ISO 8601, UTC.",
)
_RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    response=[429, 503],
    description="Seconds to wait before the next request.",
)
_ALLOW = OpenApiParameter(
    "Allow", {"type": "string", "const": ALLOWED_METHODS.decode()}, OpenApiParameter.HEADER, response=[405]
)


class StreamsView(APIView):
    """Exists for the OpenAPI schema only; never called, since `StreamConsumer` answers requests for streams."""

    authentication_classes = ()  # else the document says that a password is needed
    permission_classes = ()

    @extend_schema(
        operation_id="streams",
        tags=[TAG],
        summary="One or more streams, combined",
        description="The events of all these streams. The answer only ends if you give `until` or `limit`. "
        "`HEAD` returns only the headers. Unknown query parameters are ignored.",
        parameters=[
            *(_STREAMS, _SINCE, LAST_EVENT_ID, *CHOICES),
            *(ENCODING_HEADER, _UNDERSTOOD, FILTER_HEADER, _GAP, _RETRY_AFTER, _ALLOW),
        ],
        responses={
            **{(200, media_type): OpenApiResponse(_EVENT) for media_type in FORMATS},
            204: OpenApiResponse(description="Nothing is left between the id and `until`. Do not reconnect."),
            **_errors(),
        },
    )
    def get(self) -> None:
        """Do nothing."""
