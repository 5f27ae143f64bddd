from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from redaction.redactor import Redactor, Withheld, normalise_domain

RU = "ru.wikipedia.org"
LISTED = "TUT.BY"
REDACTOR = Redactor({RU: [LISTED, "Участник:HTriedman (WMF)/redacted page test"]}, version=7)

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


@pytest.mark.parametrize("where", ["visibility", "prior_state"])
def test_also_of_a_flag_that_is_called_comment_or_user_no_more_is_left(where: str) -> None:
    """By the contract's letter: the key alone decides, since what nobody has heard of does not say what it means."""
    assert redact(listed(**{where: {"text": True, "user": False, "comment": True}})) == listed(
        **{where: {"text": True, "comment": ""}}
    )


def test_a_json_text_within_a_text_is_a_text() -> None:
    assert redact(listed(a='{"user": "Alice"}')) == listed(a='{"user": "Alice"}')


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
        {"page": {"page_id": 1, "revision": [{"page_title": []}], "page_title": LISTED}},
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


MOVES = ["move", "page_change", "its_redirect", "redirect", "recentchange", "stored", "list", "text", "json", "prot"]


@pytest.mark.parametrize(("old", "new"), [(LISTED, "New"), ("Old", LISTED)])
@pytest.mark.parametrize(
    "shape",
    [
        lambda old, new: {"page_title": new, "prior_state": {"page_title": old}},
        lambda old, new: {"page": {"page_title": new}, "prior_state": {"page": {"page_title": old}}},
        lambda old, new: {"page": {"page_title": new}, "created_redirect_page": {"page_title": old}},
        lambda old, new: {"page_title": new, "new_redirect_page": {"page_title": old}},
        lambda old, new: {"title": old, "log_type": "move", "log_params": {"target": new, "noredir": "0"}},
        lambda old, new: {"title": old, "log_type": "move", "log_params": {"4::target": new, "5::noredir": "0"}},
        lambda old, new: {"title": old, "log_type": "move", "log_action": "move_redir", "log_params": [new, "1"]},
        lambda old, new: {"title": old, "log_type": "move", "log_params": f"{new}\n1"},
        lambda old, new: {"title": old, "log_type": "move", "log_params": json.dumps({"4::target": new})},
        lambda old, new: {
            "title": new,
            "log_type": "protect",
            "log_action": "move_prot",
            "log_params": {"oldtitle": old},
        },
    ],
    ids=MOVES,
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
        ("Foo\u3000_\u2003bar\u00a0", "Foo bar"),
        ("\u1680Foo\u205f\u202f\u2028bar\t\n", "Foo bar"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u0130stanbul", "\u0130STANBUL"),
        ("\u1fb7", "\u1fbc\u0342"),
        ("\u212b", "a\u030a"),
        ("\uff26oo", "\uff46OO"),
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
    redactor = Redactor({RU: ["007", "No", "Foo bar", "Foo%20baz", "\u0130stanbul", "\uff26oo"]})
    for other in ("7", "False", "Foobar", "User:Foo bar", "Foo baz", "Foo/bar", "Istanbul", "Foo"):
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
        {"meta": {"uri": "https://de.wikipedia.org:x@ru.wikipedia.org./wiki"}},
        {"meta": {"domain": " :80", "uri": f"https://{RU}/"}},
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
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":["secret"]}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"page_title":{"secret":"TUT.BY"}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"title":true}',
        b'{"title":["secret"]}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"page":"secret"}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"page":{"page_title":7}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"prior_state":["secret"]}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"log_type":"move","log_params":{"target":["secret"]}}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"log_type":"move","log_params":7}',
        b'{"meta":{"domain":"ru.wikipedia.org"},"log_type":"move","log_params":"{cut"}',
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


IDN = [
    ("\u043f\u0440\u0438\u043c\u0435\u0440.\u0420\u0424:443", "xn--e1afmkfd.xn--p1ai"),
    ("XN--E1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
    ("\u200eru.wikipedia.org\u200f", RU),
    ("ru\u3002wikipedia\uff0eorg", RU),
]


@pytest.mark.parametrize(
    ("text", "domain"),
    [(" RU.Wikipedia.org.:443 ", RU), ("[::1]:8080", "[::1]"), ("::1", "::1"), (":80", ""), (".", ""), ("", ""), *IDN],
)
def test_a_domain_is_a_host_in_lower_case_without_port_and_final_dot(text: str, domain: str) -> None:
    assert normalise_domain(text) == domain


@pytest.mark.parametrize(
    ("domain", "server_name", "passes"),
    [
        (b'"ru.wikipedia.org"', b"", False),
        (b'"RU.Wikipedia.org."', b'"en.wikipedia.org"', False),
        (b'"en.wikipedia.org"', b'"ru.wikipedia.org"', True),
        (b"", b'"ru.wikipedia.org"', False),
        (b"", b'"en.wikipedia.org"', True),
        (b'":80"', b'"ru.wikipedia.org"', False),
        (b'":80"', b'"en.wikipedia.org"', True),
        (b'" "', b"", False),
        (b"null", b"null", False),
        (b"17", b"", False),
        (b'"' + b"x" * 1000 + b'"', b"", False),
    ],
)
def test_whether_an_event_passes_is_told_by_its_domain_whatever_was_asked_before(
    domain: bytes, server_name: bytes, passes: bool
) -> None:
    redactor = Redactor({RU: [LISTED]})
    for other in (b'"ru.wikipedia.org"', b'"en.wikipedia.org"', b""):
        redactor.is_unlisted(msgspec.Raw(domain), msgspec.Raw(other))
    assert [redactor.is_unlisted(msgspec.Raw(domain), msgspec.Raw(server_name)) for _ in range(2)] == [passes] * 2
