"""The list of redacted pages as one process reads it from the database: what is in force, and what is held.

A page that was in force leaves the list only with a line "removed" in its history. A page that disappears without (SQL,
a restored dump, an emptied table), or that an older version of the list lacks, is held: it stays in force, the process
writes a Hold, which all processes read, and an admin decides (`redaction.listed.holds`). A process that has just
started does not know what was in force before: the setting `redacted_pages_min` is for that case.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, connection, transaction

from redaction.models import Hold, RedactedPage
from redaction.redactor import Identity, Redactor
from streams.core.spelling import normalise_domain, normalise_title
from streams.models import Version

log = logging.getLogger(__name__)

REREAD_SECONDS = 8.0
"""Seconds after which the rows are read again although the version is the same, since SQL does not raise it."""

NO_VERSION = -1

Pages = dict[Identity, tuple[str, str]]
"""Domain and title of each page, by what is compared."""

# One statement: one moment of the database, and one round trip, also if the version shows that nothing is new. The
# list is only read if the version is another one.
_SNAPSHOT = """
WITH version AS (SELECT COALESCE((SELECT number FROM streams_version WHERE name = %(name)s), 0) AS number),
  another AS (SELECT number FROM version WHERE number <> %(unless)s)
SELECT 'version', number, '', '', '' FROM version
UNION ALL SELECT 'page', 0, domain, title, key FROM another CROSS JOIN redaction_redactedpage
UNION ALL SELECT 'removed', MAX(id), domain, title, key FROM another CROSS JOIN redaction_pagechange
  WHERE what = 'removed' GROUP BY domain, title, key
UNION ALL SELECT 'hold', id, '', why, pages FROM another CROSS JOIN redaction_hold
"""


@dataclass(frozen=True)
class Listed:
    """The list as a process has read it."""

    redactor: Redactor
    version: int
    """The version of the list in the database."""
    count: int
    """Pages of the database that are in force."""
    held: int
    """Pages in force that are no longer on the list."""
    why: tuple[str, ...]
    """A sentence for each reason why something is held, without titles."""
    pages: Pages = field(repr=False)
    removals: Mapping[Identity, int] = field(repr=False)
    """Id of each page's newest line "removed"."""
    read_at: float
    """time.monotonic, seconds."""


@dataclass
class _Snapshot:
    version: int = 0
    pages: Pages = field(default_factory=dict)
    removals: dict[Identity, int] = field(default_factory=dict)
    held: Pages = field(default_factory=dict)
    why: list[str] = field(default_factory=list)


def read(configured: Mapping[str, Sequence[str]], known: Listed | None = None) -> Listed | None:
    """Return the list as it is now, with the pages of the configuration file; None if `known` is recent enough.

    Pages that disappeared without a removal are held. Raises django.db.Error.
    """
    read_at = time.monotonic()
    is_recent = known is not None and read_at - known.read_at < REREAD_SECONDS
    unless = known.version if known is not None and is_recent else NO_VERSION
    now = _snapshot(unless)
    if now.version == unless:
        return None
    lost, why = _lost(known, now) if known is not None else ({}, "")
    version = now.version
    if why and known is not None and not _write_hold(known.version, lost, why):
        # With the known version, the next reading, a second later, tries again.
        version = max(known.version, now.version)
    pages = {**lost, **now.held, **now.pages}
    return Listed(
        redactor=_redactor(configured, pages, now.version, known),
        version=version,
        count=len(pages),
        held=len(pages.keys() - now.pages.keys()),
        why=(*now.why, *([why] if why else [])),
        pages=pages,
        removals=now.removals,
        read_at=read_at,
    )


def identities_of(domain: str, title: str, key: str = "") -> set[Identity]:
    """Return what a row stands for: its title, and a stored key that disagrees with it, as SQL may leave it."""
    host = normalise_domain(domain)
    found = {(host, normalise_title(text)) for text in (title, key)}
    return {page for page in found if page[1]}


def _snapshot(unless: int = NO_VERSION) -> _Snapshot:
    """Return what the database has; if it is version `unless`, nothing but the version."""
    now = _Snapshot()
    with connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT, {"name": Version.REDACTED_PAGES, "unless": unless})
        rows = cursor.fetchall()
    for what, number, domain, text, key in rows:
        if what == "version":
            now.version = number
        elif what == "page":
            for page in identities_of(domain, text, key):
                now.pages[page] = (domain, text if page[1] == normalise_title(text) else key)
        elif what == "removed":
            for page in identities_of(domain, text, key):
                now.removals[page] = max(number, now.removals.get(page, 0))
        else:
            now.why.append(text)
            for held_domain, title in json.loads(key):
                for page in identities_of(held_domain, title):
                    now.held[page] = (held_domain, title)
    return now


def _lost(known: Listed, now: _Snapshot) -> tuple[Pages, str]:
    """Return the pages in force that the database neither lists nor holds, and why they must stay.

    Without a sentence, nothing is wrong.
    """
    gone = known.pages.keys() - now.pages.keys() - now.held.keys()
    is_older = now.version < known.version
    if not is_older:
        gone = {page for page in gone if now.removals.get(page, 0) <= known.removals.get(page, 0)}
    lost = {page: known.pages[page] for page in gone}
    pages = "1 page that was in force is" if len(lost) == 1 else f"{len(lost)} pages that were in force are"
    if is_older:
        return lost, (
            f"the list in the database has version {now.version}, but version {known.version} was in force (is it a "
            "restored database, or another one?); "
            + (f"{pages} not on it, and stay redacted" if lost else "no page that was in force is missing")
        )
    if lost:
        return lost, f"{pages} gone from the list without a removal in its history (SQL, a restore?), and stay redacted"
    return {}, ""


def _write_hold(version: int, lost: Pages, why: str) -> bool:
    """Tell all processes and the admin what is held, unless another process has; return whether that succeeded."""
    try:
        with transaction.atomic():
            Version.lock(Version.REDACTED_PAGES)
            current = Version.of(Version.REDACTED_PAGES)
            seen = _snapshot()
            missing = [lost[page] for page in sorted(lost.keys() - seen.pages.keys() - seen.held.keys())]
            if missing or current < version:
                Hold.objects.create(why=why, pages=json.dumps(missing))
                # Higher than the version that any process knows, so that none takes it for an older list.
                Version.objects.filter(name=Version.REDACTED_PAGES).update(number=max(version, current) + 1)
                log.error("The redaction list is held: %s. An admin applies it, or puts the pages back", why)
    except DatabaseError as error:
        log.error("The redaction list is held: %s. It could not be stored: %s", why, type(error).__name__)
        return False
    return True


def _redactor(configured: Mapping[str, Sequence[str]], pages: Pages, version: int, known: Listed | None) -> Redactor:
    """Return the known redactor if the list is the same, so that nothing made with it is dropped."""
    if known is not None and known.pages.keys() == pages.keys():
        return known.redactor
    titles: dict[str, list[str]] = {domain: list(of_domain) for domain, of_domain in configured.items()}
    for domain, title in pages.values():
        titles.setdefault(domain, []).append(title)
    return Redactor(titles, version if known is None else max(version, known.redactor.version + 1))


def held_pages(holds: Iterable[Hold]) -> list[tuple[str, str]]:
    """Return domain and title of the held pages that are not listed again."""
    rows = RedactedPage.objects.values_list("domain", "title", "key")
    listed = {page for row in rows for page in identities_of(*row)}
    return sorted(
        {
            (domain, title)
            for hold in holds
            for domain, title in json.loads(hold.pages)
            if identities_of(domain, title).isdisjoint(listed)
        }
    )
