"""The leak check of redaction, with and without the raw record, and which events are of a page."""

from __future__ import annotations

from typing import Any

import pytest

from redaction.check.verdict import (
    BARE_KEY,
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
    removed_paths,
)
from tests.support.events.judged import (
    NAME,
    PAGE_CHANGE,
    RECENTCHANGE,
    as_json,
    clean_page_change,
    clean_recentchange,
)


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
        {"factor": "edit", "useful": "edit", "edit_summary_of": "edit"},
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


@pytest.mark.parametrize("key", ["useful", "reactor", "edited", "performed", "auth"])
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


# The words of the rule


@pytest.mark.parametrize(
    "key",
    [
        *("username", "userName", "user-name", "usertext", "users", "editors", "performers", "author", "creator"),
        *("contributor", "last_contributors", "coauthor", "USERID", "PageCreator", "superuser_flags"),
        *("actor", "actor_name", "actorName", "actorname", "actor-id", "actor.id", "the actor", "lastActor", "ACTOR"),
    ],
)
def test_a_key_that_names_somebody_must_be_gone(key: str) -> None:
    (leak,) = find_user_keys(as_json({"a": [{key: "x"}]}))
    assert leak.why == USER_KEY
    assert find_user_keys(as_json({key: ""})) == []
    assert find_leaks(as_json({key: {"text": NAME}}), as_json({"x": NAME})) == [Leak("x", NAME_FOUND)]


@pytest.mark.parametrize("key", ["factor", "refactor", "factors", "page", "comments_count", "tractor_id"])
def test_any_other_key_may_stay(key: str) -> None:
    assert find_user_keys(as_json({key: 1})) == []


@pytest.mark.parametrize(
    "event",
    [
        {"rev_comment": "x"},
        {"summary": "x"},
        {"Summary": "x"},
        {"parsedcomment": "x"},
        {"comments": ["x"]},
        {"comment_parts": {"a": [{"b": "x"}]}},
        {"comment": 1},
        {"comment": {"a": 1}},
    ],
)
def test_a_comment_must_be_empty(event: dict[str, Any]) -> None:
    assert [leak.why for leak in find_user_keys(as_json(event))] == [COMMENT]


def test_a_flag_of_a_comment_may_stay() -> None:
    flags = {
        "is_comment_visible": True,
        "comment": "",
        "rev_comment": "",
        "comments": [],
        "summary": 7,
        "summaries": "x",
    }
    assert find_user_keys(as_json(flags)) == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Ann", [Leak("meta.key", BARE_KEY)]),
        (17, [Leak("meta.key", BARE_KEY)]),
        ('["Ann"]', [Leak("meta.key", BARE_KEY)]),
        ('{"page_id":1,"user":"Ann"}', [Leak("meta.key.user", USER_KEY)]),
        ('{"page_id":1,"wiki_id":"ruwiki"}', []),
    ],
)
def test_the_kafka_key_is_looked_into(key: Any, expected: list[Leak]) -> None:
    assert find_user_keys(as_json({"meta": {"key": key}})) == expected


def test_a_kafka_key_that_stood_in_the_value_and_is_gone_is_among_what_was_removed() -> None:
    raw = as_json({"meta": {"key": "Ann", "topic": "t"}})
    assert removed_paths(raw, as_json({"meta": {"topic": "u", "offset": 1}})) == ["meta.key"]
