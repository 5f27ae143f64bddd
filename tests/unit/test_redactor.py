from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from redaction.redactor import Redactor, Withheld, normalise_domain, normalise_title
from streams.core import events

RU = "ru.wikipedia.org"
LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED, "Участник:HTriedman (WMF)/redacted page test"]}, version=7)
SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "data" / "schemas" / "mediawiki"

NAMED = ["user", "performer", "editor", "actor", "userid", "user_text", "is_editor_visible", "Last_USER_id", "x_actor"]
BLANKED = {"comment": "", "parsedcomment": "", "log_action_comment": "", "log_params": {}}

decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def redact(event: dict[str, Any] | bytes, redactor: Redactor = REDACTOR) -> Any:
    """The event as it leaves, decoded."""
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    fields = decode(raw)
    redactor.redact(fields)
    return json.loads(msgspec.json.encode(fields))


def is_redacted(event: dict[str, Any], redactor: Redactor = REDACTOR) -> bool:
    fields = decode(json.dumps(event).encode())
    before = {name: bytes(raw) for name, raw in fields.items()}
    redacted = redactor.redact(fields)
    if not redacted:
        assert {name: bytes(raw) for name, raw in fields.items()} == before
        assert list(fields) == list(before)
    return redacted


def listed(**fields: Any) -> dict[str, Any]:
    return {"meta": {"domain": RU}, "title": LISTED, **fields}


# What is removed


CLUES = [{"meta": {"domain": RU, "stream": "mediawiki.page_change.v1"}}, {"$schema": "/mediawiki/page/change/1.2.0"}]


@pytest.mark.parametrize("clue", CLUES)
def test_the_performer_of_a_page_change_becomes_an_empty_object_as_its_schema_requires(clue: dict[str, Any]) -> None:
    event = {
        "meta": {"domain": RU},
        "performer": {"user_text": "Alice", "groups": ["sysop"]},
        "page": {"page_title": LISTED, "page_id": 1},
        "revision": {"rev_id": 2, "editor": {"user_text": "Alice"}, "comment": "by Alice", "performer": {"a": 1}},
        "prior_state": {"revision": {"rev_id": 1, "editor": {"user_text": "Bob"}}},
        **clue,
    }
    without_performer = {name: value for name, value in event.items() if name != "performer"}
    assert "performer" not in redact(without_performer)
    assert redact(event) == {
        "meta": {"domain": RU},
        "performer": {},
        "page": {"page_title": LISTED, "page_id": 1},
        "revision": {"rev_id": 2, "comment": ""},
        "prior_state": {"revision": {"rev_id": 1}},
        **clue,
    }


def test_the_user_of_a_recent_change_is_removed_and_the_key_order_kept() -> None:
    redacted = redact(listed(user="Alice", bot=False, wiki="ruwiki"))
    assert list(redacted) == ["meta", "title", "bot", "wiki"]


@pytest.mark.parametrize("stream", ["mediawiki.revision-create", "mediawiki.page_content_change.v1", "unheard.of"])
def test_the_performer_of_any_other_stream_is_removed(stream: str) -> None:
    event = {"meta": {"domain": RU, "stream": stream}, "page_title": LISTED, "performer": {"user_text": "Alice"}}
    assert redact(event) == {"meta": {"domain": RU, "stream": stream}, "page_title": LISTED}


@pytest.mark.parametrize(
    "key",
    [*NAMED, "actor_id", "last_editor", "User", "userId", "_user", "user__", "\\u0075ser"],
)
def test_a_key_that_names_somebody_is_removed_at_any_depth(key: str) -> None:
    inner = f'{{"{key}": "Alice", "kept": 1}}'
    event = (
        f'{{"meta": {{"domain": "{RU}", "{key}": 1}}, "title": "{LISTED}", "{key}": {{}}, "a": [[{inner}], {inner}]}}'
    )
    assert redact(event.encode()) == listed(a=[[{"kept": 1}], {"kept": 1}])


