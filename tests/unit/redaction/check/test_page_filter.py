"""Which events are of the page, or the revision, that a test of a redaction asks for."""

from __future__ import annotations

from typing import Any

import pytest

from redaction.check.page_filter import About, about, is_of
from redaction.marking import MARK
from tests.support.events.judged import (
    DOMAIN,
    PAGE_CHANGE,
    RECENTCHANGE,
    TITLE,
    as_json,
    clean_page_change,
    clean_recentchange,
)


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
    ("title", "listed"),
    [("Й", "И\u0306"), ("Straße", "STRASSE"), ("ǅ", "ǆ"), ("No", "no"), ("\u200eX", "X"), ("A\u200bB", "ab")],
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


@pytest.mark.parametrize(
    "listed", ["Участник: X", "Участник :X", "участник_:_x", "Участник:X\u200b", "Участник:X\u200d"]
)
def test_blanks_around_the_first_colon_and_invisible_signs_do_not_matter(listed: str) -> None:
    assert is_of(as_json({"title": "Участник:X", "server_name": DOMAIN}), DOMAIN, listed)
    assert is_of(as_json({"title": listed, "server_name": DOMAIN}), DOMAIN, "Участник:X")


@pytest.mark.parametrize("domain", ["https://de.wikipedia.org", "de wikipedia", "-", "de.wikipedia.org/wiki"])
def test_a_domain_that_no_host_can_have_counts_as_none(domain: str) -> None:
    event = {"title": "X", "meta": {"domain": domain}}
    assert is_of(as_json(event), DOMAIN, "X")
    assert is_of(as_json(event | {"server_name": DOMAIN}), DOMAIN, "X")
    assert not is_of(as_json(event | {"server_name": "en.wikipedia.org"}), DOMAIN, "X")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (RECENTCHANGE, About("130000001", "edit", False)),
        (PAGE_CHANGE, About("130000001", "edit", False)),
        ({"$schema": "/mediawiki/revision/create/2.0.0", "rev_id": 17}, About("17", "revision create", False)),
        ({"type": "log", "log_type": "move", "log_action": "move"}, About("", "log/move", False)),
        ({"type": "log", "log_type": "delete", "log_action": "revision"}, About("", "log/delete/revision", False)),
        ({"type": "<b>Ann</b>", "rev_id": "Ann"}, About("", "", False)),
        ({"type": 7, "$schema": 7, "meta": 7}, About("", "", False)),
        ({"meta": {"request_id": MARK + "-0000"}}, About("", "", True)),
    ],
)
def test_what_an_event_is(event: dict[str, Any], expected: About) -> None:
    assert about(as_json(event)) == expected


def test_what_is_no_event_is_nothing() -> None:
    for text in (b"", b"[]", b"\xff", b'{"type": "\\ud800"}'):
        assert about(text) == About("", "", False)
