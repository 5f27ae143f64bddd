"""The redacted pages of the configuration file, which the admin shows beside the list and cannot change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.http import HttpRequest

from redaction.entries.evidence import Doubt, Evidence, judge
from redaction.entries.titles import NotAPageError, Page, is_address, page_of_address
from streams.core.spelling import normalise_title

Configured = Mapping[str, Sequence[str]]
"""Domain → titles."""

SERVICE_KEY = "eventstreams.service"
"""The ASGI scope's key of the service, which has `configured_pages` (streams.http.service, a layer above this)."""


def configured_pages(request: HttpRequest) -> Configured:
    """Return the pages of the configuration file; none outside of the service (in a test, under another server)."""
    service = getattr(request, "scope", {}).get(SERVICE_KEY)
    return service.configured_pages if service is not None else {}


def warning_of_too_few(request: HttpRequest, left: int) -> str:
    """Return what happens if the database has only `left` redacted pages; "" if those are enough."""
    service = getattr(request, "scope", {}).get(SERVICE_KEY)
    minimum: int = getattr(service, "redacted_pages_min", 0)
    if left >= minimum:
        return ""
    pages = "1 page" if left == 1 else f"{left:,} pages"
    return (
        f"This leaves {pages} in the database, fewer than the setting redacted_pages_min ({minimum:,}). No server "
        "process will then be ready or open new streams, until you add pages or lower the setting."
    )


def configured_identities(configured: Configured) -> set[tuple[str, str]]:
    """Return the identities of the configured pages."""
    return {page.identity for page in configured_pages_of(configured)}


def found(configured: Configured, term: str, domain: str) -> list[tuple[str, list[str]]]:
    """Return the titles that have every word of `term`, by domain and in order; of `domain` unless that is empty."""
    by_domain: dict[str, list[str]] = {}
    for page in configured_pages_of(configured):
        if (not domain or page.identity[0] == domain) and _matches(page, term):
            by_domain.setdefault(page.identity[0], []).append(page.title)
    return [(name, sorted(titles, key=str.casefold)) for name, titles in sorted(by_domain.items())]


def doubtful(by_domain: Iterable[tuple[str, Sequence[str]]], seen: Evidence) -> list[tuple[Page, Doubt]]:
    """Return the pages of `found` that events do not confirm; none without events to compare with."""
    if not seen.events:
        return []
    pages = (Page(domain, title) for domain, titles in by_domain for title in titles)
    return [(page, doubt) for page in pages if (doubt := judge(page, seen)) is not None]


def configured_pages_of(configured: Configured) -> list[Page]:
    """Return the configured pages, one by one."""
    return [Page(domain, title) for domain, titles in configured.items() for title in titles]


def _matches(page: Page, term: str) -> bool:
    domain, key = page.identity
    if is_address(term):
        try:
            return page_of_address(term).identity == page.identity
        except NotAPageError:
            return False
    return all(normalise_title(word) in key or word.lower() in domain for word in term.split())
