"""The admin of the list of redacted pages: adding, finding, and the history of it."""

from __future__ import annotations

import io
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from redaction.admin import configured
from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.models import PageChange, RedactedPage
from streams.http.service import SCOPE_KEY
from streams.models import Version
from tests.support.admin import HISTORY, LIST, ServiceClient, client_of, messages, staff
from tests.support.admin.redaction import GROUP, RU, found, listed, listing
from tests.support.admin.streams import process, service_client, stream

TEST_PAGE = "Участник:HTriedman (WMF)/redacted page test"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("borne_out")]


# Adding.


def test_a_page_is_added_with_its_reason_and_the_processes_are_told(admin: Client) -> None:
    before = Version.of(Version.REDACTED_PAGES)
    answer = admin.post(
        LIST + "add/", {"domain": " RU.wikipedia.org ", "title": TEST_PAGE, "reason": "T9"}, follow=True
    )
    (said,) = messages(answer)
    assert said.startswith(f"Added “{TEST_PAGE}” ({RU}). Matching events are redacted within 3 seconds. <a href=")
    query = urlencode({"domain": RU, "title": TEST_PAGE}).replace("&", "&amp;")
    assert f"{reverse('admin:redaction_test')}?{query}" in said
    (page,) = RedactedPage.objects.all()
    assert (page.domain, page.title, page.reason, str(page.added_by)) == (RU, TEST_PAGE, "T9", "ada")
    assert page.key == "участник:htriedman_(wmf)/redacted_page_test"
    (change,) = PageChange.objects.all()
    assert (change.what, change.by, change.reason, change.title) == ("added", "ada", "T9", TEST_PAGE)
    assert Version.of(Version.REDACTED_PAGES) == before + 1


def test_the_address_of_a_page_does_for_both_fields(admin: Client) -> None:
    address = "https://ru.m.wikipedia.org/wiki/%D0%A3%D1%87%D0%B0%D1%81%D1%82%D0%BD%D0%B8%D0%BA:A_b?action=edit"
    admin.post(LIST + "add/", {"domain": "", "title": address, "reason": "T9"})
    assert listed() == [(RU, "Участник:A b")]


@pytest.mark.parametrize(
    ("domain", "title", "reason", "field", "error"),
    [
        ("ruwiki", "A", "T", "domain", "'ruwiki' is not a wiki's host name, such as ru.wikipedia.org."),
        ("", "A", "T", "domain", "The domain is missing."),
        (RU, "", "T", "title", "This field is required."),
        (RU, " __ ", "T", "title", "The title is missing."),
        (RU, "A#b", "T", "title", "No title can contain #."),
        (RU, "я" * 513, "T", "title", "The title has 513 characters; at most 512 are possible."),
        (RU, "https://de.wikipedia.org/wiki/A", "T", "title", f"This is an address of de.wikipedia.org, not of {RU}."),
        (RU, "https://ru.wikipedia.org/", "T", "title", "It is not the address of a page"),
        (RU, "A", "", "reason", "This field is required."),
        (RU, "A", "x" * 501, "reason", "Ensure this value has at most 500 characters"),
    ],
)
def test_what_could_never_match_an_event_is_refused_at_its_field(
    admin: Client, domain: str, title: str, reason: str, field: str, error: str
) -> None:
    answer = admin.post(LIST + "add/", {"domain": domain, "title": title, "reason": reason})
    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    assert list(errors) == [field]
    assert errors[field][0].startswith(error)
    assert listed() == []


@pytest.mark.parametrize("spelling", ["Один_два", "ОДИН   ДВА", " один два_", "https://ru.wikipedia.org/wiki/Один_два"])
def test_a_page_that_is_listed_is_refused_in_any_spelling_with_the_reason_that_it_has(
    admin: Client, spelling: str
) -> None:
    listing(RU, "Один два", "T7, a request")
    answer = admin.post(LIST + "add/", {"domain": RU, "title": spelling, "reason": "T8"})
    (error,) = answer.context["adminform"].form.errors["title"]
    assert error == "This page is already listed, as “Один два”: T7, a request"
    assert len(listed()) == 1


