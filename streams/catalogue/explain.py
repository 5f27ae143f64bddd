"""Explains the catalogue to admins: where each value of a stream comes from, and what is wrong with an edit.

The rules are those of `streams.core.catalogue`; nothing is repeated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from streams.core.catalogue import Edit, InvalidStreamError, Layers, Problem, compile_catalogue, deep_merge, stream_of


class Origin(StrEnum):
    """A layer of the configuration; in the order of `Layers.of`, lowest first."""

    DEFAULT = "default"
    FETCHED = "fetched"
    FILE_OVERRIDE = "file override"
    ADMIN = "admin"


class Value(NamedTuple):
    """One value of the effective settings: the keys that lead to it, and the layer that it comes from.

    A list is a value, and so is an empty mapping; other mappings are not.
    """

    path: tuple[str, ...]
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Explanation:
    """The effective settings of a stream. `reason` says why it is not exposed; it is empty if it is exposed.

    `problems` are settings that are ignored, such as an alias that another stream has.
    """

    settings: Mapping[str, Any]
    values: tuple[Value, ...]
    reason: str
    problems: tuple[str, ...]


def explain(name: str, layers: Layers) -> Explanation:
    """Return what the stream `name` is made of; if nothing defines it, the reason says so."""
    own = [layer if isinstance(layer, Mapping) else {} for layer in layers.of(name)]
    settings: dict[str, Any] = {}
    for layer in own:
        settings = deep_merge(settings, layer)
    highest_first = list(zip(Origin, own, strict=True))[::-1]
    values = tuple(
        # The highest layer that has the value wins.
        Value(path, value, next(origin for origin, layer in highest_first if _has(layer, path)))
        for path, value in leaves(settings)
    )
    catalogue = compile_catalogue(layers, 0)
    reason = "" if name in catalogue.streams else _why_not(name, layers)
    problems = tuple(problem.reason for problem in catalogue.problems if problem.name == name)
    return Explanation(settings, values, reason, problems)


def validate_edit(name: str, edit: Edit, layers: Layers) -> list[str]:
    """Return what is wrong with this edit of the stream `name`, a sentence each; none: it can be saved.

    Only what the edit changes counts: an unusable stream may still be denied. An override is checked even if the
    stream is not exposed now.
    """
    if not isinstance(edit.override, Mapping):
        return ["the override must be a mapping of settings (in JSON: an object)"]
    without = layers.with_edit(name, None)
    reasons = []
    current = layers.edits.get(name)
    if edit.allowed is False and current is not None and current.override == edit.override:
        return []
    fault = _fault(name, layers.with_edit(name, edit))
    if fault is not None and (edit.allowed or name not in without.names() or fault != _fault(name, without)):
        reasons.append(fault)
    # As if it were exposed both times: new problems then come from the override.
    already = _problems(layers.with_edit(name, Edit({}, True)))
    reasons += [
        problem.reason if problem.name == name else f"stream {problem.name}: {problem.reason}"
        for problem in _problems(layers.with_edit(name, Edit(edit.override, True)))
        if problem not in already
    ]
    return reasons


def _problems(layers: Layers) -> tuple[Problem, ...]:
    return compile_catalogue(layers, 0).problems


def _fault(name: str, layers: Layers) -> str | None:
    try:
        stream_of(name, layers)
    except InvalidStreamError as error:
        return str(error)
    return None


def _why_not(name: str, layers: Layers) -> str:
    if name not in layers.names():
        return "no longer defined anywhere"
    if layers.allows(name):
        return _fault(name, layers) or ""
    edit = layers.edits.get(name)
    return "allowed_streams does not name it" if edit is None or edit.allowed is None else "denied by an admin"


def leaves(settings: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value with the keys that lead to it; of mappings, only empty ones are values."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _has(settings: object, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(settings, Mapping) or key not in settings:
            return False
        settings = settings[key]
    return True