@pytest.mark.parametrize("key", ["users", "username", "superuser", "editors", "factor", "user-name", "userids"])
def test_a_key_that_only_resembles_one_is_kept(key: str) -> None:
    assert redact(listed(**{key: "x"})) == listed(**{key: "x"})


@pytest.mark.parametrize("key", ["comment", "parsedcomment", "log_action_comment", "Comment"])
@pytest.mark.parametrize("value", ["by [[User:Alice]]", None, {"user": "Alice"}, True])
def test_a_comment_at_any_depth_becomes_an_empty_text(key: str, value: object) -> None:
    assert redact(listed(**{key: value}, a=[{key: value}])) == listed(**{key: ""}, a=[{key: ""}])


@pytest.mark.parametrize("value", [{"4::target": "Alice"}, ["Alice"], "Alice", None])
def test_log_params_become_an_empty_object(value: object) -> None:
    assert redact(listed(log_params=value, a={"log_params": value})) == listed(log_params={}, a={"log_params": {}})


def test_what_is_not_removed_keeps_its_bytes() -> None:
    numbers = b'[123456789012345678901234567890,-0,1.0,1e400,0.1000,"\\u00e9/\\/",null,true]'
    fields = decode(
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"tut.by","user":1,"a":%s,"b":{"10":1.50,"1":1E2}}' % numbers
    )
    assert REDACTOR.redact(fields)
    assert msgspec.json.encode(fields) == (
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"tut.by","a":%s,"b":{"10":1.50,"1":1E2}}' % numbers
    )


def test_a_key_given_twice_cannot_hide_a_name_behind_its_namesake() -> None:
    event = b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","a":{"b":{"user":"Alice"},"b":1}}'
    fields = decode(event)
    assert REDACTOR.redact(fields)
    assert b"Alice" not in msgspec.json.encode(fields)


def test_blanks_before_a_value_do_not_hide_what_it_is() -> None:
    fields = decode(json.dumps(listed()).encode())
    fields["a"] = msgspec.Raw(b' \n{"user":"Alice"}')
    assert REDACTOR.redact(fields)
    assert bytes(fields["a"]) == b"{}"


# Which page an event is of


@pytest.mark.parametrize(
    "fields",
    [
        {"title": LISTED},
        {"page_title": LISTED},
        {"page": {"page_title": LISTED}},
        {"title": "Other", "prior_state": {"page": {"page_title": LISTED}}},
        {"title": "", "page_title": None, "page": {"page_title": LISTED}, "prior_state": None},
        {"title": " _ ", "page": {"page_title": ""}, "prior_state": {"page": None}, "page_title": LISTED},
    ],
)
def test_a_title_is_found_in_each_field_that_may_have_it(fields: dict[str, Any]) -> None:
    assert is_redacted({"meta": {"domain": RU}, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"title": ""},
        {"title": None, "page": None, "prior_state": {}, "log_params": None},
        {"title": "Other", "comment": LISTED},
        {"page": {"page_title": "Other", "redirect_page_link": {"page_title": LISTED}}},
    ],
)
def test_an_event_of_a_listed_domain_that_has_no_listed_title_is_left_as_it_is(fields: dict[str, Any]) -> None:
    assert not is_redacted({"meta": {"domain": RU}, "user": "Alice", **fields})


@pytest.mark.parametrize(("old", "new"), [(LISTED, "New"), ("Old", LISTED)])
@pytest.mark.parametrize(
    "shape",
    [
        lambda old, new: {"page_title": new, "prior_state": {"page_title": old}},
        lambda old, new: {"page": {"page_title": new}, "prior_state": {"page": {"page_title": old}}},
        lambda old, new: {"page": {"page_title": new}, "created_redirect_page": {"page_title": old}},
        lambda old, new: {"page_title": new, "new_redirect_page": {"page_title": old}},
        lambda old, new: {"title": old, "log_type": "move", "log_params": {"target": new, "noredir": "0"}},
        lambda old, new: {"title": old, "log_type": "move", "log_action": "move_redir", "log_params": [new, "1"]},
        lambda old, new: {"title": old, "log_type": "move", "log_params": f"{new}\n1"},
        lambda old, new: {
            "title": new,
            "log_type": "protect",
            "log_action": "move_prot",
            "log_params": {"oldtitle": old},
        },
    ],
    ids=["page-move", "page_change", "its_redirect", "redirect", "recentchange", "by_position", "text", "move_prot"],
)
def test_a_move_to_or_from_a_listed_title_is_redacted(shape: Any, old: str, new: str) -> None:
    event = {"meta": {"domain": RU}, "user": "Alice", **shape(old, new)}
    assert is_redacted(event)
    assert "user" not in redact(event)


