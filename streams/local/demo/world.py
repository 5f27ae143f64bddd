"""A small world of wikis: the changes in it, generated from a seed.

Pure: the time is an argument.
"""

from __future__ import annotations

import random
import uuid
from itertools import accumulate
from typing import NamedTuple

import msgspec

from streams.local.demo.changes import Change, Page, Revision, number, path
from streams.local.demo.samples import LISTED_PAGE, LISTED_WIKI, WEBSITES, WIKIS, Person, Wiki
from streams.local.demo.streams import DATACENTRES, PAGE_CHANGE, canaries, events_of

_KINDS = {"edit": 8300, "new": 900, "block": 300, "move": 250, "delete": 240, "visibility": 10}
_LISTED_SHARE = 1 / 300
_CREATED_KEPT = 100
_HOUR_MS = 3_600_000
_EPOCH_MS = 1_767_225_600_000  # 2026-01-01: ids count from here, so that a later run has higher ones

_WEIGHTS = list(accumulate(wiki.weight for wiki in WIKIS))
_KIND_WEIGHTS = list(accumulate(_KINDS.values()))
_RISKS = {"bot": (0.004, 0.06), "user": (0.01, 0.4), "temporary": (0.08, 0.97), "address": (0.15, 0.98)}
_WITH_REASON = ("move", "delete", "visibility", "block")


