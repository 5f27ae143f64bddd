"""What holds of any event: of a listed page nothing is left of who acted, and of others nothing is touched."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from redaction.check.verdict import find_leaks
from redaction.redactor import Redactor, normalise_domain, normalise_title
from streams.core.events import Record, SkippedRecord, encode
from tests.support.events.edits import BLANKED, RU, SHAPES, Edit, Who, is_comment, names_somebody, redacted

LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED, "Йод"], "de.wikipedia.org": ["Andere"]}, version=7)
NOBODY = Redactor({})
SCHEMAS = Path(__file__).resolve().parents[2] / "data" / "schemas" / "mediawiki"
# How often is for the profiles in tests/conftest.py to say.
OFTEN = settings(deadline=None)

NAMED = [
    *("user", "performer", "editor", "actor", "userid", "user_text", "user_id", "last_editor", "x_actor_y"),
    *("is_editor_visible", "User", "userId", "LAST_EDITOR_", "_performer"),
    *("username", "userName", "editors", "page-author", "creatorOf", "contributor", "actorname", "logActor", "a.actor"),
]
PLACED = ("topic", "partition", "offset", "key")
# What says which page an event is of.
PICKERS = {
    *("meta", "$schema", "server_name", "title", "page_title", "page", "prior_state"),
    *("created_redirect_page", "new_redirect_page", "log_type", "log_action"),
}

# Names are of letters that nothing else in the events is made of, so that whatever has them has a name.
names = st.text("ŁøñΩЖя漢한", min_size=5, max_size=12)
ids = st.integers(min_value=10**8, max_value=10**12)
people = st.builds(Who, names, ids)
edits = st.tuples(people, people).map(lambda both: Edit(LISTED, *both))

plain = st.text("abc .:/_-0'\"\\<\u00e9\u2028", max_size=6)
numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False, width=16)
leaves = st.none() | st.booleans() | numbers | plain
plain_keys = st.sampled_from(["a", "b", "rev_id", "tags", "factor", "refactored", "1"]) | plain.filter(
    lambda key: not names_somebody(key) and not is_comment(key) and key.casefold() not in BLANKED
)


def bodies(who: Who) -> st.SearchStrategy[dict[str, Any]]:
    """Members of an event, at any depth somebody's name or id under a key that says so, or in a comment."""
    somebody = st.one_of(
        st.just(who.name),
        st.just(who.id),
        st.just(str(who.id)),
        st.just({"user_text": who.name, "id": who.id, "groups": ["*"]}),
        st.just({"a": [[], [who.name]], "b": {"id": who.id}, "count": 3}),
    )
    quoted = somebody | st.just(f"by [[User:{who.name}]]")

    def within(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | objects(inner)

    def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.builds(
            lambda *parts: {key: value for part in parts for key, value in part.items()},
            st.dictionaries(plain_keys, inner, max_size=3),
            st.dictionaries(st.sampled_from(NAMED), somebody, max_size=2),
            st.dictionaries(
                st.sampled_from([*BLANKED, "Comment", "rev_comment", "summary", "comments"]), quoted | inner, max_size=1
            ),
        )

    return objects(st.recursive(leaves, within, max_leaves=12))


def keys_for(who: Who) -> st.SearchStrategy[bytes | None]:
    """Kafka keys."""
    return st.sampled_from(
        [
            None,
            b"",
            b'{"wiki_id":"ruwiki","page_id":17}',
            json.dumps({"page_id": 17, "user_text": who.name, "a": [{"performer": who.id}]}).encode(),
            who.name.encode(),
            json.dumps([who.name]).encode(),
            b"\xff" + who.name.encode(),
        ]
    )


@st.composite
def spelled(draw: st.DrawFn, event: dict[str, Any]) -> bytes:
    """An event as JSON, in one of the ways in which it can be written."""
    text = json.dumps(event, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.booleans()):  # the keys in escapes
        text = re.sub(r'"(\w+)"(?=: )', lambda m: '"' + "".join(f"\\u{ord(c):04x}" for c in m[1]) + '"', text)
    if draw(st.booleans()):  # a lone surrogate, which takes another way through the encoder
        text = '{"cut": "\\ud83d",' + text[1:]
    return text.encode()


@st.composite
def recorded(draw: st.DrawFn) -> tuple[dict[str, Any], Record]:
    """An event of a listed page and the record that it is in: of a stream that there is, with anything added to it."""
    edit = draw(edits)
    event = SHAPES[draw(st.sampled_from(sorted(SHAPES)))](edit)
    for name, value in draw(bodies(edit.who)).items():
        if name not in PICKERS and not (name == "log_params" and event.get("log_type") == "move"):
            event[name] = value
    event["meta"] |= {k: v for k, v in draw(bodies(edit.before)).items() if k not in {*event["meta"], *PLACED, "uri"}}
    return event, Record("t", 0, 5, 1_785_578_400_000, draw(keys_for(edit.who)), draw(spelled(event)))


def members(text: bytes | str) -> Iterator[tuple[int, str, Any]]:
    """Depth (0: the event's own), key and value of every member of every object, keys given twice too."""

    def walk(value: Any, depth: int) -> Iterator[tuple[int, str, Any]]:
        if isinstance(value, tuple):
            for key, member in value:
                yield depth, key, member
                yield from walk(member, depth + 1)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item, depth + 1)

    return walk(json.loads(text, object_pairs_hook=tuple), 0)


