"""How the header writes a time: as JavaScript's `toISOString()`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from streams.core.formats import iso_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""Of the year 9999."""


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
        (LAST_MS + 1, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
        (2**63 - 1, "+292278994-08-17T07:12:55.807Z"),
    ],
)
def test_times_of_all_ages(ms: int, text: str) -> None:
    assert iso_time(ms) == text


@given(integers(0, LAST_MS))
def test_it_is_read_back_as_it_was(ms: int) -> None:
    assert datetime.fromisoformat(iso_time(ms)) - EPOCH == timedelta(milliseconds=ms)
