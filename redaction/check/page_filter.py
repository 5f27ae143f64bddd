"""Finds the events of a page or of a revision, and says what each is. It shares no code with the redaction.

A part of the independent check of redaction, as `redaction.check.verdict` is. Pure.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from redaction.marking import is_test_edit

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)\.?(?::[0-9]*)?")


class _Event(msgspec.Struct):
    """The members that say which page and which revision an event is of; each may be of any type."""

    meta: Any = None
    server_name: Any = None
    title: Any = None
    page_title: Any = None
    page: Any = None
    created_redirect_page: Any = None
    new_redirect_page: Any = None
    prior_state: Any = None
    log_type: Any = None
    log_action: Any = None
    log_params: Any = None
    revision: Any = None
    rev_id: Any = None
    type: Any = None
    page_change_kind: Any = None
    schema: Any = msgspec.field(name="$schema", default=None)


_decode_event = msgspec.json.Decoder(_Event).decode


class PageFilter:
    """Finds the events, raw or served, of a page, of a revision, or (with both) of that revision of that page.

    A revision id means nothing without its wiki, so the domain is required. An event without a domain counts as one of
    every domain.
    """

    def __init__(self, domain: str, title: str | None, rev_id: int | None) -> None:
        if not title and rev_id is None:
            raise ValueError("neither a title nor a revision id was given")
        self._domain = _host(domain)
        self._title = _title(title) if title else None
        self._rev_id = rev_id

    def matches(self, event: bytes) -> bool:
        """Return whether an event is one of those; False also for what is no event."""
        fields = _read(event)
        if fields is None:
            return False
        if self._rev_id is not None and str(self._rev_id) not in _revisions(fields):
            return False
        if self._title is not None and all(_title(title) != self._title for title in _titles(fields)):
            return False
        domain = _domain(fields)
        return not domain or domain == self._domain


def _read(event: bytes) -> _Event | None:
    try:
        return _decode_event(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # JSON may have lone surrogates, msgspec's not
        loaded = json.loads(event)
    except (ValueError, RecursionError):
        return None
    if not isinstance(loaded, dict):
        return None
    return _Event(
        **{field.name: loaded.get(field.encode_name) for field in msgspec.structs.fields(_Event)},
    )


def is_of(event: bytes, domain: str, title: str | None = None, rev_id: int | None = None) -> bool:
    """Return whether an event, raw or served, is of the page (and revision)."""
    return PageFilter(domain, title, rev_id).matches(event)


def _domain(event: _Event) -> str:
    meta = event.meta if isinstance(event.meta, dict) else {}
    uri = meta.get("uri")
    authority = re.match(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#]*)", uri) if isinstance(uri, str) else None
    candidates = (meta.get("domain"), event.server_name, authority[1].rpartition("@")[2] if authority else "")
    return next((host for text in candidates if isinstance(text, str) and (host := _host(text))), "")


def _titles(event: _Event) -> Iterator[str]:
    before = event.prior_state if isinstance(event.prior_state, dict) else {}
    places = [event.title, event.page_title, before.get("page_title")]
    pages = (event.page, before.get("page"), event.created_redirect_page, event.new_redirect_page)
    places += [page.get("page_title") for page in pages if isinstance(page, dict)]
    # A move in the recent changes has its other title in the log's parameters: by name, in old entries the first.
    if event.log_type == "move" or event.log_action == "move_prot":
        params = event.log_params
        if isinstance(params, dict):
            # As MediaWiki stores them, their number comes first: "4::target".
            places += [value for name, value in params.items() if name.split(":")[-1] in ("target", "oldtitle")]
        elif isinstance(params, str):
            places.append(params.split("\n")[0])
        elif isinstance(params, list):
            places += params[:1]
    yield from (title for title in places if isinstance(title, str))


def _revisions(event: _Event) -> Iterator[str]:
    revision = event.revision if isinstance(event.revision, dict) else {}
    before = event.prior_state if isinstance(event.prior_state, dict) else {}
    earlier = before.get("revision")
    places = [event.rev_id, revision.get("rev_id"), revision.get("new"), revision.get("old"), before.get("rev_id")]
    places.append(earlier.get("rev_id") if isinstance(earlier, dict) else None)
    yield from (str(place) for place in places if isinstance(place, int | str) and not isinstance(place, bool))


def _title(text: str) -> str:
    """Return the one spelling of a title: in NFC, without invisible characters and letter case.

    Runs of blanks and underscores are one blank; those at the ends and around the first colon are none.
    """
    if not text.isascii():
        visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", visible).casefold()).replace("ı", "i")
    namespace, colon, name = text.replace("_", " ").partition(":")
    return colon.join(" ".join(part.split()) for part in (namespace, name) if colon or part).casefold()


def _host(text: str) -> str:
    """Return a host name in its usual spelling, without port; empty for what no host can be."""
    host = text.strip().casefold()
    if not host.isascii():
        name, colon, port = host.partition(":")
        with contextlib.suppress(UnicodeError):
            host = name.encode("idna").decode() + colon + port
    if found := _HOST.fullmatch(host):
        return found[1]
    with contextlib.suppress(ValueError):
        return str(ipaddress.IPv6Address(re.sub(r"^\[(.*)\](?::[0-9]*)?$", r"\1", host)))
    return ""


# What an event is


class About(NamedTuple):
    """What a person wants to know of an event; "" if the event does not say.

    `is_test`: it is of a test edit (`redaction.check.produced_edit`).
    """

    revision: str
    kind: str
    is_test: bool


def about(event: bytes) -> About:
    """Return what an event is, raw or served; for anything else, nothing."""
    fields = _read(event)
    if fields is None:
        return About("", "", False)
    revision = next((text for text in _revisions(fields) if text.isascii() and text.isdecimal()), "")
    return About(revision[:20], _kind(fields), is_test_edit(event))


def _kind(fields: _Event) -> str:
    if isinstance(fields.page_change_kind, str):
        return _short(fields.page_change_kind)
    if isinstance(fields.type, str):
        log = [text for text in (fields.log_type, fields.log_action) if isinstance(text, str) and text]
        return _short("/".join((fields.type, *dict.fromkeys(log))))
    schema = fields.schema
    # /mediawiki/revision/create/2.0.0
    parts = [part for part in schema.split("/")[2:-1] if part] if isinstance(schema, str) else []
    return _short(" ".join(parts))


def _short(text: str) -> str:
    """Return the text if it is a word; an event may have anything in the place of a kind."""
    return text if re.fullmatch(r"[A-Za-z0-9_/ .-]{1,60}", text) else ""
