"""What the admin says of matches: of each page of the list and of the configuration file, and on its front page."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.listed.matches import MatchWriter
from redaction.models import RedactedPage
from tests.support.admin import LIST, ServiceClient, staff
from tests.support.events.evidence import RU

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("borne_out")]


def client(**parts: Any) -> ServiceClient:
    return ServiceClient(staff("ada", "redaction admins"), {RU: ["Участник:Файл", "Никогда"]}, **parts)


def count(matches: dict[tuple[str, str], int]) -> None:
    """As a process does."""
    writer = MatchWriter()
    writer._next_write = 0.0
    writer.add(matches)
    writer.write()


def test_each_page_shows_when_it_last_matched_and_how_many() -> None:
    changes.add([Page(RU, "Один"), Page(RU, "Два")], "T", None)
    count({(RU, "один"): 3, (RU, "участник:файл"): 1})
    html = client().get(LIST).content.decode()
    today = f"{timezone.now():%Y-%m-%d}"
    assert f'<td class="field-matched">{today}' in html
    assert "(3 events)</td>" in html
    assert '<td class="field-matched">never</td>' in html
    # The configuration file's pages as well.
    assert f'Участник:Файл <span class="redaction-domain">last matched: {today}' in html
    assert 'Никогда <span class="redaction-domain">last matched: never' in html


def test_pages_that_never_matched_are_a_filter() -> None:
    changes.add([Page(RU, "Один"), Page(RU, "Два")], "T", None)
    count({(RU, "один"): 3})
    asked = client()

    def found(value: str) -> list[str]:
        return [page.title for page in asked.get(LIST, {"matched": value}).context["cl"].result_list]

    assert (found("never"), found("yes")) == (["Два"], ["Один"])
    assert "Never matched since it was listed" in asked.get(LIST).content.decode()


def test_after_a_day_the_front_page_says_which_never_matched() -> None:
    changes.add([Page(RU, "Один"), Page(RU, "Два"), Page(RU, "Три")], "T", None)
    count({(RU, "один"): 3})
    asked = client(started_at=time.monotonic())
    assert "matched no event" not in asked.get("/admin/").content.decode()
    RedactedPage.objects.exclude(title="Три").update(added_at=timezone.now() - timedelta(days=1, minutes=1))
    html = asked.get("/admin/").content.decode()
    assert "1 redacted page has matched no event" in html
    assert "?matched=never" in html
    assert "the configuration file" not in html


def test_the_configuration_file_s_pages_count_in_a_process_that_has_run_for_a_day() -> None:
    count({(RU, "никогда"): 1})
    html = client(started_at=time.monotonic() - 86_500).get("/admin/").content.decode()
    assert "1 page has never matched an event of those in" in html
