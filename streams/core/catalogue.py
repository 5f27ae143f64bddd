"""The catalogue: which streams there are, under which names, made of which topics.

An immutable snapshot, compiled from the stream configuration; a refresh compiles another one.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from streams.core.quoted import is_topic, quoted
from streams.core.settings import misspelt, topics_for_admins

# A name is asked for in a path, in a list separated by commas.
_NAME = re.compile(r"[^,/\s\x00-\x1f\x7f]+")
_REGULAR_EXPRESSION = "its name is a regular expression, not a stream"
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Problem(NamedTuple):
    """Something about the stream (or alias) `name` that somebody who edits the configuration should know."""

    name: str
    reason: str


class Edit(NamedTuple):
    """What an admin has set for one stream: settings that win over all others, and whether it is exposed.

    `allowed` None leaves that to the configuration (`allowed_streams`).
    """

    override: Mapping[str, Any]
    allowed: bool | None = None


class Layers(NamedTuple):
    """All layers of settings, each a mapping of stream name to settings.

    `defaults` lie below what was `fetched`, `overrides` (the configuration file's) and `edits` (the admin's) above it.
    `allowed`, when it is not None, is the whitelist of canonical names: an empty one allows nothing. `admin_topics` are
    patterns of the topics that edits may name; None: those that the other layers name.
    """

    fetched: Mapping[Any, object] = _NOTHING
    defaults: Mapping[str, object] = _NOTHING
    overrides: Mapping[str, object] = _NOTHING
    edits: Mapping[str, Edit] = _NOTHING
    allowed: Collection[str] | None = None
    admin_topics: Collection[str] | None = None

    def of(self, name: str) -> tuple[object, ...]:
        """Return the settings of one stream in each layer, the lowest first: default, fetched, file, admin's."""
        edit = self.edits.get(name)
        return (
            self.defaults.get(name),
            self.fetched.get(name),
            self.overrides.get(name),
            None if edit is None else edit.override,
        )

    def names(self) -> list[Any]:
        """Return the names of all streams that are described somewhere.

        A default describes a stream if it has topics; without topics it only adds to one that may come and go.
        """
        edited = (name for name, edit in self.edits.items() if edit.override)
        return list(dict.fromkeys([*self.fetched, *self.in_file(), *edited]))

    def in_file(self) -> list[str]:
        """Return the streams that the configuration file describes completely."""
        whole = (
            name for name, default in self.defaults.items() if isinstance(default, Mapping) and default.get("topics")
        )
        return list(dict.fromkeys([*whole, *self.overrides]))

    def admin_may_use(self) -> Callable[[str], bool]:
        """Return a test of whether an edit may name a topic."""
        return topics_for_admins(self.admin_topics, (self.fetched, self.defaults, self.overrides))

    def with_edit(self, name: str, edit: Edit | None) -> Layers:
        """Return the same layers with another edit of one stream, or none."""
        edits = {**self.edits, name: edit}
        return self._replace(edits={name: edit for name, edit in edits.items() if edit is not None})

    def allows(self, name: str) -> bool:
        """Return whether a stream is to be exposed, if it can be served."""
        edit = self.edits.get(name)
        if edit is not None and edit.allowed is not None:
            return edit.allowed
        return self.allowed is None or name in self.allowed


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream that is exposed.

    `topics` are consumed; `topics_allowed` are those that a Last-Event-ID may name besides. `aliases` are the further
    names that lead here. `schema_uri` is the setting ``$schema``. `settings` is the whole effective configuration of
    the stream, with the keys that have no attribute here.
    """

    name: str
    topics: tuple[str, ...]
    topics_allowed: tuple[str, ...]
    aliases: tuple[str, ...]
    description: str
    schema_title: str | None
    schema_uri: str | None
    canary_events_enabled: bool
    settings: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All streams that are exposed, by canonical name, in the order of the configuration.

    `skipped` says which streams of the configuration are left out and why (a stream that `allowed_streams` does not
    name is left out on purpose and not listed); `problems` says what else was ignored. `version` is the caller's.
    """

    streams: Mapping[str, Stream]
    version: int
    skipped: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    aliases: Mapping[str, str]
    """Alias to canonical name."""

    @property
    def mistakes(self) -> tuple[Problem, ...]:
        """What somebody should mend: of `skipped`, regular expressions are left out, which are no mistake."""
        return (*(each for each in self.skipped if each.reason != _REGULAR_EXPRESSION), *self.problems)

    def get(self, name: str) -> Stream | None:
        """Return the stream of this name or alias, if it is exposed."""
        return self.streams.get(self.aliases.get(name, name))

    def resolve(self, names: Iterable[str]) -> tuple[list[Stream], list[str]]:
        """Return the streams of these names in their order, and the names that no stream has, each once."""
        found: dict[str, Stream] = {}
        invalid: dict[str, None] = {}
        for name in names:
            stream = self.get(name)
            if stream is None:
                invalid[name] = None
            else:
                found[stream.name] = stream
        return list(found.values()), list(invalid)


