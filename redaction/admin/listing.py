"""Says by which entry a page is listed."""

from __future__ import annotations

from typing import Any

from redaction.admin.configured import Configured, configured_pages_of
from redaction.entries.titles import Page
from redaction.models import RedactedPage


def listing(page: Page, configured: Configured) -> dict[str, Any]:
    """Return whether a page is listed, as JSON's types: ``is_listed``, and ``sentence``."""
    identity = page.identity
    rows = RedactedPage.objects.filter(domain=identity[0], key=identity[1])[:1]
    by = [f"as “{row.title}” ({row.domain}) since {row.added_at:%Y-%m-%d %H:%M} UTC: {row.reason}" for row in rows] + [
        f"in the configuration file, as “{each.title}”"
        for each in configured_pages_of(configured)
        if each.identity == identity
    ][:1]
    if by:
        return {"is_listed": True, "sentence": f"“{page.title}” on {page.domain} is listed {', and '.join(by)}."}
    return {
        "is_listed": False,
        "sentence": f"“{page.title}” on {page.domain} is not listed: clients see who made its events.",
    }