@OFTEN
@given(recorded())
def test_no_event_of_a_listed_page_keeps_a_key_that_the_contract_names_nor_a_name(
    produced: tuple[dict[str, Any], Record],
) -> None:
    event, record = produced
    served = encode(record, REDACTOR).json
    is_page_change = event.get("$schema", "").startswith("/mediawiki/page/change/")
    for depth, key, value in members(served):
        if not (is_page_change and depth == 0 and key == "performer" and value == ()):
            assert not names_somebody(key)
        if key.casefold() in BLANKED:
            assert value == ("" if BLANKED[key.casefold()] == "" else ())
    assert record.value is not None
    assert find_leaks(record.value, served) == []
    assert find_leaks(record.value, encode(record, NOBODY).json), "the check sees what is there to be seen"


@OFTEN
@given(recorded())
def test_an_event_of_a_listed_page_loses_nothing_else(produced: tuple[dict[str, Any], Record]) -> None:
    event, record = produced
    served = json.loads(encode(record, REDACTOR).json)
    assert served.pop("cut", "\ud83d") == "\ud83d"
    wanted = redacted(event)
    assert [name for name in served if name != "meta"] == [name for name in wanted if name != "meta"]
    key = served["meta"].pop("key", None)
    wanted["meta"] |= {"topic": "t", "partition": 0, "offset": 5}
    assert served == wanted
    if record.key == b"" or key is None:
        assert key == ("" if record.key == b"" else None)
    else:
        assert record.key is not None
        assert json.loads(key) == redacted(json.loads(record.key))


@OFTEN
@given(st.data())
def test_an_event_of_no_listed_page_is_what_was_produced_byte_for_byte_but_for_meta(data: st.DataObject) -> None:
    edit = data.draw(edits)
    elsewhere = data.draw(
        st.sampled_from(
            [
                edit._replace(title="TUT.BY."),
                edit._replace(title="Andere"),
                edit._replace(title="User:TUT.BY"),
                edit._replace(domain="be.wikipedia.org"),
                edit._replace(domain="m.ru.wikipedia.org", title="Йод"),
                edit._replace(domain="canary"),
            ]
        )
    )
    event = SHAPES[data.draw(st.sampled_from(sorted(SHAPES)))](elsewhere)
    # A name's own escapes are undone on the way, so those of the event's members have none.
    drawn = data.draw(bodies(edit.who)).items()
    added = {name: value for name, value in drawn if name not in PICKERS and name.isascii()}
    meta = event.pop("meta")
    if event.get("log_type") == "move":
        added.pop("log_params", None)
    key = data.draw(keys_for(edit.who))
    rest = json.dumps(event | added, ensure_ascii=data.draw(st.booleans()), separators=(",", ":")).encode()
    members_of_meta = json.dumps(meta, separators=(",", ":")).encode()
    value = rest[:-1] + b',"meta":' + members_of_meta + b"}"
    served = encode(Record("t", 0, 5, 1, key, value), REDACTOR).json
    assert served == encode(Record("t", 0, 5, 1, key, value), NOBODY).json
    placed = members_of_meta[:-1] + b',"topic":"t","partition":0,"offset":5'
    assert served.startswith((rest[:-1] + b',"meta":' + placed).replace("\u2028".encode(), b"\\u2028"))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
anything = st.recursive(
    leaves | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMED) | texts, inner, max_size=4),
    max_leaves=20,
)
any_members = st.dictionaries(st.sampled_from([*NAMED, *BLANKED]) | texts, anything).map(
    lambda event: {name: value for name, value in event.items() if name not in PICKERS}
)


@OFTEN
@given(any_members)
def test_an_event_of_any_members_whatever_is_redacted_by_the_table(event: dict[str, Any]) -> None:
    event = {"meta": {"domain": RU}, "title": LISTED, **event}
    served = json.loads(encode(Record("t", 0, 5, 1, None, json.dumps(event).encode()), REDACTOR).json)
    wanted = redacted(event)
    wanted["meta"] |= {"topic": "t", "partition": 0, "offset": 5}
    assert served == wanted


