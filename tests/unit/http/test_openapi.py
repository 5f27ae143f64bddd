"""The OpenAPI document: valid whatever the streams are called and whatever their schemas say, and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from drf_spectacular.drainage import GENERATOR_STATS
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from eventstreams_site.config.config import load_config
from streams.core import errors
from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.core.since import parse_since
from streams.engine.metrics import Metrics
from streams.http.negotiation import Format
from streams.http.openapi.document import Generator
from streams.http.openapi.documents import Documents
from streams.http.requests import StreamRequest
from streams.schemas.json_schema import complete
from streams.schemas.registry import Schemas
from streams.schemas.search import Schema

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(__file__).resolve().parents[2] / "data"
GENERAL = "/v2/stream/{streams}"
PROBLEM = "application/problem+json"
SCOPE: dict[str, Any] = {"method": "GET", "path": "/v2/stream/x", "headers": []}


def catalogue(**named: Mapping[str, Any]) -> Catalogue:
    return compile_catalogue(Layers({name: {"topics": ["t"], **settings} for name, settings in named.items()}), 1)


def schema(found: Mapping[str, Any], uri: str = "/srv/x") -> Schema:
    return Schema(uri, complete(found), found)


def document(streams: Catalogue, **schemas: Schema) -> dict[str, Any]:
    """Valid; and drf-spectacular had nothing to complain of."""
    made = Generator(streams, schemas, 50).get_schema()
    assert not GENERATOR_STATS
    OpenAPIV31SpecValidator(made).validate()
    return made


def operation(made: Mapping[str, Any], stream: str) -> dict[str, Any]:
    found: dict[str, Any] = made["paths"][f"/v2/stream/{stream}"]["get"]
    return found


def test_every_name_and_alias_is_where_third_parties_read_it() -> None:
    streams = catalogue(**{"mediawiki.recentchange": {"stream_aliases": ["recentchange", "rc"]}, "other": {}})
    made = document(streams)
    parameter = made["paths"][GENERAL]["get"]["parameters"][0]
    assert (parameter["name"], parameter["in"]) == ("streams", "path")
    assert (parameter["style"], parameter["explode"]) == ("simple", False)
    assert parameter["schema"]["items"]["enum"] == ["mediawiki.recentchange", "other", "recentchange", "rc"]
    assert parameter["schema"]["maxItems"] == 50
    assert list(made["paths"]) == [GENERAL, "/v2/stream/mediawiki.recentchange", "/v2/stream/other"]


def test_a_stream_has_a_path_with_all_that_is_known_of_it() -> None:
    found = {"$id": "/mediawiki/x/1.0.0", "title": "x", "type": "object", "examples": [{"a": 1}, {"a": 2}]}
    settings = {
        "topics": ["eqiad.x", "codfw.x"],
        "topics_allowed": ["eqiad.y"],
        "stream_aliases": ["rc"],
        "description": "Somebody changed\na page. More words.",
        "canary_events_enabled": True,
    }
    made = document(catalogue(x=settings), x=schema(found))
    told = operation(made, "x")
    assert told["summary"] == "Somebody changed a page."
    for text in (settings["description"], "`eqiad.x`, `codfw.x`", "`eqiad.y`", "`rc`", "`canary`"):
        assert text in told["description"]
    assert told["x-topics"] == ["eqiad.x", "codfw.x"]
    assert sorted(told["responses"]["200"]["content"]) == sorted(each.value for each in Format)
    assert next(iter(told["responses"]["200"]["content"])) == "application/json", (
        "generators read the first that they know"
    )
    sent = {"a": 1, "meta": {"topic": "eqiad.x", "partition": 0, "offset": 91}}
    for media_type in ("text/event-stream", "application/json", "application/x-ndjson", "application/jsonl"):
        content = told["responses"]["200"]["content"][media_type]
        assert content == {"schema": {"$ref": "#/components/schemas/mediawiki.x.1.0.0"}, "example": sent}
    assert made["components"]["schemas"]["mediawiki.x.1.0.0"]["type"] == "object"
    since, last_event_id, *_ = told["parameters"]
    assert (since["name"], since["in"]) == ("since", "query")
    assert (last_event_id["name"], last_event_id["in"]) == ("Last-Event-ID", "header")
    until = made["components"]["parameters"]["until"]
    moments = [
        {parse_since(str(example["value"])) for example in each["examples"].values() if example["value"]}
        for each in (since, until)
    ]
    assert [len(each) for each in moments] == [1, 1], "a time is shown in two forms"
    assert max(moments[0]) < max(moments[1]), "an example of until fits that of since"


def test_how_an_id_looks_is_shown_with_the_topics_of_the_stream() -> None:
    made = document(catalogue(x={"topics": ["eqiad.x", "codfw.x"]}))
    told = operation(made, "x")
    examples = [each["value"] for each in told["parameters"][1]["examples"].values()]
    assert examples[0] == "", "a form begins with the first"
    identifier = Draft202012Validator(made["components"]["schemas"]["EventId"])
    for example in map(json.loads, examples[1:]):
        assert identifier.is_valid(example)
        assert "eqiad.x" in json.dumps(example)
    assert f"\nid: {examples[1]}\n" in told["responses"]["200"]["description"]


CHOICES = (
    *("until", "limit", "checkpoint", "compress", "wiki", "domain", "type", "namespace", "title", "user", "bot"),
    *("minor", "patrolled", "canary", "where"),
)


def test_every_parameter_that_chooses_events_is_on_each_path_with_examples_that_are_understood() -> None:
    made = document(catalogue(x={}, y={}))
    for path in made["paths"]:
        parameters = {}
        for each in made["paths"][path]["get"]["parameters"]:
            named = made["components"]["parameters"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            parameters[named["name"]] = named
        assert {name for name in parameters if parameters[name]["in"] == "query"} == {"since", *CHOICES}
        for name in CHOICES:
            told = parameters[name]
            assert len(told["description"]) > 40
            examples = told["schema"].get("examples", []) + [
                each["value"] for each in told.get("examples", {}).values()
            ]
            assert examples
            for example in examples:
                values = example if isinstance(example, list) else [example]
                query = "&".join(f"{name}={quote(str(value))}" for value in values if value != "")
                request = StreamRequest.from_scope({**SCOPE, "query_string": query.encode()})
                asked = [
                    request.filter(),
                    request.until(),
                    request.limit(),
                    request.checkpoint(),
                    request.may_be_compressed,
                ]
                assert any(asked) is bool(query)


def test_where_lists_the_fields_of_the_stream() -> None:
    inner = {"type": "object", "properties": {"text": {}, "odd name": {}, "deep": {"$ref": "#/$defs/deep"}}}
    found = {
        "$id": "/x/1.0.0",
        "type": "object",
        "properties": {"a": {"type": "integer"}, "list": {"type": "array", "items": inner}},
        "allOf": [{"properties": {"$schema": {"type": "string"}}}],
        "$defs": {"deep": {"properties": {"er": {}, "again": {"$ref": "#/$defs/deep"}}}},
    }
    made = document(catalogue(x={}, y={}), x=schema(found))
    told = {name: operation(made, name)["parameters"][-1]["description"] for name in "xy"}
    fields = "`$schema`, `a`, `list.deep.again`, `list.deep.er`, `list.text`, `meta.key`, `meta.offset`"
    assert f"Fields of this stream: {fields}" in told["x"]
    assert "The schema of this stream is not known. Fields: `meta.topic`" in told["y"]


def test_every_error_of_the_contract_is_there_as_a_problem() -> None:
    made = document(catalogue(x={}))
    general = made["paths"][GENERAL]["get"]["responses"]
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EventStreamsError) and "type" in vars(kind)
    } - {errors.EventStreamsError, errors.PathNotFound, errors.StreamWithdrawn}
    # What is no request for a stream.
    kinds -= {errors.BadRequest, errors.RequestTimeout, errors.ContentTooLarge}
    kinds -= {errors.TooManyLogins, errors.DatabaseAway}
    assert len(kinds) > 12
    for kind in kinds:
        response = general[str(kind.status)]
        content = response["content"][PROBLEM]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        told = {example["value"]["type"]: example["value"] for example in content["examples"].values()}
        assert told[kind.type]["title"] == kind.title
        assert f"`{kind.type}`" in response["description"]
        assert (kind.retry_after is None) or "Retry-After" in response["headers"]
        assert Draft202012Validator(made["components"]["schemas"]["Problem"]).is_valid(told[kind.type])
        reference = operation(made, "x")["responses"][str(kind.status)]["$ref"]
        assert made["components"]["responses"][reference.rpartition("/")[2]] == response


def test_a_stream_without_a_schema_is_there_without_it() -> None:
    told = operation(document(catalogue(x={"schema_title": "a/b"})), "x")
    assert told["summary"] == ""
    assert told["responses"]["200"]["content"]["text/event-stream"] == {
        "schema": {"type": "object"},
        "example": {"meta": {"topic": "t", "partition": 0, "offset": 91}},
    }
    assert "The schema of this stream is unknown" in told["responses"]["200"]["description"]


def test_streams_of_one_schema_share_it_and_others_of_its_name_do_not_take_its_place() -> None:
    one = schema({"$id": "/a/1", "const": 1})
    two, problem = schema({"$id": "/a/1", "const": 2}, "/srv/y"), schema({"$id": "/Problem", "const": 3}, "/srv/z")
    made = document(catalogue(a={}, b={}, c={}, d={}), a=one, b=one, c=two, d=problem)
    names = [
        operation(made, name)["responses"]["200"]["content"]["text/event-stream"]["schema"]["$ref"].rpartition("/")[2]
        for name in "abcd"
    ]
    assert names[0] == names[1]
    assert [made["components"]["schemas"][name] for name in names[1:]] == [{"const": n} for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "name", ["a{b}", "a}", "?spec", "a#b", "a%b", "ü~", "streams", "{streams}", "'\"", "<script>", "\\", "a&b=c"]
)
def test_a_stream_may_have_any_name(name: str) -> None:
    made = document(catalogue(**{name: {}, "other": {}}))
    assert len(made["paths"]) == 3
    assert name in made["paths"][GENERAL]["get"]["parameters"][0]["schema"]["items"]["enum"]


@pytest.mark.parametrize(
    "found",
    [
        {"$schema": "https://json-schema.org/draft-07/schema#", "$id": "https://example.org/x"},
        {"allOf": [{}], "required": ["a"]},
        {"properties": {"a": {"type": "integer", "default": "x", "exclusiveMinimum": True, "minimum": 1}}},
        {"definitions": {"n": {"items": [{"$ref": "#"}]}}, "anyOf": [{"$ref": "#/definitions/n"}]},
        {"examples": [{"$ref": "#/nowhere"}, None]},
        {"examples": [None]},
        {"examples": []},
        {"patternProperties": {"(?<x>a)": {}}, "pattern": "\\cA", "xml": 1, "discriminator": "x"},
        {"type": "array", "items": True, "not": False},
        {},
    ],
)
def test_the_document_is_valid_with_any_schema(found: dict[str, Any]) -> None:
    made = document(catalogue(x={}), x=schema(found))
    content = operation(made, "x")["responses"]["200"]["content"]["text/event-stream"]
    assert ("example" in content) == bool(found.get("examples"))


def test_a_definition_is_a_component_of_its_own_and_every_reference_leads_to_it() -> None:
    found = {
        "$id": "/x",
        "definitions": {
            "a b/c": {"$defs": {"inner": {"const": 1}}, "properties": {"p": {"const": 2}}, "not": {"$ref": "#"}},
            "yes": True,
        },
        "$defs": {"a b/c": {"const": 3}},
        "properties": {
            "1": {"$ref": "#/definitions/a%20b~1c/$defs/inner"},
            "2": {"$ref": "#/definitions/a b~1c/properties/p"},
            "3": {"$ref": "#/$defs/a b~1c"},
            "4": {"$ref": "#/definitions/yes"},
            "5": {"$ref": "#/properties/3"},
        },
    }
    made = document(catalogue(x={}), x=schema(found))["components"]["schemas"]
    references = {name: each["$ref"] for name, each in made["x"]["properties"].items()}
    assert references == {
        "1": "#/components/schemas/x.inner",
        "2": "#/components/schemas/x.a.b.c-2/properties/p",
        "3": "#/components/schemas/x.a.b.c",
        "4": "#/components/schemas/x/definitions/yes",
        "5": "#/components/schemas/x/properties/3",
    }
    assert made["x.inner"] == {"const": 1}
    assert made["x.a.b.c"] == {"const": 3}
    assert made["x.a.b.c-2"] == {"properties": {"p": {"const": 2}}, "not": {"$ref": "#/components/schemas/x"}}
    assert set(made["x"]) == {"properties", "definitions"}


def test_a_title_that_stands_twice_in_a_schema_names_neither_place() -> None:
    """Generators make a class of each title, and drop the whole schema where two have one name."""
    part = {"title": "part", "type": "object"}
    found = {"$id": "/x", "title": "x", "properties": {"a": part, "b": part, "c": {"title": "c"}, "title": {}}}
    made = document(catalogue(x={}), x=schema(found))["components"]["schemas"]["x"]
    assert made["properties"] == {"a": {"type": "object"}, "b": {"type": "object"}, "c": {"title": "c"}, "title": {}}


def test_components_have_no_titles_since_generators_would_name_two_of_them_alike() -> None:
    """A class is named by the last part of a title: page/create and revision/create would both be Create."""
    first, second = ({"$id": f"/{each}/create/1.0.0", "title": f"{each}/create"} for each in ("page", "revision"))
    made = document(catalogue(a={}, b={}), a=schema(first, "a"), b=schema(second, "b"))["components"]["schemas"]
    assert made["page.create.1.0.0"] == made["revision.create.1.0.0"] == {}


def test_several_types_are_alternatives_of_one_type_each() -> None:
    """openapi-generator takes the first of several types for all; `null` beside one type is understood."""
    places = {
        "many": {"type": ["array", "object"], "items": {}, "description": "d"},
        "one": {"type": ["string", "null"]},
    }
    made = document(catalogue(x={}), x=schema({"$id": "/x", "properties": places}))["components"]["schemas"]["x"]
    alternatives = [{"type": "array", "items": {}}, {"type": "object"}]
    assert made["properties"]["many"] == {"description": "d", "anyOf": alternatives}
    assert made["properties"]["one"] == places["one"]


def test_nobody_needs_a_password() -> None:
    made = document(catalogue(x={}))
    assert "securitySchemes" not in made["components"]
    assert not any("security" in item["get"] for item in made["paths"].values())


def complaints(value: Any, place: str = "") -> list[str]:
    """What generators of clients stumble over, wherever it is: an array without items, a reference to no component."""
    found = []
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += complaints(inner, f"{place}/{index}")
    elif isinstance(value, Mapping):
        kind = value.get("type")
        if (kind == "array" or (isinstance(kind, list) and "array" in kind)) and not {*value} & {
            "items",
            "prefixItems",
        }:
            found.append(f"{place}: an array without items")
        reference = value.get("$ref")
        if isinstance(reference, str) and re.fullmatch(r"#/components/\w+/[^/]+", reference) is None:
            found.append(f"{place}: {reference} is no component")
        for key, inner in value.items():
            if key not in {"example", "examples", "default", "const", "enum"}:
                found += complaints(inner, f"{place}/{key}")
    return found


async def test_generators_of_clients_can_read_the_streams_that_ship() -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(ROOT / "config" / "development.yaml")})
    streams = yaml.safe_load((ROOT / "config" / "streams.yaml").read_text())["streams"]
    every = compile_catalogue(Layers(streams), 1)
    schemas = Schemas(config, Metrics())
    await schemas.refresh(every)
    made = json.loads((await Documents(50).json(every, schemas)).plain)
    OpenAPIV31SpecValidator(made).validate()
    assert {schemas.of(name) is not None for name in every.streams} == {True}
    assert complaints(made) == []


def test_without_a_stream_it_is_still_valid() -> None:
    assert list(document(catalogue())["paths"]) == [GENERAL]


# All of it.


async def test_the_document_of_all_real_streams_is_valid_and_has_their_schemas() -> None:
    config = yaml.safe_load((DATA / "config.production.yaml").read_text())
    fetched = json.loads((DATA / "streamconfigs.json").read_text())[config["stream_config_object_path"]]
    layers = Layers(fetched, config["stream_config_defaults"], config["stream_config_overrides"])
    every = compile_catalogue(layers, 1)
    places: Any = SimpleNamespace(
        schema_base_uris=[str(DATA / "schemas")],
        schema_uri_options={},
        schema_latest_version=config["schema_latest_version"],
        admin_uri_hosts=(),
        stream_config_ttl=0.0,
    )
    schemas = Schemas(places, Metrics())
    await schemas.refresh(every)
    body = await Documents(50).json(every, schemas)
    made = json.loads(body.plain)
    OpenAPIV31SpecValidator(made).validate()
    assert complaints(made) == []
    assert len(made["paths"]) == 242 + 1
    assert len(made["paths"][GENERAL]["get"]["parameters"][0]["schema"]["items"]["enum"]) == 242 + len(every.aliases)
    told = operation(made, "mediawiki.recentchange")
    content = told["responses"]["200"]["content"]["text/event-stream"]
    found = schemas.of("mediawiki.recentchange")
    assert found is not None
    example = found.document["examples"][0]
    place = {"topic": "eqiad.mediawiki.recentchange", "partition": 0, "offset": 91}
    assert content["example"] == example | {"meta": example["meta"] | place}
    component = re.sub(".*/", "", content["schema"]["$ref"])
    assert component == "mediawiki.recentchange.1.0.1"
    assert "`recentchange`" in told["description"]
