"""A page as somebody types it into a form or a list: an address, or a domain and a title. Pure: no Django.

Beyond what `redaction.entries.titles` refuses, this refuses what is most likely a slip; see `redaction.entries.slips`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from redaction.entries.slips import find_slip
from redaction.entries.titles import NotAPageError, Page, checked_domain, checked_title, is_address, page_of_address


def typed_domain(text: str) -> str:
    """The domain, out of what may be the address of the wiki. Raises NotAPageError."""
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
    """The title. Raises NotAPageError."""
    title = checked_title(text)
    if slip := find_slip(title):
        raise NotAPageError(slip.why)
    return title


def typed_page(domain: str, text: str) -> Page:
    """The page of an address, or of a domain and a title. Raises NotAPageError."""
    if not is_address(text):
        return Page(typed_domain(domain), typed_title(text))
    page = page_of_address(text)
    if domain and typed_domain(domain) != page.domain:
        raise NotAPageError(f"this is an address of {page.domain}, not of {typed_domain(domain)}")
    return page
