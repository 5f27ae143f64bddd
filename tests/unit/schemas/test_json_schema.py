"""Schemas of any draft become one complete schema of 2020-12, or are reported to be none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft202012Validator

from streams.schemas.json_schema import MAX_PARTS, BadSchemaError, bundled, complete, rebased

HERE = "/a/1"


def whole(document: Mapping[str, Any], **elsewhere: Any) -> dict[str, Any]:
    """Complete, where `elsewhere` has what is at ``/b`` by the keyword ``b``."""

    def load(reference: str, base: str) -> tuple[str, Any]:
        target = urljoin(base, reference)
        return target, elsewhere[target.removeprefix("/")]

    return complete(bundled(HERE, document, load))


def properties(**named: Any) -> dict[str, Any]:
    return {"type": "object", "properties": named}


# References.


def test_a_reference_to_elsewhere_leads_into_the_schema_itself() -> None:
    found = whole(properties(x={"$ref": "/b"}, y={"$ref": "/b#/definitions/n"}), b={"definitions": {"n": {"const": 1}}})
    assert found["properties"] == {"x": {"$ref": "#/$defs/b"}, "y": {"$ref": "#/$defs/b/definitions/n"}}
    assert found["$defs"] == {"b": {"definitions": {"n": {"const": 1}}}}
    assert Draft202012Validator(found).is_valid({"y": 1})
    assert not Draft202012Validator(found).is_valid({"y": 2})


def test_what_is_referred_to_refers_on_from_where_it_is() -> None:
    b = {"$ref": "#/definitions/own", "definitions": {"own": {"$ref": "c"}}}
    found = whole({"$ref": "/b"}, b=b, c={"type": "string"})
    assert Draft202012Validator(found).is_valid("text")
    assert not Draft202012Validator(found).is_valid(1)


def test_a_circle_of_references_is_closed() -> None:
    found = whole(properties(next={"$ref": "/b"}), b=properties(next={"$ref": "/a/1#"}), **{"a/1": {}})
    assert found["properties"]["next"] == {"$ref": "#/$defs/b"}
    assert found["$defs"]["b"]["properties"]["next"] == {"$ref": "#"}


def test_a_name_that_the_schema_has_itself_is_not_taken_away() -> None:
    found = whole({"$defs": {"b": {"const": 1}}, "anyOf": [{"$ref": "/b"}, {"$ref": "#/$defs/b"}]}, b={"const": 2})
    assert [Draft202012Validator(found).is_valid(number) for number in (1, 2, 3)] == [True, True, False]


def test_what_only_looks_like_a_reference_is_data() -> None:
    data = {"$ref": "/nowhere"}
    document = {"examples": [data], "enum": [data], "const": data, "properties": {"$ref": {"type": "string"}}}
    assert whole(document) == document


def test_a_reference_may_have_escapes() -> None:
    document = {"definitions": {"a/b~c d": {"const": 1}}, "$ref": "#/definitions/a~1b~0c%20d"}
    assert whole(document) == document


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (properties(x={"$ref": "#/definitions/nothing"}), "'#/definitions/nothing' leads nowhere"),
        (properties(x={"$ref": "#/properties/x/y/0"}), "leads nowhere"),
        ({"anyOf": [{}], "$ref": "#/anyOf/x"}, "leads nowhere"),
        (properties(x={"$ref": "#/type"}), "leads to no schema"),
        ({"$ref": "#anchor"}, "not a JSON Pointer"),
        ({"$ref": 7}, "$ref is not text but 7"),
        ({"$defs": [], "$ref": "/b"}, "$defs are not a mapping"),
        ({"$ref": "/list"}, "leads to no schema"),
    ],
)
def test_a_reference_that_leads_nowhere_is_said(document: dict[str, Any], why: str) -> None:
    with pytest.raises(BadSchemaError) as raised:
        whole(document, b={}, list=[1])
    assert why in str(raised.value)


def test_references_come_to_an_end() -> None:
    def load(reference: str, base: str) -> tuple[str, Any]:
        return reference, {"$ref": f"{reference}x"}

    with pytest.raises(BadSchemaError, match=f"more than {MAX_PARTS}"):
        bundled(HERE, {"$ref": "/x"}, load)


# Drafts.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"items": [{"const": 1}], "additionalItems": False}, {"prefixItems": [{"const": 1}], "items": False}),
        ({"items": [{"const": 1}]}, {"prefixItems": [{"const": 1}]}),
        ({"items": {"const": 1}}, {"items": {"const": 1}}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMaximum": 5}, {"exclusiveMaximum": 5}),
        ({"$schema": "https://json-schema.org/draft-07/schema#", "$id": "/x"}, {}),
        (
            {"dependencies": {"a": ["b"], "c": {"items": [True]}}},
            {"dependencies": {"a": ["b"], "c": {"prefixItems": [True]}}},
        ),
        ({"pattern": "(?<x>a)", "minLength": 1}, {"minLength": 1}),
        ({"pattern": "^a"}, {"pattern": "^a"}),
        ({"patternProperties": {"(?<x>a)": {}, "b": {}}}, {"patternProperties": {"b": {}}}),
        ({"type": "string", "xml": 7, "discriminator": "x", "externalDocs": []}, {"type": "string"}),
        ({"not": {"$id": "/y", "if": {"items": [True]}}}, {"not": {"if": {"prefixItems": [True]}}}),
    ],
)
def test_older_drafts_are_brought_to_the_newest(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert whole(old) == new


@pytest.mark.parametrize(
    "document",
    [{"type": 7}, {"properties": []}, {"required": True}, {"properties": {"a": 7}}, {"examples": {}}, {"items": 7}],
)
def test_what_is_no_schema_is_said_with_its_place(document: dict[str, Any]) -> None:
    with pytest.raises(BadSchemaError, match="not a valid JSON Schema: at /"):
        whole(document)


def test_only_defaults_that_the_schema_allows_are_kept() -> None:
    found = whole(
        properties(
            good={"type": "integer", "default": 1},
            bad={"type": "integer", "default": "1"},
            referred={"$ref": "#/properties/good", "default": None},
            default={"type": "string"},
            endless={"$ref": "#/properties/endless", "default": 1},
        )
    )
    kept = {name for name, schema in found["properties"].items() if "default" in schema}
    assert kept == {"good"}
    assert found["properties"]["default"] == {"type": "string"}


def test_a_schema_moves_with_its_references() -> None:
    document = {"definitions": {"n": {"const": 1}}, "items": {"$ref": "#/definitions/n"}, "not": {"$ref": "#"}}
    moved = rebased(document, lambda reference: f"#/there{reference[1:]}")
    assert moved["items"] == {"$ref": "#/there/definitions/n"}
    assert moved["not"] == {"$ref": "#/there"}
    assert document["items"] == {"$ref": "#/definitions/n"}


@pytest.mark.parametrize("kind", ["array", ["array", "object", "string"]])
def test_an_array_of_anything_says_so(kind: Any) -> None:
    found = whole(properties(any={"type": kind}, some={"type": kind, "items": False}, two={"items": [{}]}, no={}))
    assert found["properties"]["any"]["items"] == {}
    assert found["properties"]["some"]["items"] is False
    assert found["properties"]["two"] == {"prefixItems": [{}]}
    assert found["properties"]["no"] == {}