def compile_catalogue(layers: Layers, version: int) -> Catalogue:
    """Make the catalogue out of what was fetched and what the configuration file and the admin add.

    Defaults fill what a stream lacks, the whole of it where they have topics; overrides and edits win, and create the
    streams that were not fetched. Nothing in the data raises: what cannot be served is skipped with its reason.
    """
    streams: dict[str, Stream] = {}
    skipped: list[Problem] = []
    problems: list[Problem] = []
    names = dict.fromkeys(layers.names())
    may_use = layers.admin_may_use()
    for name in names:
        if not isinstance(name, str):
            skipped.append(Problem(str(name), "its name is not text; quote it"))
        elif name.startswith("/"):
            skipped.append(Problem(name, _REGULAR_EXPRESSION))
        elif layers.allows(name):
            try:
                streams[name] = stream_of(name, layers, may_use)
            except InvalidStreamError as error:
                skipped.append(Problem(name, str(error)))
    problems += [
        Problem(name, "allowed_streams names it, but no such stream is configured")
        for name in layers.allowed or ()
        if name not in names
    ]
    problems += [
        Problem(stream.name, f"its setting {wrong} has no effect; did you mean {meant}?")
        for stream in streams.values()
        for wrong, meant in misspelt(stream.settings)
    ]
    aliases = _aliases(streams, problems)
    served = {name: _with_aliases(stream, aliases) for name, stream in streams.items()}
    return Catalogue(MappingProxyType(served), version, tuple(skipped), tuple(problems), MappingProxyType(aliases))


def deep_merge(low: Mapping[Any, Any], high: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return both, `high` winning: mappings are merged at every depth, anything else (a list too) is replaced."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


class InvalidStreamError(Exception):
    """Why a stream cannot be served."""


def stream_of(name: str, layers: Layers, may_use: Callable[[str], bool] | None = None) -> Stream:
    """Return the stream `name` as all layers make it; `may_use` is `layers.admin_may_use()`, made once for many.

    Raises InvalidStreamError, also where an edit gives it a topic that admins may not give.
    """
    stream = make_stream(name, layers.of(name))
    edit = layers.edits.get(name)
    if edit is not None:
        may_use = may_use or layers.admin_may_use()
        for topic in (*_texts(edit.override, "topics"), *_texts(edit.override, "topics_allowed")):
            if not may_use(topic):
                raise InvalidStreamError(f"admins may not give a stream the topic {topic}: {_who_may(layers)}")
    return stream


def _who_may(layers: Layers) -> str:
    if layers.admin_topics is None:
        return "no other stream of the configuration has it, and the setting admin_topics names none"
    return "the setting admin_topics does not name it"


def make_stream(name: str, layers: Iterable[object]) -> Stream:
    """Return the stream of these settings, the lowest layer first (see `Layers.of`). Raises InvalidStreamError."""
    if name.startswith("/"):
        raise InvalidStreamError(_REGULAR_EXPRESSION)
    if _NAME.fullmatch(name) is None:
        raise InvalidStreamError("its name is empty or has a comma, a slash or a blank: no client could ask for it")
    settings: dict[str, Any] = {}
    for layer in layers:
        if layer is not None and not isinstance(layer, Mapping):
            raise InvalidStreamError(f"its configuration is not a mapping but {quoted(layer)}")
        settings = deep_merge(settings, layer or {})
    topics = _texts(settings, "topics")
    if not topics:
        wrong = next((wrong for wrong, meant in misspelt(settings) if meant == "topics"), None)
        raise InvalidStreamError("it has no topics" + (f"; did you mean topics by {wrong}?" if wrong else ""))
    topics_allowed = _texts(settings, "topics_allowed")
    for topic in (*topics, *topics_allowed):
        if not is_topic(topic):
            raise InvalidStreamError(f"{quoted(topic)} is no legal topic name (1 to 249 of A-Z a-z 0-9 . _ -)")
    canary_events_enabled = settings.get("canary_events_enabled") or False
    if not isinstance(canary_events_enabled, bool):
        raise InvalidStreamError(f"canary_events_enabled is neither true nor false but {quoted(canary_events_enabled)}")
    return Stream(
        name=name,
        topics=topics,
        topics_allowed=topics_allowed,
        aliases=_texts(settings, "stream_aliases"),
        description=_text(settings, "description") or "",
        schema_title=_text(settings, "schema_title"),
        schema_uri=_text(settings, "$schema"),
        canary_events_enabled=canary_events_enabled,
        settings=MappingProxyType(settings),
    )


def _text(settings: Mapping[str, object], key: str) -> str | None:
    value = settings.get(key)
    if value is None or isinstance(value, str):
        return value or None
    raise InvalidStreamError(f"{key} is not text but {quoted(value)}")


def _texts(settings: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of texts, each once."""
    value = settings.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidStreamError(f"{key} is not a list of texts but {quoted(value)}")
    return tuple(dict.fromkeys(value))


def _aliases(streams: Mapping[str, Stream], problems: list[Problem]) -> dict[str, str]:
    """Alias to canonical name. A stream's own name outranks an alias, and of two equal aliases the first counts."""
    aliases: dict[str, str] = {}
    for stream in streams.values():
        for alias in stream.aliases:
            if alias == stream.name:
                continue
            if _NAME.fullmatch(alias) is None:
                problems.append(Problem(stream.name, f"its alias {quoted(alias)} has a comma, a slash or a blank"))
            elif alias in streams:
                problems.append(Problem(stream.name, f"its alias {alias} is the name of another stream"))
            elif alias in aliases:
                problems.append(Problem(stream.name, f"its alias {alias} is already one of {aliases[alias]}"))
            else:
                aliases[alias] = stream.name
    return aliases


def _with_aliases(stream: Stream, aliases: Mapping[str, str]) -> Stream:
    """The stream with those of its aliases that lead to it."""
    effective = tuple(alias for alias in stream.aliases if aliases.get(alias) == stream.name)
    return stream if effective == stream.aliases else replace(stream, aliases=effective)
