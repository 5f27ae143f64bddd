"""The document in OpenAPI 3.2, which can describe a stream as what it is: a sequence of events.

Source: OpenAPI 3.2, "Sequential Media Types" and "Server-Sent Event Streams".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streams.http.negotiation import Format

OPENAPI = "3.2.0"
LINES = (Format.NDJSON.value, Format.JSONL.value)
"""Media types of one event per line; `application/json` is not a sequential media type, and keeps its schema."""


def with_sequences(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of OpenAPI 3.1 as one of 3.2, with `itemSchema` in place of `schema` for streams."""
    return {**document, "openapi": OPENAPI, "paths": {path: _path(item) for path, item in document["paths"].items()}}


def _path(item: Mapping[str, Any]) -> dict[str, Any]:
    operation = item["get"]
    success = operation["responses"]["200"]
    content = {name: _media(name, media) for name, media in success["content"].items()}
    responses = {**operation["responses"], "200": {**success, "content": content}}
    return {**item, "get": {**operation, "responses": responses}}


def _media(name: str, media: Mapping[str, Any]) -> Mapping[str, Any]:
    if name in LINES:
        found = {"itemSchema": media["schema"]}
        return found | ({"example": [media["example"]]} if "example" in media else {})
    if name == Format.SSE.value:
        found = {"itemSchema": _sse_event(media["schema"])}
        return found | ({"example": [_sse_example(media["example"])]} if "example" in media else {})
    return media


def _sse_event(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["data"],
        "properties": {
            "event": {
                "type": "string",
                "description": "`message` for an event of the stream; else `checkpoint`, `error` or `end`.",
            },
            "id": {"type": "string", "description": "Where to resume, as JSON (the schema `EventId`)."},
            "retry": {"type": "integer", "minimum": 0, "description": "Milliseconds before reconnecting."},
            "data": {
                "type": "string",
                "description": "The event of a `message`, as JSON.",
                "contentMediaType": "application/json",
                "contentSchema": schema,
            },
        },
    }


def _sse_example(event: object) -> dict[str, str]:
    return {"event": "message", "data": json.dumps(event, ensure_ascii=False)}
