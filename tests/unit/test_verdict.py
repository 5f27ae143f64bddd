"""The leak check of redaction, with and without the raw record, and which events are of a page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redaction.verdict import (
    COMMENT,
    ID_FOUND,
    LOG_PARAMS,
    NAME_FOUND,
    NAME_IN_KEY,
    USER_KEY,
    Leak,
    NotJsonError,
    find_leaks,
    find_user_keys,
    is_of,
    removed_paths,
)

NAME = "HTriedman (WMF)"
TITLE = "Участник:HTriedman (WMF)/redacted page test"
DOMAIN = "ru.wikipedia.org"
PERFORMER = {
    "user_text": NAME,
    "user_id": 4217,
    "groups": ["*", "user", "autoconfirmed"],
    "is_bot": False,
    "registration_dt": "2021-04-05T06:07:08Z",
    "edit_count": 77,
}
PAGE_CHANGE: dict[str, Any] = {
    "$schema": "/mediawiki/page/change/1.2.0",
    "meta": {
        "uri": "https://ru.wikipedia.org/wiki/%D0%A3:HTriedman_(WMF)/redacted_page_test",
        "id": "0d5f7f6e-1111-4222-8333-444455556666",
        "domain": DOMAIN,
        "stream": "mediawiki.page_change.v1",
        "dt": "2026-11-23T22:18:00Z",
    },
    "page_change_kind": "edit",
    "page": {"page_id": 4217, "page_title": TITLE.replace(" ", "_"), "namespace_id": 2},
    "performer": PERFORMER,
    "comment": "a test",
    "revision": {"rev_id": 130_000_001, "comment": "a test", "editor": PERFORMER, "rev_size": 77},
    "prior_state": {"revision": {"rev_id": 130_000_000, "comment": "", "editor": {"user_text": "Somebody Else"}}},
}
RECENTCHANGE: dict[str, Any] = {
    "$schema": "/mediawiki/recentchange/1.0.1",
    "meta": {"domain": DOMAIN, "uri": "https://ru.wikipedia.org/wiki/x", "stream": "mediawiki.recentchange"},
    "type": "edit",
    "title": TITLE,
    "title_url": "https://ru.wikipedia.org/wiki/HTriedman_(WMF)/redacted_page_test",
    "comment": "",
    "user": NAME,
    "bot": False,
    "revision": {"old": 130_000_000, "new": 130_000_001},
    "parsedcomment": "",
}


def as_json(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def clean_page_change() -> dict[str, Any]:
    """The event as the contract says that it leaves."""
    event: dict[str, Any] = json.loads(json.dumps(PAGE_CHANGE))
    event["performer"] = {}
    event["comment"] = event["revision"]["comment"] = ""
    del event["revision"]["editor"], event["prior_state"]["revision"]["editor"]
    event["meta"] |= {"topic": "eqiad.mediawiki.page_change.v1", "partition": 0, "offset": 4217}
    return event


def clean_recentchange(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in RECENTCHANGE.items() if key != "user"} | more


def leaks_of(**more: Any) -> list[Leak]:
    """Of a redacted recentchange event to which something was added."""
    return find_leaks(as_json(RECENTCHANGE | {"user_id": 4217}), as_json(clean_recentchange(**more)))


# By the raw record


def test_an_event_that_was_redacted_to_the_letter_is_clean() -> None:
    raw, served = as_json(PAGE_CHANGE), as_json(clean_page_change())
    assert find_leaks(raw, served) == []
    assert find_user_keys(served) == []


def test_an_event_that_was_not_redacted_leaks_at_each_place() -> None:
    raw = as_json(PAGE_CHANGE)
    assert find_leaks(raw, raw) == [
        Leak("performer.user_text", NAME_FOUND),
        Leak("performer.user_id", ID_FOUND),
        Leak("revision.editor.user_text", NAME_FOUND),
        Leak("revision.editor.user_id", ID_FOUND),
        Leak("prior_state.revision.editor.user_text", NAME_FOUND),
    ]
    assert find_user_keys(raw) == [
        Leak("performer", USER_KEY),
        Leak("comment", COMMENT),
        Leak("revision.comment", COMMENT),
        Leak("revision.editor", USER_KEY),
        Leak("prior_state.revision.editor", USER_KEY),
    ]


@pytest.mark.parametrize("path", ["performer", "revision.editor", "prior_state.revision.editor"])
def test_one_that_was_forgotten_is_found(path: str) -> None:
    event = clean_page_change()
    place, source = event, PAGE_CHANGE
    *above, last = path.split(".")
    for key in above:
        place, source = place[key], source[key]
    place[last] = source[last]
    found = find_leaks(as_json(PAGE_CHANGE), as_json(event))
    assert [leak.path for leak in found if leak.why == NAME_FOUND] == [f"{path}.user_text"]
    assert find_user_keys(as_json(event)) == [Leak(path, USER_KEY)]


@pytest.mark.parametrize(
    "text",
    [
        NAME,
        "HTriedman_(WMF)",
        f"отмена правки {NAME}, см. обсуждение",
        f"[[Участник:{NAME}|x]]",
        "https://ru.wikipedia.org/wiki/Участник:HTriedman_(WMF)",
        "https://ru.wikipedia.org/wiki/X:HTriedman_%28WMF%29?y",
        "/w/index.php?title=User:HTriedman+%28WMF%29&action=history",
        "&quot;HTriedman (WMF)&quot;",
        "HTriedman &#40;WMF&#41; did it",
        '{"key":"HTriedman \\u0028WMF\\u0029"}',
        f"two\nlines of {NAME}",
    ],
)
def test_a_name_is_found_in_any_text_however_it_is_spelled(text: str) -> None:
    assert leaks_of(log_note=text) == [Leak("log_note", NAME_FOUND)]
    assert leaks_of(a={"b": [0, {"c": text}]}) == [Leak("a.b[1].c", NAME_FOUND)]


@pytest.mark.parametrize(
    ("name", "text", "is_found"),
    [
        ("Ann", "Annabel wrote it", False),
        ("Ann", "Joann", False),
        ("Ann", "Ann2", False),
        ("Ann", "by Ann.", True),
        ("Ann", "User:Ann_Lee", True),
        ("Ann", "ann", False),
        ("Соня", "Тётя Соня", True),
        ("Соня", "Сонями", False),
        ("Соня", "ФерСоня", False),
        ("Café", "at the Cafe\u0301 door", True),
        ("夜更かし司書", "利用者夜更かし司書による版", True),
        ("밤의 사서", "밤의 사서가 고침", True),
        ("夜", "夜更かし", False),
        ("~2026-7719-2", "by~2026-7719-2", True),
        ("~2026-7719-2", "~2026-7719-25", False),
        ("2001:DB8:0:0:8:800:200C:417A", "from 2001:db8::8:800:200c:417a", True),
        ("192.0.2.77", "192.0.2.7", False),
        ("192.0.2.77", "by 192.0.2.77", True),
        ("2026", "2026-11-23T22:18:00Z", False),
        ("2026", "2026", True),
        ("1111", "0d5f7f6e-1111-4222-8333-444455556666", False),
        ("O'Malley & Sons", "O&#039;Malley &amp; Sons", True),
        ("حارس المكتبة", "استرجاع تعديلات حارس المكتبة", True),
    ],
)
def test_a_name_is_found_as_whole_words(name: str, text: str, is_found: bool) -> None:
    found = find_leaks(as_json({"user": name}), as_json({"note": text}))
    assert found == ([Leak("note", NAME_FOUND)] if is_found else [])


@pytest.mark.parametrize(
    "who",
    [
        {"user": NAME},
        {"user_text": NAME},
        {"performer": NAME},
        {"performer": {"user_text": NAME}},
        {"performer": {"name": NAME}},
        {"revision": {"editor": {"user_text": NAME}}},
        {"actor": {"deep": {"display": [NAME]}}},
        {"log_params": {"Actor_Name": NAME}},
        {"last_editor_of": [{"text": NAME}]},
        {"a": [{"USER": NAME}]},
    ],
)
def test_the_name_is_taken_from_wherever_the_record_has_it(who: dict[str, Any]) -> None:
    assert find_leaks(as_json(who), as_json({"x": NAME})) == [Leak("x", NAME_FOUND)]


@pytest.mark.parametrize(
    "who",
    [
        {"performer": {"groups": ["edit"], "user_groups": ["edit"]}},
        {"performer": {"registration_dt": "edit", "user_registration_dt": "edit", "wiki_id": "edit"}},
        {"users": "edit", "editors": "edit", "superuser": "edit", "username": "edit"},
        {"performer": {"user_edit_count": 17}, "user": None, "actor": ""},
    ],
)
def test_what_tells_nobody_apart_is_no_name(who: dict[str, Any]) -> None:
    assert find_leaks(as_json(who), as_json({"type": "edit", "user": {"n": 17}, "blank": " "})) == []


@pytest.mark.parametrize("field", ["title", "page_title", "title_url"])
def test_fields_that_only_identify_the_page_may_have_the_name(field: str) -> None:
    value = f"https://x/{NAME}/test"
    assert leaks_of(**{field: value}) == []
    assert leaks_of(prior_state={"page": {field: value}}) == []
    assert leaks_of(user={field: value}) == [Leak(f"user.{field}", NAME_FOUND)]
    assert leaks_of(**{f"{field}s": value}) == [Leak(f"{field}s", NAME_FOUND)]


def test_only_the_uri_of_meta_identifies_the_page() -> None:
    assert leaks_of(meta={"uri": NAME}) == []
    assert leaks_of(uri=NAME) == [Leak("uri", NAME_FOUND)]
    assert leaks_of(other={"meta": {"uri": NAME}}) == [Leak("other.meta.uri", NAME_FOUND)]
    assert leaks_of(meta={"key": NAME}) == [Leak("meta.key", NAME_FOUND)]


@pytest.mark.parametrize(
    "raw",
    [
        {"user_id": 4217},
        {"user_id": "4217"},
        {"userid": 4217},
        {"performer": {"id": 4217}},
        {"performer": {"user_central_id": 4217}},
        {"actor": 4217},
        {"log_params": {"userid": 4217}},
    ],
)
def test_an_id_leaks_under_a_user_like_key_and_nowhere_else(raw: dict[str, Any]) -> None:
    assert find_leaks(as_json(raw), as_json({"page_id": 4217, "offset": "4217"})) == []
    for served, path in (({"user_id": 4217}, "user_id"), ({"a": {"editor": {"id": "4217"}}}, "a.editor.id")):
        assert find_leaks(as_json(raw), as_json(served)) == [Leak(path, ID_FOUND)]
    assert find_leaks(as_json(raw), as_json({"user_id": 42170})) == []


def test_a_name_that_is_a_key_is_found_and_not_shown() -> None:
    for name in (NAME, "ann"):
        raw = as_json({"user": name})
        found = find_leaks(raw, as_json({"edits": {name: {"n": 1, "note": f"by {name}"}}}))
        assert found == [Leak("edits.*", NAME_IN_KEY), Leak("edits.*.note", NAME_FOUND)]


def test_no_result_holds_what_leaked() -> None:
    for event in (PAGE_CHANGE, RECENTCHANGE, {"performer": {NAME: NAME, "user_text": NAME, "x": [NAME]}}):
        raw = as_json(event)
        said = repr([find_leaks(raw, raw), find_user_keys(raw), removed_paths(raw, b"{}")])
        assert "HTriedman" not in said
        assert "4217" not in said


def test_a_key_given_twice_is_looked_at_twice() -> None:
    raw = b'{"user":"Ann","user":"Bob"}'
    assert find_leaks(raw, b'{"x":"Ann"}') == find_leaks(raw, b'{"x":"Bob"}') == [Leak("x", NAME_FOUND)]
    assert find_leaks(raw, b'{"x":"Ann","x":""}') == [Leak("x", NAME_FOUND)]


@pytest.mark.parametrize("text", [b"", b"no", b'{"user": "Ann"', b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused_without_a_word_of_it(text: bytes) -> None:
    for check in (find_leaks, removed_paths):
        for pair in ((text, b"{}"), (b"{}", text)):
            with pytest.raises(NotJsonError) as raised:
                check(*pair)
            assert str(raised.value) == "it cannot be read as JSON"
            assert raised.value.__context__ is None


def test_numbers_of_any_length_and_lone_surrogates_can_be_read() -> None:
    event = b'{"user":"Ann \\ud800","n":' + b"1" * 10_000 + b',"x":1e999,"note":"\\ud800"}'
    assert find_leaks(event, event) == [Leak("user", NAME_FOUND)]
    assert removed_paths(event, event) == []


# By shape alone


@pytest.mark.parametrize(
    "key", ["user", "user_text", "USER", "performer", "editor_id", "last_actor", "page_user_name", "userid", "Userid"]
)
@pytest.mark.parametrize("value", ["x", 0, False, {"a": None}, [""]])
def test_a_user_like_key_with_something_in_it_is_a_leak(key: str, value: Any) -> None:
    shown = key if key[0].islower() else "*"
    assert find_user_keys(as_json({key: value})) == [Leak(shown, USER_KEY)]
    assert find_user_keys(as_json({"a": [{key: value}]})) == [Leak(f"a[0].{shown}", USER_KEY)]


@pytest.mark.parametrize("key", ["users", "superuser", "username", "editors", "useful", "actors", "userids", "reactor"])
def test_a_key_that_only_looks_like_one_is_none(key: str) -> None:
    assert find_user_keys(as_json({key: "x"})) == []


@pytest.mark.parametrize("value", [{}, [], "", None])
def test_an_empty_user_like_key_says_nothing(value: Any) -> None:
    assert find_user_keys(as_json({"performer": value, "comment": value, "log_params": value})) == []


def test_comments_and_log_parameters_are_leaks_at_any_depth() -> None:
    event = {"comment": "x", "a": {"parsedcomment": "y", "Log_Action_Comment": "z"}, "log_params": [1], "b": "c"}
    assert find_user_keys(as_json(event)) == [
        Leak("comment", COMMENT),
        Leak("a.parsedcomment", COMMENT),
        Leak("a.*", COMMENT),
        Leak("log_params", LOG_PARAMS),
    ]


# What was removed


def test_what_was_removed_or_emptied_is_named_once_by_its_path() -> None:
    assert removed_paths(as_json(PAGE_CHANGE), as_json(clean_page_change())) == [
        "performer",
        "comment",
        "revision.comment",
        "revision.editor",
        "prior_state.revision.editor",
    ]


def test_what_passed_unchanged_or_was_added_by_the_service_is_not_named() -> None:
    assert removed_paths(as_json(PAGE_CHANGE), as_json(PAGE_CHANGE)) == []
    raw = {"meta": {"topic": "x", "dt": "y"}, "n": [1, 1.0, None, {"a": {}}]}
    served = {
        "meta": {"dt": "y", "topic": "z", "partition": 0, "offset": 1, "key": "k"},
        "n": [1, 1.0, None, {"a": {}}],
    }
    assert removed_paths(as_json(raw), as_json(served)) == []


@pytest.mark.parametrize(
    ("raw", "served", "paths"),
    [
        ({"a": [{"user": 1, "b": 2}, 3]}, {"a": [{"b": 2}, 3]}, ["a[0].user"]),
        ({"a": [1, 2]}, {"a": []}, ["a"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"log_params": {"target": "x"}}, {"log_params": {}}, ["log_params"]),
        ({"log_params": []}, {"log_params": {}}, ["log_params"]),
        ({"a": "x"}, {"a": "y"}, ["a"]),
        ({"a": 1}, {"a": "1"}, ["a"]),
        ({"a": None}, {}, ["a"]),
        ({"meta": {"dt": 1, "user": 2}}, {"meta": {}}, ["meta"]),
    ],
)
def test_every_way_to_take_something_away_is_seen(raw: Any, served: Any, paths: list[str]) -> None:
    assert removed_paths(as_json(raw), as_json(served)) == paths


# Which events


@pytest.mark.parametrize(
    "title", [TITLE, TITLE.replace(" ", "_"), TITLE.upper(), f" _{TITLE}_ ", TITLE.replace(" ", "__")]
)
@pytest.mark.parametrize("event", [PAGE_CHANGE, RECENTCHANGE, clean_page_change(), clean_recentchange()])
def test_an_event_is_of_its_page_however_the_title_is_spelled(title: str, event: dict[str, Any]) -> None:
    assert is_of(as_json(event), DOMAIN, title)
    assert is_of(as_json(event), "RU.Wikipedia.org:443", title)
    assert not is_of(as_json(event), "en.wikipedia.org", title)
    assert not is_of(as_json(event), DOMAIN, title + "s")


@pytest.mark.parametrize(
    ("title", "listed"), [("Й", "И\u0306"), ("Straße", "STRASSE"), ("ǅ", "ǆ"), ("No", "no"), ("\u200eX", "X")]
)
def test_titles_are_compared_in_their_composed_form_without_letter_case(title: str, listed: str) -> None:
    assert is_of(as_json({"title": title, "server_name": DOMAIN}), DOMAIN, listed)


@pytest.mark.parametrize(
    "event",
    [
        {"title": "Old"},
        {"page_title": "Old"},
        {"page": {"page_title": "Old"}},
        {"page": {"page_title": "New"}, "prior_state": {"page": {"page_title": "Old"}}},
        {"page_title": "New", "prior_state": {"page_title": "Old"}},
        {"title": "New", "log_type": "move", "log_params": {"target": "Old", "noredir": "1"}},
        {"title": "New", "log_type": "move", "log_params": {"4::target": "Old", "5::noredir": "1"}},
        {"title": "New", "log_type": "move", "log_params": ["Old", "1"]},
        {"title": "New", "log_type": "move", "log_params": "Old\n1"},
        {"title": "New", "log_action": "move_prot", "log_params": {"oldtitle": "Old"}},
        {"page_title": "New", "new_redirect_page": {"page_title": "Old"}},
        {"page": {"page_title": "New"}, "created_redirect_page": {"page_title": "Old"}},
    ],
)
def test_every_title_that_an_event_gives_its_page_counts(event: dict[str, Any]) -> None:
    assert is_of(as_json(event | {"meta": {"domain": DOMAIN}}), DOMAIN, "old")
    assert not is_of(as_json(event | {"meta": {"domain": DOMAIN}}), DOMAIN, "other")


def test_a_parameter_of_another_log_is_no_title() -> None:
    event = {"title": "New", "server_name": DOMAIN, "log_type": "rights", "log_params": {"target": "Old"}}
    assert not is_of(as_json(event), DOMAIN, "Old")


@pytest.mark.parametrize(
    ("where", "is_there"),
    [
        ({"meta": {"domain": DOMAIN}}, True),
        ({"server_name": DOMAIN, "meta": {"domain": ""}}, True),
        ({"server_name": DOMAIN, "meta": {"domain": "en.wikipedia.org"}}, False),
        ({"meta": {"uri": f"https://{DOMAIN}/wiki/T"}}, True),
        ({"meta": {"uri": f"//user@{DOMAIN}:8080/wiki/T"}}, True),
        ({"meta": {"uri": "https://en.wikipedia.org/wiki/T"}}, False),
        ({"meta": None}, True),
        ({"server_name": "ru.wikipedia.org."}, True),
        ({"meta": {"domain": 7, "uri": "/wiki/T"}, "server_name": []}, True),
    ],
)
def test_the_domain_is_the_first_that_the_event_names_and_without_one_it_is_of_all(
    where: dict[str, Any], is_there: bool
) -> None:
    assert is_of(as_json({"title": "T", **where}), DOMAIN, "T") is is_there


@pytest.mark.parametrize(
    "event",
    [
        {"revision": {"new": 17, "old": 16}},
        {"revision": {"new": 18, "old": 17}},
        {"rev_id": 17},
        {"rev_id": "17"},
        {"revision": {"rev_id": 17}},
        {"prior_state": {"revision": {"rev_id": 17}}},
    ],
)
def test_an_event_is_of_a_revision_wherever_it_has_its_id(event: dict[str, Any]) -> None:
    text = as_json(event | {"server_name": DOMAIN, "page_id": 19, "title": "T"})
    assert is_of(text, DOMAIN, None, 17)
    assert is_of(text, DOMAIN, "T", 17)
    assert not is_of(text, DOMAIN, "U", 17)
    assert not is_of(text, DOMAIN, None, 19)
    assert not is_of(text, "en.wikipedia.org", None, 17)


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b'"T"', b"17", b"{", b"\xff", b'{"title":17}', b'{"title":null}']
)
def test_what_is_no_event_with_a_title_is_of_no_page(text: bytes) -> None:
    assert not is_of(text, DOMAIN, "T")
    assert not is_of(text, DOMAIN, None, 17)


def test_a_domain_in_another_script_is_the_one_in_ascii() -> None:
    assert is_of(as_json({"title": "T", "server_name": "xn--e1afmkfd.example"}), "Пример.example", "T")


def test_an_event_with_lone_surrogates_is_examined_too() -> None:
    assert is_of(b'{"title":"T","comment":"\\ud800"}', DOMAIN, "T")


def test_without_title_and_revision_nothing_can_be_looked_for() -> None:
    with pytest.raises(ValueError, match="neither a title nor a revision"):
        is_of(b"{}", DOMAIN)
