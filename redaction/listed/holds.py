"""What an admin does with a list that is held: applies it as it is, or puts the pages back. Each with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.listed.in_force import held_pages
from redaction.listed.recording import BATCH
from redaction.models import Hold, PageChange, RedactedPage
from streams.core.spelling import normalise_title
from streams.models import Version

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def held() -> list[tuple[Hold, list[tuple[str, str]]]]:
    """Return what is held now, each with domain and title of its pages that are not listed again."""
    return [(hold, held_pages([hold])) for hold in Hold.objects.all()]


def in_force_count() -> int:
    """Return how many pages the database keeps in force: those on the list and those that are held."""
    return RedactedPage.objects.count() + len(held_pages(Hold.objects.all()))


def apply(numbers: set[int], reason: str, by: User | None) -> int:
    """Apply the list as the database has it: no process redacts the pages of these holds any longer.

    Return the number of those pages.
    """
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        holds = list(Hold.objects.select_for_update().filter(pk__in=numbers))
        released = held_pages(holds)
        name = changes.name_of(by)
        lines = [
            PageChange(
                what=PageChange.What.REMOVED,
                domain=domain,
                title=title,
                key=normalise_title(title),
                reason=reason,
                by=name,
            )
            for domain, title in released
        ]
        # A line about no page.
        lines += [
            PageChange(what=PageChange.What.APPLIED, title=hold.why[:512], reason=reason, by=name) for hold in holds
        ]
        PageChange.objects.bulk_create(lines, batch_size=BATCH)
        Hold.objects.filter(pk__in=[hold.pk for hold in holds]).delete()
    return len(released)


def put_back(numbers: set[int], reason: str, by: User | None) -> int:
    """Put the pages of these holds on the list again, and return their number."""
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        holds = list(Hold.objects.select_for_update().filter(pk__in=numbers))
        new = changes.add([Page(*page) for page in held_pages(holds)], reason, by)
        Hold.objects.filter(pk__in=[hold.pk for hold in holds]).delete()
    return len(new)
