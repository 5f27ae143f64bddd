"""The demo producer's arithmetic: how long a history is, and where it begins."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from streams.core.durations import parse_duration
from streams.local.demo import DemoPlan, first_instant
from streams.management.commands.demo_events import _rate

START_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1800), ("1h", 3600), ("1.5h", 5400), ("2d", 172_800)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 h", "1h30m", "1w", "١h"])
def test_a_duration_without_a_known_unit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"30m, 1h or 2d"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "rate"), [("10", 10), ("0.5", 0.5), ("100000", 100_000)])
def test_a_rate_is_a_number_above_0(text: str, rate: float) -> None:
    assert _rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "nan", "100001", "ten"])
def test_another_rate_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a number above 0, up to 100000"):
        _rate(text)


def test_without_events_the_history_begins_as_long_ago_as_was_asked() -> None:
    assert first_instant(START_MS, None, DemoPlan(rate=20, backfill=60)) == START_MS - 60_000


def test_where_events_reach_into_the_history_only_what_follows_the_newest_is_written() -> None:
    assert first_instant(START_MS, START_MS - 10_000, DemoPlan(rate=20, backfill=60)) == START_MS - 10_000 + 50


def test_events_older_than_the_history_that_was_asked_leave_it_as_it_is() -> None:
    assert first_instant(START_MS, START_MS - 90_000, DemoPlan(rate=20, backfill=60)) == START_MS - 60_000
