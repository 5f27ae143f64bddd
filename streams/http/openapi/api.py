"""GET /v2/stream/{streams} as drf-spectacular is to describe it, and the errors of the contract as it describes them.

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
from streams.http.problems import ALLOWED_METHODS, PROBLEM_TYPE

FORMATS = tuple(each.value for each in Format)
"""What `Accept` may name; all but the first are the same lines under several names."""
TAG = "Streams"
EXAMPLE_TOPIC = "eqiad.mediawiki.recentchange"

ERRORS: tuple[EventStreamsError, ...] = (
    TooManyStreams(51, 50),
    InvalidTimestamp("since was given more than once; give it once"),
    InvalidLastEventId("Last-Event-ID is not JSON; send the id of an event as it was received"),
    InvalidFilter.of_value("namespace", "talk", "integers such as 0 or 14, separated by commas"),
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
"""One of each that a request for streams may be answered with."""

EVENT_ID: dict[str, Any] = {
    "title": "Id of an event",
    "description": "Where to go on: one entry for each topic-partition. Send it back as it came. One that you make "
    "yourself has a `timestamp` or an `offset` (the next one to read; −1 is the end, −2 the oldest event) in each "
    "entry, or is a list of topics.",
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
                    "cursor": {"type": "string", "description": "The exact place, for the service that made it."},
                },
            },
            {"type": "string", "description": "A topic."},
        ]
    },
}
"""The component `EventId`. Parameters only mention it: as `contentSchema`, tools would take it for a file."""

_EVENT = {
    "type": "object",
    "description": "An event of one of the streams, by the schema of that one.",
    "properties": {
        "meta": {
            "type": "object",
            "description": "Has what the producer put there, and where the event is in Kafka.",
            "properties": {
                "topic": {"type": "string"},
                "partition": {"type": "integer"},
                "offset": {"type": "integer"},
                "key": {"type": "string", "description": "Where the message has a key."},
            },
            "required": ["topic", "partition", "offset"],
        }
    },
    "required": ["meta"],
}


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    status = serializers.IntegerField(help_text="The status of the answer.")
    type = serializers.CharField(help_text="Which error it is: does not change.")
    title = serializers.CharField(help_text="The same in words.")
    detail = serializers.CharField(help_text="One sentence on this very request.")
    method = serializers.CharField(help_text="The method of the request.")
    uri = serializers.CharField(help_text="Path and query of the request.")


def id_examples(topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """What `Last-Event-ID` may hold, of a stream with these topics, as the parameter's `examples`.

    The first is what a form begins with: nothing.
    """
    place = f'"topic":"{topics[0]}","partition":0'
    values = {
        "None": ("None: begin at the time of since, or now", ""),
        "Id": (
            "The id of an event, as it was received",
            f'[{{{place},"timestamp":1596207527001,"cursor":"x3Nq0aZk:91"}}]',
        ),
        "Offset": ("From an offset on", f'[{{{place},"offset":91}}]'),
        "Oldest": ("From the oldest event that is kept", f'[{{{place},"offset":-2}}]'),
        "Timestamp": ("From a time on", f'[{{{place},"timestamp":1596207527001}}]'),
        "Topics": ("Of these topics alone", json.dumps(list(topics[:2]))),
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
    429: " A client that sends a `Last-Event-ID` and takes Server-Sent Events is told so by an event.",
    503: " Come back after `Retry-After`. A client that sends a `Last-Event-ID`, or whose `Accept` names "
    "`text/event-stream`, is told of a passing state by an event, and status 200.",
}
_STREAMS = OpenApiParameter(
    "streams",
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
    OpenApiParameter.PATH,
    required=True,
    style="simple",
    explode=False,
    description="Names or aliases of streams, joined by commas. One that is named twice counts once.",
)
_SINCE = OpenApiParameter(
    "since",
    {"type": ["integer", "string"], "minimum": 0},
    description="Begin at the first event at or after this time: milliseconds since the epoch, or a date-time as "
    "JavaScript's `Date.parse()` reads it, UTC where it names no zone. A time in the future means now. "
    "`Last-Event-ID` outranks it.",
    examples=[
        OpenApiExample("None", summary="None: begin now", value=""),
        OpenApiExample("Date", summary="A date-time", value="2026-01-31T12:00:00Z"),
        OpenApiExample("Milliseconds", summary="Milliseconds since the epoch", value=1767225600000),
    ],
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    str,
    OpenApiParameter.HEADER,
    description="Go on after the event with this id (the schema `EventId`, as JSON); `EventSource` sends it by itself "
    "when it connects again. Exactly the topic-partitions that it lists are read. Clients that cannot set headers may "
    "send it as the query parameter `lastEventId`.",
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
    description="Where a stream cannot give all that was asked for: JSON, an array of `{topic, partition, asked, "
    "served}`; offsets where one was asked for, else milliseconds.",
)
_UNDERSTOOD = OpenApiParameter(
    "EventStreams-Since",
    {"type": "string", "examples": ["2026-11-28T18:00:00.000Z"]},
    OpenApiParameter.HEADER,
    response=[200],
    description="Where `since` decides the start: how it was understood, as an ISO 8601 time in UTC.",
)
_RETRY_AFTER = OpenApiParameter(
    "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds."
)
_ALLOW = OpenApiParameter(
    "Allow", {"type": "string", "const": ALLOWED_METHODS.decode()}, OpenApiParameter.HEADER, response=[405]
)


class StreamsView(APIView):
    """Is described, and never asked: requests for streams go to `StreamConsumer` before Django sees them."""

    @extend_schema(
        operation_id="streams",
        tags=[TAG],
        summary="One stream, or several in one",
        description="A never-ending stream of the events of all these streams. `HEAD` gives the headers alone. "
        "Unknown query parameters are ignored.",
        parameters=[_STREAMS, _SINCE, LAST_EVENT_ID, _UNDERSTOOD, _GAP, _RETRY_AFTER, _ALLOW],
        responses={**{(200, media_type): OpenApiResponse(_EVENT) for media_type in FORMATS}, **_errors()},
    )
    def get(self) -> None:
        """Nothing: see above."""
