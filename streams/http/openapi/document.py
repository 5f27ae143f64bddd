"""The OpenAPI document: what drf-spectacular makes of `StreamsView`, and an operation for each stream.

Source: OpenAPI 3.1; wire contract, "Routes".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from django.urls import path
from drf_spectacular.generators import SchemaGenerator

from streams.core.catalogue import Catalogue, Stream
from streams.http.about import HOME, VERSION
from streams.http.openapi.api import EVENT_ID, FORMATS, TAG, StreamsView, id_examples
from streams.http.openapi.components import SCHEMAS
from streams.http.openapi.components import components as schemas_as_components
from streams.http.openapi.parameters import ADDED, CHOICES, MAX_FIELDS, WHERE, fields_of
from streams.http.requests import STREAM_PATH
from streams.schemas.search import Schema

CHOICES_BY_REFERENCE = frozenset(choice.name for choice in CHOICES if choice is not WHERE)
"""Parameters that are the same for all streams."""
SUMMARY = 120
"""Maximum characters of a stream's summary, which stands beside its path."""

_INTRODUCTION = """\
Events as they happen, over plain HTTP: live, from a point in the past, or from exactly where you stopped.

`Accept` selects the format: Server-Sent Events (`text/event-stream`, `*/*` or none), with the event as JSON in \
`data`; or one event per line, without ids (`application/json`, `application/x-ndjson` or `application/jsonl`).

In both formats, a response continues until you close it, or until the end that you asked for (`until`, `limit`). The \
response body in this document describes **one event**. The service adds to each event its place in Kafka: \
`meta.topic`, `meta.partition`, `meta.offset` and, if it has a key, `meta.key`. From events of redacted pages, the \
service removes user information.

After the response has begun, the service sends an error as an event of the type `error`, without an id, and ends the \
stream. Reconnect with the last id that you received.
"""


class Generator(SchemaGenerator):
    """Makes one document of the streams and their `schemas` (by the stream's name). Use it once."""

    def __init__(self, catalogue: Catalogue, schemas: Mapping[str, Schema], max_streams: int) -> None:
        super().__init__(patterns=[path(f"{STREAM_PATH.removeprefix('/')}<streams>", StreamsView.as_view())])
        self._catalogue = catalogue
        self._schemas = schemas
        self._max_streams = max_streams

    def get_schema(self, request: Any = None, public: bool = True) -> dict[str, Any]:
        """Return the document as JSON values."""
        document: dict[str, Any] = super().get_schema(request, public)
        ((_, item),) = document["paths"].items()
        operation = item["get"]
        names = operation["parameters"][0]["schema"]
        names["items"]["enum"] = [*self._catalogue.streams, *self._catalogue.aliases]
        names["maxItems"] = self._max_streams
        components = document["components"]
        components["schemas"]["EventId"] = EVENT_ID
        components["parameters"] = {
            each["name"]: each for each in operation["parameters"] if each["name"] in CHOICES_BY_REFERENCE
        }
        components["responses"] = {
            _response(status): response for status, response in operation["responses"].items() if status != "200"
        }
        found, names_of = schemas_as_components(self._schemas.values(), components["schemas"])
        components["schemas"] |= found
        for stream in self._catalogue.streams.values():
            own = self._schemas.get(stream.name)
            document["paths"][STREAM_PATH + quote(stream.name, safe="")] = {
                "get": _operation(stream, operation, own, names_of[own.uri] if own is not None else None)
            }
        return {
            **document,
            "info": {"title": "EventStreams", "version": VERSION, "description": _INTRODUCTION},
            "externalDocs": {"description": "About EventStreams", "url": HOME},
            "tags": [{"name": TAG, "description": f"{len(self._catalogue.streams)} streams, read singly or combined"}],
        }


def _operation(
    stream: Stream, general: Mapping[str, Any], schema: Schema | None, component: str | None
) -> dict[str, Any]:
    since, last_event_id, *choices = [each for each in general["parameters"] if each["name"] != "streams"]
    *choices, where = choices
    found: dict[str, Any] = {
        "operationId": f"stream_{stream.name}",
        "tags": [TAG],
        "summary": _summary(stream),
        "description": "\n\n".join(_description(stream)),
        "parameters": [
            since,
            {**last_event_id, "examples": id_examples(stream.topics)},
            *({"$ref": f"#/components/parameters/{choice['name']}"} for choice in choices),
            {**where, "description": f"{where['description']}{_fields(schema)}"},
        ],
        "responses": {
            status: _success(stream, response, schema, component)
            if status == "200"
            else {"$ref": f"#/components/responses/{_response(status)}"}
            for status, response in general["responses"].items()
        },
        "x-topics": list(stream.topics),
    }
    if stream.topics_allowed:
        found["x-topics-allowed"] = list(stream.topics_allowed)
    if stream.aliases:
        found["x-aliases"] = list(stream.aliases)
    return found


def _response(status: str) -> str:
    """Name the component of a response that is the same for all streams."""
    return "AtItsEnd" if status == "204" else f"Error{status}"


def _fields(schema: Schema | None) -> str:
    """Name the fields of a stream for the description of `where`."""
    paths = fields_of(schema.document) if schema is not None else list(ADDED)
    more = f" and {len(paths) - MAX_FIELDS} more" if len(paths) > MAX_FIELDS else ""
    known = "Fields of this stream" if schema is not None else "The schema of this stream is not known. Fields"
    return f"\n\n{known}: {_listed(tuple(paths[:MAX_FIELDS]))}{more}."


def _summary(stream: Stream) -> str:
    text = " ".join(stream.description.split())
    first = re.split(r"(?<=[.!?]) ", text, maxsplit=1)[0]
    return first if len(first) <= SUMMARY else f"{first[: SUMMARY - 1]}…"


def _description(stream: Stream) -> Iterator[str]:
    """Yield paragraphs of Markdown."""
    if stream.description:
        yield stream.description
    yield f"Topics: {_listed(stream.topics)}."
    if stream.topics_allowed:
        yield f"Further topics that a `Last-Event-ID` may name: {_listed(stream.topics_allowed)}."
    if stream.aliases:
        yield f"Aliases: {_listed(stream.aliases)}."
    if stream.canary_events_enabled:
        yield "Contains test events (`meta.domain` = `canary`). Ignore them."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _as_sent(example: Any, stream: Stream) -> Any:
    """Return an example of a schema with what the service adds."""
    if not isinstance(example, Mapping):
        return example
    meta = example.get("meta")
    place = {"topic": stream.topics[0], "partition": 0, "offset": 91}
    return {**example, "meta": {**(meta if isinstance(meta, Mapping) else {}), **place}}


def _success(
    stream: Stream, general: Mapping[str, Any], schema: Schema | None, component: str | None
) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"type": "object"} if component is None else {"$ref": SCHEMAS + component}}
    examples = schema.document.get("examples") if schema is not None else [{}]
    if examples:
        media["example"] = _as_sent(examples[0], stream)
    identifier = id_examples(stream.topics)["Id"]["value"]
    return {
        **general,
        "description": "The events. In `text/event-stream`, an event comes with its id:\n\n"
        f"```\nevent: message\nid: {identifier}\ndata: {{…}}\n```\n\n"
        "The other formats contain only the data, one event per line."
        + ("" if component else " The schema of this stream is unknown."),
        "content": dict.fromkeys(FORMATS, media),
    }
