from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.http.negotiation import Format, names_event_stream, negotiate

SSE, JSON, NDJSON, JSONL = Format.SSE, Format.JSON, Format.NDJSON, Format.JSONL


@pytest.mark.parametrize(
    ("format_", "content_type"),
    [
        (SSE, "text/event-stream; charset=utf-8"),
        (JSON, "application/json; charset=utf-8"),
        (NDJSON, "application/x-ndjson; charset=utf-8"),
        (JSONL, "application/jsonl; charset=utf-8"),
    ],
)
def test_each_format_is_answered_under_its_own_name(format_: Format, content_type: str) -> None:
    assert format_.content_type == content_type
    assert negotiate(format_.value) is format_


def test_only_sse_is_sse() -> None:
    assert [format_ for format_ in Format if format_.is_sse] == [SSE]


@pytest.mark.parametrize("accept", [None, "", " ", ",", "*/*", "*", "text/*", "text/event-stream"])
def test_sse_is_for_those_who_ask_for_it_or_for_nothing_in_particular(accept: str | None) -> None:
    assert negotiate(accept) is SSE


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        "application/xml",
        "application/json;q=0",
        "text/event-stream;q=0",
        "*/*;q=0",
        "application/json-seq",
        "garbage",
        "json",
        "application / json",
    ],
)
def test_who_admits_none_of_the_formats_gets_sse(accept: str) -> None:
    assert negotiate(accept) is SSE


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json;q=0.5, text/event-stream;q=0.6", SSE),
        ("application/json;q=0.6, text/event-stream;q=0.5", JSON),
        ("text/event-stream;q=0.9, application/json", JSON),
        ("text/event-stream;q=0.001, application/jsonl;q=0.002", JSONL),
        ("application/json;q=0.5, */*", SSE),
        ("application/x-ndjson, */*;q=0.1", NDJSON),
    ],
)
def test_the_highest_q_wins(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json, text/event-stream", JSON),
        ("text/event-stream, application/json", SSE),
        ("text/html, application/jsonl, application/x-ndjson, application/json", JSONL),
        ("application/json;q=0.5, text/event-stream;q=0.5", JSON),
        ("application/*, text/*", JSON),
        ("text/*, application/*", SSE),
    ],
)
def test_the_first_named_wins_among_equals(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json, text/plain, */*", JSON),
        ("*/*, application/json", JSON),
        ("application/*, text/event-stream", SSE),
        ("*/*, application/*", JSON),
    ],
)
def test_a_type_that_is_named_comes_before_one_that_a_wildcard_admits(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream;q=0, */*", JSON),
        ("*/*, text/event-stream;q=0", JSON),
        ("text/*;q=0, */*", JSON),
        ("text/event-stream;q=0, application/json;q=0, */*;q=0.1", NDJSON),
        ("application/json;q=0, application/*", NDJSON),
        ("application/*;q=0.9, application/json;q=0.1, text/event-stream;q=0.5", NDJSON),
        ("application/json;q=0.3, */*;q=0.2", JSON),
        ("text/event-stream;q=0.1, */*;q=0.2", JSON),
    ],
)
def test_a_more_specific_range_overrides_a_wildcard(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


def test_an_application_wildcard_is_json() -> None:
    assert negotiate("application/*") is JSON


@pytest.mark.parametrize(
    "accept",
    [
        "Application/JSON",
        "TEXT/EVENT-STREAM;Q=0.1,APPLICATION/JSON;Q=0.2",
        "\tapplication/json ,\t",
        ",, application/json,,",
        "application/json ; q = 1",
        "application/json;charset=utf-8",
        'application/json; profile="a, text/event-stream, b";q=0.9',
        r'application/json; profile="\", text/event-stream"; q=0.9',
        "application/json;;q=0.5;",
        "application/json; q",
        'text/event-stream;q=0.2, application/json;q="0.5"',
        'text/event-stream;x=";q=1;";q=0.2, application/json;q=0.5',
        "text/event-stream;q=.5, application/json;q=1.",
        "text/event-stream;q=0.5;q=1, application/json;q=0.6",
        'application/json;x="never closed, text/event-stream;q=1',
        "<>, \x00, ;q=1, =, application/json, \u2603",
    ],
)
def test_letter_case_parameters_blanks_and_garbage_do_not_matter(accept: str) -> None:
    assert negotiate(accept) is JSON


@pytest.mark.parametrize("q", ["high", "-1", "nan", "inf", "", "1e-9", "0x0", "٠", "5", "1.5", "9" * 5000])
def test_a_q_that_is_no_number_or_too_high_counts_as_one(q: str) -> None:
    assert negotiate(f"text/event-stream;q=0.999, application/json;q={q}") is JSON
    assert negotiate(f"text/event-stream, application/json;q={q}") is SSE


@pytest.mark.parametrize("q", ["0", "0.", "0.0", ".0", "0.000", "00"])
def test_a_q_of_nought_excludes(q: str) -> None:
    assert negotiate(f"application/json;q={q}, text/event-stream;q=0.001") is SSE
    assert not names_event_stream(f"text/event-stream;q={q}")


def test_a_type_that_is_named_twice_has_the_higher_q() -> None:
    assert negotiate("application/json;q=0.1, text/event-stream;q=0.5, application/json;q=0.9") is JSON
    assert negotiate("application/json;q=0.9, text/event-stream;q=0.5, application/json;q=0") is JSON


@pytest.mark.parametrize(
    "accept",
    ["text/event-stream", "application/json, Text/Event-Stream;q=0.1", "text/event-stream;q=0, text/event-stream"],
)
def test_a_header_that_names_event_stream_is_known_by_it(accept: str) -> None:
    assert names_event_stream(accept)


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "text/*", "application/json", 'text/html;x="text/event-stream"', "text/event-streams"]
)
def test_a_wildcard_or_nothing_does_not_name_event_stream(accept: str | None) -> None:
    assert not names_event_stream(accept)


pieces = st.sampled_from(
    ["text/event-stream", "application/json", "*/*", "text/*", ",", ";", "q", "=", "0", "1", ".", '"', "\\", " ", "\0"]
)


@given(st.one_of(st.text(), st.lists(pieces).map("".join)))
def test_no_header_makes_it_raise(accept: str) -> None:
    assert isinstance(negotiate(accept), Format)
    assert isinstance(names_event_stream(accept), bool)


@pytest.mark.parametrize(
    "piece",
    [
        ",",
        ";",
        '"',
        "\\",
        '"\\',
        '\\"',
        "*,",
        "a,",
        "*/*,",
        ";q=1",
        "text/event-stream;q=0,",
        "*;q=0.1;",
        "9",
        " ",
        '",',
    ],
)
@pytest.mark.parametrize("start", ["", '"', "*;q=", 'text/event-stream;x="'])
def test_a_hostile_header_of_64_kb_is_read_quickly(start: str, piece: str) -> None:
    accept = start + piece * (65_536 // len(piece))
    began = time.process_time()
    assert negotiate(accept) is not None
    names_event_stream(accept)
    assert time.process_time() - began < 2  # some 0.05 s; a quadratic reading takes a minute
