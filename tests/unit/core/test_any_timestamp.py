"""Producers may give a record any 64-bit timestamp: each id that a client is sent is taken, and resumes right there."""

from __future__ import annotations

import contextlib
import json

import pytest

from streams.core.positions import MAX_OFFSET, OLDEST, TopicPartition, parse_last_event_id, record_timestamp
from streams.engine.memory import MemorySource
from tests.support.engine import numbered
from tests.support.engine.connection import STREAM, QuickEngine, connected, id_of

A, B = TopicPartition("a", 0), TopicPartition("b", 0)
TIMESTAMPS = [MAX_OFFSET, -(2**63), 0, MAX_OFFSET, -1, MAX_OFFSET - 1, 1_700_000_000_000, -5, MAX_OFFSET]


def write(source: MemorySource) -> None:
    for number, timestamp in enumerate(TIMESTAMPS * 2):
        source.append("ab"[number % 2], numbered(number), timestamp)


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("is_remembered", [True, False])
async def test_every_id_is_taken_and_resumes_after_its_event(is_live: bool, is_remembered: bool) -> None:
    """Live and out of history; at the process that sent the ids, and at another one."""
    source = MemorySource()
    source.create("a")
    source.create("b")
    if not is_live:
        write(source)
    engine = QuickEngine(source)
    async with engine.running("a", "b"):
        start = "" if is_live else id_of({A: OLDEST, B: OLDEST})
        async with connected(engine, STREAM, last_event_id=start) as connection:
            if is_live:
                write(source)
            got = await connection.until(lambda got: len(got.events) == 2 * len(TIMESTAMPS))
        other = engine if is_remembered else QuickEngine(source)
        async with other.running("a", "b") if other is not engine else contextlib.nullcontext():
            for number, text in enumerate(got.ids[:-1], 1):
                assert parse_last_event_id(text) is not None
                async with connected(other, STREAM, last_event_id=text) as again:
                    assert again.gaps == []
                    rest = await again.until(lambda rest, n=number: len(rest.events) >= len(got.events) - n)  # type: ignore[misc]
                    assert sorted(rest.events) == sorted(got.events[number:])
    said = {entry["timestamp"] for text in got.ids for entry in json.loads(text)}
    assert {0, MAX_OFFSET} <= said


@pytest.mark.parametrize(
    ("written", "read"),
    [(None, -1), (-(2**63), -1), (-2, -1), (-1, -1), (0, 0), (MAX_OFFSET - 1, MAX_OFFSET - 1), (2**70, MAX_OFFSET - 1)],
)
def test_one_more_than_a_record_s_timestamp_is_a_timestamp(written: int | None, read: int) -> None:
    assert record_timestamp(written) == read
