"""JSON as it was written: a key that is there twice is seen twice, a number is the text of it. Pure.

A part of the independent check of redaction, as `redaction.check.verdict` is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Part = str | int
Path = tuple[Part, ...]


class NotJsonError(ValueError):
    """It is not JSON, so the check proves nothing about it. The message holds no part of it."""


class Object(list[tuple[str, Any]]):
    """The members of an object as they were written: a key that is there twice is seen twice."""


class Number(str):
    """A number as it was written."""


def parse(text: bytes | str) -> Any:
    """Raises NotJsonError."""
    try:
        return json.loads(text, object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        pass
    raise NotJsonError("it cannot be read as JSON")  # out here: the context would hold the text


def members(document: Any) -> Iterator[tuple[Path, str, Any]]:
    """Every member at any depth, and every element of an array, in order: path, key (an array's for its elements)."""
    todo: list[tuple[Path, str, Any]] = [((), "", document)]
    while todo:
        path, key, value = todo.pop()
        if path:
            yield path, key, value
        if isinstance(value, Object):
            todo += [((*path, name), name, member) for name, member in reversed(value)]
        elif isinstance(value, list):
            todo += [((*path, at), key, member) for at, member in reversed(list(enumerate(value)))]
