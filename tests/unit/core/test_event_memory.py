"""What an event takes in rings and caches, which count the length of its JSON."""

from __future__ import annotations

import tracemalloc

import pytest

from redaction.redactor import Redactor
from streams.core.events import Record, encode

EVENTS = 200
OBJECTS_BYTES = 150
"""For the objects around the JSON."""


@pytest.mark.parametrize("size", [300, 1_400, 20_000])
def test_an_event_takes_no_more_memory_than_its_json(size: int) -> None:
    redactor = Redactor({})
    value = b'{"meta":{"dt":"2026-01-01T00:00:00Z"},"text":"%s"}' % (b"x" * size)
    records = [Record("topic", 0, offset, 1, None, value) for offset in range(EVENTS)]
    encode(records[0], redactor)
    tracemalloc.start()
    try:
        events = [encode(record, redactor) for record in records]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < sum(len(event.json) + OBJECTS_BYTES for event in events)