@pytest.mark.parametrize("params", [{"target": "New"}, {}, [], "", None, ["New", LISTED], f"New\n{LISTED}"])
def test_a_move_between_other_titles_is_left_as_it_is(params: object) -> None:
    assert not is_redacted({"meta": {"domain": RU}, "title": "Old", "log_type": "move", "log_params": params})


def test_the_target_of_a_log_entry_that_is_no_move_is_not_a_title_of_its_page() -> None:
    event = {"meta": {"domain": RU}, "title": "Old", "log_type": "thanks", "log_params": {"target": LISTED}}
    assert not is_redacted(event)


@pytest.mark.parametrize(
    ("listed_as", "seen_as"),
    [
        ("Foo bar", "Foo_bar"),
        (" Foo   __ bar_", "Foo bar"),
        ("Caf\u00e9", "cafe\u0301"),
        ("\u0418\u0306од", "Йод"),
        ("Σίσυφος", "σίσυφοσ"),
        ("\u01f0", "J\u030c"),
        ("\u0390", "\u03aa\u0301"),
        ("\u1fb4", "\u03b1\u0345\u0301"),
        ("Foo\u00a0\u180ebar", "foo_BAR"),
        ("\u200eFoo\u202c bar", "Foo_bar"),
        ("участник:htriedman_(wmf)/Redacted Page_test", "Участник:HTriedman (WMF)/redacted page test"),
        ("007", "007"),
        ("No", "no"),
        ("12:30", "12:30"),
    ],
)
def test_a_title_matches_however_it_is_spelled(listed_as: str, seen_as: str) -> None:
    for one, other in [(listed_as, seen_as), (seen_as, listed_as)]:
        assert is_redacted({"meta": {"domain": RU}, "title": one}, Redactor({RU: [other]}))


def test_a_title_matches_no_other() -> None:
    redactor = Redactor({RU: ["007", "No", "Foo bar", "Foo%20baz"]})
    for other in ("7", "False", "Foobar", "User:Foo bar", "Foo baz"):
        assert not is_redacted({"meta": {"domain": RU}, "title": other}, redactor)


@pytest.mark.parametrize(
    "event",
    [
        {"meta": {"domain": "RU.Wikipedia.org."}},
        {"meta": {"domain": "ru.wikipedia.org:443"}},
        {"meta": {"domain": ""}, "server_name": RU},
        {"meta": {"domain": None}, "server_name": "ru.wikipedia.org:8080"},
        {"meta": None, "server_name": RU},
        {"server_name": RU, "meta": {"uri": "https://de.wikipedia.org/"}},
        {"meta": {"uri": "https://ru.wikipedia.org/wiki/TUT.BY"}},
        {"meta": {"uri": "http://RU.wikipedia.org:8080/wiki/TUT.BY"}, "server_name": ""},
        {"meta": {"uri": "//bot@ru.wikipedia.org?title=x"}},
    ],
)
def test_the_domain_is_that_of_meta_else_the_server_name_else_the_host_of_the_uri(event: dict[str, Any]) -> None:
    assert is_redacted({**event, "title": LISTED})


@pytest.mark.parametrize(
    "event",
    [
        {"meta": {"domain": "de.wikipedia.org", "uri": f"https://{RU}/"}, "server_name": RU},
        {"meta": {"uri": f"https://{RU}/"}, "server_name": "de.wikipedia.org"},
        {"meta": {"uri": f"https://de.wikipedia.org/{RU}"}},
        {"meta": {"domain": "m.ru.wikipedia.org"}},
    ],
)
def test_a_listed_title_on_a_domain_that_is_not_listed_is_left_as_it_is(event: dict[str, Any]) -> None:
    assert not is_redacted({**event, "title": LISTED, "user": "Alice"})


