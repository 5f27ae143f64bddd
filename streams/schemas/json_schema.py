"""JSON Schemas as plain values: made self-contained, converted to one version of the standard, and checked.

Schemas of events use draft 4 to 2020-12; OpenAPI 3.1 requires 2020-12. What all drafts share is not changed.

Source: JSON Schema 2020-12, core 8 (references) and the release notes of each draft; OpenAPI 3.1, 4.8.24.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

MAX_PARTS = 100
"""Maximum documents of which one schema is made."""

JsonObject: TypeAlias = dict[str, Any]
Load: TypeAlias = Callable[[str, str], tuple[str, Any]]
"""A reference without its fragment, and the URI of its document → the target's URI, and the document there."""

# Where a schema contains schemas; everything else (examples, enum, const, default) is data.
_NAMED = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
_LISTED = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_SINGLE = (
    *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
    *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
)
# An `$id` inside an OpenAPI document would redirect its references; the others mean something else there.
_LEFT_OUT = ("$schema", "$id", "discriminator", "externalDocs", "xml")


class BadSchemaError(Exception):
    """It is not a schema, or not a complete one; the message says why."""


def mapped(schema: Any, change: Callable[[JsonObject], JsonObject]) -> Any:
    """Return a copy with `change` applied to each schema in it, then to itself."""
    if not isinstance(schema, Mapping):
        return schema
    copy = dict(schema)
    for key in copy.keys() & {*_NAMED, *_LISTED, *_SINGLE}:
        value = copy[key]
        if isinstance(value, Mapping):
            if key in _NAMED:
                copy[key] = {name: mapped(inner, change) for name, inner in value.items()}
            elif key in _SINGLE:
                copy[key] = mapped(value, change)
        elif isinstance(value, list) and key in _LISTED:
            copy[key] = [mapped(inner, change) for inner in value]
    return change(copy)


def bundled(uri: str, document: Mapping[str, Any], load: Load) -> JsonObject:
    """Return the schema at `uri` with all that it refers to: references to other documents lead into its `$defs`.

    Raises:
        BadSchemaError: A reference is invalid; also whatever `load` raises.
    """
    own = document.get("$defs", {})
    if not isinstance(own, Mapping):
        raise BadSchemaError(f"its $defs are not a mapping but {type(own).__name__}")
    taken = set(own)
    slots = {uri: ""}
    parts: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = [(uri, document)]

    def change(base: str, schema: JsonObject) -> JsonObject:
        reference = schema.get("$ref")
        if reference is None:
            return schema
        if not isinstance(reference, str):
            raise BadSchemaError(f"its $ref is not text but {str(reference)[:80]}")
        elsewhere, _, fragment = reference.partition("#")
        if fragment and not fragment.startswith("/"):
            raise BadSchemaError(f"its $ref {reference[:200]!r} has a fragment that is not a JSON Pointer")
        target = base
        if elsewhere:
            target, there = load(elsewhere, base)
            if target not in slots:
                if len(slots) >= MAX_PARTS:
                    raise BadSchemaError(f"it refers to more than {MAX_PARTS} documents")
                slots[target] = _free(re.sub(r"[^A-Za-z0-9._-]+", ".", target).strip("."), taken)
                todo.append((target, there))
        slot = slots[target]
        return {**schema, "$ref": f"#/$defs/{slot}{fragment}" if slot else f"#{fragment}"}

    while todo:
        where, each = todo.pop()
        parts[where] = mapped(each, partial(change, where))
    whole: JsonObject = parts.pop(uri)
    if parts:
        whole["$defs"] = {**whole.get("$defs", {}), **{slots[where]: part for where, part in parts.items()}}
    return whole


def complete(whole: Mapping[str, Any]) -> JsonObject:
    """Return a schema without references to other documents in version 2020-12.

    Raises:
        BadSchemaError: It is not a valid schema.
    """
    modern = mapped(whole, _modern)
    mapped(modern, partial(_check_reference, modern))
    try:
        Draft202012Validator.check_schema(modern)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        raise BadSchemaError(f"not a valid JSON Schema: at /{place}: {error.message[:200]}") from None
    validator = Draft202012Validator(modern, format_checker=Draft202012Validator.FORMAT_CHECKER)
    found: JsonObject = mapped(modern, partial(_without_wrong_default, validator))
    return found


def rebased(document: Mapping[str, Any], moved: Callable[[str], str]) -> JsonObject:
    """Return a complete schema for use inside another document; `moved` maps its references to those there."""

    def change(schema: JsonObject) -> JsonObject:
        if "$ref" in schema:
            schema["$ref"] = moved(schema["$ref"])
        return schema

    found: JsonObject = mapped(document, change)
    return found


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free)
    return free


def _modern(schema: JsonObject) -> JsonObject:
    for key in _LEFT_OUT:
        schema.pop(key, None)
    if isinstance(schema.get("items"), list):  # until 2019-09
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    types = schema.get("type")
    if "array" in (types if isinstance(types, list) else [types]) and not schema.keys() & {"items", "prefixItems"}:
        schema["items"] = {}  # the default; generators of clients drop an array without it
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):  # draft 4
        if isinstance(schema.get(exclusive), bool):
            is_exclusive = schema.pop(exclusive)
            if is_exclusive and limit in schema:
                schema[exclusive] = schema.pop(limit)
    # Not every regular expression of JavaScript is one of Python, whose validators reject it.
    if isinstance(schema.get("pattern"), str) and not _is_regular_expression(schema["pattern"]):
        del schema["pattern"]
    if isinstance(schema.get("patternProperties"), Mapping):
        named = schema["patternProperties"].items()
        schema["patternProperties"] = {name: inner for name, inner in named if _is_regular_expression(name)}
    return schema


def _is_regular_expression(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _check_reference(whole: Mapping[str, Any], schema: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    place: Any = whole
    for step in (reference or "#").split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        try:
            place = place[int(key)] if isinstance(place, list) else place[key]
        except (LookupError, TypeError, ValueError):
            raise BadSchemaError(f"its $ref {reference!r} leads nowhere") from None
    if not isinstance(place, Mapping | bool):
        raise BadSchemaError(f"its $ref {reference!r} leads to no schema")
    return schema


def _without_wrong_default(validator: Draft202012Validator, schema: JsonObject) -> JsonObject:
    """Drop a default that its own schema forbids: validators of OpenAPI documents reject it."""
    if "default" in schema:
        try:
            is_right = validator.evolve(schema=schema).is_valid(schema["default"])
        except RecursionError:  # circular references
            is_right = False
        if not is_right:
            del schema["default"]
    return schema