class DemoRecord(NamedTuple):
    """One record to produce; the timestamp is in ms since the epoch, the same as `meta.dt`."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int


class DemoWorld:
    """Makes one change after another; the same seed and times give the same records.

    Ids grow with time, so that worlds that run one after the other do not repeat them. Only pages that were created
    here are moved, deleted or hidden: the next world does not know of that.
    """

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._last_id: dict[str, int] = {}
        self._pages: dict[tuple[str, int], Page] = {}
        self._created: list[tuple[str, int]] = []
        self._hour: int | None = None

    def change(self, at_ms: int) -> list[DemoRecord]:
        """Return the records of one change at `at_ms`; in a new hour, a canary event for every topic instead."""
        hour, self._hour = self._hour, at_ms // _HOUR_MS
        if hour is not None and hour != self._hour:
            return [
                _record(datacentre, stream, event, None, at_ms)
                for datacentre in DATACENTRES
                for stream, event in canaries(at_ms, self._uuid)
            ]
        change = self._change(at_ms)
        page = change.page
        key = msgspec.json.encode({"page_id": page.id, "wiki_id": page.wiki.name})
        return [
            _record(change.datacentre, stream, event, key if stream == PAGE_CHANGE else None, at_ms)
            for stream, event in events_of(change)
        ]

    def _change(self, at_ms: int) -> Change:
        rng = self._random
        kind, before, listed = self._subject(at_ms)
        wiki = before.wiki
        people = [person for person in wiki.people if person.kind == "user"] if kind in _WITH_REASON else wiki.people
        person, comment = rng.choice(people), rng.choice(wiki.comments)
        if kind in _WITH_REASON:
            comment = comment.rpartition("*/")[2].strip()  # these have no section
        category = wiki.category if kind == "edit" and not listed and rng.random() < 0.12 else None
        page = self._after(kind, before, person, comment, at_ms)
        links, unlinks = self._links(kind, page)
        recentchange_id = self._next_id(f"{wiki.name} recentchanges", 1_100_000_000, at_ms)
        if category is not None:
            self._next_id(f"{wiki.name} recentchanges", 1_100_000_000, at_ms)  # the one after it
        return Change(
            kind=kind,
            at_ms=at_ms,
            person=person,
            comment=comment,
            page=page,
            before=None if kind == "new" else before,
            recentchange_id=recentchange_id,
            request_id=self._uuid(),
            datacentre=rng.choices(DATACENTRES, (4, 1))[0],
            new_id=self._uuid,
            log_id=self._next_id(f"{wiki.name} log", 17_000_000, at_ms) if kind in _WITH_REASON else None,
            category=category,
            links=links,
            unlinks=unlinks,
            risk=self._risk(kind, page, person),
        )

    def _subject(self, at_ms: int) -> tuple[str, Page, bool]:
        """Return the kind of the next change, the page (for a new one: its model), and whether it is the listed one."""
        rng = self._random
        if rng.random() < _LISTED_SHARE:
            return "edit", self._page(LISTED_WIKI, LISTED_PAGE, 0, at_ms), True
        wiki = rng.choices(WIKIS, cum_weights=_WEIGHTS)[0]
        kind = rng.choices(list(_KINDS), cum_weights=_KIND_WEIGHTS)[0]
        if kind == "block":
            blocked = rng.choice([person for person in wiki.people if person.kind != "bot"])
            return kind, self._page(wiki, f"{wiki.user}:{blocked.name}", 2, at_ms), False
        created = self._created and self._pages[rng.choice(self._created)]
        if created and kind in _WITH_REASON:
            # Items cannot be moved, and hidden parts cannot be hidden again.
            impossible = created.wiki.name == "wikidatawiki" if kind == "move" else created.head.hidden
            return "edit" if impossible else kind, created, False
        if created and kind == "edit" and rng.random() < 0.15:
            return kind, created, False
        title, namespace = rng.choice(wiki.pages)
        return "new" if kind == "new" else "edit", self._page(wiki, title, namespace, at_ms), False

    def _page(self, wiki: Wiki, title: str, namespace: int, at_ms: int) -> Page:
        """Return one of the pages that exist from the start, as it is now."""
        key = (wiki.name, number(f"{wiki.name} {title}", 60_000_000))
        page = self._pages.get(key)
        if page is None:
            rng = self._random
            revision = self._next_id(wiki.name, wiki.first_revision, at_ms)
            head = Revision(
                id=revision,
                parent=revision - rng.randint(1, 9_000),
                content_id=revision,
                at_ms=at_ms - rng.randint(1, 90) * 60_000,
                editor=rng.choice(wiki.people),
                comment=rng.choice(wiki.comments),
                minor=False,
                size=rng.randint(1000, 60_000),
            )
            page = self._pages[key] = Page(wiki, key[1], title, namespace, head)
        return page

    def _after(self, kind: str, before: Page, person: Person, comment: str, at_ms: int) -> Page:
        """Return the page after the change."""
        if kind == "new":
            return self._new_page(before, person, comment, at_ms)
        key = (before.wiki.name, before.id)
        if kind == "delete":
            self._created.remove(key)
            del self._pages[key]
            return before
        page = before
        if kind == "visibility":
            hidden = self._random.choice((("user",), ("comment",), ("user", "comment")))
            page = before._replace(head=before.head._replace(hidden=frozenset(hidden)))
        elif kind != "block":
            page = self._with_revision(kind, before, person, comment, at_ms)
        self._pages[key] = page
        return page

    def _with_revision(self, kind: str, before: Page, person: Person, comment: str, at_ms: int) -> Page:
        rng, head = self._random, before.head
        revision = self._next_id(before.wiki.name, before.wiki.first_revision, at_ms)
        moved = kind == "move"
        size = head.size if moved else max(1, head.size + rng.choice((-900, -31, -2, 1, 14, 55, 260, 1800)))
        minor = moved or rng.random() < 0.2
        content = head.content_id if moved else revision
        title = _other_title(before.title, before.namespace) if moved else before.title
        return before._replace(
            title=title, head=Revision(revision, head.id, content, at_ms, person, comment, minor, size)
        )

    def _new_page(self, like: Page, person: Person, comment: str, at_ms: int) -> Page:
        wiki = like.wiki
        page_id = self._next_id(f"{wiki.name} pages", 60_000_001, at_ms)
        title = _numbered(like.title, like.namespace, str(page_id % 100_000))
        namespace = like.namespace
        if wiki.name == "wikidatawiki":
            title, namespace = f"Q{page_id + 70_000_000}", 0
        revision = self._next_id(wiki.name, wiki.first_revision, at_ms)
        head = Revision(revision, None, revision, at_ms, person, comment, False, self._random.randint(40, 9_000))
        key = (wiki.name, page_id)
        self._pages[key] = page = Page(wiki, page_id, title, namespace, head)
        self._created.append(key)
        if len(self._created) > _CREATED_KEPT:
            del self._pages[self._created.pop(0)]  # no more changes of it
        return page

    def _links(self, kind: str, page: Page) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the links that an edit adds and removes: pages or files of the wiki, and other sites."""
        rng = self._random
        if kind not in ("edit", "new"):
            return (), ()
        targets = [title for title, namespace in page.wiki.pages if namespace in (0, 6) and title != page.title]
        few = rng.sample([*map(path, targets), *WEBSITES], 4)
        if kind == "new":
            return tuple(few[: rng.randint(0, 4)]), ()
        chance = rng.random()
        return tuple(few[:1] if chance < 0.2 else few[:2] if chance < 0.25 else ()), tuple(
            few[3:] if chance < 0.02 or chance > 0.95 else ()
        )

    def _risk(self, kind: str, page: Page, person: Person) -> float | None:
        """Return a prediction; only edits of articles in Wikipedias have one."""
        if kind != "edit" or page.namespace != 0 or not page.wiki.domain.endswith(".wikipedia.org"):
            return None
        return round(self._random.uniform(*_RISKS[person.kind]), 6)

    def _next_id(self, sequence: str, first: int, at_ms: int) -> int:
        number = max(first + max(0, at_ms - _EPOCH_MS) // 100, self._last_id.get(sequence, 0) + 1)
        self._last_id[sequence] = number
        return number

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _record(datacentre: str, stream: str, event: object, key: bytes | None, at_ms: int) -> DemoRecord:
    return DemoRecord(f"{datacentre}.{stream}", key, msgspec.json.encode(event), at_ms)


def _numbered(title: str, namespace: int, what: str) -> str:
    """Return another title; a file keeps its extension."""
    stem, dot, extension = title.rpartition(".") if namespace == 6 else (title, "", "")
    return f"{stem} {what}{dot}{extension}"


def _other_title(title: str, namespace: int) -> str:
    """Return the new title of a moved page; the next move moves it back."""
    return title.replace(" (2)", "") if " (2)" in title else _numbered(title, namespace, "(2)")
