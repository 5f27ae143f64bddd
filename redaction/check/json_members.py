"""Reads JSON as it was written: a key that is there twice appears twice, a number is its text. Pure.

A part of the independent check of redaction, as `redaction.check.verdict` is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Part = str | int
Path = tuple[Part, ...]


class NotJsonError(ValueError):
    """The text is not JSON. The message has no part of it."""


class Object(list[tuple[str, Any]]):
    """The members of an object as they were written; a key that is there twice appears twice."""


class Number(str):
    """A number as it was written."""


def parse(text: bytes | str) -> Any:
    """Return a JSON document with Object and Number in it. Raises NotJsonError."""
    try:
        return json.loads(text, object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        pass
    raise NotJsonError("it cannot be read as JSON")  # here, since the error's context would have the text


def members(document: Any) -> Iterator[tuple[Path, str, Any]]:
    """Yield path, key and value of every member and every array's element, at any depth and in order.

    The key of an array's element is that of the array.
    """
    todo: list[tuple[Path, str, Any]] = [((), "", document)]
    while todo:
        path, key, value = todo.pop()
        if path:
            yield path, key, value
        if isinstance(value, Object):
            todo += [((*path, name), name, member) for name, member in reversed(value)]
        elif isinstance(value, list):
            todo += [((*path, at), key, member) for at, member in reversed(list(enumerate(value)))]
