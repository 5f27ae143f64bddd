"""Which of many filters an event can match: found by a hash look-up for each kind of key, not by trying them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

from streams.core.filters.fields import Fields, reader_of
from streams.core.filters.filter import Filter, field_value

T = TypeVar("T", bound=Hashable)


class FieldsInUse:
    """The members of events that any of some filters looks at.

    An event is decoded once for all of them, as far as they ask.
    """

    def __init__(self) -> None:
        self.filters = 0
        """Number of the filters."""
        self._names: Counter[str] = Counter()
        """The members, with the number of filters that look at each."""
        self._read = reader_of(frozenset()).read

    def add(self, wanted: Filter) -> None:
        """Read from now on what a filter looks at, too."""
        self.filters += 1
        self._count(wanted, 1)

    def remove(self, wanted: Filter) -> None:
        """Do without what only this filter looks at, which was added once."""
        self.filters -= 1
        self._count(wanted, -1)

    def read(self, event: bytes) -> Fields:
        """Return the fields of an event, given as JSON."""
        return self._read(event)

    def _count(self, wanted: Filter, by: int) -> None:
        names = wanted.names
        changed = [name for name in names if self._names[name] == (0 if by > 0 else 1)]
        for name in names:
            self._names[name] += by
        if changed:
            self._names = +self._names
            self._read = reader_of(frozenset(self._names)).read


class FilterIndex(Generic[T]):
    """Things with a filter each; `matching` finds those whose filter an event matches."""

    def __init__(self) -> None:
        self._filters: dict[T, Filter] = {}
        self._others: dict[T, Filter] = {}
        """Those whose filter has no key."""
        self._by_key: dict[str, dict[Any, dict[T, Filter]]] = {}

    def __len__(self) -> int:
        """Return the number of things."""
        return len(self._filters)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the things."""
        return iter(self._filters)

    def add(self, thing: T, wanted: Filter) -> None:
        """Add a thing that wants the events of a filter."""
        self._filters[thing] = wanted
        key = wanted.key()
        if key is None:
            self._others[thing] = wanted
        else:
            parameter, values = key
            places = self._by_key.setdefault(parameter, {})
            for value in values:
                places.setdefault(value, {})[thing] = wanted

    def remove(self, thing: T) -> None:
        """Remove a thing. Raises KeyError where it is not there."""
        wanted = self._filters.pop(thing)
        key = wanted.key()
        if key is None:
            del self._others[thing]
        else:
            parameter, values = key
            places = self._by_key[parameter]
            for value in values:
                del places[value][thing]
                if not places[value]:
                    del places[value]
            if not places:
                del self._by_key[parameter]

    def matching(self, fields: Fields) -> list[T]:
        """Return the things that want an event; its fields were read with all that their filters look at.

        Raises whatever a filter raises; see `sound`.
        """
        found = [thing for thing, wanted in self._others.items() if wanted.matches(fields)]
        for parameter, places in self._by_key.items():
            candidates = places.get(field_value(fields, parameter))
            if candidates:
                found += [thing for thing, wanted in candidates.items() if wanted.matches(fields)]
        return found

    def sound(self, fields: Fields) -> list[T]:
        """Return what `matching` does, without the things whose filter raises an exception on the event."""
        return [thing for thing, wanted in self._filters.items() if _is_sound(wanted, fields)]


def _is_sound(wanted: Filter, fields: Fields) -> bool:
    try:
        return wanted.matches(fields)
    except Exception:
        return False
