from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.errors import InvalidTimestamp
from streams.core.since import MAX_MS, parse_since

V8_VERDICTS = Path(__file__).resolve().parents[2] / "data" / "since-values.jsonl"
A_BLANK_FOR_A_PLUS = "2018-06-14T10:00:00 02:00"
"""The one text of V8's verdicts that is read otherwise, on purpose."""

DAY = 1_709_769_600_000  # 2024-03-07T00:00:00Z
TEN = DAY + 36_000_000  # 10:00 on that day
HOUR = 3_600_000


def is_invalid(text: str) -> bool:
    try:
        parse_since(text)
    except InvalidTimestamp:
        return True
    return False


NUMBERS = [
    ("0", 0),
    ("12", 12),
    ("2018", 2018),
    ("20180614", 20_180_614),
    ("1700000000000", 1_700_000_000_000),
    ("+1700000000000", 1_700_000_000_000),
    ("001700000000000", 1_700_000_000_000),
    ("1e12", 1_000_000_000_000),
    ("1.5E+3", 1500),
    ("12e-1", 1),
    ("5.", 5),
    (".5", 0),
    ("0x10", 16),
    ("0XfF", 255),
    ("0o17", 15),
    ("0b101", 5),
    ("8640000000000001", 8_640_000_000_000_001),
    ("9007199254740993", 9_007_199_254_740_992),
    ("0x20000000000001", 9_007_199_254_740_992),
]


@pytest.mark.parametrize(("text", "ms"), NUMBERS)
def test_a_number_is_milliseconds_as_javascript_reads_it(text: str, ms: int) -> None:
    assert parse_since(text) == ms


@pytest.mark.parametrize("text", ["1700000000000.5", "1700000000000.999"])
def test_a_fraction_of_a_millisecond_is_rounded_down(text: str) -> None:
    assert parse_since(text) == 1_700_000_000_000


@pytest.mark.parametrize("text", ["-5", "-0.5", "-1e300", "-0", "-000001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z"])
def test_what_is_before_the_epoch_counts_as_the_epoch(text: str) -> None:
    assert parse_since(text) == 0


@pytest.mark.parametrize("text", ["1e300", "9" * 300, "9223372036854775808", "0x" + "f" * 100])
def test_a_huge_finite_number_is_capped_at_what_kafka_can_hold(text: str) -> None:
    assert parse_since(text) == MAX_MS == 2**63 - 1


@pytest.mark.parametrize("text", ["1e309", "9" * 400, "0x" + "f" * 300, "Infinity", "-Infinity", "NaN"])
def test_a_number_that_is_not_finite_is_no_timestamp(text: str) -> None:
    assert is_invalid(text)


@pytest.mark.parametrize("text", ["-0x10", "0x", "0xg", "0o8", "0b2", "1_000", "1e", "0x1p3", "inf", "1e5.5", "+-x"])
def test_what_javascript_calls_not_a_number_is_not_one_here(text: str) -> None:
    assert is_invalid(text)


@pytest.mark.parametrize("blank", ["\t", "\n", "\v", "\f", "\r", " ", "\u00a0", "\u1680", "\u2028", "\u3000", "\ufeff"])
def test_blanks_of_javascript_around_a_number_are_ignored(blank: str) -> None:
    assert parse_since(f"{blank}{blank}1700000000000{blank}") == 1_700_000_000_000


@pytest.mark.parametrize("character", ["\x1c", "\x85", "\u200b", "\u180e"])
def test_what_is_a_blank_only_to_others_makes_a_number_invalid(character: str) -> None:
    assert is_invalid(f"17{character}")


