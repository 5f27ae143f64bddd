"""Schemas as components of the OpenAPI document, in a form that generators of clients can read.

A definition inside a schema becomes its own component: generators only follow references to components.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from streams.schemas.json_schema import JsonObject, mapped, rebased
from streams.schemas.search import Schema

SCHEMAS = "#/components/schemas/"
_DEFINITIONS = ("$defs", "definitions")

Pointer: TypeAlias = tuple[str, ...]
"""The keys that lead to a place in a schema."""


def components(schemas: Iterable[Schema], taken: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the components by name, such as `mediawiki.recentchange.1.0.1`, and the name of each schema by its URI.

    `taken` are the names of other components.
    """
    names, made, by_uri = set(taken), dict[str, Any](), dict[str, str]()
    for schema in {each.uri: each for each in schemas}.values():
        own = schema.found.get("$id")
        name = by_uri[schema.uri] = _free(own if isinstance(own, str) else schema.uri, names)
        parts: dict[Pointer, str] = {(): name}
        for place in _definitions(schema.document, ()):
            parts[place] = _free(f"{name}.{place[-1]}", names)
        made |= _apart(rebased(schema.document, partial(_moved, parts)), (), parts)
    return made, by_uri


def _definitions(schema: Mapping[str, Any], place: Pointer) -> Iterator[Pointer]:
    """Yield the places of all definitions that are schemas, including nested ones."""
    for key in _DEFINITIONS:
        for name, definition in schema.get(key, {}).items():
            if isinstance(definition, Mapping):
                yield (*place, key, name)
                yield from _definitions(definition, (*place, key, name))


def _apart(schema: Mapping[str, Any], place: Pointer, parts: Mapping[Pointer, str]) -> dict[str, Any]:
    """Return the schema and its definitions as components, each without the others."""
    whole, found = dict(schema), dict[str, Any]()
    for key in _DEFINITIONS:
        left = {}
        for name, definition in whole.pop(key, {}).items():
            if (*place, key, name) in parts:
                found |= _apart(definition, (*place, key, name), parts)
            else:
                left[name] = definition
        if left:
            whole[key] = left
    return {parts[place]: _adapted(whole), **found}


def _moved(parts: Mapping[Pointer, str], reference: str) -> str:
    """Return where a reference leads once the definitions are components (RFC 6901)."""
    steps = reference.split("/")[1:]
    place = tuple(unquote(step).replace("~1", "/").replace("~0", "~") for step in steps)
    length = next(length for length in range(len(place), -1, -1) if place[:length] in parts)
    return "/".join([SCHEMAS + parts[place[:length]], *steps[length:]])


def _adapted(component: JsonObject) -> JsonObject:
    if "allOf" in component and "required" in component:
        # Equivalent; validators of OpenAPI documents look for the properties beside `required`, and fail without.
        component["allOf"] = [*component["allOf"], {"required": component.pop("required")}]
    titles: Counter[str] = Counter()

    def count(schema: JsonObject) -> JsonObject:
        titles.update([str(schema.get("title"))])
        return schema

    def adapt(schema: JsonObject) -> JsonObject:
        # A part that a schema has twice has the same title twice; generators make a class of each title.
        if titles[str(schema.get("title"))] > 1:
            schema.pop("title", None)
        return _of_one_type_each(schema)

    mapped(component, count)
    adapted: JsonObject = mapped(component, adapt)
    # Generators would name the class by the last part of the title: page/create and revision/create would be one.
    adapted.pop("title", None)
    return adapted


def _of_one_type_each(schema: JsonObject) -> JsonObject:
    """Return a schema of several types as `anyOf` of one type each; openapi-generator takes the first one for all."""
    types = schema.get("type")
    if not isinstance(types, list) or len({*types} - {"null"}) < 2 or "anyOf" in schema:
        return schema
    of_arrays = {key: schema.pop(key) for key in ("items",) if key in schema}
    kinds = [{"type": each, **(of_arrays if each == "array" else {})} for each in types]
    return {key: value for key, value in schema.items() if key != "type"} | {"anyOf": kinds}


def _free(text: str, taken: set[str]) -> str:
    """Return a name for a component that is not taken yet, and take it."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", ".", text).strip(".") or "schema"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name
