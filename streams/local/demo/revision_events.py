"""Events of the older streams, one for each kind of change of a page or a revision.

Source: the schemas mediawiki/revision/create 2.0.0 and mediawiki/page/move, page/delete, page/links-change and
revision/visibility-change 1.0.0.
"""

from __future__ import annotations

import html

from streams.local.demo.changes import Change, Event, account, content_kind, digest, key, second

REVISION_CREATE_SCHEMA = "/mediawiki/revision/create/2.0.0"
MOVE_SCHEMA = "/mediawiki/page/move/1.0.0"
DELETE_SCHEMA = "/mediawiki/page/delete/1.0.0"
LINKS_SCHEMA = "/mediawiki/page/links-change/1.0.0"
VISIBILITY_SCHEMA = "/mediawiki/revision/visibility-change/1.0.0"

_PARTS = ("text", "user", "comment")


def revision_create(change: Change, stream: str) -> Event:
    """Return the event of a new revision; also for mediawiki.page-create, which has first revisions."""
    page, head = change.page, change.page.head
    model, _ = content_kind(page)
    sha1 = digest(page.wiki.name, head.content_id)
    slot = {
        "rev_slot_content_model": model,
        "rev_slot_sha1": sha1,
        "rev_slot_size": head.size,
        "rev_slot_origin_rev_id": head.content_id,
    }
    event = _common(change, stream, REVISION_CREATE_SCHEMA) | _comment(change) | _revision(change)
    return event | {
        "dt": second(change.at_ms),
        "rev_content_changed": head.content_id == head.id,
        "rev_slots": {"main": slot},
    }


def page_move(change: Change, stream: str) -> Event:
    """Return the event of a move."""
    before = change.before or change.page
    prior = {"page_title": key(before.title), "page_namespace": before.namespace, "rev_id": before.head.id}
    comment = _comment(change) if change.comment else {}  # the schema forbids empty ones
    return _common(change, stream, MOVE_SCHEMA) | comment | {"prior_state": prior}


def page_delete(change: Change, stream: str) -> Event:
    """Return the event of a deletion."""
    return _common(change, stream, DELETE_SCHEMA) | _comment(change)


def links_change(change: Change, stream: str) -> Event | None:
    """Return the links that an edit has added and removed; None if there are none."""
    if not change.links and not change.unlinks:
        return None
    event = _common(change, stream, LINKS_SCHEMA)
    for name, links in (("added_links", change.links), ("removed_links", change.unlinks)):
        if links:
            event[name] = [{"link": link, "external": not link.startswith("/")} for link in links]
    return event


def visibility_change(change: Change, stream: str) -> Event:
    """Return the event of a revision whose visibility changed."""
    before = change.before or change.page
    event = _common(change, stream, VISIBILITY_SCHEMA) | _comment(change) | _revision(change)
    return event | {
        "visibility": {part: part not in change.page.head.hidden for part in _PARTS},
        "prior_state": {"visibility": {part: part not in before.head.hidden for part in _PARTS}},
    }


def _common(change: Change, stream: str, schema: str) -> Event:
    page, person = change.page, change.person
    performer: Event = {"user_text": person.name, "user_groups": ["*"], "user_is_bot": person.kind == "bot"}
    known = account(page.wiki.name, person)
    if known is not None:
        performer |= {
            "user_groups": list(known.groups),
            "user_id": known.id,
            "user_registration_dt": known.registered,
            "user_edit_count": known.edits,
        }
    return {
        "$schema": schema,
        "meta": change.meta(stream),
        "database": page.wiki.name,
        "page_id": page.id,
        "page_title": key(page.title),
        "page_namespace": page.namespace,
        "rev_id": page.head.id,
        "performer": performer,
        "page_is_redirect": False,
    }


def _comment(change: Change) -> Event:
    return {"comment": change.comment, "parsedcomment": html.escape(change.comment)}


def _revision(change: Change) -> Event:
    head = change.page.head
    model, form = content_kind(change.page)
    revision: Event = {
        "rev_timestamp": second(head.at_ms),
        "rev_sha1": digest(change.page.wiki.name, head.content_id),
        "rev_minor_edit": head.minor,
        "rev_len": head.size,
        "rev_content_model": model,
        "rev_content_format": form,
    }
    if head.parent is not None:
        revision["rev_parent_id"] = head.parent
    return revision