ISO_FORMS = [
    ("2024-03-07T10:00:00Z", TEN),
    ("2024-03-07T10:00:00z", TEN),
    ("2024-03-07t10:00:00Z", TEN),
    ("2024-03-07T10:00Z", TEN),
    ("2024-03-07T10:00:00", TEN),
    ("2024-03-07T10:00", TEN),
    ("2024-03-07", DAY),
    ("2024-03", 1_709_251_200_000),
    ("2024T10:00", 1_704_103_200_000),
    ("2024-03T10:00Z", 1_709_287_200_000),
    ("2024-03-07T10:00:00.1Z", TEN + 100),
    ("2024-03-07T10:00:00.12Z", TEN + 120),
    ("2024-03-07T10:00:00.012345678Z", TEN + 12),
    ("2024-03-07T10:00:00.9999999999999Z", TEN + 999),
    ("2024-03-07T10:00:00+02:00", TEN - 2 * HOUR),
    ("2024-03-07T10:00:00+0200", TEN - 2 * HOUR),
    ("2024-03-07T10:00:00-08:30", TEN + 8 * HOUR + HOUR // 2),
    ("2024-03-07T24:00:00Z", DAY + 24 * HOUR),
    ("+002024-03-07T10:00:00Z", TEN),
    ("+275760-09-13T00:00:00Z", 8_640_000_000_000_000),
    ("2024-02-30", 1_709_251_200_000),
    ("2024-02-30T00:00:00Z", 1_709_251_200_000),
    ("2000-02-29T00:00:00Z", 951_782_400_000),
]


@pytest.mark.parametrize(("text", "ms"), ISO_FORMS)
def test_iso_8601_is_read_as_in_ecmascript(text: str, ms: int) -> None:
    assert parse_since(text) == ms


NOT_ISO = [
    "2024-13-01",
    "2024-00-01",
    "2024-01-32T00:00:00Z",
    "2024-01-01T25:00:00Z",
    "2024-01-01T24:00:01Z",
    "2024-01-01T24:00:00.001Z",
    "2024-01-01T24:00:00.0000001Z",
    "2024-01-01T00:60:00Z",
    "2024-01-01T00:00:60Z",
    "2024-01-01T00:00:00,5Z",
    "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00+00",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+00:60",
    "2024-01-01T00:00:00 UTC",
    "2024-01-01T00Z",
    "2024-01-01T",
    "2024-T10:00",
    "2024-W10-1",
    "2024-060",
    "20240101T100000Z",
    "-000000-01-01T00:00:00Z",
    "+275760-09-13T00:00:00.001Z",
    "+999999-01-01T00:00:00Z",
    "2024-01-01T10:00:00-08:00[America/Los_Angeles]",
]


@pytest.mark.parametrize("text", NOT_ISO)
def test_what_ecmascript_does_not_take_for_iso_8601_is_invalid(text: str) -> None:
    assert is_invalid(text)


LEGACY_FORMS = [
    ("Thu, 07 Mar 2024 10:00:00 GMT", TEN),
    ("Thu, 07 Mar 2024 10:00:00 +0100", TEN - HOUR),
    ("7 Mar 24 10:00 +0000 (a (nested) comment)", TEN),
    ("Thu Mar 07 2024 10:00:00 GMT+0100 (CET)", TEN - HOUR),
    ("Thu Mar 7 10:00:00 2024", TEN),
    ("March 7, 2024 10:00 UTC", TEN),
    ("march 7, 2024, 10:00 pm", TEN + 12 * HOUR),
    ("7 March 2024 12:30 AM", DAY + HOUR // 2),
    ("7-Mar-2024", DAY),
    ("2024/03/07", DAY),
    ("2024/3/7 10:00", TEN),
    ("2024-", 1_704_067_200_000),
    ("2024-3-7", DAY),
    ("2024-03-07 10:00:00", TEN),
    ("2024-03-07 10:00:00.123456", TEN + 123),
    ("2024-03-07 10:00:00Z", TEN),
    ("2024-03-07 10:00:00+01", TEN - HOUR),
    ("2024-03-07 10:00:00 +01:30", TEN - HOUR - HOUR // 2),
    ("2024-03-07 10:00:00 GMT-8", TEN + 8 * HOUR),
    ("2024-03-07 10:00:00 -800", TEN + 8 * HOUR),
    ("2024-03-07 10:00 EST", TEN + 5 * HOUR),
    ("2024-03-07 24:00", DAY + 24 * HOUR),
    ("2024-03-07 10::30", TEN + 30_000),
    ("3/7/2024", DAY),
    ("3/7/24", DAY),
    ("03.07.2024", DAY),
    ("Mar 2024", 1_709_251_200_000),
    ("7 Mar", 983_923_200_000),
    ("Jan 1 49", 2_493_072_000_000),
    ("Jan 1 98", 883_612_800_000),
    ("foo 2024", 1_704_067_200_000),
    ("on the day of 7 March 2024", DAY),
    ("\ufeffMar\u00a07\u00a02024", DAY),
]


@pytest.mark.parametrize(("text", "ms"), LEGACY_FORMS)
def test_rfc_2822_and_the_usual_long_forms_are_read_as_v8_reads_them(text: str, ms: int) -> None:
    assert parse_since(text) == ms


NO_DATES = [
    "now",
    "yesterday",
    "12:00",
    "2024 foo",
    "2024-03-07 10:00 CET",
    "2024-03-07 10:00 foo",
    "foo2024-03-07",
    "2024-03-07 25:00",
    "2024-03-07 24:01",
    "2024-03-07 10:60",
    "2024-03-07 10:00.",
    "2024-03-07 10:00:00:00:00",
    "2024-03-07 10:00!",
    "2024-03-07 13:00 PM",
    "2024-03-07 10:00 +12345",
    "2024-03-07 10:00 -",
    "2024-03-07 10:00 -20240010:00",
    "2024-03-07 10::30 11::30",
    "2024-03-07)",
    "2024-03 - 07",
    "32/32/2024",
    "1 2 3 4",
    "March",
    "(7 March 2024)",
    "March 7 300000",
]


@pytest.mark.parametrize("text", NO_DATES)
def test_what_v8_does_not_take_for_a_date_is_invalid(text: str) -> None:
    assert is_invalid(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-07T10:00:00+01:00",
        "2024-03-07T10:00:00+0100",
        "2024-03-07T10:00:00.000000+01:00",
        "2024-03-07 10:00:00+01:00",
        "2024-03-07 10:00:00+01",
        "Thu, 07 Mar 2024 10:00:00 +0100",
        "Thu Mar 07 2024 10:00:00 GMT+0100 (CET)",
        "+002024-03-07T10:00:00+01:00",
    ],
)
def test_a_blank_where_a_plus_was_sent_is_read_as_plus(text: str) -> None:
    assert parse_since(text.replace("+", " ")) == parse_since(text) == TEN - HOUR


def test_a_year_after_the_time_is_not_taken_for_an_offset_that_lost_its_plus() -> None:
    assert parse_since("Thu Mar 7 10:00:00 2014") == 1_394_186_400_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-07T10:00:00  02:00",
        "2024-03-07T10:00:00\t02:00",
        "2024-03-07 10:00:00 1",
        "2024-03-07 10:00:00 02:00 foo",
        "2024-03-07 10:00:00 2000",
        "2024-03-07 10:00:00 0299",
        "2024-03-07 10:00:00 02:0",
        "2024-03-07 10:00:00 11::30",
        "2024-03-07 10:00:00 01:30EST",
        "2024-03-07 10:00:00 0100:30",
        " 002024::",
    ],
)
def test_a_blank_that_no_plus_can_have_been_is_not_read_as_plus(text: str) -> None:
    assert is_invalid(text)


