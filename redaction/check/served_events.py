"""Where a served event stands in Kafka, and which events of a time window have not been served yet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from redaction.check.raw_records import Window
from streams.core.positions import TopicPartition


class ServedPlace(NamedTuple):
    """The place that an event names; without one, `offset` is -1. `dt` is its time, ISO 8601."""

    tp: TopicPartition
    offset: int
    dt: str
    stream: str


class _Meta(msgspec.Struct):
    topic: Any = None
    partition: Any = None
    offset: Any = None
    stream: Any = None
    dt: Any = None


class _Placed(msgspec.Struct):
    meta: _Meta | None = None


_decode = msgspec.json.Decoder(_Placed).decode


def place_of(event: bytes) -> ServedPlace:
    """Return what a served event says of its place."""
    meta = None
    try:
        meta = _decode(event).meta
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Slower, but it takes lone surrogates, as JSON does and msgspec does not.
        with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
            meta = msgspec.convert(json.loads(event), _Placed).meta
    meta = meta or _Meta()
    tp, offset = TopicPartition("", 0), -1
    if isinstance(meta.topic, str) and isinstance(meta.partition, int) and isinstance(meta.offset, int):
        tp, offset = TopicPartition(meta.topic, meta.partition), meta.offset
    return ServedPlace(tp, offset, _text(meta.dt), _text(meta.stream))


class Awaited:
    """The partitions of which not all events have been served yet. Windows without an event are not awaited."""

    def __init__(self, windows: Mapping[TopicPartition, Window]) -> None:
        self._windows = {tp: window for tp, window in windows.items() if window.last >= 0}
        self._next = {tp: window.start for tp, window in self._windows.items()}
        self._total = self._left

    def __bool__(self) -> bool:
        """Return whether an event is awaited."""
        return bool(self._windows)

    @property
    def part(self) -> float:
        """Return the part of the offsets that has been served, 0 to 1; offsets have holes, so it is an estimate."""
        return 1 - self._left / max(1, self._total)

    @property
    def _left(self) -> int:
        return sum(max(0, window.last + 1 - self._next[tp]) for tp, window in self._windows.items())

    def note(self, place: ServedPlace) -> None:
        """Note that an event has been served."""
        window = self._windows.get(place.tp)
        if window is not None:
            self._next[place.tp] = place.offset + 1
            if place.offset >= window.last:
                del self._windows[place.tp]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
