"""Events with the state of a page: mediawiki.page_change.v1 and the predictions made from it.

Source: the schemas mediawiki/page/change 1.2.0 and mediawiki/page/prediction_classification_change 1.1.0.
"""

from __future__ import annotations

from streams.local.demo.changes import Change, Event, Page, account, content_kind, digest, key, second
from streams.local.demo.samples import Person

SCHEMA = "/mediawiki/page/change/1.2.0"
PREDICTION_SCHEMA = "/mediawiki/page/prediction_classification_change/1.1.0"

_PAGE_CHANGE_KINDS = {"new": "create", "visibility": "visibility_change"}
_CHANGELOG_KINDS = {"new": "insert", "delete": "delete"}


def page_change(change: Change, stream: str) -> Event:
    """Return an event with the state of the page, and what differs from the one before."""
    event = _state(change, stream, SCHEMA)
    event["revision"]["content_slots"] = _slots(change.page)
    prior = _prior_state(change)
    if prior:
        event["prior_state"] = prior
    return event


def prediction(change: Change, stream: str) -> Event | None:
    """Return a prediction of whether an edit will be reverted; None without one."""
    if change.risk is None or change.before is None:
        return None
    event = _state(change, stream, PREDICTION_SCHEMA)
    event["prior_state"] = {"revision": _revision(change.before)}
    event["predicted_classification"] = {
        "model_name": "revertrisk-language-agnostic",
        "model_version": "3",
        "predictions": ["true" if change.risk > 0.5 else "false"],
        "probabilities": {"true": change.risk, "false": round(1 - change.risk, 6)},
    }
    return event


def _state(change: Change, stream: str, schema: str) -> Event:
    page = change.page
    return {
        "$schema": schema,
        "meta": change.meta(stream),
        "changelog_kind": _CHANGELOG_KINDS.get(change.kind, "update"),
        "page_change_kind": _PAGE_CHANGE_KINDS.get(change.kind, change.kind),
        "dt": second(change.at_ms),
        "wiki_id": page.wiki.name,
        "page": {
            "page_id": page.id,
            "page_title": key(page.title),
            "namespace_id": page.namespace,
            "is_redirect": False,
        },
        "performer": _user(page.wiki.name, change.person),
        "comment": change.comment,
        "revision": _revision(page),
    }


def _prior_state(change: Change) -> Event:
    page, before = change.page, change.before
    if before is None or change.kind == "delete":
        return {}
    if change.kind == "visibility":
        return {
            "revision": {
                "is_comment_visible": "comment" not in before.head.hidden,
                "is_editor_visible": "user" not in before.head.hidden,
            }
        }
    prior: Event = {"revision": _revision(before) | {"content_slots": _slots(before)}}
    if page.title != before.title:
        prior["page"] = {"page_title": key(before.title)}
    return prior


def _revision(page: Page) -> Event:
    head = page.head
    revision: Event = {
        "rev_id": head.id,
        "rev_dt": second(head.at_ms),
        "is_minor_edit": head.minor,
        "rev_sha1": digest(page.wiki.name, head.content_id),
        "rev_size": head.size,
        "is_content_visible": True,
        "is_editor_visible": "user" not in head.hidden,
        "is_comment_visible": "comment" not in head.hidden,
    }
    if head.parent is not None:
        revision["rev_parent_id"] = head.parent
    if "comment" not in head.hidden:
        revision["comment"] = head.comment
    if "user" not in head.hidden:
        revision["editor"] = _user(page.wiki.name, head.editor)
    return revision


def _slots(page: Page) -> Event:
    model, form = content_kind(page)
    return {
        "main": {
            "slot_role": "main",
            "content_model": model,
            "content_sha1": digest(page.wiki.name, page.head.content_id),
            "content_size": page.head.size,
            "content_format": form,
            "origin_rev_id": page.head.content_id,
        }
    }


def _user(wiki: str, person: Person) -> Event:
    user: Event = {
        "user_text": person.name,
        "is_bot": person.kind == "bot",
        "is_system": False,
        "is_temp": person.kind == "temporary",
    }
    known = account(wiki, person)
    if known is not None:
        user |= {
            "user_id": known.id,
            "groups": list(known.groups),
            "registration_dt": known.registered,
            "edit_count": known.edits,
        }
    return user
