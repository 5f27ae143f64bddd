"""The document that defines the streams: JSON or YAML, turned into plain values that any database can store.

It is not trusted: its depth and the size of its YAML aliases are limited.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from streams.catalogue.duplicate_keys import DuplicateKeyError, as_key, no_key_twice, refuse_duplicates
from streams.core.catalogue import Problem

MAX_DEPTH = 64
"""Maximum levels of nesting."""
MAX_NAME = 255
"""Maximum characters of a stream's name; a topic has at most 249."""
MAX_YAML = 2 * 1024 * 1024
"""Maximum characters of YAML with its aliases expanded; reading them takes a hundred times as much memory."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL stores neither in text


class DocumentError(Exception):
    """The text does not define streams; the message says why."""


class Described(NamedTuple):
    """Settings by stream name, as plain JSON values, and the streams that were skipped."""

    streams: Mapping[str, Any]
    left_out: tuple[Problem, ...]


def described_streams(text: str, object_path: str | None) -> Described:
    """Return the streams that a document defines.

    Args:
        text: JSON or YAML.
        object_path: The keys that lead to the streams, joined by dots; None or empty for the whole document.

    Raises:
        DocumentError: It defines no streams; an empty mapping is more likely a fault than intended.
    """
    document = parsed(text)
    for key in object_path.split(".") if object_path else ():
        if not isinstance(document, Mapping) or key not in document:
            raise DocumentError(f"it has nothing at stream_config_object_path {object_path!r} (no {key!r})")
        document = document[key]
    if not isinstance(document, Mapping):
        place = f" at {object_path!r}" if object_path else ""
        raise DocumentError(f"expected a mapping of stream names{place}, found {type(document).__name__}")
    if not document:
        raise DocumentError("it defines no stream")
    streams: dict[str, Any] = {}
    left_out: list[Problem] = []
    for name, settings in document.items():
        try:
            streams[check_name(name)] = {} if settings is None else plain(settings)
        except NotStorableError as error:
            left_out.append(Problem(_UNSTORABLE.sub("?", as_key(name))[:80], str(error)))
    return Described(streams, tuple(left_out))


def parsed(text: str) -> Any:
    """Return the values of a JSON or YAML text.

    Raises:
        DocumentError: It is neither, or a mapping at any depth has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=no_key_twice)
    except DuplicateKeyError as error:
        raise DocumentError(str(error)) from None
    except (ValueError, RecursionError) as error:
        not_json = error
    try:
        if len(text) > MAX_YAML:
            raise _too_long()
        _check_yaml(text)
        return _load(text)
    except DuplicateKeyError as error:
        raise DocumentError(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        not_yaml = " ".join(str(error).split())
        raise DocumentError(f"it is neither JSON ({not_json}) nor YAML ({not_yaml})") from None


def _load(text: str) -> Any:
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        refuse_duplicates(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_yaml(text: str) -> None:
    """Reject what would crash the process: libyaml's loader recurses in C, and aliases multiply."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    """Anchor and size (characters and nodes) of the collections around the event, the document first."""
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > MAX_DEPTH:
                raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_nodes):
                raise yaml.YAMLError(f"*{event.anchor} refers to a value that contains it")
            anchor, size = None, sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1 + len(event.value)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, before = open_nodes[-1]
        open_nodes[-1] = outer, before + size
        if before + size > MAX_YAML:
            raise _too_long()


def _too_long() -> yaml.YAMLError:
    return yaml.YAMLError(f"with its aliases expanded it is longer than {MAX_YAML} characters")


class NotStorableError(Exception):
    """Why a database cannot store a stream's name or settings."""


def check_name(name: object) -> str:
    """Return the name of a stream.

    Raises:
        NotStorableError: A database cannot store it.
    """
    if not isinstance(name, str):
        raise NotStorableError(f"YAML reads its name as {_kind(name)}, not as text; quote it")
    if len(name) > MAX_NAME or _UNSTORABLE.search(name):
        raise NotStorableError(
            f"its name is longer than {MAX_NAME} characters, or contains NUL or an unpaired surrogate"
        )
    return name


def _kind(name: object) -> str:
    if name is None or isinstance(name, bool):
        return "null" if name is None else "true or false (yes, no, on, off)"
    return "a number" if isinstance(name, int | float) else f"a {type(name).__name__}"


def plain(value: object, depth: int = 2) -> Any:
    """Return a copy as JSON values, exactly as PostgreSQL will return them.

    Raises:
        NotStorableError: A database cannot store it.
    """
    if depth > MAX_DEPTH:
        raise NotStorableError(f"its settings are nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise NotStorableError(
                f"its settings have a text that contains NUL or an unpaired surrogate: {ascii(value)[:80]}"
            )
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotStorableError(f"its settings have a number that JSON cannot represent: {value}")
        # PostgreSQL writes large ones as integers, and has no -0.0.
        return int(value) if abs(value) >= 1e16 else value + 0.0
    if isinstance(value, Mapping):
        return {plain(key if isinstance(key, str) else as_key(key)): plain(v, depth + 1) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    return plain(str(value), depth)  # YAML's dates, sets and bytes
