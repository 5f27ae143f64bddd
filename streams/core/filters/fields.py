"""What filters look at in an event: members by path, decoded at most once for all filters.

Numbers are exact, however large. An event is decoded only as far as some filter asks: of its members, those that no
filter names are skipped, and large ones are decoded when the first filter looks at them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

Path = tuple[str, ...]
"""The names of the members that lead to a field, outermost first."""

LONGEST_INTEGER = 4000
"""Digits of the longest integer that Python converts (`sys.get_int_max_str_digits`), less some; longer ones become
Decimal."""


MAX_PLACES = 32
"""Members that are read into a structure made for them; of more names, all members are read into a dictionary."""


SMALL = frozenset(
    {
        *("wiki", "wiki_id", "database", "server_name", "type", "page_change_kind", "namespace", "page_namespace"),
        *("title", "page_title", "user", "bot", "minor", "rev_minor_edit", "patrolled"),
    }
)
"""Members that are small where events have them, so that they are decoded at once: that is less work than to look for
them first. Any other is decoded when a filter looks at it."""


class Missing:
    """The type of `MISSING`, which stands for a field that an event does not have."""


MISSING: Final = Missing()
_NO_PLACES: Final[Mapping[str, str]] = {}


class OutOfRange:
    """A number whose exponent is beyond what Decimal can hold; it equals and compares with nothing."""


def exact_number(text: str) -> Decimal | OutOfRange:
    """Return the number that a JSON number says, exactly."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return OutOfRange()


def _exact_integer(text: str) -> int | Decimal | OutOfRange:
    return int(text) if len(text) < LONGEST_INTEGER else exact_number(text)


_decode_fast = msgspec.json.Decoder(float_hook=exact_number).decode


def decode(raw: bytes | msgspec.Raw) -> Any:
    """Return a JSON text as Python objects with exact numbers; of a name given twice the last value counts."""
    try:
        return _decode_fast(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # JSON allows lone surrogates and integers of any length, msgspec does not
    try:
        return json.loads(bytes(raw), parse_float=exact_number, parse_int=_exact_integer)
    except (ValueError, RecursionError):
        return MISSING


class Fields:
    """One event's fields. `found` has the members of `places`, each as an attribute; `members` those that are read."""

    __slots__ = ("_elements", "_found", "_members", "_places", "_values", "values")

    def __init__(self, found: Any, places: Mapping[str, str], members: dict[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        """What parameters compare, by parameter: kept for further filters."""
        self._found = found
        self._places = places
        self._members = members
        self._values: dict[Path, list[Any]] | None = None
        self._elements: dict[Path, list[Any]] | None = None

    def member(self, name: str) -> Any:
        """Return a member of the event itself; MISSING where there is none."""
        place = self._places.get(name)
        value = MISSING if place is None else getattr(self._found, place)
        if place is not None and type(value) is not msgspec.Raw:
            return value  # a small one
        value = self._members.get(name, value)
        if type(value) is msgspec.Raw:
            value = decode(value) if value else MISSING
        self._members[name] = value
        return value

    def first(self, paths: Iterable[Path]) -> Any:
        """Return the first of some fields that is there and not null; MISSING where there is none."""
        for path in paths:
            value = self.member(path[0])
            if len(path) > 1:
                for name in path[1:]:
                    value = value.get(name) if isinstance(value, dict) else None
            if value is not None and value is not MISSING:
                return value
        return MISSING

    def all(self, path: Path) -> list[Any]:
        """Return the values at a path: of an array on the way to it, those of all elements."""
        if self._values is None:
            self._values = {}
        found = self._values.get(path)
        if found is None:
            values = [self.member(path[0])]
            for name in path[1:]:
                inner = [value.get(name, MISSING) for value in _flat(values) if isinstance(value, dict)]
                values = [value for value in inner if value is not MISSING]
            found = self._values[path] = [value for value in values if value is not MISSING]
        return found

    def elements(self, path: Path) -> list[Any]:
        """Return the values at a path, as `all` does, and in place of an array its elements."""
        if self._elements is None:
            self._elements = {}
        elements = self._elements.get(path)
        if elements is None:
            elements = self._elements[path] = _flat(self.all(path))
        return elements


def _flat(values: list[Any]) -> list[Any]:
    """Return the values, in place of an array its elements. Not by recursion: arrays may be nested very deeply."""
    flat: list[Any] = []
    rest = values[::-1]
    while rest:
        value = rest.pop()
        if type(value) is list:
            rest += reversed(value)
        else:
            flat.append(value)
    return flat


class FieldReader:
    """Reads, of events, the members that some filters name. Immutable; see `reader_of`."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._places: dict[str, str] = {}
        if len(names) > MAX_PLACES:
            self._decode: Callable[[bytes | msgspec.Raw], Any] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
            return
        self._places = {name: f"m{place}" for place, name in enumerate(sorted(names))}
        members = msgspec.defstruct(
            "Members",
            [
                (place, Any, MISSING) if name in SMALL else (place, msgspec.Raw, msgspec.Raw(b""))
                for name, place in self._places.items()
            ],
            rename={place: name for name, place in self._places.items()},
            gc=False,
        )
        self._decode = msgspec.json.Decoder(members, float_hook=exact_number).decode

    def read(self, event: bytes | msgspec.Raw) -> Fields:
        """Return the fields of an event, given as JSON."""
        return self.fields_of(self.found(event))

    def found(self, event: bytes | msgspec.Raw) -> Any:
        """Return the members of an event, as attributes (see `getter`) or, if they are many or odd, in a dictionary."""
        try:
            return self._decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = decode(event)
            return {name: found[name] for name in self._names if name in found} if isinstance(found, dict) else {}

    def fields_of(self, found: Any) -> Fields:
        """Return the fields of what was found in an event."""
        return Fields(None, _NO_PLACES, found) if type(found) is dict else Fields(found, self._places, {})

    def getter(self, path: Path) -> Callable[[Any], Any] | None:
        """Return what gets a small member out of `found`, unless that is a dictionary; None for any other field."""
        name = path[0]
        is_small = len(path) == 1 and name in SMALL and name in self._places
        return attrgetter(self._places[name]) if is_small else None


@lru_cache(maxsize=256)
def reader_of(names: frozenset[str]) -> FieldReader:
    """Return the reader of events' members of these names."""
    return FieldReader(names)
