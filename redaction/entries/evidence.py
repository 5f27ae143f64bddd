"""What the newest events say about the wikis: which domains exist, and how titles of each namespace begin there.

A page that is listed with another domain or prefix than events have redacts nothing, and nobody would notice. Pure: no
Django, no asyncio, no clock. Of an event, only its domain, its namespace and the prefix of its title are kept.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from redaction.entries.slips import find_slip
from redaction.entries.titles import WIKIMEDIA, Page
from redaction.marking import is_test_edit
from streams.core.spelling import normalise_domain, normalise_title

MAX_EVENTS = 20_000
"""Maximum events of one piece of evidence."""
MAX_DOMAINS = 20_000
"""Maximum domains that are counted: Wikimedia has a thousand."""
STRAY = 100
"""A prefix that fewer than one in STRAY titles of a namespace have is a mistake in an event."""
MAX_PREFIX = 60
"""Maximum characters of a prefix."""
CANARY = "canary"
"""The domain of events that only show that a stream works."""
MAX_COMPARED = 500
"""Maximum texts that are compared with everything in the events, which takes milliseconds each."""
SHOWN = 3
"""Maximum prefixes of one namespace that a sentence names."""

# MediaWiki's names for its namespaces, which a wiki in another language understands but does not put into its events
# (https://www.mediawiki.org/wiki/Manual:Namespace), and short forms that people write.
_CANONICAL = {
    **{"user": 2, "user_talk": 3, "project": 4, "project_talk": 5, "file": 6, "file_talk": 7, "mediawiki": 8},
    **{"mediawiki_talk": 9, "template": 10, "template_talk": 11, "help": 12, "help_talk": 13, "category": 14},
    **{"category_talk": 15, "talk": 1, "portal": 100, "portal_talk": 101, "draft": 118, "draft_talk": 119},
    **{"module": 828, "module_talk": 829, "image": 6, "image_talk": 7, "wikipedia": 4, "wikipedia_talk": 5},
    **{"wp": 4, "wt": 5, "u": 2, "ut": 3, "t": 10, "tm": 10, "c": 14, "cat": 14, "h": 12, "p": 100},
    **{"у": 2, "оу": 3, "вп": 4, "ш": 10, "к": 14, "ф": 6},
}
_FILE = re.compile(
    r".+\.(?:jpe?g|png|svg|gif|tiff?|webp|xcf|pdf|djvu|og[gav]|opus|webm|mp[34]|mpe?g|mid|wav|flac|stl)", re.IGNORECASE
)
_FILES = 6
_ENTITIES = {"P": "Property", "L": "Lexeme"}
"""Of Wikidata, whose items alone have no namespace."""


class _Meta(msgspec.Struct, gc=False):
    domain: str | None = None


class _EventPage(msgspec.Struct, gc=False):
    page_title: str | None = None
    namespace_id: int | None = None


class _Event(msgspec.Struct, gc=False):
    meta: _Meta | None = None
    server_name: str | None = None
    title: str | None = None
    namespace: int | None = None
    page: _EventPage | None = None
    page_title: str | None = None
    page_namespace: int | None = None


_decode = msgspec.json.Decoder(_Event).decode


class Doubt(NamedTuple):
    """Why a page may never match an event, sentence by sentence, and what is probably meant."""

    sentences: tuple[str, ...]
    suggestion: Page | None = None


class Evidence:
    """Counts over events. `trouble` says why there are none, or fewer than expected."""

    def __init__(self, trouble: str = "") -> None:
        self.events = 0
        self.domains: Counter[str] = Counter()
        self.trouble = trouble
        self._in_main: set[str] = set()
        """Domains with an event of a page without a namespace."""
        self._prefixes: dict[str, dict[int, Counter[str]]] = {}
        self._namespaces: dict[str, dict[str, int]] = {}
        """Domain → normalised prefix → namespace."""
        self._likely: dict[str, str | None] = {}
        self._similar: dict[tuple[str, str], int | None] = {}

    def take(self, events: Iterable[bytes]) -> None:
        """Count events, raw or as clients get them; skip test edits and what is no event."""
        for event in events:
            if is_test_edit(event):
                continue
            try:
                found = _decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            self._count(found)

    def prefixes(self, domain: str, namespace: int) -> list[str]:
        """Return how titles of a namespace begin on a wiki, without the colon, the most frequent first."""
        known = self._prefixes.get(domain, {}).get(namespace, Counter())
        return [prefix for prefix, events in known.most_common() if events * STRAY >= known.total()]

    def is_stray(self, domain: str, prefix: str) -> bool:
        """Return whether events have a prefix, but almost none."""
        return normalise_title(prefix) in self._namespaces.get(domain, {}) and self.namespace_of(domain, prefix) is None

    def namespace_of(self, domain: str, prefix: str) -> int | None:
        """Return the namespace whose titles begin with a prefix, in any spelling, on a wiki; None if almost none do."""
        wanted = normalise_title(prefix)
        namespace = self._namespaces.get(domain, {}).get(wanted)
        if namespace is None:
            return None
        known = self._prefixes[domain][namespace]
        count = sum(events for name, events in known.items() if normalise_title(name) == wanted)
        # One stray event proves nothing against all others.
        return namespace if count * STRAY >= known.total() else None

    def elsewhere(self, prefix: str) -> int | None:
        """Return the namespace that a prefix has on most other wikis; None if no event has it."""
        wanted = normalise_title(prefix)
        found = Counter(known[wanted] for known in self._namespaces.values() if wanted in known)
        return found.most_common(1)[0][0] if found else None

    def similar(self, domain: str, prefix: str) -> int | None:
        """Return the namespace with a prefix that is spelled similarly."""
        wanted = domain, normalise_title(prefix)
        if wanted not in self._similar and len(self._similar) < MAX_COMPARED:
            known = self._namespaces.get(domain, {})
            close = difflib.get_close_matches(wanted[1], known, 1, 0.75)
            self._similar[wanted] = known[close[0]] if close else None
        return self._similar.get(wanted)

    def likely_domain(self, domain: str) -> str | None:
        """Return the domain that is probably meant by one that no event has."""
        if domain not in self._likely and len(self._likely) < MAX_COMPARED:
            self._likely[domain] = _likely_domain(domain, self)
        return self._likely.get(domain)

    def confirms(self, page: Page) -> bool:
        """Return whether there are events of the page's wiki and namespace."""
        domain, (prefix, colon, _) = normalise_domain(page.domain), page.title.partition(":")
        has_namespace = bool(colon) and self.namespace_of(domain, prefix) is not None
        return judge(page, self) is None and (has_namespace or domain in self._in_main)

    def _count(self, event: _Event) -> None:
        text = (event.meta and event.meta.domain) or event.server_name or ""
        domain = normalise_domain(text)
        if not domain or domain == CANARY or (len(self.domains) >= MAX_DOMAINS and domain not in self.domains):
            return
        self.events += 1
        self.domains[domain] += 1
        page = event.page or _EventPage()
        for title, namespace in (
            (event.title, event.namespace),
            (event.page_title, event.page_namespace),
            (page.page_title, page.namespace_id),
        ):
            if title and namespace == 0:
                self._in_main.add(domain)
            elif title and namespace is not None and namespace > 0:
                prefix, colon, _ = title.partition(":")
                if colon and len(prefix) <= MAX_PREFIX and (prefix := prefix.replace("_", " ").strip()):
                    self._prefixes.setdefault(domain, {}).setdefault(namespace, Counter())[prefix] += 1
                    self._namespaces.setdefault(domain, {}).setdefault(normalise_title(prefix), namespace)
                return


