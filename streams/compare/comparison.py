"""What two services sent, by topic, partition and offset, and how that differs. Pure: times are handed in."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.compare.shape import Shape, shape

MAX_EVENTS = 1_000_000
"""Maximum events of one service that are kept."""
MAX_EXAMPLES = 20
"""Maximum places that the report names for each difference."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""Names of topics, by Kafka's rule: what else stands there is not shown."""


class Place(NamedTuple):
    """Where Kafka has an event."""

    topic: str
    partition: int
    offset: int


def place_of(event: Any) -> Place:
    """Return where a decoded event says that it is. Raises ValueError where that is no place in a Kafka."""
    meta = event.get("meta") if isinstance(event, dict) else None
    topic, partition, offset = (meta.get(name) if isinstance(meta, dict) else None for name in Place._fields)
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise ValueError
    return Place(topic, _count(partition), _count(offset))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


@dataclass(slots=True)
class Places:
    """The number of places of one kind, and the first of them."""

    count: int = 0
    first: list[Place] = field(default_factory=list)

    def add(self, place: Place) -> None:
        """Count a place, and keep it if it is among the first."""
        self.count += 1
        if len(self.first) < MAX_EXAMPLES:
            self.first.append(place)

    def report(self) -> dict[str, Any]:
        """Return them, ready for JSON."""
        return {"count": self.count, "first": [place._asdict() for place in sorted(self.first)]}


class Arrival(NamedTuple):
    """When an event came first (seconds), and its shape."""

    at: float
    shape: Shape


@dataclass(slots=True)
class Side:
    """What one service sent."""

    arrivals: dict[Place, Arrival] = field(default_factory=dict)
    repeated: Places = field(default_factory=Places)
    out_of_order: Places = field(default_factory=Places)
    unreadable: int = 0
    reconnects: int = 0
    opened: float | None = None
    """When it first answered, in seconds."""
    _highest: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Return whether no more events are kept."""
        return len(self.arrivals) >= MAX_EVENTS

    def took(self, data: bytes, at: float, shapes: dict[Shape, Shape]) -> None:
        """Take the data of one event; equal shapes are kept once, in `shapes`."""
        try:
            event = json.loads(data)
            place = place_of(event)
        except (ValueError, RecursionError):
            self.unreadable += 1
            return
        if place in self.arrivals:
            self.repeated.add(place)
            return
        partition = place[:2]
        if place.offset < self._highest.get(partition, -1):
            self.out_of_order.add(place)
        self._highest[partition] = max(place.offset, self._highest.get(partition, -1))
        seen = shape(event)
        self.arrivals[place] = Arrival(at, shapes.setdefault(seen, seen))


def differences(sides: tuple[Side, Side], until: float) -> dict[str, Any]:
    """Return the report, ready for JSON.

    An event that only one service sent counts if it came before `until`: the other may just be late with a newer one.
    """
    a, b = sides
    common = a.arrivals.keys() & b.arrivals.keys()
    lag = sorted(
        (b.arrivals[place].at - a.arrivals[place].at) * 1000
        for place in common
        if min(a.arrivals[place].at, b.arrivals[place].at) >= max(a.opened or 0.0, b.opened or 0.0)
    )
    shapes = Counter(
        difference
        for place in common
        for difference in _shape_differences(a.arrivals[place].shape, b.arrivals[place].shape)
    )
    report: dict[str, Any] = {
        "events": {"a": len(a.arrivals), "b": len(b.arrivals), "both": len(common)},
        "only_a": _only(a, common, until).report(),
        "only_b": _only(b, common, until).report(),
    }
    for name, side in (("a", a), ("b", b)):
        report[f"repeated_{name}"] = side.repeated.report()
        report[f"out_of_order_{name}"] = side.out_of_order.report()
        report[f"unreadable_{name}"] = {"count": side.unreadable}
    report["shapes"] = {
        "count": sum(a.arrivals[place].shape != b.arrivals[place].shape for place in common),
        "members": [
            {"path": path, "a": in_a, "b": in_b, "events": count}
            for (path, in_a, in_b), count in shapes.most_common(MAX_EXAMPLES)
        ],
    }
    report["b_after_a_ms"] = {f"p{part}": round(_quantile(lag, part), 1) for part in (50, 99)} if lag else None
    report["reconnects"] = {"a": a.reconnects, "b": b.reconnects}
    has_difference = any(value["count"] for value in report.values() if value and "count" in value)
    report["compared"] = bool(a.arrivals and b.arrivals and (common or has_difference))
    report["equal"] = report["compared"] and not has_difference
    return report


def _shape_differences(a: Shape, b: Shape) -> list[tuple[str, str, str]]:
    if a is b:
        return []
    kinds: list[dict[str, list[str]]] = [{}, {}]
    for found, members in zip(kinds, (a, b), strict=True):
        for path, kind in sorted(members):
            found.setdefault(path, []).append(kind)
    return [
        (path, " or ".join(kinds[0].get(path, ["missing"])), " or ".join(kinds[1].get(path, ["missing"])))
        for path in sorted(kinds[0].keys() | kinds[1].keys())
        if kinds[0].get(path) != kinds[1].get(path)
    ]


def _only(side: Side, common: Set[Place], until: float) -> Places:
    found = Places()
    for place in sorted(side.arrivals.keys() - common):
        if side.arrivals[place].at < until:
            found.add(place)
    return found


def _quantile(ordered: list[float], part: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]
