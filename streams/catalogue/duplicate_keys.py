"""Keys that a mapping has twice: parsers silently keep the last, and the first value would be lost.

Source: YAML 1.2.2, 3.2.1.3 (keys are unique); RFC 8259, 4 (names should be).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class DuplicateKeyError(Exception):
    """A mapping has a key twice. `line` is that of the second, counted from 1; None if unknown."""

    def __init__(self, key: str, first_line: int | None = None, line: int | None = None) -> None:
        lines = "" if line is None else f", at line {first_line} and line {line}"
        super().__init__(f"it has {json.dumps(key, ensure_ascii=False)[:200]} twice{lines}; keep one")
        self.key, self.line = key, line


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dictionary of the pairs; for `object_pairs_hook` of `json.loads`.

    Raises:
        DuplicateKeyError: A key comes twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise DuplicateKeyError(next(key for key in counts if counts[key] > 1))
    return found


def refuse_duplicates(root: yaml.Node) -> None:
    """Check a YAML document, at every depth.

    Keys that become equal in JSON count as equal: `1` and `"1"`, `yes` and `true`. A mapping may repeat keys that it
    merges from another by `<<`.

    Raises:
        DuplicateKeyError: A mapping has a key twice.
    """
    constructor = yaml.constructor.SafeConstructor()
    todo, seen = [root], {id(root)}  # an alias may refer back
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.MappingNode):
            _check(node, constructor)
            children = [value for _, value in node.value]
        else:
            children = node.value if isinstance(node, yaml.SequenceNode) else []
        for child in children:
            if id(child) not in seen:
                seen.add(id(child))
                todo.append(child)


def as_key(value: object) -> str:
    """Return a key of YAML as JSON writes it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # equal keys for Python's dictionaries
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _check(node: yaml.MappingNode, constructor: yaml.constructor.SafeConstructor) -> None:
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        try:
            value = constructor.construct_object(key)
        except (yaml.YAMLError, ValueError):  # an invalid date: the parser reports it later
            value = key.value
        line = key.start_mark.line + 1
        names = {as_key(value), value}  # for Python, 1 equals true
        for name in names & lines.keys():
            raise DuplicateKeyError(key.value, lines[name], line)
        lines |= dict.fromkeys(names, line)