@pytest.mark.parametrize(
    "event",
    [{}, {"meta": None}, {"meta": {}}, {"meta": {"domain": "", "uri": "/wiki/TUT.BY"}}, {"meta": {"uri": "http://"}}],
)
def test_an_event_without_a_domain_is_held_against_the_lists_of_all_domains(event: dict[str, Any]) -> None:
    redactor = Redactor({RU: [LISTED], "de.wikipedia.org": ["Andere"]})
    assert is_redacted({**event, "title": LISTED}, redactor)
    assert is_redacted({**event, "title": "Andere"}, redactor)
    assert not is_redacted({**event, "title": "Other"}, redactor)
    assert not is_redacted({"meta": {"domain": RU}, "title": "Andere"}, redactor)


def test_two_spellings_of_a_domain_are_one_list() -> None:
    redactor = Redactor({RU: ["A"], "RU.wikipedia.org.": ["B"]})
    assert all(is_redacted({"meta": {"domain": RU}, "title": title}, redactor) for title in "ab")


def test_meta_that_the_caller_has_decoded_is_taken_as_it_is() -> None:
    fields = decode(json.dumps(listed(user="Alice")).encode())
    assert not REDACTOR.redact(fields, {"domain": msgspec.Raw(b'"de.wikipedia.org"')})
    assert REDACTOR.redact(fields, {"domain": msgspec.Raw(b'"ru.wikipedia.org"')})


def test_an_empty_list_looks_at_nothing_and_has_a_version_all_the_same() -> None:
    assert (REDACTOR.version, Redactor({}).version) == (7, 0)
    assert not Redactor({}).redact({"meta": msgspec.Raw(b"1")})
    assert not Redactor({RU: []}).redact({"meta": msgspec.Raw(b"1")})


def test_a_list_entry_without_a_title_matches_no_event() -> None:
    redactor = Redactor({RU: ["", " _ ", "A"]})
    assert not is_redacted({"meta": {"domain": RU}, "title": ""}, redactor)
    assert not is_redacted({"meta": {"domain": RU}}, redactor)


@pytest.mark.parametrize(("pages", "named"), [({RU: [7]}, "7"), ({RU: [False]}, "False"), ({RU: "TUT.BY"}, "TUT.BY")])
def test_a_list_that_is_not_made_of_texts_is_refused_by_name(pages: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"{named}.*{RU}|{RU}.*{named}"):
        Redactor(pages)


# What cannot be examined


@pytest.mark.parametrize(
    "event",
    [
        b'{"meta":["secret"],"title":"A"}',
        b'{"meta":{"domain":["secret"]},"title":"A"}',
        b'{"meta":{},"server_name":1,"title":"A"}',
        b'{"meta":{"uri":{"secret":1}},"title":"A"}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":7}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"secret \xff"}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"page":"secret"}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"page":{"page_title":7}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"prior_state":["secret"]}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"log_type":"move","log_params":{"target":["secret"]}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"log_type":"move","log_params":7}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","a":"secret \xff"}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","a":{"secret \xff":1}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","a":[{"b":"secret \xff"}]}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":"TUT.BY","$schema":7}',
    ],
)
def test_an_event_that_cannot_be_examined_is_withheld_without_a_word_of_it(event: bytes) -> None:
    fields = decode(event)
    before = dict(fields)
    with pytest.raises(Withheld) as withheld:
        REDACTOR.redact(fields)
    assert "secret" not in str(withheld.value)
    assert withheld.value.__cause__ is None
    assert withheld.value.__context__ is None
    assert fields == before


def test_an_event_nested_too_deep_to_be_examined_is_withheld() -> None:
    fields = decode(json.dumps(listed()).encode())
    fields["a"] = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(Withheld):
        REDACTOR.redact(fields)