@OFTEN
@given(any_members, texts)
def test_an_event_of_any_members_and_another_title_is_not_touched(event: dict[str, Any], title: str) -> None:
    assume(normalise_title(title) not in {normalise_title(LISTED), normalise_title("Йод")})
    for page in ({"meta": {"domain": RU}, "title": title}, {"meta": {"domain": "x.org"}, "title": LISTED}):
        record = Record("t", 0, 5, 1, b"k", json.dumps({**event, **page}).encode())
        assert encode(record, REDACTOR) == encode(record, NOBODY)


@OFTEN
@given(
    st.sampled_from(["meta", "server_name", "title", "page_title", "page", "prior_state", "log_params", "uri"]),
    anything,
)
def test_an_event_of_a_listed_page_is_redacted_or_withheld_whatever_stands_where_its_page_is_looked_for(
    picker: str, value: Any
) -> None:
    """Beside one field of any kind the event still has another that names the page."""
    event = {"meta": {"uri": f"//{RU}/"}, "server_name": RU, "title": LISTED, "page": {"page_title": LISTED}}
    event |= {"log_type": "move", "performer": "Жя漢한"}
    if picker == "uri":
        event["meta"] = {"uri": value}
    else:
        event[picker] = value
    assume(normalise_domain(str(event.get("server_name") or RU)) == RU)
    assume(not isinstance(event["meta"], dict) or not event["meta"].get("domain"))
    with suppress(SkippedRecord):
        served = encode(Record("t", 0, 5, 1, None, json.dumps(event).encode()), REDACTOR).json
        assert "performer" not in json.loads(served)


# Letters in the one and the other case, composed and taken apart


@OFTEN
@given(st.text())
def test_normalising_a_title_twice_is_normalising_it_once(text: str) -> None:
    assert normalise_title(normalise_title(text)) == normalise_title(text)
    assert normalise_title(f"_ {text}\u00a0") == normalise_title(text)


polytonic = st.text(st.sampled_from("αΑᾳᾼᾷᾴῃῳΣσςÅéЙй\u0301\u0342\u0345\u0308 _"), max_size=8)


@OFTEN
@given(texts | polytonic)
@example("\u1fbc\u0342")
@example("\u03b1\u0345\u0342")
def test_titles_are_the_same_by_the_canonical_caseless_matching_of_unicode(text: str) -> None:
    """The Unicode Standard, 3.13, D145."""
    apart = unicodedata.normalize("NFD", text)
    for other in (apart, unicodedata.normalize("NFC", text), apart.casefold()):
        assert normalise_title(other) == normalise_title(text)


def test_a_letter_is_the_same_in_capitals_small_and_in_a_title() -> None:
    letters = [char for char in map(chr, range(0x1_FFFF)) if len({char, char.upper(), char.lower(), char.title()}) > 1]
    assert len(letters) > 2500
    for letter in letters:
        if letter != "\u0131":  # whose capital is the I of all other languages
            spellings = {letter, letter.upper(), letter.lower(), letter.title()}
            assert len(set(map(normalise_title, spellings))) == 1, letter


@OFTEN
@given(st.text(max_size=12))
def test_normalising_a_domain_twice_is_normalising_it_once(text: str) -> None:
    domain = normalise_domain(text)
    assume(":" not in domain)  # an address
    assert normalise_domain(domain) == domain


# The examples of the schemas


def examples() -> list[Any]:
    found = []
    for path in sorted(SCHEMAS.glob("**/*.yaml")):
        if path.name != "latest.yaml":
            schema = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)  # the other one takes seconds
            for number, event in enumerate(schema["examples"]):
                if "page" in event or "page_title" in event:
                    found.append(pytest.param(event, schema["required"], id=f"{schema['$id']}#{number}"))
    return found


@pytest.mark.parametrize(("event", "required"), examples())
def test_no_example_of_a_schema_keeps_its_performer_and_what_must_be_there_is_there(
    event: dict[str, Any], required: list[str]
) -> None:
    title = event.get("page_title") or event["page"]["page_title"]
    redactor = Redactor({event["meta"].get("domain", RU): [title]})
    raw = json.dumps(event).encode()
    served = encode(Record("t", 0, 5, 1, None, raw), redactor).json
    wanted = redacted(event)
    wanted["meta"] |= {"topic": "t", "partition": 0, "offset": 5}
    assert json.loads(served) == wanted
    assert b"example_user" not in served
    # The contract removes a required performer, except where page_change has it.
    missing = {name for name in required if name in event and name not in json.loads(served)}
    assert missing <= {"performer"}
    if event["$schema"].startswith("/mediawiki/page/change/"):
        assert not missing
        assert json.loads(served)["performer"] == {}
