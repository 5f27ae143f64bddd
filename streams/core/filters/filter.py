"""A filter: what its parameters ask of an event, as one immutable, hashable value.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from streams.core.filters.fields import MISSING, FieldReader, Fields, Path, reader_of
from streams.core.filters.where import Condition
from streams.core.spelling import normalise_title

CANARY_DOMAIN = "canary"


class Field(NamedTuple):
    """A parameter's field.

    `paths` are where streams have it; `read` makes a value comparable with the parameter's (None if of another type).
    """

    paths: tuple[Path, ...]
    read: Callable[[Any], Any]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _host(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _title(value: Any) -> str | None:
    return normalise_title(value) if isinstance(value, str) else None


def _integer(value: Any) -> int | Decimal | None:
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _paths(*texts: str) -> tuple[Path, ...]:
    return tuple(tuple(text.split(".")) for text in texts)


FIELDS: dict[str, Field] = {
    "wiki": Field(_paths("wiki", "wiki_id", "database"), _text),
    "domain": Field(_paths("meta.domain", "server_name"), _host),
    "type": Field(_paths("type", "page_change_kind"), _text),
    "namespace": Field(_paths("namespace", "page.namespace_id", "page_namespace"), _integer),
    "title": Field(_paths("title", "page.page_title", "page_title"), _title),
    "user": Field(_paths("user", "performer.user_text"), _title),
    "bot": Field(_paths("bot", "performer.is_bot", "performer.user_is_bot"), _flag),
    "minor": Field(_paths("minor", "revision.is_minor_edit", "rev_minor_edit"), _flag),
    "patrolled": Field(_paths("patrolled"), _flag),
}
"""The parameters that compare one field, in the order in which a filter looks at them: cheap and rare ones first."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a parameter takes (`wanted`) and excludes.

    Of texts, also those that begin (titles) or end (hosts) with one of some others.
    """

    wanted: frozenset[Any] = frozenset()
    excluded: frozenset[Any] = frozenset()
    wanted_parts: tuple[str, ...] = ()
    excluded_parts: tuple[str, ...] = ()

    def test(self, parameter: str) -> Callable[[Fields], bool]:
        """Return whether an event's field satisfies the parameter, as a function."""
        takes = self.takes(parameter)
        return lambda fields: takes(field_value(fields, parameter))

    def takes(self, parameter: str) -> Callable[[Any], bool]:
        """Return whether a value satisfies the parameter, as `field_value` returns it, as a function."""
        wanted, excluded = self.wanted, self.excluded
        part = str.endswith if parameter == "domain" else str.startswith
        wanted_parts, excluded_parts = self.wanted_parts, self.excluded_parts
        takes_all = not wanted and not wanted_parts

        def holds(value: Any) -> bool:
            if value is None:
                return takes_all
            if value in excluded or (excluded_parts and part(value, excluded_parts)):
                return False
            return takes_all or value in wanted or bool(wanted_parts and part(value, wanted_parts))

        return holds

    @property
    def exact(self) -> frozenset[Any]:
        """The only values that an event's field can have; empty where others can satisfy the parameter too."""
        return frozenset() if self.wanted_parts else self.wanted


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a client wants; two of one canonical form are equal. `NO_FILTER` wants all.

    `text` is the canonical form: a query string, percent-encoded.
    """

    text: str
    values: tuple[tuple[str, Values], ...] = field(default=(), compare=False, repr=False)
    canary: str = field(default="true", compare=False, repr=False)
    conditions: tuple[Condition, ...] = field(default=(), compare=False, repr=False)
    names: frozenset[str] = field(init=False, compare=False, repr=False)
    """The members of events that it looks at."""
    looks_at_added: bool = field(init=False, compare=False, repr=False)
    """Whether it looks at a member of `meta` that a record lacks: of an unredacted event, the record tells the rest."""
    matches: Callable[[Fields], bool] = field(init=False, compare=False, repr=False)
    """Whether an event is wanted; its fields were read with all of `names`."""

    def __post_init__(self) -> None:
        tests: list[Callable[[Fields], bool]] = []
        paths: list[Path] = []
        if self.canary != "true":
            wants_canaries = self.canary == "only"
            paths += _CANARY
            tests.append(lambda fields: (fields.first(_CANARY) == CANARY_DOMAIN) is wants_canaries)
        for parameter, values in self.values:
            tests.append(values.test(parameter))
            paths += FIELDS[parameter].paths
        for condition in self.conditions:
            tests.append(condition.holds)
            paths.append(condition.path)
        object.__setattr__(self, "matches", tests[0] if len(tests) == 1 else _all(tests))
        object.__setattr__(self, "names", _shared(frozenset(path[0] for path in paths)))
        object.__setattr__(self, "looks_at_added", any(map(_is_added, paths)))

    def __bool__(self) -> bool:
        """Return whether it can refuse an event."""
        return bool(self.text)

    def reader(self) -> FieldReader:
        """Return a reader of what this filter looks at."""
        return reader_of(self.names)

    def wants(self) -> Callable[[bytes], bool]:
        """Return whether an event is wanted, given as JSON, as a function: for who applies no other filter.

        Most events are refused by the first field of a parameter, for which little has to be made of them.
        """
        reader, matches = self.reader(), self.matches
        quick = [
            (get, FIELDS[parameter].read, values.takes(parameter))
            for parameter, values in self.values
            if (get := reader.getter(FIELDS[parameter].paths[0])) is not None
        ]
        if not quick:
            return lambda event: matches(reader.read(event))

        def is_wanted(event: bytes) -> bool:
            found = reader.found(event)
            if type(found) is not dict:
                for get, read, takes in quick:
                    value = get(found)
                    if value is not MISSING and value is not None and not takes(read(value)):
                        return False
            return matches(reader.fields_of(found))

        return is_wanted

    def key(self) -> tuple[str, frozenset[Any]] | None:
        """Return a parameter and the only values with which an event can match; None where there is no such parameter.

        Of several parameters the one that fewest events satisfy.
        """
        exact = {parameter: values.exact for parameter, values in self.values if values.exact}
        return next(((parameter, exact[parameter]) for parameter in KEYS if parameter in exact), None)


def _all(tests: Sequence[Callable[[Fields], bool]]) -> Callable[[Fields], bool]:
    def holds(fields: Fields) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost as much as a test
            if not test(fields):
                return False
        return True

    return holds


@lru_cache(maxsize=1024)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Return the same object for equal names: filters are many, and look at few different members."""
    return names


def _is_added(path: Path) -> bool:
    return path[0] == "meta" and (len(path) == 1 or path[1] in ("topic", "partition", "offset", "key"))


_CANARY = _paths("meta.domain")
KEYS = ("title", "user", "wiki", "domain", "type", "namespace")
"""The parameters that filters are found by, the most selective first."""
NO_FILTER = Filter("")


def field_value(fields: Fields, parameter: str) -> Any:
    """Return an event's value of a parameter, comparable with those of `Filter.key`; None where it has none."""
    value = fields.values.get(parameter, MISSING)
    if value is MISSING:  # not read yet: what an event lacks is kept as None
        paths, read = FIELDS[parameter]
        value = fields.first(paths)
        value = fields.values[parameter] = None if value is MISSING else read(value)
    return value
