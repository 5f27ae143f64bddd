"""Which keys of a listed page's event say who acted, and which quote them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from redaction import redactor
from redaction.redactor import Redactor
from streams.core.events import Record, encode
from tests.support.events.edits import names_somebody

RU = "ru.wikipedia.org"
LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED]}, version=7)

NAMED = [
    *("user", "performer", "editor", "actor", "userid", "user_text", "is_editor_visible", "Last_USER_id", "x_actor"),
    *("username", "userName", "user-name", "usertext", "users", "superuser", "editors", "performers", "coauthor"),
    *("author", "pageCreator", "contributor_ip", "actorname", "actorName", "actors", "page.actor", "log actor"),
    *("logActor", "ACTORName", "XMLActor", "actor2", "3actor", "actor_id", "last_editor", "User", "userId", "_user"),
    *("user__", "\u0075ser", "u\u017fer", "éActor", "actor\u00a0id"),
]
KEPT = [
    "factor",
    "Factor",
    "factor_id",
    "refactored",
    "FACTOR",
    "Xfactor",
    "use",
    "éactor",
    "perform",
    "edit",
    "author_"[:4],
]


def redact(event: dict[str, Any], key: bytes | None = None) -> Any:
    """The event as it leaves, without what every event is given."""
    record = Record("t", 0, 5, 1_596_207_527_000, key, json.dumps(event).encode())
    served = json.loads(encode(record, REDACTOR).json)
    for name in ("topic", "partition", "offset"):
        served["meta"].pop(name)
    return served


def listed(**fields: Any) -> dict[str, Any]:
    return {"meta": {"domain": RU}, "title": LISTED, **fields}


@pytest.mark.parametrize("key", NAMED)
def test_a_key_that_names_somebody_is_removed_at_any_depth(key: str) -> None:
    inner = {key: "Alice", "kept": 1}
    event = listed(**{key: {}}, a=[[inner], inner])
    event["meta"][key] = 1
    assert redact(event) == listed(a=[[{"kept": 1}], {"kept": 1}])
    assert redact(event) == listed(a=[[{"kept": 1}], {"kept": 1}]), "what becomes of a key is remembered"
    assert redact(listed(), json.dumps(inner).encode())["meta"]["key"] == '{"kept":1}'
    assert names_somebody(key), "the tests' own reading of the contract"


@pytest.mark.parametrize("key", KEPT)
def test_a_key_that_only_resembles_one_is_kept(key: str) -> None:
    assert redact(listed(**{key: "x"})) == listed(**{key: "x"})
    assert not names_somebody(key)


@pytest.mark.parametrize("key", ["rev_comment", "summary", "Summary", "commentHtml", "comments", "log_COMMENT"])
def test_no_text_is_left_under_a_key_that_contains_comment_or_is_summary(key: str) -> None:
    assert redact(listed(a=[{key: "by [[User:Alice]]"}])) == listed(a=[{key: ""}])
    inside = {"text": "Alice", "list": ["Alice", 1, [{"x": "Alice"}]], "user": "Alice"}
    assert redact(listed(**{key: inside})) == listed(**{key: {"text": "", "list": ["", 1, [{"x": ""}]]}})
    assert redact(listed(**{key: inside, "a": "kept"}))["a"] == "kept"


@pytest.mark.parametrize("key", ["is_comment_visible", "comment_id", "summary"])
@pytest.mark.parametrize("value", [True, None, 7])
def test_a_flag_or_a_number_under_such_a_key_stays(key: str, value: object) -> None:
    assert redact(listed(**{key: value})) == listed(**{key: value})


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ('{"wiki_id":"ruwiki","page_id":17}', '{"wiki_id":"ruwiki","page_id":17}'),
        ('{"page_id":17,"user_text":"Alice","comment":"Alice"}', '{"page_id":17,"comment":""}'),
        ('{"user_text":"\\ud800"}', None),
        ("Alice", None),
        ('"Alice"', None),
        ("", None),
        ("17", None),
        ({"page_id": 17}, None),
        ({"type": "Buffer", "data": list(b"Alice")}, None),
        (list(b"Alice"), None),
        (17, None),
        (None, None),
    ],
)
def test_a_key_that_stood_in_the_value_is_redacted_as_the_one_of_kafka(key: Any, left: str | None) -> None:
    event = listed()
    event["meta"]["key"] = key
    assert redact(event)["meta"].get("key") == left
    assert redact(event, b'{"page_id":18}')["meta"]["key"] == '{"page_id":18}', "Kafka's own stands in its place"
    assert redact(event, b"Alice")["meta"].get("key") == left
    other = {"meta": {"domain": RU, "key": key}, "title": "Other"}
    assert redact(other)["meta"]["key"] == key


def test_the_key_of_the_value_is_redacted_however_its_name_and_the_value_are_written() -> None:
    value = rb'{"meta":{"domain":"ru.wikipedia.org","k\u0065y":"Al","Key":"Alice","x":"\ud800"},"title":"TUT.BY"}'
    assert b"Al" not in encode(Record("t", 0, 5, 1, None, value), REDACTOR).json


# What is counted


def test_each_match_of_a_page_is_counted_once_for_an_event() -> None:
    redactor = Redactor({RU: ["Foo bar", "B"], "de.wikipedia.org": ["foo_bar", "C"]})
    for event in (
        {"meta": {"domain": RU}, "title": "foo Bar", "page_title": "Foo bar"},
        {"meta": {"domain": RU}, "title": "foo Bar", "prior_state": {"page_title": "B"}},
        {"title": "foo Bar"},
        {"title": "Other"},
        {"meta": {"domain": "en.wikipedia.org"}, "title": "foo Bar"},
    ):
        redactor.redact(msgspec.json.decode(json.dumps(event), type=dict[str, msgspec.Raw]))
    assert redactor.taken_matches() == {(RU, "foo_bar"): 3, (RU, "b"): 1, ("de.wikipedia.org", "foo_bar"): 1}
    assert redactor.taken_matches() == {}


def test_a_person_s_name_that_is_a_key_is_not_kept_in_memory_and_the_names_of_members_are_bounded() -> None:
    for name in ("Alice Example", "Änne", "192.0.2.7", "10"):
        event = listed(a={name: {"user": name, "b": 1}})
        assert redact(event) == listed(a={name: {"b": 1}})
        assert name not in redactor._FATES
    for number in range(redactor.MAX_NAMES + 10):
        assert redact(listed(**{f"n{number}": 1, f"n{number}_user": 1})) == listed(**{f"n{number}": 1})
    assert len(redactor._FATES) <= redactor.MAX_NAMES
