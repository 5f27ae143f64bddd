"""Events as MediaWiki's streams carry them, by whom and of which page one likes; and what of them may leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

RU = "ru.wikipedia.org"


class Who(NamedTuple):
    """Somebody who acted."""

    name: str
    id: int


class Edit(NamedTuple):
    """Who did something to which page. `before` made what it was done to; `other_title` is a page of no list."""

    title: str
    who: Who
    before: Who
    domain: str = RU
    other_title: str = "Nothing in particular"

    def meta(self, stream: str) -> dict[str, Any]:
        return {
            "stream": stream,
            "domain": self.domain,
            "uri": f"https://{self.domain}/wiki/{self.title.replace(' ', '_')}",
            "request_id": "5f1b2b6e-33d9-4d0f-9c2a-1d3a7f0c9b11",
            "dt": "2026-08-01T10:00:00.000Z",
        }

    @property
    def comment(self) -> str:
        return f"Reverted edits by [[User:{self.before.name}|{self.before.name}]] to the version by {self.who.name}"


def entity(who: Who) -> dict[str, Any]:
    """A user, as page_change has it."""
    return {"user_id": who.id, "user_text": who.name, "groups": ["*", "sysop"], "is_bot": False, "edit_count": 12}


def page_change(edit: Edit) -> dict[str, Any]:
    return {
        "$schema": "/mediawiki/page/change/1.2.0",
        "meta": edit.meta("mediawiki.page_change.v1"),
        "wiki_id": "ruwiki",
        "changelog_kind": "update",
        "page_change_kind": "edit",
        "dt": "2026-08-01T10:00:00Z",
        "comment": edit.comment,
        "performer": entity(edit.who),
        "page": {"page_id": 17, "page_title": edit.title, "namespace_id": 0, "is_redirect": False},
        "revision": {
            "rev_id": 1400,
            "rev_parent_id": 1399,
            "comment": edit.comment,
            "editor": entity(edit.who),
            "is_editor_visible": True,
            "is_comment_visible": True,
            "content_slots": {"main": {"content_model": "wikitext", "content_size": 4321.0}},
        },
        "prior_state": {"revision": {"rev_id": 1399, "comment": edit.comment, "editor": entity(edit.before)}},
    }


def page_change_move(edit: Edit) -> dict[str, Any]:
    """Away from the title, without a redirect; what the page is now has another one."""
    event = page_change(edit)
    event["page_change_kind"] = "move"
    event["page"] = event["page"] | {"page_title": edit.other_title}
    event["prior_state"]["page"] = {"page_id": 17, "page_title": edit.title, "namespace_id": 0}
    return event


def page_content_change(edit: Edit) -> dict[str, Any]:
    return page_change(edit) | {"meta": edit.meta("mediawiki.page_content_change.v1")}


def prediction(edit: Edit) -> dict[str, Any]:
    whole = page_change(edit)
    kept = ("wiki_id", "page_change_kind", "performer", "page", "revision")
    return {
        "$schema": "/mediawiki/page/prediction_classification_change/1.1.0",
        "meta": edit.meta("mediawiki.page_revert_risk_prediction_change.v1"),
        **{name: whole[name] for name in kept},
        "predicted_classification": {"model_name": "revert-risk", "probabilities": {"true": 0.25, "false": 0.75}},
    }


def recentchange(edit: Edit) -> dict[str, Any]:
    return {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": edit.meta("mediawiki.recentchange"),
        "id": 1599,
        "type": "edit",
        "namespace": 0,
        "title": edit.title,
        "title_url": edit.meta("")["uri"],
        "comment": edit.comment,
        "timestamp": 1785578400,
        "user": edit.who.name,
        "bot": False,
        "revision": {"old": 1399, "new": 1400},
        "server_name": edit.domain,
        "wiki": "ruwiki",
        "parsedcomment": f'Reverted edits by <a href="/wiki/User:{edit.before.name}">{edit.before.name}</a>',
    }


def recentchange_move(edit: Edit) -> dict[str, Any]:
    """To the title; it had another one."""
    return recentchange(edit) | {
        "type": "log",
        "title": edit.other_title,
        "log_id": 9,
        "log_type": "move",
        "log_action": "move_redir",
        "log_params": {"target": edit.title, "noredir": "0"},
        "log_action_comment": f"moved [[{edit.other_title}]] to [[{edit.title}]]: {edit.comment}",
    }


def recentchange_log(edit: Edit) -> dict[str, Any]:
    """The page is a user's, whose rights have been changed."""
    return recentchange(edit) | {
        "type": "log",
        "log_type": "rights",
        "log_action": "rights",
        "log_params": {"oldgroups": ["sysop"], "for": edit.before.name, "by": [edit.who.name, edit.who.id]},
        "log_action_comment": f"changed group membership for {edit.before.name}",
    }


