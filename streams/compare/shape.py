"""What an event looks like, without what it says: redaction is seen in which members are there, and which are empty.

Pure. No value is kept. Of the members' names, only those that look like a schema's are kept: some objects have names of
users as their keys, and those begin with a capital.
"""

from __future__ import annotations

import re
from typing import Any

Shape = frozenset[tuple[str, str]]
"""(path, kind) of each member at any depth."""

ADDED = ("topic", "partition", "offset", "key")
"""Members of `meta` that the service adds, each in its own form."""
_NAME = re.compile(r"[$a-z_][a-z0-9_$]{0,40}")
_MAX_DEPTH = 30


def shape(event: dict[str, Any]) -> Shape:
    """Return the shape of a decoded event, without what the services add to it."""
    found: set[tuple[str, str]] = set()
    meta = event.get("meta")
    if isinstance(meta, dict):
        event = {**event, "meta": {name: value for name, value in meta.items() if name not in ADDED}}
    _collect(event, "", found, 0)
    return frozenset(found)


def _collect(value: Any, path: str, found: set[tuple[str, str]], depth: int) -> None:
    if path:
        found.add((path, _kind(value)))
    if depth >= _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            shown = name if _NAME.fullmatch(name) else "…"
            _collect(inner, f"{path}.{shown}" if path else shown, found, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, f"{path}[]", found, depth + 1)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    name = "text" if isinstance(value, str) else "object" if isinstance(value, dict) else "array"
    return name if value else f"empty {name}"