def test_what_an_event_of_another_domain_holds_is_not_examined() -> None:
    assert not is_redacted({"meta": {"domain": "de.wikipedia.org"}, "title": 7, "page": "x", "server_name": []})


def record(event: dict[str, Any]) -> events.Record:
    return events.Record("eqiad.t", 0, 5, 1_596_207_527_000, None, json.dumps(event).encode())


def test_an_encoded_event_of_a_listed_page_is_redacted_in_meta_too() -> None:
    event = listed(user="Alice")
    event["meta"]["user_id"] = 7
    encoded = json.loads(events.encode(record(event), REDACTOR).json)
    assert encoded == {"meta": {"domain": RU, "topic": "eqiad.t", "partition": 0, "offset": 5}, "title": LISTED}


def test_a_record_that_cannot_be_examined_is_skipped_as_withheld() -> None:
    with pytest.raises(events.SkippedRecord, match="withheld"):
        events.encode(record({"meta": {"domain": RU}, "title": 7}), REDACTOR)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
keys = st.sampled_from([*NAMED, *BLANKED, "a", "b", "rev_id", "title"]) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
# Members that have no say in which page an event is of.
PICKERS = (
    "meta server_name title page_title page prior_state created_redirect_page new_redirect_page log_type log_action"
)
members = st.dictionaries(keys.filter(lambda key: key not in {*PICKERS.split(), "$schema"}), values)


def expected(value: Any) -> Any:
    """The contract's table, said once more and differently."""
    if isinstance(value, list):
        return [expected(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        framed = f"_{key.casefold()}_"
        if framed == "_userid_" or any(f"_{word}_" in framed for word in ("user", "performer", "editor", "actor")):
            continue
        kept[key] = BLANKED.get(key.casefold(), expected(item))
    return kept


@settings(deadline=None)
@given(members)
def test_no_event_of_a_listed_page_keeps_what_the_contract_names_and_loses_nothing_else(event: dict[str, Any]) -> None:
    assert redact(listed(**event)) == expected(listed(**event))


@settings(deadline=None)
@given(members, texts)
def test_no_event_of_another_page_is_touched(event: dict[str, Any], title: str) -> None:
    if normalise_title(title) != normalise_title(LISTED):
        assert not is_redacted({**event, "meta": {"domain": RU}, "title": title})
    assert not is_redacted({**event, "meta": {"domain": "de.wikipedia.org"}, "title": LISTED})


@settings(deadline=None)
@given(st.text())
def test_normalising_a_title_or_a_domain_twice_is_normalising_it_once(text: str) -> None:
    assert normalise_title(normalise_title(text)) == normalise_title(text)
    assert normalise_title(f"_ {text}\u00a0") == normalise_title(text)


@pytest.mark.parametrize(
    ("text", "domain"),
    [(" RU.Wikipedia.org.:443 ", RU), ("[::1]:8080", "[::1]"), ("::1", "::1"), (":80", ""), (".", ""), ("", "")],
)
def test_a_domain_is_a_host_in_lower_case_without_port_and_final_dot(text: str, domain: str) -> None:
    assert normalise_domain(text) == domain


def examples() -> list[Any]:
    found = []
    for path in sorted(SCHEMAS.glob("**/*.yaml")):
        if path.name != "latest.yaml":
            schema = yaml.safe_load(path.read_text(encoding="utf-8"))
            for number, example in enumerate(schema["examples"]):
                if "page" in example or "page_title" in example:
                    found.append(pytest.param(example, id=f"{schema['$id']}#{number}"))
    return found


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the schemas are not in a folder `shared` beside the repository")
@pytest.mark.parametrize("example", examples())
def test_no_example_of_a_schema_keeps_its_performer(example: dict[str, Any]) -> None:
    title = example.get("page_title") or example["page"]["page_title"]
    domain = example["meta"].get("domain", RU)
    redacted = redact(example, Redactor({domain: [title]}))
    wanted = expected(example)
    if example["$schema"].startswith("/mediawiki/page/change/"):
        wanted["performer"] = {}
    assert redacted == wanted
    assert "example_user" not in json.dumps(redacted)
