"""Every change of the list of redacted pages: with its history, and raising the version that the processes poll."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from redaction.models import PageChange, RedactedPage
from redaction.redactor import Redactor
from redaction.written import Page as Page
from streams.models import Version

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

BATCH = 500
"""Rows of one statement (SQLite bounds its parameters)."""


def add(pages: Iterable[Page], reason: str, by: AbstractBaseUser | None) -> list[RedactedPage]:
    """List pages; those that are listed already are left as they are. Returns the new ones."""
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        listed = identities()
        new = []
        for page in pages:
            domain, key = page.identity
            if (domain, key) not in listed:
                listed.add((domain, key))
                new.append(RedactedPage(domain=domain, title=page.title, key=key, reason=reason, added_by=by))
        RedactedPage.objects.bulk_create(new, batch_size=BATCH)
        _record(PageChange.What.ADDED, new, reason, by)
    return new


def remove(pages: Sequence[RedactedPage], reason: str, by: AbstractBaseUser | None) -> int:
    """Take pages off the list; returns how many were still on it."""
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        listed = RedactedPage.objects.in_bulk([page.pk for page in pages])
        for start in range(0, len(listed), BATCH):
            RedactedPage.objects.filter(pk__in=list(listed)[start : start + BATCH]).delete()
        _record(PageChange.What.REMOVED, list(listed.values()), reason, by)
    return len(listed)


def read(configured: Mapping[str, Sequence[str]], known: Redactor | None = None) -> Redactor | None:
    """The redactor of the list as it is now, with the pages of the configuration file; None where `known` still is
    that.
    """
    version = Version.of(Version.REDACTED_PAGES)
    if known is not None and version == known.version:
        return None
    pages = {domain: list(titles) for domain, titles in configured.items()}
    for domain, title in RedactedPage.objects.values_list("domain", "title"):
        pages.setdefault(domain, []).append(title)
    return Redactor(pages, version)


def identities() -> set[tuple[str, str]]:
    """Those of all listed pages."""
    return set(RedactedPage.objects.values_list("domain", "key"))


def _record(what: PageChange.What, pages: Sequence[RedactedPage], reason: str, by: AbstractBaseUser | None) -> None:
    name = by.get_username() if by is not None else ""
    changes = [
        PageChange(what=what, domain=page.domain, title=page.title, key=page.key, reason=reason, by=name)
        for page in pages
    ]
    PageChange.objects.bulk_create(changes, batch_size=BATCH)
