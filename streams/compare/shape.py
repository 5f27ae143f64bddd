"""What an event looks like, without what it says: redaction is seen in which members are there, and which are empty.

Pure. No value is kept. Of the members' names, only those are kept whose words are a schema's: some objects have names
of users or pages as their keys, and on some wikis those may begin with a small letter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

Shape = frozenset[tuple[str, str]]
"""(path, kind) of each member at any depth."""

ADDED = ("topic", "partition", "offset", "key")
"""Members of `meta` that the service adds, each in its own form."""
_VOCABULARY = """
action actor added anchor api author auto bot by change changed changelog classification client code codes comment
content contributor count creator cur curid database delete deleted description details domain dt duration edit
editor edits entity error event events expiry external fields flag flags format from group groups hide http id ids
img is item key keys kind label labels lang len length level link links list log main meta method minor model move
name namespace new newtitle noindex none noredir notify number offset old oldtitle origin page params parent parsed
parsedcomment partition path patrol patrolled performer predicted prediction predictions prev previd prior
probabilities probability protect reason redirect registration removed request response rev revision revisions role
schema score scores script section sections server sha site sitewide size slot slots source start state status stop
stream suppressed system tag tags target temp template text time timestamp title to topic type types update uri url
user userid value values version visibility visible wiki
"""
_WORDS = frozenset(_VOCABULARY.split())
"""What the names of members are made of, in the schemas of mediawiki's streams."""
_MAX_NAME = 40
_MAX_DEPTH = 30


def shape(event: dict[str, Any]) -> Shape:
    """Return the shape of a decoded event, without what the services add to it."""
    found: set[tuple[str, str]] = set()
    meta = event.get("meta")
    if isinstance(meta, dict):
        event = {**event, "meta": {name: value for name, value in meta.items() if name not in ADDED}}
    _collect(event, "", found, 0)
    return frozenset(found)


@lru_cache(maxsize=4096)
def is_a_schemas(name: str) -> bool:
    """Return whether a member's name is made of a schema's words, such as `rev_sha1`, so that it may be shown."""
    words = re.split(r"[_$0-9]+", name)
    return len(name) <= _MAX_NAME and any(words) and all(not word or word in _WORDS for word in words)


def _collect(value: Any, path: str, found: set[tuple[str, str]], depth: int) -> None:
    if path:
        found.add((path, _kind(value)))
    if depth >= _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            shown = name if is_a_schemas(name) else "…"
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
