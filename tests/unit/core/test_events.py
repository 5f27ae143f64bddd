"""Records into events: the wire contract's "The two formats", and invariant 2 of the architecture."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.events import Event, Fields, Record, SkippedRecord, Withheld, encode

QUICKLY = settings(max_examples=150, deadline=None, database=None)


class Nobody:
    """The redactor of an empty list."""

    version = 0

    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        return True

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        return False


class Withholder(Nobody):
    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        return False

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        raise Withheld


def encoded(value: bytes | None, key: bytes | None = None, topic: str = "t", partition: int = 1) -> Event:
    return encode(Record(topic, partition, 7, 1_596_207_527_000, key, value), Nobody())


def skipped(value: bytes | None) -> str:
    with pytest.raises(SkippedRecord) as caught:
        encoded(value)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


PLACED = b'"meta":{"topic":"t","partition":1,"offset":7}}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b"plain text", "not_json"),
        (b'{"a":1', "not_json"),
        (b'{"a":1}{"b":2}', "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":01}', "not_json"),
        (b'{"a":tru}', "not_json"),
        (b"{'a':1}", "not_json"),
        (b'{"a":"\x00"}', "not_json"),
        (b'{"a":{"b":"a raw\ttab"}}', "not_json"),
        (b'{"a":["a raw\nline break"]}', "not_json"),
        (b'{"a":"\\x"}', "not_json"),
        (b'{"a":"\\ud80"}', "not_json"),
        (b'{"a":"\\ud800\x01"}', "not_json"),
        (b'\xef\xbb\xbf{"a":1}', "not_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
        (b'{"a":"\xff"}', "bad_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "bad_utf8"),
        (b'{"a":1}\x80', "bad_utf8"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"17", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"meta":[]}', "bad_meta"),
        (b'{"meta":"text"}', "bad_meta"),
        (b'{"meta":7}', "bad_meta"),
    ],
)
def test_what_is_not_one_json_object_is_skipped_with_its_reason(value: bytes | None, reason: str) -> None:
    assert skipped(value) == reason


def test_what_the_redactor_cannot_examine_is_withheld_without_a_word_about_its_content() -> None:
    with pytest.raises(SkippedRecord) as caught:
        encode(Record("t", 0, 1, 2, b"secret", b'{"user":"secret"}'), Withholder())
    assert caught.value.reason == "withheld"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "members",
    [
        b'"big":123456789012345678901234567890,"small":-9223372036854775809',
        b'"float":1.0,"zero":-0.0,"long":0.1000000000000000055511151231257827,"power":1E400',
        b'"10":1,"9":2,"1":3,"a":4',
        b'"null":null,"true":true,"false":false,"empty":{},"none":[]',
        b'"escapes":"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\\\u007f"',
        '"text":"Ünïcödé 漢字 🦊"'.encode(),
        b'"nested":{"b":[1,{"a":"\\u00e4"}],"a":1e2}',
        b'"surrogate":"\\uD800","low":"\\udfff","pair":"\\ud83d\\ude00","backslash":"\\\\ud800"',
        b'"surrogate":"\\ud800<0>","text":"<0>d800<1>","more":"<0\\ud800>"',
        b'"nested":{"\\ud800<0>":["<1>\\udbff"]}',
    ],
)
def test_values_that_are_not_touched_pass_byte_for_byte(members: bytes) -> None:
    assert encoded(b"{" + members + b"}").json == b"{" + members + b"," + PLACED


@pytest.mark.parametrize(
    ("value", "event"),
    [
        (b"{}", b"{" + PLACED),
        (b'{"meta":null,"a":1}', b'{"meta":{"topic":"t","partition":1,"offset":7},"a":1}'),
        (
            b'{"a":1,"meta":{"id":"x","offset":"old","topic":null,"dt":"d","partition":{}},"b":2}',
            b'{"a":1,"meta":{"id":"x","offset":7,"topic":"t","dt":"d","partition":1},"b":2}',
        ),
    ],
)
def test_meta_is_made_where_it_is_missing_and_its_keys_are_replaced_in_place(value: bytes, event: bytes) -> None:
    assert encoded(value).json == event


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b"page 1", "page 1"),
        (b"", ""),
        ("ключ\n\u2028".encode(), "ключ\n\u2028"),
        (b"\xff\x00", "/wA="),
        (b'"\\', '"\\'),
    ],
)
def test_a_key_is_shown_as_text_or_else_as_base64(key: bytes, shown: str) -> None:
    event = encoded(b"{}", key)
    assert json.loads(event.json)["meta"]["key"] == shown
    assert "\u2028".encode() not in event.json


def test_a_record_without_a_key_shows_the_key_that_its_meta_has() -> None:
    assert json.loads(encoded(b'{"meta":{"key":"own"}}').json)["meta"]["key"] == "own"


def test_a_key_that_looks_like_the_mark_of_a_lone_surrogate_stays_what_it_is() -> None:
    event = json.loads(encoded(b'{"a":"\\ud800","b":"<1>"}', b"<0>abcd<1>abcd<2>abcd").json)
    assert event["meta"]["key"] == "<0>abcd<1>abcd<2>abcd"
    assert event["a"] == "\ud800"


def test_a_pretty_printed_event_becomes_one_line_and_keeps_its_numbers() -> None:
    value = b'{\r\n  "a": [\n    1.0,\n    123456789012345678901\n  ],\n  "meta": {\n    "id": "x\\n"\n  }\n}\n'
    assert encoded(value).json == (
        b'{"a":[1.0,123456789012345678901],"meta":{"id":"x\\n","topic":"t","partition":1,"offset":7}}'
    )


def test_line_breaks_of_unicode_are_escaped_wherever_they_stand() -> None:
    value = '{"a\u2028":"\u2029","b":["\u0085"],"meta":{"c":"\u2028"}}'.encode()
    event = encoded(value).json
    assert event.startswith(b'{"a\\u2028":"\\u2029","b":["\\u0085"],"meta":{"c":"\\u2028",')
    assert len(event.decode().splitlines()) == 1


def test_the_event_keeps_the_offset_and_the_timestamp_of_its_record() -> None:
    event = encoded(b"{}")
    assert (event.offset, event.timestamp) == (7, 1_596_207_527_000)


# Pieces that have meant something to the code on their way.
_pieces = st.sampled_from(
    [
        "<0>",
        "<1>",
        "<",
        "0",
        ">",
        "\ud800",
        "\udbff",
        "\udfff",
        "d800",
        "\\",
        '"',
        "\n",
        "\r",
        "\x85",
        "\u2028",
        "\u2029",
    ]
)
_texts = st.lists(_pieces | st.characters(exclude_categories=()), max_size=8).map("".join)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_keys_of_meta = st.sampled_from(["topic", "partition", "offset", "key", "id", "dt"]) | _texts
_metas = st.none() | st.dictionaries(_keys_of_meta, _values, max_size=5)
_objects = st.dictionaries(_texts.filter(lambda name: name != "meta"), _values, max_size=5)
_keys = st.none() | st.binary(max_size=6) | _texts.map(lambda text: text.encode("utf-8", "replace"))


@QUICKLY
@given(_objects, st.booleans(), _metas, _keys, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_object_comes_out_as_it_went_in_but_for_what_is_added(
    members: dict[str, Any],
    has_meta: bool,
    meta: dict[str, Any] | None,
    key: bytes | None,
    indent: int | str | None,
    is_ascii: bool,
) -> None:
    if has_meta:
        members = {**members, "meta": meta}
    try:
        value = json.dumps(members, ensure_ascii=is_ascii, indent=indent).encode()
    except UnicodeEncodeError:  # a lone surrogate has no other form than its escape
        value = json.dumps(members, indent=indent).encode()
    expected = json.loads(value)
    expected["meta"] = {**(expected.get("meta") or {}), "topic": "t", "partition": 1, "offset": 7}
    if key is not None:
        try:
            expected["meta"]["key"] = key.decode()
        except UnicodeDecodeError:
            expected["meta"]["key"] = base64.b64encode(key).decode()

    line = encoded(value, key).json

    event = json.loads(line)
    assert event == expected
    assert list(event) == list(expected), "the order of the keys"
    assert list(event["meta"]) == list(expected["meta"])
    assert len((line.decode() + "|").splitlines()) == 1
    assert b"\r" not in line


@QUICKLY
@given(st.binary(max_size=40) | _values.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_record_holds_it_is_an_event_or_is_skipped_for_one_of_the_known_reasons(value: bytes) -> None:
    try:
        offset, reason = json.loads(encoded(value).json)["meta"]["offset"], ""
    except SkippedRecord as caught:
        offset, reason = 7, caught.reason
    assert offset == 7
    assert reason in {"", "empty", "not_json", "not_an_object", "bad_utf8", "bad_meta"}
