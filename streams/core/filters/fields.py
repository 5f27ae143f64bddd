"""What filters look at in an event: members by path, decoded at most once for all filters.

Numbers are exact, however large. An event is decoded only as far as some filter asks: of its members, those that no
filter names are skipped, and the others are decoded when the first filter looks at them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

import msgspec

Path = tuple[str, ...]
"""The names of the members that lead to a field, outermost first."""

LONGEST_INTEGER = 4000
"""Digits of the longest integer that Python converts (`sys.get_int_max_str_digits`), less some; longer ones become
Decimal."""


MAX_PLACES = 32
"""Members that are read into a structure made for them; of more names, all members are read into a dictionary."""


class Missing:
    """The type of `MISSING`, which stands for a field that an event does not have."""


MISSING: Final = Missing()


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


def decode(raw: bytes) -> Any:
    """Return a JSON text as Python objects with exact numbers; of a name given twice the last value counts."""
    try:
        return _decode_fast(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # JSON allows lone surrogates and integers of any length, msgspec does not
    try:
        return json.loads(raw, parse_float=exact_number, parse_int=_exact_integer)
    except (ValueError, RecursionError):
        return MISSING


class Fields:
    """One event's fields."""

    __slots__ = ("_decoded", "_found", "_raw")

    def __init__(self, raw: Callable[[str], bytes | None], decoded: dict[str, Any] | None = None) -> None:
        self._raw = raw
        self._decoded = {} if decoded is None else decoded
        self._found: dict[Path, list[Any]] = {}

    def member(self, name: str) -> Any:
        """Return a member of the event itself; MISSING where there is none."""
        try:
            return self._decoded[name]
        except KeyError:
            raw = self._raw(name)
            value = self._decoded[name] = MISSING if raw is None else decode(raw)
            return value

    def first(self, paths: Iterable[Path]) -> Any:
        """Return the first of some fields that is there and not null; MISSING where there is none."""
        for path in paths:
            value = self.member(path[0])
            for name in path[1:]:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None and value is not MISSING:
                return value
        return MISSING

    def all(self, path: Path) -> list[Any]:
        """Return the values at a path: of an array on the way to it, those of all elements."""
        found = self._found.get(path)
        if found is None:
            values = [self.member(path[0])]
            for name in path[1:]:
                inner = [value.get(name, MISSING) for value in _flat(values) if isinstance(value, dict)]
                values = [value for value in inner if value is not MISSING]
            found = self._found[path] = [value for value in values if value is not MISSING]
        return found

    def elements(self, path: Path) -> list[Any]:
        """Return the values at a path, as `all` does, and in place of an array its elements."""
        found = self.all(path)
        return _flat(found) if any(type(value) is list for value in found) else found


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
        self._read_raw = _raw_by_place(names) if len(names) <= MAX_PLACES else _raw_by_name()

    def read(self, event: bytes) -> Fields:
        """Return the fields of an event, given as JSON."""
        try:
            return Fields(self._read_raw(event))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            whole = decode(event)
            members = whole if isinstance(whole, dict) else {}
            return Fields(lambda _name: None, {name: members.get(name, MISSING) for name in self._names})


RawMember = Callable[[str], bytes | None]


def _raw_by_place(names: frozenset[str]) -> Callable[[bytes], RawMember]:
    """Return a function that finds members in a structure with a place for each: faster where names are few."""
    places = {name: f"m{place}" for place, name in enumerate(sorted(names))}
    absent = msgspec.Raw(b"")
    members = msgspec.defstruct(
        "Members",
        [(place, msgspec.Raw, absent) for place in places.values()],
        rename={place: name for name, place in places.items()},
        gc=False,
    )
    decode_members = msgspec.json.Decoder(members).decode

    def read(event: bytes) -> RawMember:
        found = decode_members(event)
        return lambda name: bytes(getattr(found, places[name])) or None

    return read


def _raw_by_name() -> Callable[[bytes], RawMember]:
    decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    return lambda event: decode_members(event).get


@lru_cache(maxsize=256)
def reader_of(names: frozenset[str]) -> FieldReader:
    """Return the reader of events' members of these names."""
    return FieldReader(names)
