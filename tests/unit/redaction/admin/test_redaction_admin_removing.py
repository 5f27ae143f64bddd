"""The admin of the list of redacted pages: removing."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.models import Hold, PageChange
from streams.models import Version
from tests.support.admin import LIST, ServiceClient, messages, staff
from tests.support.admin.redaction import GROUP, RU, listed, listing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("borne_out")]


def test_a_page_is_removed_with_a_reason_only(admin: Client) -> None:
    page = listing(RU, "A")
    before = Version.of(Version.REDACTED_PAGES)
    question = admin.get(f"{LIST}{page.pk}/delete/")
    assert question.context["shown"] == [(page, False)]
    without = admin.post(LIST + "remove/", {"pages": str(page.pk), "reason": " "})
    assert without.context["errors"] == {"reason": ["This field is required."]}
    assert listed() == [(RU, "A")]
    assert Version.of(Version.REDACTED_PAGES) == before
    answer = admin.post(LIST + "remove/", {"pages": str(page.pk), "reason": "asked for"}, follow=True)
    assert messages(answer) == [
        "1 page was removed; within 3 seconds all processes will show who made their events again."
    ]
    assert listed() == []
    change = PageChange.objects.first()
    assert (change.what, change.title, change.by, change.reason) == ("removed", "A", "ada", "asked for")
    assert Version.of(Version.REDACTED_PAGES) == before + 1


def test_a_removal_that_leaves_too_few_pages_is_warned_of() -> None:
    pages = [listing(RU, "A"), listing(RU, "B")]
    user = staff("ada", GROUP)
    for minimum, warns in ((1, False), (2, True)):
        client = ServiceClient(user, {}, redacted_pages_min=minimum)
        text = client.get(f"{LIST}{pages[0].pk}/delete/").content.decode()
        assert ("This leaves 1 page in the database" in text) == warns
    Hold.objects.create(why="lost", pages=json.dumps([[RU, "C"]]))
    client = ServiceClient(user, {}, redacted_pages_min=2)
    assert "This leaves" not in client.get(f"{LIST}{pages[0].pk}/delete/").content.decode(), "held pages count"


def test_django_s_own_ways_to_delete_ask_for_a_reason_first(admin: Client, admin_client: Client) -> None:
    page = listing(RU, "A")
    for client in (admin, admin_client):
        assert client.post(f"{LIST}{page.pk}/delete/", {"post": "yes"}).templates[0].name.endswith("/remove.html")
        action = {"action": "delete_selected", "_selected_action": [str(page.pk)], "post": "yes"}
        assert client.post(LIST, action).templates[0].name.endswith("/remove.html")
    assert listed() == [(RU, "A")]


def test_many_are_removed_at_once_more_than_a_form_may_have_fields(admin: Client) -> None:
    changes.add([Page(RU, f"Страница {number}") for number in range(1200)], "T1", None)
    question = admin.post(LIST, {"action": "delete_selected", "_selected_action": ["0"], "select_across": "1"})
    assert question.context["count"] == 1200
    assert len(question.context["shown"]) + question.context["more"] == 1200
    removal = {"pages": question.context["pages"], "reason": "a mistake"}
    for number, error in (("", "This field is required."), ("12", "1200 pages are selected, not 12: type 1200.")):
        again = admin.post(LIST + "remove/", {**removal, "number": number})
        assert again.context["errors"] == {"number": [error]}
    assert len(listed()) == 1200
    answer = admin.post(LIST + "remove/", {**removal, "number": "1200"}, follow=True)
    assert messages(answer) == [
        "1200 pages were removed; within 3 seconds all processes will show who made their events again."
    ]
    assert listed() == []
    assert PageChange.objects.filter(what="removed", reason="a mistake", by="ada").count() == 1200


@pytest.mark.parametrize(("count", "is_asked"), [(10, False), (11, True)])
def test_the_number_is_asked_for_where_more_than_ten_are_removed(admin: Client, count: int, is_asked: bool) -> None:
    added = changes.add([Page(RU, f"Страница {number}") for number in range(count)], "T1", None)
    removal = {"pages": ",".join(str(page.pk) for page in added), "reason": "a mistake"}
    admin.post(LIST + "remove/", removal)
    assert len(listed()) == (count if is_asked else 0)


def test_it_is_said_where_the_configuration_file_keeps_a_page_redacted() -> None:
    page, other = listing(RU, "A"), listing(RU, "B")
    client = ServiceClient(staff("ada", GROUP), {RU: ["a"]})
    action = {"action": "delete_selected", "_selected_action": [str(page.pk), str(other.pk)]}
    question = client.post(LIST, action)
    assert question.context["shown"] == [(page, True), (other, False)]
    assert question.content.decode().count("stays redacted: the configuration file lists it too") == 1


def test_what_another_admin_removed_meanwhile_is_not_removed_twice(admin: Client) -> None:
    page, other = listing(RU, "A"), listing(RU, "B")
    changes.remove([other], "first", None)
    numbers = {"pages": f"{page.pk},{other.pk}", "reason": "second"}
    assert messages(admin.post(LIST + "remove/", numbers, follow=True)) == [
        "1 page was no longer on the list.",
        "1 page was removed; within 3 seconds all processes will show who made their events again.",
    ]
    assert messages(admin.post(LIST + "remove/", numbers, follow=True)) == ["2 pages were no longer on the list."]
    assert [(change.title, change.reason) for change in PageChange.objects.filter(what="removed").order_by("id")] == [
        ("B", "first"),
        ("A", "second"),
    ]


@pytest.mark.parametrize("numbers", ["", "x", "0", "4711,", "²", "9" * 40])
def test_numbers_that_are_none_remove_nothing(admin: Client, numbers: str) -> None:
    listing(RU, "A")
    assert admin.post(LIST + "remove/", {"pages": numbers, "reason": "r"}).status_code == 302
    assert listed() == [(RU, "A")]


def test_a_page_that_is_gone_is_said_to_be_gone(admin: Client) -> None:
    answer = admin.get(f"{LIST}4711/delete/", follow=True)
    assert messages(answer) == ["This page is no longer on the list."]


def test_to_look_is_not_to_remove(admin: Client) -> None:
    listing(RU, "A")
    assert admin.get(LIST + "remove/").status_code == 302
    assert listed() == [(RU, "A")]
