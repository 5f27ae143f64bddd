"""Shows in the admin when each page last matched an event, and which pages never did."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from redaction.admin.configured import SERVICE_KEY, configured_pages, configured_pages_of
from redaction.admin.links import links_of
from redaction.entries.titles import Page
from redaction.listed.matches import Match, matched, matches_of, never_matched
from redaction.models import PageMatch, RedactedPage

PATIENCE = timedelta(days=1)
"""Time without a match after which the front page mentions a listed page."""
NEVER = "never"

if TYPE_CHECKING:
    Pages = QuerySet[RedactedPage]


class MatchedFilter(admin.SimpleListFilter):
    """Filters the list by whether its pages have matched events."""

    title = "matches"
    parameter_name = "matched"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("never", "Never matched since it was listed"), ("yes", "Has matched events")]

    def queryset(self, request: HttpRequest, queryset: Pages) -> Pages:
        """Return the pages of the choice."""
        if self.value() == "never":
            return never_matched(queryset)
        return matched(queryset) if self.value() == "yes" else queryset


def with_matches(queryset: Pages) -> Pages:
    """Add `last_match` and `match_count`, None for pages that never matched."""
    own = PageMatch.objects.filter(domain=OuterRef("domain"), key=OuterRef("key"))
    return queryset.annotate(last_match=Subquery(own.values("last_at")), match_count=Subquery(own.values("events")))


def match_text(match: Match | None) -> str:
    """Return when a page last matched an event, and how many, as a text."""
    if match is None:
        return NEVER
    events = f"{match.events:,} event{'' if match.events == 1 else 's'}"
    return f"{match.last_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({events})"


def with_match_texts(
    configured: Iterable[tuple[str, list[str]]], stream: str
) -> list[tuple[str, list[tuple[str, str, SafeString]]]]:
    """Return the pages of the configuration file: each title, what it has matched, and links.

    `stream` is the one on which the demo page shows events of pages (`demo_stream`).
    """
    grouped = [(domain, titles, configured_pages_of({domain: titles})) for domain, titles in configured]
    matches = matches_of(page.identity for _, _, pages in grouped for page in pages)

    def line(page: Page) -> tuple[str, str, SafeString]:
        links = links_of(page.domain, page.title, stream, has_history=False)
        return page.title, match_text(matches.get(page.identity)), links

    return [(domain, [line(page) for page in pages]) for domain, _, pages in grouped]


def never_matched_long(request: HttpRequest) -> tuple[int, int]:
    """Return how many pages of the list, and of the configuration file, have been listed for a day without a match.

    Those of the file count only in a process that has run for a day.
    """
    listed = never_matched(RedactedPage.objects.filter(added_at__lt=timezone.now() - PATIENCE)).count()
    service = getattr(request, "scope", {}).get(SERVICE_KEY)
    started_at = getattr(service, "started_at", None)
    if started_at is None or time.monotonic() - started_at < PATIENCE.total_seconds():
        return listed, 0
    identities = {page.identity for page in configured_pages_of(configured_pages(request))}
    return listed, len(identities - matches_of(identities).keys())
