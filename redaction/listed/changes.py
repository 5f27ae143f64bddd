"""How people change the list of redacted pages: each change has a reason, which the history keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from redaction.entries.titles import Page as Page
from redaction.listed.in_force import identities_of
from redaction.listed.in_force import read as read
from redaction.listed.recording import BATCH, because
from redaction.models import RedactedPage
from streams.models import Version

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def add(pages: Iterable[Page], reason: str, by: User | None) -> list[RedactedPage]:
    """List pages and return the new ones; pages that are listed already stay as they are."""
    with transaction.atomic(), because(reason, name_of(by)):
        Version.lock(Version.REDACTED_PAGES)
        listed = identities()
        new = []
        for page in pages:
            domain, key = page.identity
            if (domain, key) not in listed:
                listed.add((domain, key))
                new.append(RedactedPage(domain=domain, title=page.title, key=key, reason=reason, added_by=by))
        if new:
            RedactedPage.objects.bulk_create(new, batch_size=BATCH)
    return new


def remove(pages: Sequence[RedactedPage], reason: str, by: User | None) -> int:
    """Take pages off the list and return how many were still on it."""
    numbers = [page.pk for page in pages]
    count = 0
    with transaction.atomic(), because(reason, name_of(by)):
        for start in range(0, len(numbers), BATCH):
            count += RedactedPage.objects.filter(pk__in=numbers[start : start + BATCH]).delete()[0]
    return count


def identities() -> set[tuple[str, str]]:
    """Return the identities of all listed pages."""
    rows = RedactedPage.objects.values_list("domain", "title", "key")
    return {page for row in rows for page in identities_of(*row)}


def name_of(user: User | None) -> str:
    """Return the user's name, as the history keeps it."""
    return user.get_username() if user is not None else ""
