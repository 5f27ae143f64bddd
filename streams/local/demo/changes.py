"""One change in a wiki, from which the events of all streams are made, and the spelling of its parts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from streams.local.demo.samples import Person, Wiki

Event = dict[str, Any]


class Revision(NamedTuple):
    """A revision of a page. `parent` is the id of the one before it, `size` is in bytes.

    `content_id` is the revision with the content, an older one if only the title has changed since. `hidden` are the
    parts that are no longer public: "user" and "comment".
    """

    id: int
    parent: int | None
    content_id: int
    at_ms: int
    editor: Person
    comment: str
    minor: bool
    size: int
    hidden: frozenset[str] = frozenset()


class Page(NamedTuple):
    """A page at one moment. `title` is the full title with spaces, `head` the newest revision."""

    wiki: Wiki
    id: int
    title: str
    namespace: int
    head: Revision


class Change(NamedTuple):
    """Who did what, when, to which page: `kind` is "edit", "new", "move", "delete", "visibility" or "block".

    `page` is the page after the change, `before` the one before it (None: it did not exist). `recentchange_id` is the
    id of the (first) row in the wiki's recent changes, `log_id` that of the row in its log, if any. An edit may put the
    page into `category`. `links` and `unlinks` are URLs, relative ones for pages of the wiki. `risk` is the
    probability that the edit will be reverted; None without a prediction. `new_id` returns a new id for each event.
    """

    kind: str
    at_ms: int
    person: Person
    comment: str
    page: Page
    before: Page | None
    recentchange_id: int
    request_id: str
    datacentre: str
    new_id: Callable[[], str]
    log_id: int | None = None
    category: str | None = None
    links: tuple[str, ...] = ()
    unlinks: tuple[str, ...] = ()
    risk: float | None = None

    def meta(self, stream: str, title: str | None = None) -> Event:
        """Return `meta`, which every event has, with the URL of the page or of another title."""
        wiki = self.page.wiki
        return {
            "uri": address(wiki.domain, title or self.page.title),
            "request_id": self.request_id,
            "id": self.new_id(),
            "domain": wiki.domain,
            "stream": stream,
            "dt": instant(self.at_ms),
        }


def key(title: str) -> str:
    """Return a title as MediaWiki's database stores it."""
    return title.replace(" ", "_")


@functools.lru_cache(4096)
def path(title: str) -> str:
    """Return the path of a page, escaped as MediaWiki does it (wfUrlencode)."""
    return "/wiki/" + quote(key(title), safe=";@$!*(),/~:")


def address(domain: str, title: str) -> str:
    """Return the URL of a page."""
    return f"https://{domain}{path(title)}"


@functools.lru_cache(64)
def instant(at_ms: int) -> str:
    """Return a time as ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@functools.lru_cache(64)
def second(at_ms: int) -> str:
    """Return a time as ISO 8601 with seconds."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def number(text: str, below: int) -> int:
    """Return a number from 1 to `below` that is always the same for `text`."""
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) % below


@functools.lru_cache(1024)
def digest(wiki: str, content_id: int) -> str:
    """Return a SHA-1 as MediaWiki writes it: 31 digits in base 36."""
    sha1 = hashlib.sha1(f"{wiki} {content_id}".encode(), usedforsecurity=False).digest()
    rest, digits = int.from_bytes(sha1), ""
    for _ in range(31):
        rest, digit = divmod(rest, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def content_kind(page: Page) -> tuple[str, str]:
    """Return the page's content model and format."""
    if page.wiki.name == "wikidatawiki" and page.namespace == 0:
        return "wikibase-item", "application/json"
    if page.wiki.name == "wikidatawiki" and page.namespace == 120:
        return "wikibase-property", "application/json"
    return "wikitext", "text/x-wiki"


class Account(NamedTuple):
    """A registered (or temporary) account in a wiki."""

    id: int
    groups: tuple[str, ...]
    registered: str
    edits: int


@functools.lru_cache(1024)
def account(wiki: str, person: Person) -> Account | None:
    """Return the account of a person; None if they edit without one."""
    if person.kind == "address":
        return None
    seed = number(f"{wiki} {person.name}", 50_000_000)
    if person.kind == "temporary":
        return Account(seed, ("*", "temp"), f"2026-01-0{1 + seed % 9}T08:{10 + seed % 50}:00Z", seed % 20)
    registered = f"{2006 + seed % 20}-0{1 + seed % 9}-1{seed % 10}T08:{10 + seed % 50}:00Z"
    groups = (*(("bot",) if person.kind == "bot" else ()), "*", "user", "autoconfirmed")
    return Account(seed, groups, registered, seed % 90_000)