def test_a_page_of_the_configuration_file_is_refused_in_any_spelling() -> None:
    client = ServiceClient(staff("ada", GROUP), {"RU.wikipedia.org": ["один_ДВА"]})
    answer = client.post(LIST + "add/", {"domain": RU, "title": "Один два", "reason": "T8"})
    (error,) = answer.context["adminform"].form.errors["title"]
    assert error == "This page is already listed, in the configuration file."
    assert listed() == []


def test_the_same_title_on_another_wiki_is_another_page(admin: Client) -> None:
    listing(RU, "A")
    admin.post(LIST + "add/", {"domain": "de.wikipedia.org", "title": "A", "reason": "T8"})
    assert listed() == [("de.wikipedia.org", "A"), (RU, "A")]


def test_there_is_no_editing(admin: Client, admin_client: Client) -> None:
    page = listing(RU, "A")
    for client in (admin, admin_client):
        answer = client.post(f"{LIST}{page.pk}/change/", {"domain": RU, "title": "B", "reason": "T"})
        assert answer.status_code == 403
    assert listed() == [(RU, "A")]


# Finding.


def test_a_search_finds_a_title_in_any_spelling_a_domain_and_a_reason(admin: Client) -> None:
    listing(RU, "Участник:Пример/Черновик номер два", "T7")
    listing(RU, "Cafe\u0301", "T8")
    listing("de.wikipedia.org", "100% A_b", "a request")
    draft, cafe, percent = "Участник:Пример/Черновик номер два", "Cafe\u0301", "100% A_b"
    for term, titles in {
        "ЧЕРНОВИК": [draft],
        "участник:пример/черновик_номер": [draft],
        "два черновик": [draft],
        "Café": [cafe],
        "RU.wikipedia": [cafe, draft],
        "ru.wikipedia.org caf": [cafe],
        "T7": [draft],
        "REQUEST": [percent],
        "a b": [percent],
        "0%": [percent],
        "%": [percent],
        "https://ru.wikipedia.org/wiki/Caf%C3%A9": [cafe],
        "https://de.wikipedia.org/wiki/Caf%C3%A9": [],
        "https://ru.wikipedia.org/": [],
        "x:y": [],
        "_": [percent, cafe, draft],
    }.items():
        assert found(admin, q=term) == sorted(titles), term
    assert found(admin, domain="de.wikipedia.org") == [percent]


def test_who_added_a_page_is_searched_too(admin: Client) -> None:
    changes.add([Page(RU, "A")], "T", staff("grace"))
    listing(RU, "B")
    assert found(admin, q="grace") == ["A"]


def test_a_page_leads_to_the_wiki_in_one_address(admin: Client) -> None:
    listing(RU, "Один/<b>")
    html = admin.get(LIST).content.decode()
    assert 'href="https://ru.wikipedia.org/wiki/%D0%9E%D0%B4%D0%B8%D0%BD/%3Cb%3E" target="_blank" rel="noopener' in html
    assert "Один/&lt;b&gt;</a>" in html
    assert "<b>" not in html


def test_the_pages_of_the_configuration_file_stand_beside_the_list_read_only() -> None:
    client = ServiceClient(staff("ada", GROUP), {"RU.wikipedia.org": [TEST_PAGE, "007"], "de.wikipedia.org": ["No"]})
    answer = client.get(LIST)
    assert answer.context["configured"] == [("de.wikipedia.org", ["No"]), (RU, ["007", TEST_PAGE])]
    html = answer.content.decode()
    assert "From the configuration file (3)" in html
    assert f"<li>{TEST_PAGE} <span" in html
    assert client.get(LIST, {"q": "REDACTED_page"}).context["configured"] == [(RU, [TEST_PAGE])]
    assert client.get(LIST, {"q": "https://ru.wikipedia.org/wiki/007"}).context["configured"] == [(RU, ["007"])]
    assert client.get(LIST, {"q": "absent"}).context["configured"] == []
    assert client.get(LIST, {"domain": "de.wikipedia.org"}).context["configured"] == [("de.wikipedia.org", ["No"])]


def test_without_the_service_the_page_is_there_all_the_same(admin: Client) -> None:
    assert "The file lists no pages." in admin.get(LIST).content.decode()


