"""However the list is changed through Django, it is normalised, recorded, and the version is raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import transaction

from redaction.listed import changes
from redaction.listed.recording import NO_REASON
from redaction.models import PageChange, PageMatch, RedactedPage
from streams.models import Version

pytestmark = pytest.mark.django_db

RU = "ru.wikipedia.org"


def version() -> int:
    return Version.of(Version.REDACTED_PAGES)


def rows() -> list[tuple[str, str, str]]:
    return list(RedactedPage.objects.order_by("id").values_list("domain", "title", "key"))


def history() -> list[tuple[str, str, str]]:
    return list(PageChange.objects.order_by("id").values_list("what", "title", "key"))


def page(title: str = "Участник: Ёж", domain: str = "RU.m.wikipedia.org", **fields: str) -> RedactedPage:
    return RedactedPage(domain=domain, title=title, **fields)


def loaded(one: RedactedPage) -> None:
    for each in serializers.deserialize("json", serializers.serialize("json", [one])):
        each.save()


@pytest.mark.parametrize(
    "create",
    [
        lambda: page().save(),
        lambda: RedactedPage.objects.create(domain="RU.m.wikipedia.org", title="Участник: Ёж"),
        lambda: RedactedPage.objects.get_or_create(domain="https://ru.wikipedia.org/x", title="Участник: Ёж"),
        lambda: RedactedPage.objects.bulk_create([page()]),
        lambda: RedactedPage.objects.bulk_create([page(), page("Участник:ЁЖ")], ignore_conflicts=True),
        lambda: loaded(page(key="an old key")),
        lambda: changes.add([changes.Page("ru.m.wikipedia.org", "Участник: Ёж")], "", None),
    ],
    ids=["save", "create", "get_or_create", "bulk_create", "with_conflicts", "loaddata", "pages.add"],
)
def test_a_page_that_is_made_in_any_way_is_normalised_recorded_and_raises_the_version(
    create: Callable[[], object],
) -> None:
    before = version()
    create()
    assert rows() == [(RU, "Участник: Ёж", "участник:ёж")]
    assert history() == [("added", "Участник: Ёж", "участник:ёж")]
    assert version() > before


@pytest.mark.parametrize(
    "delete",
    [
        lambda one: one.delete(),
        lambda one: RedactedPage.objects.all().delete(),
        lambda one: RedactedPage.objects.filter(pk=one.pk).delete(),
        lambda one: changes.remove([one], "asked for", None),
    ],
)
def test_a_page_that_is_deleted_in_any_way_is_recorded(delete: Callable[[RedactedPage], object]) -> None:
    one = page()
    one.save()
    PageMatch.objects.create(domain=RU, key=one.key, events=1, last_at=one.added_at)
    before = version()
    delete(one)
    assert rows() == []
    assert history()[1:] == [("removed", "Участник: Ёж", "участник:ёж")]
    assert PageChange.objects.get(what="removed").reason in (NO_REASON, "asked for")
    assert version() > before
    assert not PageMatch.objects.exists(), "what it matched before says nothing of a page that is listed again"


def renamed(one: RedactedPage) -> None:
    one.title = "Other"
    one.save()


def renamed_alone(one: RedactedPage) -> None:
    one.title = "Other"
    one.save(update_fields=["title"])


def renamed_in_bulk(one: RedactedPage) -> None:
    one.title = "Other"
    RedactedPage.objects.bulk_update([one], ["title"])


def loaded_over(one: RedactedPage) -> None:
    one.title = "Other"
    loaded(one)


@pytest.mark.parametrize(
    "change",
    [renamed, renamed_alone, renamed_in_bulk, loaded_over, lambda one: RedactedPage.objects.update(title="Other")],
)
def test_a_title_that_is_changed_in_any_way_is_one_page_removed_and_one_added(
    change: Callable[[RedactedPage], object],
) -> None:
    one = page()
    one.save()
    before = version()
    change(one)
    assert rows() == [(RU, "Other", "other")]
    assert history()[1:] == [("removed", "Участник: Ёж", "участник:ёж"), ("added", "Other", "other")]
    assert version() > before


def test_what_changes_no_page_has_no_line_in_the_history_and_raises_no_version() -> None:
    one = page()
    one.save()
    before = version(), history()
    one.reason = "T1"
    one.save()
    RedactedPage.objects.update(reason="T2")
    one.title = "участник:ёж"
    one.save()
    assert (version(), history()) == before


def test_a_change_that_is_rolled_back_leaves_no_trace() -> None:
    before = version()
    with transaction.atomic():
        page().save()
        transaction.set_rollback(True)
    assert (rows(), history(), version()) == ([], [], before)


def test_a_whole_dump_is_loaded_over_itself_and_into_an_empty_table(tmp_path: Path) -> None:
    changes.add([changes.Page(RU, f"Page {number}") for number in range(3)], "T1", None)
    changes.remove(list(RedactedPage.objects.all()[:1]), "T2", None)
    fixture = f"{tmp_path}/dump.json"
    call_command("dumpdata", "redaction", "streams", output=fixture)
    dumped = rows()
    call_command("loaddata", fixture, verbosity=0)
    assert rows() == dumped
    RedactedPage.objects.all().delete()
    PageChange.objects.all().delete()
    call_command("loaddata", fixture, verbosity=0)
    assert rows() == dumped


def test_the_reason_of_a_removal_stands_in_the_history_of_each_page() -> None:
    made = changes.add([changes.Page(RU, f"Page {number}") for number in range(1200)], "T1", None)
    assert changes.remove(made, "a mistake", None) == 1200
    assert PageChange.objects.filter(what="removed", reason="a mistake").count() == 1200
    assert changes.remove(made, "again", None) == 0
