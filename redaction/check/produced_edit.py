"""Makes a test edit: the events that an edit of a page puts into Kafka, by somebody who does not exist.

Its request id begins with a mark, by which it is told from real events. It is only for the Kafka of a developer: that
of a deployment gets its events from MediaWiki.

Source: the schemas that each event names; Wikimedia's stream configuration for which streams an edit is in.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiokafka import AIOKafkaProducer

from redaction.check.api_client import is_loopback
from redaction.check.findings import instant
from redaction.marking import MARK
from streams.core.catalogue import Stream
from streams.engine.kafka.create_topics import create_topics

TOPIC_CONFIG = {"retention.ms": str(7 * 86_400_000)}
"""Settings of topics that are created."""

Event = dict[str, Any]


class ProduceError(Exception):
    """No test edit was written; the text is for people."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who edits."""

    name: str
    id: int


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a page. `before` made the previous revision; `title` has its namespace, and blanks."""

    domain: str
    title: str
    rev_id: int
    at_ms: int
    by: Person
    before: Person

    @classmethod
    def of(cls, domain: str, title: str, at_ms: int, rev_id: int | None = None) -> Edit:
        """Return an edit by somebody new, so that no test finds the name of an earlier one."""
        # It grows, as MediaWiki's ids do; the last two digits differ for edits of one moment.
        number = rev_id or at_ms // 10 * 100 + secrets.randbelow(100)
        tester, earlier = (f"{kind} {secrets.token_hex(4)}" for kind in ("Redaction Tester", "Earlier Tester"))
        blanks = re.sub(r"[\s_]+", " ", title).strip()
        return cls(domain, blanks, number, at_ms, Person(tester, _new_id()), Person(earlier, _new_id()))

    @property
    def address(self) -> str:
        """Return the page's address."""
        return f"https://{self.domain}/wiki/{quote(self.key, safe=';@$!*(),/~:')}"

    @property
    def key(self) -> str:
        """Return the title with underscores."""
        return self.title.replace(" ", "_")

    @property
    def dt(self) -> str:
        """Return the time of the edit, to the second."""
        return instant(self.at_ms // 1000 * 1000).replace(".000", "")

    @property
    def wiki(self) -> str:
        """Return something like the wiki's database name: ruwiki for ru.wikipedia.org."""
        language, _, rest = self.domain.partition(".")
        project = rest.partition(".")[0]
        return f"{language}{'wiki' if project == 'wikipedia' else project}".replace("-", "_")

    @property
    def comment(self) -> str:
        """Return an edit summary that names both people."""
        return f"Undid an edit by [[User:{self.before.name}|{self.before.name}]], see [[User talk:{self.by.name}]]"


def _new_id() -> int:
    return 900_000_000 + secrets.randbelow(99_999_999)


def _meta(edit: Edit, stream: str) -> Event:
    return {
        "uri": edit.address,
        "request_id": MARK + str(uuid.uuid4())[len(MARK) :],
        "id": str(uuid.uuid4()),
        "domain": edit.domain,
        "stream": stream,
        "dt": instant(edit.at_ms),
    }


def _recentchange(edit: Edit, stream: str) -> Event:
    link = f'<a href="/wiki/User:{quote(edit.before.name.replace(" ", "_"))}">{html.escape(edit.before.name)}</a>'
    return {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": _meta(edit, stream),
        "id": edit.rev_id + 1,
        "type": "edit",
        "namespace": 0,
        "title": edit.title,
        "title_url": edit.address,
        "comment": edit.comment,
        "timestamp": edit.at_ms // 1000,
        "user": edit.by.name,
        "bot": False,
        "notify_url": f"https://{edit.domain}/w/index.php?diff={edit.rev_id}&oldid={edit.rev_id - 1}",
        "minor": False,
        "patrolled": False,
        "length": {"old": 1200, "new": 1230},
        "revision": {"old": edit.rev_id - 1, "new": edit.rev_id},
        "server_url": f"https://{edit.domain}",
        "server_name": edit.domain,
        "server_script_path": "/w",
        "wiki": edit.wiki,
        "parsedcomment": f"Undid an edit by {link}",
    }


def _page_change(edit: Edit, stream: str) -> Event:
    return {
        "$schema": "/mediawiki/page/change/1.2.0",
        "meta": _meta(edit, stream),
        "changelog_kind": "update",
        "page_change_kind": "edit",
        "dt": edit.dt,
        "wiki_id": edit.wiki,
        "page": {"page_id": edit.rev_id % 1_000_000, "page_title": edit.key, "namespace_id": 0, "is_redirect": False},
        "performer": _entity(edit.by),
        "comment": edit.comment,
        "revision": _revision(edit, edit.rev_id, edit.by),
        "prior_state": {"revision": _revision(edit, edit.rev_id - 1, edit.before)},
    }


def _prediction(edit: Edit, stream: str) -> Event:
    kept = ("meta", "changelog_kind", "page_change_kind", "dt", "wiki_id", "page", "performer", "comment", "revision")
    whole = _page_change(edit, stream)
    return {
        "$schema": "/mediawiki/page/prediction_classification_change/1.1.0",
        **{name: whole[name] for name in kept},
        "predicted_classification": {
            "model_name": "test",
            "model_version": "1",
            "predictions": ["false"],
            "probabilities": {"true": 0.25, "false": 0.75},
        },
    }


def _revision_create(edit: Edit, stream: str) -> Event:
    return _of_revision(edit, stream, "/mediawiki/revision/create/2.0.0") | {
        "dt": edit.dt,
        "rev_parent_id": edit.rev_id - 1,
        "rev_timestamp": edit.dt,
        "rev_len": 1230,
        "rev_minor_edit": False,
        "rev_content_model": "wikitext",
        "rev_content_format": "text/x-wiki",
        "comment": edit.comment,
        "parsedcomment": html.escape(edit.comment),
    }


def _tags_change(edit: Edit, stream: str) -> Event:
    return _of_revision(edit, stream, "/mediawiki/revision/tags-change/1.0.0") | {
        "rev_timestamp": edit.dt,
        "comment": edit.comment,
        "parsedcomment": html.escape(edit.comment),
        "tags": ["mw-undo"],
        "prior_state": {"tags": []},
    }


def _links_change(edit: Edit, stream: str) -> Event:
    links = {"added_links": [{"link": "/wiki/Lantern", "external": False}]}
    return _of_revision(edit, stream, "/mediawiki/page/links-change/1.0.0") | links


def _properties_change(edit: Edit, stream: str) -> Event:
    return _of_revision(edit, stream, "/mediawiki/page/properties-change/1.0.0") | {"added_properties": {"noindex": ""}}


def _of_revision(edit: Edit, stream: str, schema: str) -> Event:
    """Return the members that the older schemas have in common."""
    return {
        "$schema": schema,
        "meta": _meta(edit, stream),
        "database": edit.wiki,
        "page_id": edit.rev_id % 1_000_000,
        "page_title": edit.key,
        "page_namespace": 0,
        "page_is_redirect": False,
        "rev_id": edit.rev_id,
        "performer": {
            "user_text": edit.by.name,
            "user_id": edit.by.id,
            "user_groups": ["*", "user"],
            "user_is_bot": False,
            "user_registration_dt": "2020-01-02T03:04:05Z",
            "user_edit_count": 12,
        },
    }


def _revision(edit: Edit, rev_id: int, editor: Person) -> Event:
    return {
        "rev_id": rev_id,
        "rev_parent_id": rev_id - 1,
        "rev_dt": edit.dt,
        "is_minor_edit": False,
        "rev_size": 1230,
        "comment": edit.comment,
        "editor": _entity(editor),
        "is_content_visible": True,
        "is_editor_visible": True,
        "is_comment_visible": True,
    }


def _entity(person: Person) -> Event:
    return {
        "user_text": person.name,
        "user_id": person.id,
        "groups": ["*", "user"],
        "is_bot": False,
        "is_system": False,
        "is_temp": False,
        "registration_dt": "2020-01-02T03:04:05Z",
        "edit_count": 12,
    }


SHAPES: Mapping[str, Callable[[Edit, str], Event]] = {
    "mediawiki/recentchange": _recentchange,
    "mediawiki/page/change": _page_change,
    "mediawiki/page/prediction_classification_change": _prediction,
    "mediawiki/page/links-change": _links_change,
    "mediawiki/page/properties-change": _properties_change,
    "mediawiki/revision/create": _revision_create,
    "mediawiki/revision/tags-change": _tags_change,
}
"""Schema title → the event of an edit in streams of that schema."""
NOT_OF_EDITS = frozenset({"mediawiki.page-create"})
"""Streams with such a schema that carry no edits."""


def events_of(edit: Edit, streams: Iterable[Stream]) -> list[tuple[Stream, Event]]:
    """Return the edit's event in each of the streams that would carry it."""
    return [
        (stream, shape(edit, stream.name))
        for stream in streams
        if stream.name not in NOT_OF_EDITS and (shape := SHAPES.get(stream.schema_title or ""))
    ]


async def produce(client: Mapping[str, Any], edit: Edit, streams: Iterable[Stream]) -> list[str]:
    """Write the edit's events, each to its stream's first topic (created if missing); return the streams' names.

    `client` has the arguments of aiokafka's clients. Raises ProduceError if a broker is not on this machine or no
    stream would carry an edit; aiokafka.errors.KafkaError.
    """
    brokers = str(client["bootstrap_servers"])
    if not all(is_loopback(re.sub(r":[0-9]+$", "", broker.strip())) for broker in brokers.split(",")):
        raise ProduceError(f"No test edit is written to {brokers}: that Kafka is not on this machine")
    events = events_of(edit, streams)
    if not events:
        raise ProduceError(
            "None of the streams has edits: at least one needs one of these as its schema_title: "
            + ", ".join(sorted(SHAPES))
        )
    await create_topics(brokers, dict.fromkeys([stream.topics[0] for stream, _ in events], 1), TOPIC_CONFIG, **client)
    producer = AIOKafkaProducer(**client)
    await producer.start()
    try:
        await asyncio.gather(
            *[
                producer.send_and_wait(
                    stream.topics[0],
                    json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
                    timestamp_ms=edit.at_ms,
                )
                for stream, event in events
            ]
        )
    finally:
        await producer.stop()
    return [stream.name for stream, _ in events]
