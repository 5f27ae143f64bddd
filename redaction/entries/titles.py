"""Checks a page as people write it, and reads it from an address. Pure: no Django.

What this refuses could never match an event: listed, it would redact nothing, and nobody would notice.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redaction.entries.impossible import why_impossible
from streams.core.spelling import normalise_domain, normalise_title

MAX_TITLE = 512
"""Maximum characters of a title; MediaWiki allows 255 bytes, and a namespace before them."""
MAX_DOMAIN = 253
"""Maximum characters of a host name (RFC 1035, 2.3.4, as text)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"{_LABEL}(?:\.{_LABEL})+"
_PROJECTS = "wik(?:ipedia|tionary|ibooks|inews|iquote|isource|iversity|ivoyage|imedia|idata|ifunctions)|mediawiki"
WIKIMEDIA = re.compile(rf"(?:{HOST}|{_LABEL})\.(?:{_PROJECTS})\.org", re.IGNORECASE)
_MOBILE = re.compile(rf"(?:({_LABEL})\.)?m\.((?:{_PROJECTS})\.org)")
_SCHEME = re.compile("(?:https?:)?//", re.IGNORECASE)
_ADDRESS = re.compile(rf"(?:https?:)?//|{HOST}\.?(?::\d+)?/(?:wiki/|w/index\.php)", re.IGNORECASE)
# https://www.mediawiki.org/wiki/Page_title#Invalid_page_titles ("Manual:$wgLegalTitleChars")
_ILLEGAL = re.compile("[#<>\\[\\]|{}\x00-\x1f\x7f\ufffd]")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}|&(?:#?[A-Za-z0-9]+);")


class NotAPageError(ValueError):
    """The text names no page; the message says why, and what to write.

    `page` has the domain and title that were refused, if there were both: the list may have them from before.
    """

    def __init__(self, why: str, page: Page | None = None) -> None:
        super().__init__(why)
        self.page = page


class Page(NamedTuple):
    """A page as somebody wrote it."""

    domain: str
    title: str

    @property
    def identity(self) -> tuple[str, str]:
        """Return what is the same for every spelling of the page."""
        return normalise_domain(self.domain), normalise_title(self.title)


def checked_domain(text: str) -> str:
    """Return the host name as events have it, for the mobile site that of its wiki. Raises NotAPageError."""
    domain = normalise_domain(text)
    if not text.strip():
        raise NotAPageError("the domain is missing")
    if re.fullmatch(HOST, domain) is None or len(domain) > MAX_DOMAIN:
        raise NotAPageError(f"{_shown(text)} is not a wiki's host name, such as ru.wikipedia.org")
    if mobile := _MOBILE.fullmatch(domain):
        # Events never have it: https://ru.m.wikipedia.org is the same wiki as https://ru.wikipedia.org.
        return f"{mobile[1] or 'www'}.{mobile[2]}"
    return domain


def canonical_domain(text: str) -> str:
    """Return `checked_domain` of a host or of an address; a text that is neither, trimmed."""
    text = text.strip()
    for candidate in (text, urlsplit(text).netloc if _SCHEME.match(text) else ""):
        try:
            return checked_domain(candidate)
        except ValueError:
            continue
    return normalise_domain(text) or text


def trimmed(text: str) -> str:
    """Return the text without blanks and invisible format characters at its ends, which come along with a copy."""
    start, end = 0, len(text)
    while start < end and _is_invisible(text[start]):
        start += 1
    while start < end and _is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_invisible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) == "Cf"


def checked_title(text: str) -> str:
    """Return the title, trimmed. Raises NotAPageError for a title that no page can have."""
    title = trimmed(text)
    if not normalise_title(title):
        raise NotAPageError("the title is missing")
    if len(title) > MAX_TITLE:
        raise NotAPageError(f"the title has {len(title)} characters; at most {MAX_TITLE} are possible")
    if illegal := _ILLEGAL.search(title):
        raise NotAPageError(f"no title can contain {_named(illegal[0])}")
    if escaped := _ESCAPED.search(title):
        raise NotAPageError(f"no title can contain {escaped[0]}: write what it stands for, or the page's whole address")
    if title.startswith(":"):
        raise NotAPageError("no title begins with a colon: leave it out")
    if why := why_impossible(title):
        raise NotAPageError(why)
    return title


def checked_page(domain: str, title: str) -> Page:
    """Return the page of a domain and a title. Raises NotAPageError."""
    try:
        return Page(checked_domain(domain), checked_title(title))
    except NotAPageError as error:
        raise NotAPageError(str(error), Page(canonical_domain(domain), title.strip())) from None


def is_address(text: str) -> bool:
    """Return whether a text is meant as the address of a page, with or without https."""
    return _ADDRESS.match(trimmed(text)) is not None


def page_of_address(text: str) -> Page:
    """Return the page at …/wiki/Title or …/w/index.php?title=Title, percent-decoded. Raises NotAPageError."""
    text = trimmed(text)
    try:
        parts = urlsplit(text if _SCHEME.match(text) else f"//{text}")
        path = unquote(parts.path, errors="strict")
        titles = parse_qs(parts.query, errors="strict").get("title", [])
    except UnicodeDecodeError:
        raise NotAPageError("its percent-encoding is not of UTF-8 text") from None
    except ValueError:
        raise NotAPageError("it is not an address") from None
    if path.startswith("/wiki/") and (not titles or "://" in path):  # the parameter may be a second address's
        titles = [path.removeprefix("/wiki/") + (f"?title={titles[-1]}" if titles else "")]
    if not titles:
        raise NotAPageError("it is not the address of a page, such as https://ru.wikipedia.org/wiki/Title")
    return checked_page(parts.netloc.rpartition("@")[2], titles[-1].replace("_", " "))  # as PHP takes the last


def _named(character: str) -> str:
    if character == "\ufffd":
        return "� (a sign that the text was read in the wrong encoding)"
    if character == "\t":
        return "a tab"
    return character if character.isprintable() else f"the control character U+{ord(character):04X}"


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
