"""The demo's streams, and which of them carry each kind of change.

Source: Wikimedia's stream configuration for names and topics; MediaWiki's EventBus extension for what goes where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streams.local.demo.changes import Change, Event, Page, Revision, instant
from streams.local.demo.page_change import page_change, prediction
from streams.local.demo.recentchange import categorisation, recentchange
from streams.local.demo.revision_events import links_change, page_delete, page_move, revision_create, visibility_change
from streams.local.demo.samples import Person, Wiki

RECENTCHANGE = "mediawiki.recentchange"
PAGE_CHANGE = "mediawiki.page_change.v1"
REVISION_CREATE = "mediawiki.revision-create"
PAGE_CREATE = "mediawiki.page-create"
PAGE_MOVE = "mediawiki.page-move"
PAGE_DELETE = "mediawiki.page-delete"
LINKS_CHANGE = "mediawiki.page-links-change"
PREDICTION = "mediawiki.page_revert_risk_prediction_change.v1"
VISIBILITY_CHANGE = "mediawiki.revision-visibility-change"

Maker = Callable[[Change, str], Event | None]

_TOLD: dict[str, tuple[tuple[str, Maker], ...]] = {
    "edit": (
        (RECENTCHANGE, recentchange),
        (RECENTCHANGE, categorisation),
        (PAGE_CHANGE, page_change),
        (REVISION_CREATE, revision_create),
        (LINKS_CHANGE, links_change),
        (PREDICTION, prediction),
    ),
    "new": (
        (RECENTCHANGE, recentchange),
        (PAGE_CHANGE, page_change),
        (REVISION_CREATE, revision_create),
        (PAGE_CREATE, revision_create),
        (LINKS_CHANGE, links_change),
    ),
    "move": (
        (RECENTCHANGE, recentchange),
        (PAGE_CHANGE, page_change),
        (REVISION_CREATE, revision_create),
        (PAGE_MOVE, page_move),
    ),
    "delete": ((RECENTCHANGE, recentchange), (PAGE_CHANGE, page_change), (PAGE_DELETE, page_delete)),
    "visibility": (
        (RECENTCHANGE, recentchange),
        (PAGE_CHANGE, page_change),
        (VISIBILITY_CHANGE, visibility_change),
    ),
    "block": ((RECENTCHANGE, recentchange),),
}
"""By kind of change: the streams that carry it, and the function that makes the event."""

STREAMS = tuple(dict.fromkeys(stream for told in _TOLD.values() for stream, _ in told))
DATACENTRES = ("eqiad", "codfw")
TOPICS = tuple(f"{datacentre}.{stream}" for stream in STREAMS for datacentre in DATACENTRES)

CANARY = "canary"
"""The `meta.domain` of Wikimedia's test events, which clients must ignore."""


def events_of(change: Change) -> Iterator[tuple[str, Event]]:
    """Yield the events of a change: (stream, event)."""
    for stream, make in _TOLD[change.kind]:
        event = make(change, stream)
        if event is not None:
            yield stream, event


def canaries(at_ms: int, new_id: Callable[[], str]) -> Iterator[tuple[str, Event]]:
    """Yield a test event for each stream; as in production, recentchange's only has `$schema` and `meta`."""
    for stream in STREAMS:
        kind, make = _first_told(stream)
        event = make(_canary(kind, at_ms, new_id), stream) or {}
        event["meta"] = {"id": new_id(), "dt": instant(at_ms), "domain": CANARY, "stream": stream}
        yield stream, {name: event[name] for name in ("$schema", "meta")} if stream == RECENTCHANGE else event


def _first_told(stream: str) -> tuple[str, Maker]:
    return next((kind, make) for kind, told in _TOLD.items() for name, make in told if name == stream)


def _canary(kind: str, at_ms: int, new_id: Callable[[], str]) -> Change:
    wiki, person = Wiki("examplewiki", CANARY, 0, 0, (), (), (), ""), Person("Example user")
    first = Revision(1, None, 1, at_ms, person, "an example", False, 100)
    created = Page(wiki, 1, "Example", 0, first)
    edited = created._replace(head=first._replace(id=2, parent=1, content_id=2))
    return Change(
        kind=kind,
        at_ms=at_ms,
        person=person,
        comment="an example",
        page=created if kind == "new" else edited,
        before=None if kind == "new" else created,
        recentchange_id=1,
        request_id=new_id(),
        datacentre="",
        new_id=new_id,
        links=("/wiki/Example",),
        risk=0.1,
    )
