"""What a stream's settings are checked for beyond their types: names that look mistyped, and topics for admins.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

KNOWN = (
    "topics",
    "topics_allowed",
    "stream_aliases",
    "description",
    "schema_title",
    "$schema",
    "canary_events_enabled",
)
"""The settings of a stream that have an effect; any other is kept."""
LIKENESS = 0.8
"""How alike a name and a known one are (0 to 1, by difflib) where the one is taken for a mistake for the other."""
INTERNAL = "__"
"""How the names of Kafka's own topics begin, such as __consumer_offsets."""


def misspelt(settings: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield each name that is not known but looks like a known one, with that one."""
    for name in settings:
        near = _meant(name) if isinstance(name, str) else None
        if near is not None:
            yield name, near


@functools.lru_cache(1024)
def _meant(name: str) -> str | None:
    if name in KNOWN or len(name) > 100:
        return None
    return next(iter(difflib.get_close_matches(name.lower(), KNOWN, 1, LIKENESS)), None)


def topics_for_admins(
    patterns: Collection[str] | None, described: Iterable[Mapping[Any, object]]
) -> Callable[[str], bool]:
    """Return the test of whether admins may give a stream this topic.

    `patterns` are as in a shell (`*`, `?`, `[…]`), letter case counts. None: the topics that the streams in `described`
    have. Kafka's own topics are excluded, unless a pattern begins as their names do.
    """
    if patterns is None:
        topics = {topic for streams in described for settings in streams.values() for topic in _topics(settings)}
        return lambda topic: topic in topics and not topic.startswith(INTERNAL)
    usual = tuple(patterns)
    internal = tuple(pattern for pattern in patterns if pattern.startswith(INTERNAL))
    return lambda topic: any(
        fnmatchcase(topic, pattern) for pattern in (internal if topic.startswith(INTERNAL) else usual)
    )


def _topics(settings: object) -> Iterator[str]:
    if not isinstance(settings, Mapping):
        return
    for key in ("topics", "topics_allowed"):
        value = settings.get(key)
        if isinstance(value, list | tuple):
            yield from (topic for topic in value if isinstance(topic, str))
