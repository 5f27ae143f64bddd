"""The list of redacted pages, as tests of its admin look at it and fill it."""

from __future__ import annotations

from typing import Any

from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.models import RedactedPage
from tests.support.admin import LIST

RU = "ru.wikipedia.org"
GROUP = "redaction admins"


def listed() -> list[tuple[str, str]]:
    """Return the domain and title of each page that is listed."""
    return list(RedactedPage.objects.values_list("domain", "title"))


def listing(domain: str, title: str, reason: str = "T1") -> RedactedPage:
    """List a page; return it."""
    (page,) = changes.add([Page(domain, title)], reason, None)
    return page


def found(client: Any, **query: str) -> list[str]:
    """Return the titles that the admin's list shows for a query."""
    response = client.get(LIST, query)
    assert response.status_code == 200
    return sorted(page.title for page in response.context["cl"].result_list)