def revision_create(edit: Edit) -> dict[str, Any]:
    return {
        "$schema": "/mediawiki/revision/create/2.0.0",
        "meta": edit.meta("mediawiki.revision-create"),
        "database": "ruwiki",
        "page_id": 17,
        "page_title": edit.title,
        "rev_id": 1400,
        "performer": entity(edit.who),
        "comment": edit.comment,
        "parsedcomment": edit.comment,
        "rev_slots": {"main": {"rev_slot_content_model": "wikitext"}},
    }


def page_move(edit: Edit) -> dict[str, Any]:
    """Away from the title, without a redirect."""
    return revision_create(edit) | {
        "$schema": "/mediawiki/page/move/1.0.0",
        "meta": edit.meta("mediawiki.page-move"),
        "page_title": edit.other_title,
        "prior_state": {"page_title": edit.title, "page_namespace": 0, "rev_id": 1399},
    }


def visibility_change(edit: Edit) -> dict[str, Any]:
    return revision_create(edit) | {
        "$schema": "/mediawiki/revision/visibility-change/1.0.0",
        "meta": edit.meta("mediawiki.revision-visibility-change"),
        "visibility": {"text": True, "user": False, "comment": False},
        "prior_state": {"visibility": {"text": True, "user": True, "comment": True}},
    }


def unheard_of(edit: Edit) -> dict[str, Any]:
    """Of a stream that nobody had in mind, without a domain but in its URI."""
    meta = edit.meta("unheard.of")
    del meta["domain"]
    return {
        "meta": meta | {"user_id": edit.who.id},
        "page_title": edit.title,
        "steps": [[{"last_editor": edit.who.name, "n": 1}], {"Actor": entity(edit.before), "userId": edit.who.id}],
    }


SHAPES: dict[str, Callable[[Edit], dict[str, Any]]] = {
    shape.__name__: shape
    for shape in (
        page_change,
        page_change_move,
        page_content_change,
        prediction,
        recentchange,
        recentchange_move,
        recentchange_log,
        revision_create,
        page_move,
        visibility_change,
        unheard_of,
    )
}

BLANKED: dict[str, Any] = {"comment": "", "parsedcomment": "", "log_action_comment": "", "log_params": {}}


def words(key: str) -> list[str]:
    """Of a key, in lower case: a word ends where no letter follows, or where the case of ASCII letters changes."""
    split = [""]
    for index, char in enumerate(key):
        before, after = key[index - 1 : index], key[index + 1 : index + 2]
        begins = char.isascii() and char.isupper() and before.isalpha()
        if begins and (not (before.isascii() and before.isupper()) or (after.isascii() and after.islower())):
            split.append("")
        if char.isalpha():
            split[-1] += char
        else:
            split.append("")
    return [word.casefold() for word in split if word]


def names_somebody(key: str) -> bool:
    folded = key.casefold()
    who = ("user", "performer", "editor", "author", "creator", "contributor")
    return any(word in folded for word in who) or any(word.startswith("actor") for word in words(key))


def is_comment(key: str) -> bool:
    return "comment" in key.casefold() or key.casefold() == "summary"


def redacted(event: Any) -> Any:
    """What may leave of an event of a listed page: the contract's table, said once more and differently."""
    requires_performer = str(event.get("$schema", "")).startswith("/mediawiki/page/change/")
    left = {
        name: {} if requires_performer and name == "performer" else _redacted({name: value})[name]
        for name, value in event.items()
        if not names_somebody(name) or (requires_performer and name == "performer")
    }
    if isinstance(left.get("meta"), dict) and "key" in left["meta"]:
        try:
            left["meta"]["key"] = json.dumps(_redacted_object(json.loads(event["meta"]["key"])), separators=(",", ":"))
        except (TypeError, ValueError):
            del left["meta"]["key"]
    return left


def _redacted_object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError
    return redacted({name: member for name, member in value.items() if name not in ("meta", "$schema")})


def _redacted(value: Any, in_comment: bool = False) -> Any:
    if isinstance(value, list):
        return [_redacted(item, in_comment) for item in value]
    if isinstance(value, dict):
        return {
            key: BLANKED.get(key.casefold(), _redacted(item, in_comment or is_comment(key)))
            for key, item in value.items()
            if not names_somebody(key)
        }
    return "" if in_comment and isinstance(value, str) else value