def judge(page: Page, seen: Evidence) -> Doubt | None:
    """Return why a page may never match an event, None if events confirm it.

    The page has passed `checked_page`.
    """
    said: list[str] = []
    meant = page
    slip = find_slip(page.title)
    if slip is not None:
        said.append(f"{slip.why[:1].upper()}{slip.why[1:]}.")
        meant = Page(page.domain, slip.meant)
    elif "???" in page.title:
        said.append("Question marks in a row often come from a text in the wrong encoding.")
    if not seen.events:
        said.append(f"Nothing could be checked against events: {seen.trouble or 'there are none'}.")
        return Doubt(tuple(said), None if meant == page else meant)
    domain = normalise_domain(page.domain)
    if domain not in seen.domains:
        likely = seen.likely_domain(domain)
        text = f"No event of the last {seen.events:,} came from {domain}"
        said.append(f"{text}; {likely} had {seen.domains[likely]:,}." if likely else f"{text}.")
        if likely is None:
            return Doubt(tuple(said), None if meant == page else meant)
        domain, meant = likely, Page(likely, meant.title)
    doubt = _of_title(domain, meant.title, seen)
    if doubt is not None:
        said += doubt.sentences
        meant = doubt.suggestion or meant
    return Doubt(tuple(said), None if meant == page else meant) if said else None