def test_the_service_is_looked_for_where_the_server_puts_it() -> None:
    assert configured.SERVICE_KEY == SCOPE_KEY


def test_the_pages_say_what_a_redaction_cannot_undo_and_when_it_works(admin: Client) -> None:
    page = listing(RU, "A")
    note = (
        "Changes take effect within 3 seconds. Events already delivered cannot be recalled, and Kafka keeps the "
        "originals."
    )
    for path in (LIST, LIST + "add/", LIST + "import/", f"{LIST}{page.pk}/delete/"):
        assert note in admin.get(path).content.decode(), path


def test_the_list_leads_to_everything_else(admin: Client) -> None:
    html = admin.get(LIST).content.decode()
    for name in ("redaction_test", "redaction_redactedpage_import", "redaction_redactedpage_export_csv"):
        assert f'href="{reverse(f"admin:{name}")}"' in html
    assert f'href="{HISTORY}"' in html
    index = admin.get("/admin/").content.decode()
    for name in ("redaction_test", "redaction_redactedpage_add", "redaction_pagechange_changelist"):
        assert f'href="{reverse(f"admin:{name}")}"' in index


# The history.


def test_the_history_says_who_what_when_and_why_and_is_searched_in_any_spelling(admin: Client) -> None:
    page = listing(RU, "Участник:Пример", "T7")
    changes.remove([page], "asked for", staff("grace"))
    listing("de.wikipedia.org", "Zwei", "T8")

    def history(**query: str) -> list[str]:
        changes = admin.get(HISTORY, query).context["cl"].result_list
        return [f"{change.what} {change.title}" for change in changes]

    everything = ["added Zwei", "removed Участник:Пример", "added Участник:Пример"]
    assert history() == everything
    for term, lines in {
        "УЧАСТНИК:пример": everything[1:],
        "grace": everything[1:2],
        "asked": everything[1:2],
        "T8": everything[:1],
        "added wikipedia": [everything[0], everything[2]],
        "https://ru.wikipedia.org/wiki/Участник:Пример": everything[1:],
    }.items():
        assert history(q=term) == lines, term
    assert history(what="removed") == everything[1:2]
    assert history(domain="de.wikipedia.org") == everything[:1]
    html = admin.get(HISTORY).content.decode()
    for said in ("grace", "asked for", f"{PageChange.objects.first().at:%Y-%m-%d %H:%M:%S}"):
        assert said in html


def test_the_history_cannot_be_changed_by_anybody(admin: Client, admin_client: Client) -> None:
    listing(RU, "A")
    change = PageChange.objects.get()
    for client in (admin, admin_client):
        assert client.post(f"{HISTORY}{change.pk}/change/", {"reason": "x"}).status_code == 403
        assert client.post(f"{HISTORY}{change.pk}/delete/", {"post": "yes"}).status_code == 403
        assert client.post(f"{HISTORY}add/", {"what": "added"}).status_code == 403
        action = {"action": "delete_selected", "_selected_action": [str(change.pk)], "post": "yes"}
        client.post(HISTORY, action)
    assert PageChange.objects.get() == change


def test_there_is_no_second_history(admin: Client) -> None:
    admin.post(LIST + "add/", {"domain": RU, "title": "A", "reason": "T"})
    page = RedactedPage.objects.get()
    answer = admin.get(f"{LIST}{page.pk}/history/", follow=True)
    assert [change.title for change in answer.context["cl"].result_list] == ["A"]
    admin.post(LIST + "remove/", {"pages": str(page.pk), "reason": "r"})
    assert PageChange.objects.count() == 2
    assert LogEntry.objects.count() == 0


def test_the_history_outlives_the_user_that_it_names(admin: Client) -> None:
    admin.post(LIST + "add/", {"domain": RU, "title": "A", "reason": "T"})
    User.objects.get(username="ada").delete()
    assert RedactedPage.objects.get().added_by is None
    assert PageChange.objects.get().by == "ada"


# Who may.

