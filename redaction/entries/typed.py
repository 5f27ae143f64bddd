"""A page as somebody types it into a form or a list: an address, or a domain and a title. Pure: no Django.

Beyond what `redaction.entries.titles` refuses, this refuses slips (`redaction.entries.slips`): those that are never
right everywhere; those that may be right only where somebody types a title, who can give the page's address instead.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from redaction.entries.slips import find_slip
from redaction.entries.titles import (
    NotAPageError,
    Page,
    checked_domain,
    checked_page,
    checked_title,
    is_address,
    page_of_address,
)


def typed_domain(text: str) -> str:
    """Return the domain, out of what may be the address of the wiki. Raises NotAPageError."""
    text = text.strip()
    if "/" in text:
        host = urlsplit(text if "//" in text else f"//{text}").netloc.rpartition("@")[2]
        try:
            domain = checked_domain(host)
        except NotAPageError:
            raise NotAPageError(f"{text[:60]!r} is not a wiki's host name, such as ru.wikipedia.org") from None
        raise NotAPageError(f"{text[:60]!r} is an address: write the host name alone, {domain}")
    return checked_domain(text)


def typed_title(text: str) -> str:
    """Return the title. Raises NotAPageError."""
    title = checked_title(text)
    if slip := find_slip(title):
        raise NotAPageError(slip.why)
    return title


def typed_page(domain: str, text: str) -> Page:
    """Return the page of an address, or of a domain and a title. Raises NotAPageError."""
    if not is_address(text):
        return Page(typed_domain(domain), typed_title(text))
    page = page_at(text)
    if domain and typed_domain(domain) != page.domain:
        raise NotAPageError(f"this is an address of {page.domain}, not of {typed_domain(domain)}")
    return page


def page_at(address: str) -> Page:
    """Return the page of an address that somebody copied. Raises NotAPageError."""
    return _without_slip(page_of_address(address), of_address=True)


def page_in_list(domain: str, text: str) -> Page:
    """Return the page of a line of a list: of a domain and a title, or of an address. Raises NotAPageError.

    A slip that may be right is not refused: it is shown as doubtful.
    """
    if not is_address(text):
        return _without_slip(checked_page(domain, text))
    page = page_at(text)
    if domain and checked_domain(domain) != page.domain:
        raise NotAPageError(f"this is an address of {page.domain}, not of {checked_domain(domain)}")
    return page


def _without_slip(page: Page, *, of_address: bool = False) -> Page:
    slip = find_slip(page.title, of_address=of_address)
    if slip is not None and slip.is_certain:
        raise NotAPageError(slip.why, page)
    return page
