"""Redaction where it is done: as a record becomes an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from redaction.redactor import Redactor
from streams.core.events import Record, SkippedRecord, encode

RU = "ru.wikipedia.org"
LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED]}, version=7)


def listed(**fields: Any) -> dict[str, Any]:
    return {"meta": {"domain": RU}, "title": LISTED, **fields}


def record(event: dict[str, Any]) -> Record:
    return Record("eqiad.t", 0, 5, 1_596_207_527_000, None, json.dumps(event).encode())


def test_an_encoded_event_of_a_listed_page_is_redacted_in_meta_too() -> None:
    event = listed(user="Alice")
    event["meta"]["user_id"] = 7
    encoded = json.loads(encode(record(event), REDACTOR).json)
    assert encoded == {"meta": {"domain": RU, "topic": "eqiad.t", "partition": 0, "offset": 5}, "title": LISTED}


def served(event: dict[str, Any], key: bytes | None) -> Any:
    return json.loads(encode(replace(record(event), key=key), REDACTOR).json)["meta"]


@pytest.mark.parametrize(
    ("key", "left"),
    [
        (b'{"wiki_id":"ruwiki","page_id":17}', '{"wiki_id":"ruwiki","page_id":17}'),
        (b'{"page_id":17,"user_text":"Alice","a":[{"performer":{}}]}', '{"page_id":17,"a":[{}]}'),
        (b'{"a":{"user":"Alice"},"a":1}', '{"a":1}'),
        (b'{"comment":"by Alice"}', '{"comment":""}'),
        (b"", ""),
        (b"Alice", None),
        (b'"Alice"', None),
        (b'["Alice"]', None),
        (b"123", None),
        (b'{"a":"Alice', None),
        (b'{"a":"Alice \xff"}', None),
        (b"\xffAlice", None),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, None),
        (None, None),
    ],
)
def test_of_the_key_of_a_redacted_event_leaves_what_the_event_would_keep_of_it(
    key: bytes | None, left: str | None
) -> None:
    assert served(listed(user="Alice"), key).get("key") == left


@pytest.mark.parametrize("key", [b"Alice", b'{"user": "Alice"}', b"\xff"])
def test_the_key_of_any_other_event_is_as_it_was(key: bytes) -> None:
    text = "/w==" if key == b"\xff" else key.decode()
    assert served({"meta": {"domain": RU}, "title": "Other"}, key)["key"] == text


@pytest.mark.parametrize("name", [rb"\u003c0>0075ser", rb"\u003C\u0030\u003e0075ser", rb"<\u00300>0075ser"])
@pytest.mark.parametrize("extra", [b"", b"<0>", b"<1>"])
def test_no_key_becomes_the_name_of_a_user_where_lone_surrogates_are_put_back(name: bytes, extra: bytes) -> None:
    """They travel under a marker, which must not come about by undoing the escapes in a key."""
    value = b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","a":"\\ud800%s","%s":"Alice"}' % (extra, name)
    event = json.loads(encode(Record("t", 0, 5, 1, None, value), REDACTOR).json)
    assert list(event) == [*listed(a=0), json.loads(b'"%s"' % name)]


@pytest.mark.parametrize("title", [rb"\ud800", rb"TUT.BY\ud800", rb"\u0054UT.BY"])
def test_a_title_with_a_lone_surrogate_is_a_title(title: bytes) -> None:
    value = b'{"meta":{"domain":"ru.wikipedia.org"},"title":"%s","page_title":"TUT.BY","user":"\\udc00"}' % title
    assert b"user" not in encode(Record("t", 0, 5, 1, None, value), REDACTOR).json


def test_a_record_that_cannot_be_examined_is_skipped_as_withheld() -> None:
    with pytest.raises(SkippedRecord, match="withheld"):
        encode(record({"meta": {"domain": RU}, "title": 7}), REDACTOR)


@pytest.mark.parametrize(
    ("first", "last", "kept"), [("TUT.BY", "Other", '"user":1,'), ("Other", "TUT.BY", ""), ("TUT.BY", "TUT.BY", "")]
)
def test_of_a_title_given_twice_the_one_that_counts_is_the_one_that_leaves(first: str, last: str, kept: str) -> None:
    value = f'{{"title":"{first}","user":1,"meta":{{"domain":"{RU}"}},"title":"{last}"}}'.encode()
    served = encode(Record("t", 0, 5, 1, None, value), REDACTOR).json.decode()
    assert served.startswith(f'{{"title":"{last}",{kept}"meta":')
