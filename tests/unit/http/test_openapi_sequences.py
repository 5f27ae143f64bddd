"""The document in OpenAPI 3.2: valid, and a stream is a sequence of events in it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from streams.core.catalogue import Layers, compile_catalogue
from streams.http.openapi.document import Generator
from streams.http.openapi.documentation import spec
from streams.http.openapi.documents import Documents
from streams.http.openapi.sequences import with_sequences
from streams.schemas.json_schema import complete
from streams.schemas.search import Schema

EXAMPLE = {"n": 1, "title": "Ä"}
SENT = EXAMPLE | {"meta": {"topic": "t", "partition": 0, "offset": 91}}
FOUND = {"type": "object", "properties": {"n": {"type": "integer"}}, "examples": [EXAMPLE]}
SCHEMA = Schema("/x/1", complete(FOUND), FOUND)
STREAMS = compile_catalogue(Layers({"a": {"topics": ["t"]}, "b": {"topics": ["t"]}}), 1)


def content(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["get"]["responses"]["200"]["content"]
    return found


def test_each_event_of_a_stream_has_the_schema_and_not_the_body() -> None:
    before = Generator(STREAMS, {"a": SCHEMA}, 50).get_schema()
    made = with_sequences(before)
    OpenAPIV32SpecValidator(made).validate()
    reference = content(before, "/v2/stream/a")["application/json"]["schema"]
    media = content(made, "/v2/stream/a")
    for lines in ("application/x-ndjson", "application/jsonl"):
        assert media[lines] == {"itemSchema": reference, "example": [SENT]}
    assert media["application/json"]["schema"] == reference
    event = media["text/event-stream"]["itemSchema"]["properties"]
    assert event["data"]["contentSchema"] == reference
    assert json.loads(media["text/event-stream"]["example"][0]["data"]) == SENT
    assert content(made, "/v2/stream/b")["application/jsonl"]["example"] == [{"meta": SENT["meta"]}]
    assert "example" not in content(made, "/v2/stream/{streams}")["application/jsonl"]
    for path in ("/v2/stream/b", "/v2/stream/{streams}"):
        assert "schema" not in content(made, path)["text/event-stream"]
    OpenAPIV31SpecValidator(before).validate()


@pytest.mark.parametrize(
    ("query", "openapi"),
    [
        (b"spec&version=3.2", "3.2.0"),
        (b"spec&version=3.2.0", "3.2.0"),
        (b"spec", "3.1"),
        (b"spec&version=3.1", "3.1"),
        (b"spec&version=3.20", "3.1"),
        (b"spec&version=", "3.1"),
        (b"spec&version=3.2&format=yaml", "openapi: 3.2.0"),
        (b"spec&format=yaml", "openapi: 3.1"),
    ],
)
async def test_the_version_is_chosen_by_a_parameter(query: bytes, openapi: str) -> None:
    async def started() -> None: ...

    schemas = SimpleNamespace(version=1, of={"a": SCHEMA}.get)
    service: Any = SimpleNamespace(starting=started, catalogue=STREAMS, documents=Documents(50), schemas=schemas)
    for _ in range(2):
        answer = await spec({"query_string": query, "headers": []}, service)
        text = answer.content.plain.decode()  # type: ignore[union-attr]
        assert openapi in text.splitlines()[0][:40]