PATHS = ("", "add/", "import/", "export.csv", "export.yaml", "{pk}/delete/", "{pk}/change/", "{pk}/history/", "remove/")


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_logged_in_is_sent_to_log_in(client: Client, path: str) -> None:
    page = listing(RU, "A")
    path = LIST + path.format(pk=page.pk)
    for answer in (client.get(path), client.post(path, {"pages": str(page.pk), "reason": "r"})):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=/admin/redaction/")
    assert listed() == [(RU, "A")]


@pytest.mark.parametrize("path", PATHS)
def test_staff_without_the_permission_may_nothing(path: str) -> None:
    page = listing(RU, "A")
    client = client_of(staff("eve"))
    path = LIST + path.format(pk=page.pk)
    data = {"pages": str(page.pk), "domain": RU, "title": "B", "text": f"{RU} B", "reason": "r", "step": "import"}
    assert client.get(path).status_code == 403
    assert client.post(path, data).status_code == 403
    assert client.get(HISTORY).status_code == 403
    assert listed() == [(RU, "A")]


def test_who_may_only_look_has_no_way_to_change(admin: Client) -> None:
    page = listing(RU, "A")
    user = staff("eve")
    user.user_permissions.set(Group.objects.get(name=GROUP).permissions.filter(codename__startswith="view"))
    client = client_of(user)
    html = client.get(LIST).content.decode()
    for way in ("/delete/", "/add/", "/import/", "delete_selected"):
        assert way not in html
        assert way in admin.get(LIST).content.decode()
    assert client.get(LIST + "export.csv").status_code == 200
    assert client.get(HISTORY).status_code == 200
    for path, data in {
        "add/": {"domain": RU, "title": "B", "reason": "r"},
        "import/": {"text": f"{RU} B", "form": "recognise", "step": "import", "reason": "r"},
        "remove/": {"pages": str(page.pk), "reason": "r"},
        f"{page.pk}/delete/": {"post": "yes"},
    }.items():
        assert client.post(LIST + path, data).status_code == 403, path
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(page.pk)]})
    assert listed() == [(RU, "A")]


def test_no_form_is_taken_without_its_token() -> None:
    page = listing(RU, "A")
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff("ada", GROUP))
    for path, data in {
        "add/": {"domain": RU, "title": "B", "reason": "r"},
        "import/": {"text": f"{RU} B", "form": "recognise", "step": "import", "reason": "r"},
        "remove/": {"pages": str(page.pk), "reason": "r"},
        "": {"action": "delete_selected", "_selected_action": [str(page.pk)]},
    }.items():
        answer = client.post(LIST + path, data)
        assert answer.status_code == 403, path
        assert "The form was rejected" in answer.content.decode()
    assert listed() == [(RU, "A")]


def test_the_group_of_redaction_admins_may_add_remove_and_look() -> None:
    permissions = Group.objects.get(name=GROUP).permissions.order_by("codename")
    assert [permission.codename for permission in permissions] == [
        "add_redactedpage",
        "delete_redactedpage",
        "view_pagechange",
        "view_redactedpage",
    ]


def test_there_is_a_migration_for_every_change_of_the_models() -> None:
    call_command("makemigrations", "--check", "--dry-run", stdout=io.StringIO())


def test_from_a_page_one_click_leads_to_its_test_its_events_and_its_history(admin: Client) -> None:
    changes.add([Page(RU, TEST_PAGE)], "T1", staff("bob", GROUP))
    stream("mediawiki.recentchange", {"topics": ["r"], "stream_aliases": ["recentchange"]}, allowed="yes")
    of_page = urlencode({"domain": RU, "title": TEST_PAGE}).replace("&", "&amp;")
    events = f"/v2/ui/#/?streams=mediawiki.recentchange&amp;since=hour&amp;{of_page}&amp;run=1"
    history = f"{HISTORY}?{urlencode({'domain': RU, 'q': TEST_PAGE})}".replace("&", "&amp;")
    client = service_client(staff("eve", GROUP), process())
    for address in (LIST, HISTORY):
        page = client.get(address).content.decode()
        for link in (f"{reverse('admin:redaction_test')}?{of_page}", events, history):
            assert f'href="{link}"' in page, address
        elsewhere = admin.get(address).content.decode()
        assert history in elsewhere
        assert "/v2/ui" not in elsewhere, "the demo page may be disabled"