def test_blanks_alone_are_the_number_nought_as_in_javascript() -> None:
    assert parse_since(" \t") == 0


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_moment_that_python_writes_is_read_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    ms = int(whole.timestamp()) * 1000
    assert parse_since(moment.isoformat()) == ms + moment.microsecond // 1000
    assert parse_since(str(moment)) == ms + moment.microsecond // 1000
    assert parse_since(whole.strftime("%a, %d %b ") + f"{whole.year:04} {whole:%H:%M:%S}") == ms
    assert parse_since(format_datetime(whole)) == ms


def test_the_error_names_the_value_and_the_remedy() -> None:
    with pytest.raises(InvalidTimestamp) as raised:
        parse_since("yesterday")
    assert "'yesterday'" in raised.value.detail
    assert "2024-03-07T10:00:00Z" in raised.value.detail


def test_the_error_shows_no_more_than_the_beginning_of_a_long_value() -> None:
    with pytest.raises(InvalidTimestamp) as raised:
        parse_since("x" * 10_000)
    assert len(raised.value.detail) < 300


@pytest.mark.parametrize("text", ["2024-01-01\0", "\0", "2024-01-01\0foo", "17\0"])
def test_a_nul_makes_any_value_invalid(text: str) -> None:
    assert is_invalid(text)


@pytest.mark.parametrize("text", ["٢٠٢٤-٠٣-٠٧", "１７００", "२०२४", "2024-03-0７", "2024-03-07T１0:00", "1²"])
def test_digits_of_other_scripts_are_not_digits(text: str) -> None:
    assert is_invalid(text)


PIECES = """2024 07 3 00 99 0100 + - : :: . , / T Z z GMT EST Mar jan am PM foo ( ) 12:30 10:00:00 2024-03-07 +002024
-002024 -000000 0x1f 1e 999999999999 ٣ é \ud800 💥 \0 \ufeff K ſ"""
pieces = st.sampled_from(PIECES.split())


@example("1e300")
@example("\ud800")
@example("9" * 5000)
@given(st.one_of(st.text(), st.lists(pieces).map("".join), st.lists(pieces).map(" ".join)))
def test_any_text_is_a_timestamp_within_bounds_or_invalid(text: str) -> None:
    try:
        ms = parse_since(text)
    except InvalidTimestamp:
        return
    assert type(ms) is int
    assert 0 <= ms <= MAX_MS


HOSTILE = [
    "0" * 65_536 + "y",
    "0x" + "0" * 65_536 + "z",
    "1e" + "0" * 65_536 + "z",
    "2024-03-07T10:00:00." + "1" * 65_536 + "x",
    " " * 65_536 + "x",
    "(" * 65_536,
    "() " * 20_000,
    "foo " * 16_000,
    "10:00" + "+1:1" * 16_000,
    "2024-03-07 10:00:00" + " GMT" * 16_000 + " x",
    "\ud800" * 10_000,
    "٣" * 10_000,
    "\0" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_text_is_refused_quickly(text: str) -> None:
    began = time.process_time()
    assert is_invalid(text)
    assert time.process_time() - began < 2  # some 0.05 s; a quadratic reading takes a minute


def test_the_verdicts_of_v8_are_ours_but_for_the_one_stated_departure() -> None:
    rows = [json.loads(line) for line in V8_VERDICTS.read_text("utf-8").splitlines()]
    expected = {row["text"]: None if row["ms"] is None else max(0, int(row["ms"])) for row in rows}
    expected[A_BLANK_FOR_A_PLUS] = parse_since("2018-06-14T10:00:00+02:00")
    assert {text: None if is_invalid(text) else parse_since(text) for text in expected} == expected
    assert len(expected) >= 63
