"""A small world of wikis that are edited: the demo's events, shaped as Wikimedia's are, out of a seed.

Pure: the time is an argument. Source: the schemas mediawiki/recentchange 1.0.1 and mediawiki/page/change 1.2.0.
"""

from __future__ import annotations

import hashlib
import html
import json
import random
import uuid
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from streams.demo_samples import WIKIS, Person, Wiki

RECENTCHANGE = "mediawiki.recentchange"
PAGE_CHANGE = "mediawiki.page_change.v1"
STREAMS = (RECENTCHANGE, PAGE_CHANGE)
DATACENTRES = ("eqiad", "codfw")
TOPICS = tuple(f"{datacentre}.{stream}" for stream in STREAMS for datacentre in DATACENTRES)

RECENTCHANGE_SCHEMA = "/mediawiki/recentchange/1.0.1"
PAGE_CHANGE_SCHEMA = "/mediawiki/page/change/1.2.0"

_KINDS = {"edit": 72, "new": 8, "categorize": 12, "log": 4, "move": 2, "delete": 2}
_CANARY_SHARE = 1 / 2000
_EPOCH_MS = 1_767_225_600_000  # 2026-01-01: ids count from here, so that those of a later run are higher


class DemoRecord(NamedTuple):
    """One record to produce: key None or text, timestamp in ms since the epoch, the same as `meta.dt`."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int


@dataclass(slots=True)
class _Page:
    """A page as its newest revision left it. `title` is the full title with blanks, `size` is in bytes."""

    title: str
    namespace: int
    page_id: int
    revision: int
    size: int
    editor: Person
    comment: str
    edited_ms: int
    minor: bool = False


class DemoWorld:
    """Makes one change after another; the same seed and the same times give the same records.

    Ids grow with time, so that worlds of several seeds, one after the other, go on without repeating each other.
    """

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._last_id: dict[str, int] = {}
        self._pages: dict[tuple[str, str], _Page] = {}
        self._created: deque[tuple[Wiki, _Page]] = deque(maxlen=100)  # these may be deleted

    def change(self, at_ms: int) -> list[DemoRecord]:
        """What one action in a wiki at `at_ms` puts into Kafka: a recentchange event, and a page_change event where it
        changes a page. Now and then it is a canary in each topic instead."""
        rng = self._random
        if rng.random() < _CANARY_SHARE:
            return self._canaries(at_ms)
        wiki = rng.choices(WIKIS, [wiki.weight for wiki in WIKIS])[0]
        kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        page = self._page(wiki, rng.choice(wiki.pages), at_ms)
        if kind == "delete":
            if self._created:
                wiki, page = self._created.popleft()
            else:
                kind = "edit"
        action = _Action(
            kind=kind,
            wiki=wiki,
            person=rng.choice(wiki.people),
            comment=rng.choice(wiki.comments),
            at_ms=at_ms,
            minor=kind == "edit" and rng.random() < 0.2,
            request_id=self._uuid(),
            datacentre=rng.choices(DATACENTRES, (4, 1))[0],
        )
        if kind == "categorize":
            return [self._record(action, RECENTCHANGE, self._categorisation(action, page))]
        if kind == "log":
            return [self._record(action, RECENTCHANGE, self._block(action))]
        before = replace(page)
        if kind == "new":
            page = self._new_page(action, page)
        elif kind != "delete":
            page.revision = self._next_id(wiki.name, wiki.first_revision, at_ms)
            page.editor, page.comment, page.edited_ms, page.minor = action.person, action.comment, at_ms, action.minor
            if kind == "move":
                page.title = _other_title(page.title)
            else:
                page.size = max(1, page.size + rng.choice((-900, -31, -2, 1, 14, 55, 260, 1800)))
        recent = self._logged(action, page, before) if kind in ("move", "delete") else self._edit(action, page, before)
        key = json.dumps({"page_id": page.page_id, "wiki_id": wiki.name}, separators=(",", ":")).encode()
        return [
            self._record(action, RECENTCHANGE, recent),
            self._record(action, PAGE_CHANGE, self._page_change(action, page, before), key),
        ]

    # recentchange

    def _edit(self, action: _Action, page: _Page, before: _Page) -> dict[str, Any]:
        created = action.kind == "new"
        event = self._recentchange(action, page.title, page.namespace, "new" if created else "edit")
        difference = f"oldid={page.revision}" if created else f"diff={page.revision}&oldid={before.revision}"
        event |= {
            "notify_url": f"https://{action.wiki.domain}/w/index.php?{difference}&rcid={event['id']}",
            "minor": action.minor,
            "patrolled": action.person.kind == "bot",
            "length": {"old": None, "new": page.size} if created else {"old": before.size, "new": page.size},
            "revision": {"old": None if created else before.revision, "new": page.revision},
        }
        return event

    def _categorisation(self, action: _Action, page: _Page) -> dict[str, Any]:
        event = self._recentchange(action, action.wiki.category, 14, "categorize")
        event["comment"] = f"[[:{page.title}]] added to category"
        event["parsedcomment"] = f"<a>{html.escape(page.title)}</a> added to category"
        return event

    def _block(self, action: _Action) -> dict[str, Any]:
        blocked = self._random.choice(action.wiki.people)
        event = self._recentchange(action, f"User:{blocked.name}", 2, "log")
        params = {"duration": "31 hours", "flags": "anononly,nocreate", "sitewide": True}
        return event | self._log(action, "block", "block", params, f'blocked "[[User:{blocked.name}]]"')

    def _logged(self, action: _Action, page: _Page, before: _Page) -> dict[str, Any]:
        event = self._recentchange(action, before.title, page.namespace, "log")
        if action.kind == "delete":
            return event | self._log(action, "delete", "delete", [], f'deleted "[[{before.title}]]"')
        params = {"target": page.title, "noredir": "1"}
        return event | self._log(action, "move", "move", params, f"moved [[{before.title}]] to [[{page.title}]]")

    def _log(self, action: _Action, kind: str, log_action: str, params: Any, said: str) -> dict[str, Any]:
        return {
            "log_id": self._next_id("log", 170_000_000, action.at_ms),
            "log_type": kind,
            "log_action": log_action,
            "log_params": params,
            "log_action_comment": f"{action.person.name} {said}: {action.comment}",
        }

    def _recentchange(self, action: _Action, title: str, namespace: int, kind: str) -> dict[str, Any]:
        wiki, address = action.wiki, _address(action.wiki, title)
        return {
            "$schema": RECENTCHANGE_SCHEMA,
            "meta": self._meta(action, address, RECENTCHANGE),
            "id": self._next_id("rc", 1_900_000_000, action.at_ms),
            "type": kind,
            "namespace": namespace,
            "title": title,
            "title_url": address,
            "comment": action.comment,
            "timestamp": action.at_ms // 1000,
            "user": action.person.name,
            "bot": action.person.kind == "bot",
            "server_url": f"https://{wiki.domain}",
            "server_name": wiki.domain,
            "server_script_path": "/w",
            "wiki": wiki.name,
            "parsedcomment": html.escape(action.comment),
        }

    # page_change

    def _page_change(self, action: _Action, page: _Page, before: _Page) -> dict[str, Any]:
        kind, dt = action.kind, _second(action.at_ms)
        changelog_kind = {"new": "insert", "delete": "delete"}.get(kind, "update")
        event: dict[str, Any] = {
            "$schema": PAGE_CHANGE_SCHEMA,
            "meta": self._meta(action, _address(action.wiki, page.title), PAGE_CHANGE),
            "changelog_kind": changelog_kind,
            "page_change_kind": "create" if kind == "new" else kind,
            "dt": dt,
            "wiki_id": action.wiki.name,
            "page": _page_entity(page),
            "performer": _user_entity(action.wiki, action.person),
            "comment": action.comment,
            "revision": _revision_entity(action.wiki, page),
        }
        if kind in ("edit", "move"):
            event["revision"]["rev_parent_id"] = before.revision
            event["prior_state"] = {"revision": _revision_entity(action.wiki, before)}
        if kind == "move":
            event["prior_state"]["page"] = {"page_title": _key(before.title)}
        return event

    # What both have

    def _canaries(self, at_ms: int) -> list[DemoRecord]:
        """Wikimedia's own probes of the pipeline, one in every topic; clients are to discard them."""
        records = []
        for topic in TOPICS:
            stream = topic.partition(".")[2]
            meta = {"id": self._uuid(), "dt": _instant(at_ms), "domain": "canary", "stream": stream}
            event: dict[str, Any] = {"$schema": RECENTCHANGE_SCHEMA, "meta": meta}
            if stream == PAGE_CHANGE:
                event = {
                    "$schema": PAGE_CHANGE_SCHEMA,
                    "meta": meta,
                    "changelog_kind": "update",
                    "page_change_kind": "edit",
                    "dt": _second(at_ms),
                    "wiki_id": "canary",
                    "page": {"page_id": 1, "page_title": "Canary", "namespace_id": 0, "is_redirect": False},
                    "revision": {"rev_id": 1, "rev_dt": _second(at_ms)},
                }
            records.append(DemoRecord(topic, None, _json(event), at_ms))
        return records

    def _meta(self, action: _Action, uri: str, stream: str) -> dict[str, Any]:
        return {
            "uri": uri,
            "request_id": action.request_id,
            "id": self._uuid(),
            "domain": action.wiki.domain,
            "stream": stream,
            "dt": _instant(action.at_ms),
        }

    def _record(self, action: _Action, stream: str, event: dict[str, Any], key: bytes | None = None) -> DemoRecord:
        return DemoRecord(f"{action.datacentre}.{stream}", key, _json(event), action.at_ms)

    def _page(self, wiki: Wiki, sample: tuple[str, int], at_ms: int) -> _Page:
        title, namespace = sample
        page = self._pages.get((wiki.name, title))
        if page is None:
            page = _Page(
                title=title,
                namespace=namespace,
                page_id=_number(f"{wiki.name} {title}", 60_000_000),
                revision=self._next_id(wiki.name, wiki.first_revision, at_ms),
                size=self._random.randint(1000, 60_000),
                editor=self._random.choice(wiki.people),
                comment=self._random.choice(wiki.comments),
                edited_ms=at_ms - self._random.randint(1, 90) * 86_400_000,
            )
            self._pages[wiki.name, title] = page
        return page

    def _new_page(self, action: _Action, like: _Page) -> _Page:
        wiki = action.wiki
        page_id = self._next_id(f"{wiki.name} pages", 60_000_001, action.at_ms)
        page = _Page(
            title=f"{like.title} {page_id % 1000}",
            namespace=like.namespace,
            page_id=page_id,
            revision=self._next_id(wiki.name, wiki.first_revision, action.at_ms),
            size=self._random.randint(40, 9_000),
            editor=action.person,
            comment=action.comment,
            edited_ms=action.at_ms,
        )
        self._created.append((wiki, page))
        return page

    def _next_id(self, sequence: str, first: int, at_ms: int) -> int:
        number = max(first + max(0, at_ms - _EPOCH_MS) // 100, self._last_id.get(sequence, 0) + 1)
        self._last_id[sequence] = number
        return number

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class _Action:
    """Who did what, where and when; `kind` is one of _KINDS."""

    kind: str
    wiki: Wiki
    person: Person
    comment: str
    at_ms: int
    minor: bool
    request_id: str
    datacentre: str


def _page_entity(page: _Page) -> dict[str, Any]:
    return {
        "page_id": page.page_id,
        "page_title": _key(page.title),
        "namespace_id": page.namespace,
        "is_redirect": False,
    }


def _revision_entity(wiki: Wiki, page: _Page) -> dict[str, Any]:
    digest = hashlib.sha1(f"{wiki.name} {page.revision}".encode(), usedforsecurity=False).hexdigest()
    is_item = wiki.name == "wikidatawiki" and page.namespace in (0, 120)
    return {
        "rev_id": page.revision,
        "rev_dt": _second(page.edited_ms),
        "is_minor_edit": page.minor,
        "rev_sha1": digest,
        "rev_size": page.size,
        "comment": page.comment,
        "editor": _user_entity(wiki, page.editor),
        "is_content_visible": True,
        "is_editor_visible": True,
        "is_comment_visible": True,
        "content_slots": {
            "main": {
                "slot_role": "main",
                "content_model": "wikibase-item" if is_item else "wikitext",
                "content_sha1": digest,
                "content_size": page.size,
                "content_format": "application/json" if is_item else "text/x-wiki",
                "origin_rev_id": page.revision,
            }
        },
    }


def _user_entity(wiki: Wiki, person: Person) -> dict[str, Any]:
    entity: dict[str, Any] = {"user_text": person.name, "is_bot": person.kind == "bot", "is_system": False}
    entity["is_temp"] = person.kind == "temporary"
    if person.kind == "address":
        return entity
    number = _number(f"{wiki.name} {person.name}", 50_000_000)
    groups = {"bot": ["bot", "*", "user", "autoconfirmed"], "temporary": ["*", "temp"]}
    return entity | {
        "user_id": number,
        "groups": groups.get(person.kind, ["*", "user", "autoconfirmed"]),
        "registration_dt": f"{2006 + number % 20}-0{1 + number % 9}-1{number % 10}T08:{10 + number % 50}:00Z",
        "edit_count": number % 90_000,
    }


def _other_title(title: str) -> str:
    """Where a page is moved: and back again the next time."""
    return title.removesuffix(" (2)") if title.endswith(" (2)") else f"{title} (2)"


def _key(title: str) -> str:
    return title.replace(" ", "_")


def _address(wiki: Wiki, title: str) -> str:
    """As MediaWiki escapes titles in its addresses (wfUrlencode)."""
    return f"https://{wiki.domain}/wiki/{quote(_key(title), safe=';@$!*(),/~:')}"


def _number(text: str, below: int) -> int:
    """A number from 1 up that is always the same for `text`."""
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) % below


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _second(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def _json(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
