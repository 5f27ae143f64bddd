"""The admin says what is held and why, on its front page too, and lets those decide who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from redaction.listed import changes as changes_module
from redaction.models import Hold, PageChange, RedactedPage
from tests.support.admin import HISTORY, ServiceClient, client_of, messages, staff
from tests.support.admin.redaction import GROUP, RU

pytestmark = pytest.mark.django_db

HELD = "/admin/redaction/hold/"
WHY = "2 pages that were in force are gone"


@pytest.fixture
def hold() -> Hold:
    changes_module.add([changes_module.Page(RU, "Stays")], "T1", None)
    return Hold.objects.create(why=WHY, pages=json.dumps([[RU, "A <b>"], ["de.wikipedia.org", "B"]]))


def decider() -> Any:
    user = staff("grace", GROUP)
    user.user_permissions.add(Permission.objects.get(codename="apply_hold"))
    return client_of(user)


def test_the_front_page_says_which_pages_are_held_and_why_to_those_who_see_the_list(hold: Hold) -> None:
    for client, sees in ((client_of(staff("ada", GROUP)), True), (client_of(staff("bob")), False)):
        text = client.get("/admin/").content.decode()
        assert (WHY in text and "A &lt;b&gt;" in text and "de.wikipedia.org" in text and HELD in text) == sees
    hold.delete()
    assert "redaction-held" not in client_of(staff("eve", GROUP)).get("/admin/").content.decode()


def test_only_who_has_the_permission_decides(hold: Hold) -> None:
    client = client_of(staff("ada", GROUP))
    page = client.get(HELD)
    assert WHY in page.content.decode()
    assert "you need the permission" in page.content.decode()
    assert client.post(HELD, {"reason": "x", "apply": "1", "holds": hold.pk}).status_code == 403
    assert client_of(staff("bob")).get(HELD).status_code == 403
    assert Hold.objects.exists()


def test_a_list_is_applied_with_a_reason_that_stands_in_the_history(hold: Hold) -> None:
    client = decider()
    later = Hold.objects.create(why="another", pages="[]")
    without = client.post(HELD, {"reason": " ", "apply": "1", "holds": hold.pk})
    assert without.context["errors"]
    assert Hold.objects.count() == 2
    done = client.post(HELD, {"reason": "meant", "apply": "Apply", "holds": hold.pk}, follow=True)
    assert messages(done) == ["Applied: 2 pages are no longer redacted, in any process within 3 seconds."]
    assert list(Hold.objects.all()) == [later], "what the page did not show waits for its own decision"
    changes = set(PageChange.objects.filter(reason="meant", by="grace").values_list("what", "title"))
    assert changes == {("removed", "A <b>"), ("removed", "B"), ("applied", WHY)}
    assert WHY in client.get(HISTORY).content.decode()


def test_held_pages_are_put_back_with_a_reason(hold: Hold) -> None:
    done = decider().post(HELD, {"reason": "lost", "put_back": "Put back", "holds": hold.pk}, follow=True)
    assert messages(done) == ["Put back: 2 pages are on the list again."]
    assert set(RedactedPage.objects.values_list("title", "reason")) == {
        ("Stays", "T1"),
        ("A <b>", "lost"),
        ("B", "lost"),
    }
    assert not Hold.objects.exists()
    assert "Nothing is held" in done.content.decode()


def test_applying_a_list_with_too_few_pages_is_warned_of(hold: Hold) -> None:
    user = staff("grace", "redaction admins")
    user.user_permissions.add(Permission.objects.get(codename="apply_hold"))
    for minimum, warns in ((1, False), (2, True)):
        text = ServiceClient(user, {}, redacted_pages_min=minimum).get(HELD).content.decode()
        assert ("If you apply it: This leaves 1 page" in text) == warns
