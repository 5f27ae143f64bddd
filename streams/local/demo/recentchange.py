"""Events of mediawiki.recentchange.

Source: the schema mediawiki/recentchange 1.0.1; MediaWiki's Manual:RCFeed.
"""

from __future__ import annotations

import html
from typing import Any

from streams.local.demo.changes import Change, Event, address

SCHEMA = "/mediawiki/recentchange/1.0.1"

_BITS = {"comment": 2, "user": 4}  # MediaWiki's RevisionRecord::DELETED_*


def recentchange(change: Change, stream: str) -> Event:
    """Return the row of a change in the wiki's recent changes."""
    if change.kind in ("edit", "new"):
        return _edit(change, stream)
    title = change.page.title if change.before is None else change.before.title
    event = _common(change, stream, "log", title, change.page.namespace, change.recentchange_id)
    return event | _log(change, title)


def categorisation(change: Change, stream: str) -> Event | None:
    """Return the additional row of an edit that put the page into a category; None for others."""
    if change.category is None:
        return None
    event = _common(change, stream, "categorize", change.category, 14, change.recentchange_id + 1)
    title = change.page.title
    return event | {
        "comment": f"[[:{title}]] added to category",
        "parsedcomment": f"<a>{html.escape(title)}</a> added to category",
        "notify_url": _difference(change, change.recentchange_id + 1),
    }


def _edit(change: Change, stream: str) -> Event:
    page, before = change.page, change.before
    event = _common(change, stream, change.kind, page.title, page.namespace, change.recentchange_id)
    return event | {
        "notify_url": _difference(change, change.recentchange_id),
        "minor": page.head.minor,
        "patrolled": change.person.kind == "bot",
        "length": {"old": None if before is None else before.head.size, "new": page.head.size},
        "revision": {"old": None if before is None else before.head.id, "new": page.head.id},
    }


def _difference(change: Change, recentchange_id: int) -> str:
    head, before = change.page.head, change.before
    what = f"oldid={head.id}" if before is None else f"diff={head.id}&oldid={before.head.id}"
    return f"https://{change.page.wiki.domain}/w/index.php?{what}&rcid={recentchange_id}"


def _log(change: Change, title: str) -> Event:
    params: Any = []
    page = change.page
    action = change.kind
    said = f'deleted "[[{title}]]"'
    if change.kind == "move":
        params = {"target": page.title, "noredir": "1"}
        said = f"moved [[{title}]] to [[{page.title}]] without leaving a redirect"
    elif change.kind == "visibility":
        action = "revision"
        hidden = sum(_BITS[part] for part in page.head.hidden)
        params = {"type": "revision", "ids": [str(page.head.id)], "ofield": 0, "nfield": hidden}
        said = f"changed visibility of a revision on page [[{title}]]"
    elif change.kind == "block":
        params = {"duration": "31 hours", "flags": "anononly,nocreate", "sitewide": True}
        said = f"blocked [[{title}]] with an expiration time of 31 hours"
    return {
        "log_id": change.log_id,
        "log_type": "delete" if change.kind == "visibility" else change.kind,
        "log_action": action,
        "log_params": params,
        "log_action_comment": f"{change.person.name} {said}: {change.comment}",
    }


def _common(change: Change, stream: str, kind: str, title: str, namespace: int, recentchange_id: int) -> Event:
    wiki = change.page.wiki
    return {
        "$schema": SCHEMA,
        "meta": change.meta(stream, title),
        "id": recentchange_id,
        "type": kind,
        "namespace": namespace,
        "title": title,
        "title_url": address(wiki.domain, title),
        "comment": change.comment,
        "timestamp": change.at_ms // 1000,
        "user": change.person.name,
        "bot": change.person.kind == "bot",
        "server_url": f"https://{wiki.domain}",
        "server_name": wiki.domain,
        "server_script_path": "/w",
        "wiki": wiki.name,
        "parsedcomment": html.escape(change.comment),
    }