def _likely_domain(domain: str, seen: Evidence) -> str | None:
    bare = domain.removeprefix("www.")
    first = bare.partition(".")[0]
    for candidate in (f"www.{domain}", bare, f"{bare.rpartition('.')[0]}.org", f"{first}.wikipedia.org"):
        if candidate in seen.domains and (candidate != f"{first}.wikipedia.org" or "wiki" in domain):
            return candidate
    if WIKIMEDIA.fullmatch(domain):
        # A wiki that exists, where nobody has edited anything lately: another language is not meant.
        return None
    close = difflib.get_close_matches(domain, seen.domains, 1, 0.8)
    return close[0] if close else None


def _of_title(domain: str, title: str, seen: Evidence) -> Doubt | None:
    prefix, colon, rest = title.partition(":")
    prefix, rest = prefix.replace("_", " ").strip(), rest.replace("_", " ").strip()
    if not colon:
        return _of_bare_title(domain, title, seen)
    if prefix.isdecimal():
        return None  # 12:30
    namespace = seen.namespace_of(domain, prefix)
    if namespace is not None:
        return None if rest else Doubt((f"“{title}” names a namespace but no page in it.",))
    namespace = _CANONICAL.get(normalise_title(prefix))
    if namespace is None:
        namespace = seen.elsewhere(prefix)
    if namespace is None:
        namespace = seen.similar(domain, prefix)
    count = seen.domains[domain]
    if namespace is None:
        return Doubt(
            (
                f"None of the last {count:,} events of {domain} has a namespace “{prefix}:”. If it is a part of the "
                "title, leave it as it is; if it is meant as a namespace, write it as the wiki does.",
            )
        )
    known = seen.prefixes(domain, namespace)
    if not known:
        return Doubt(
            (
                f"None of the last {count:,} events of {domain} is of namespace {namespace}, so whether its titles "
                f"begin with {prefix}: there is not known.",
            )
        )
    few = "almost none" if seen.is_stray(domain, prefix) else "none"
    sentence = f"{_begin(domain, namespace, known)}; {few} with {prefix}:."
    return Doubt((sentence,), Page(domain, f"{known[0]}:{rest}") if rest else None)


def _of_bare_title(domain: str, title: str, seen: Evidence) -> Doubt | None:
    if _FILE.fullmatch(title):
        known = seen.prefixes(domain, _FILES) or (["File"] if domain == "commons.wikimedia.org" else [])
        if known:
            how = _begin(domain, _FILES, known)
            return Doubt((f"{how}; “{title}” has no namespace.",), Page(domain, f"{known[0]}:{title}"))
        return Doubt((f"“{title}” looks like a file, whose title begins with the wiki's name for files and a colon.",))
    entity = re.fullmatch(r"([PL])\d+", title.strip(), re.IGNORECASE)
    if entity and domain.endswith("wikidata.org"):
        name = _ENTITIES[entity[1].upper()]
        return Doubt((f"On {domain} such a title begins with {name}:.",), Page(domain, f"{name}:{title.upper()}"))
    return None


def _begin(domain: str, namespace: int, known: list[str]) -> str:
    names = [f"{prefix}:" for prefix in known[:SHOWN]]
    listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return f"Titles of namespace {namespace} on {domain} begin with {listed}"
