"""What two services sent, by topic, partition and offset, and how that differs. Pure: times are handed in."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.compare.shape import Shape, shape

MAX_EVENTS = 1_000_000
"""Maximum events of one service that are kept."""
MAX_EXAMPLES = 20
"""Maximum places that the report names for each difference."""


class Place(NamedTuple):
    """Where Kafka has an event."""

    topic: str
    partition: int
    offset: int


class Arrival(NamedTuple):
    """When an event came first (seconds), and its shape."""

    at: float
    shape: Shape


@dataclass(slots=True)
class Side:
    """What one service sent."""

    arrivals: dict[Place, Arrival] = field(default_factory=dict)
    repeated: list[Place] = field(default_factory=list)
    out_of_order: list[Place] = field(default_factory=list)
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
            place = Place(*(event["meta"][name] for name in ("topic", "partition", "offset")))
        except (ValueError, TypeError, KeyError, RecursionError):
            self.unreadable += 1
            return
        if place in self.arrivals:
            self.repeated.append(place)
            return
        partition = place[:2]
        if place.offset < self._highest.get(partition, -1):
            self.out_of_order.append(place)
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
        "only_a": _places([place for place in a.arrivals.keys() - common if a.arrivals[place].at < until]),
        "only_b": _places([place for place in b.arrivals.keys() - common if b.arrivals[place].at < until]),
    }
    for name, side in (("a", a), ("b", b)):
        report[f"repeated_{name}"] = _places(side.repeated)
        report[f"out_of_order_{name}"] = _places(side.out_of_order)
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
    report["equal"] = not any(value["count"] for value in report.values() if value and "count" in value)
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


def _places(places: list[Place]) -> dict[str, Any]:
    return {"count": len(places), "first": [place._asdict() for place in sorted(places)[:MAX_EXAMPLES]]}


def _quantile(ordered: list[float], part: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]
