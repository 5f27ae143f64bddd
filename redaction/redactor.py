"""Removes from the events of listed pages who acted.

The rule is by key, not by stream: it removes a key that names somebody at any depth, so that a new stream or field does
not leak. Pure: no Django, no asyncio, no clock.

Source: wire contract, "Redaction".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

import msgspec

from streams.core.events import Fields, Withheld
from streams.core.spelling import listed_keys, normalise_domain, normalise_title, title_keys

__all__ = ["Redactor", "Withheld", "normalise_domain", "normalise_title"]

# A rewritten value: containers are decoded, leaves are the bytes of the record.
_Rewritten = msgspec.Raw | dict[str, "_Rewritten"] | list["_Rewritten"]


Identity = tuple[str, str]
"""A listed page: its domain and title, normalised."""
_Titles = dict[str, Identity]
"""Titles that match, normalised → the page."""


class _Page(msgspec.Struct, gc=False):
    page_title: str | None = None


class _PriorState(msgspec.Struct, gc=False):
    page_title: str | None = None
    page: _Page | None = None


_decode_text = msgspec.json.Decoder(str | None).decode
_decode_page = msgspec.json.Decoder(_Page | None).decode
_decode_prior_state = msgspec.json.Decoder(_PriorState | None).decode
_decode_move_params = msgspec.json.Decoder(Fields | list[str | None] | str | None).decode
_decode_object = msgspec.json.Decoder(Fields).decode
_decode_optional_object = msgspec.json.Decoder(Fields | None).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_WHO = re.compile("user|performer|editor|author|creator|contributor")
_CHANGE_OF_CASE = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# A word that begins with it, so that `factor` stays, and `actors` does not.
_ACTOR = re.compile(r"(?<![^\W\d_])actor", re.IGNORECASE)
# Log parameters that are titles: the new one (log type move) and the old one (log action move_prot).
_MOVE_TITLES = frozenset({"target", "oldtitle"})
_MISSING = msgspec.Raw(b"")
_EMPTY_TEXT = msgspec.Raw(b'""')
_EMPTY_OBJECT = msgspec.Raw(b"{}")
# The replacements of values, of any type and at any depth, whose keys stay.
_BLANKED = {
    "comment": _EMPTY_TEXT,
    "parsedcomment": _EMPTY_TEXT,
    "log_action_comment": _EMPTY_TEXT,
    "log_params": _EMPTY_OBJECT,
}

# What becomes of a member by its name, where nothing stands in for its value.
_KEPT, _COMMENT, _REMOVED = msgspec.Raw(b"kept"), msgspec.Raw(b"its texts become empty"), msgspec.Raw(b"removed")
_FATES: dict[str, msgspec.Raw] = {}
_NAME_IN_A_SCHEMA = re.compile("[a-z][a-z0-9_]{0,40}")

REDACTIONS = dict.fromkeys(("event", "member", "comment", "performer", "key"), 0)
"""What this process has redacted, by rule: events; in them members removed, comments and log parameters emptied,
performers emptied, and Kafka keys removed."""

MAX_DOMAINS, MAX_DOMAIN_BYTES = 10_000, 300
"""Size of the cache of domains, and the longest domain that it takes (bytes): Wikimedia has 1,000."""
MAX_SPELLINGS, MAX_SPELLING = 4_096, 400
"""Size of the cache of titles that are not listed, and the longest title that it takes (characters)."""
MAX_NAMES = 2_000
"""Size of the cache of what becomes of members, by their names."""

_JSON_BLANKS = b" \t\n\r"
_AUTHORITY = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#]*@)?([^/?#]*)", re.IGNORECASE)


class Redactor:
    """A compiled list of pages (domain → titles, in any spelling). `version` says which list it is.

    Titles that normalise to nothing match nothing; titles of a domain that no host can have are listed on all domains.
    Raises TypeError for a title that is not text: YAML's own typing reads ``007`` as 7 and ``No`` as False.
    """

    __slots__ = ("_anywhere", "_everything", "_matches", "_of_domain", "_pages", "_titles", "_unlisted", "version")

    def __init__(self, pages: Mapping[str, Iterable[str]], version: int = 0) -> None:
        self.version = version
        lists: dict[str, _Titles] = {}
        self._pages: set[Identity] = set()
        for spelled, titles in pages.items():
            if isinstance(titles, str):
                raise TypeError(f"the pages of {spelled} are one text, {titles!r}; give a list of titles")
            domain = normalise_domain(spelled)
            for title in titles:
                if not isinstance(title, str):
                    raise TypeError(f"the title {title!r} of {spelled} is not text; put it in quotes")
                page = domain, normalise_title(title)
                for key in listed_keys(*page) | listed_keys(domain, title):
                    self._pages.add(page)
                    lists.setdefault(domain, {})[key] = page
        self._anywhere = lists.pop("", {})
        """What is listed on every domain."""
        self._titles = {domain: self._anywhere | titles for domain, titles in lists.items()}
        self._everything = functools.reduce(lambda all_, titles: all_ | titles, self._titles.values(), self._anywhere)
        self._of_domain: dict[bytes, _Titles] = {}
        """What is listed on a domain, as events spell it."""
        self._unlisted: set[str | None] = {None, ""}
        """Titles, as events spell them, that are listed on no domain: one edit has events in many streams."""
        self._matches: dict[Identity, int] = {}

    def __len__(self) -> int:
        """Return the number of listed pages."""
        return len(self._pages)

    def taken_matches(self) -> dict[Identity, int]:
        """Return how many events each page has matched since the last call; pages without any are missing."""
        matches, self._matches = self._matches, {}
        return matches

    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        """Return whether the event's domain is certainly not listed.

        The domain is ``meta.domain`` or, if that names none, ``server_name`` (each empty if missing).
        """
        if not self._everything:
            return True
        try:
            titles = self._titles_named(domain)
            if titles is None:
                titles = self._titles_named(server_name)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return titles is not None and not titles

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        """Redact an event in place; return whether it is of a listed page. Other events are left as they are.

        `event` has the members of the event's object; `meta` has those of ``event["meta"]``, if the caller has decoded
        them already. It is only read: after True, the caller decodes ``event["meta"]`` again.

        Raises Withheld if the fields that name the page, or any field of a listed page's event, cannot be read. The
        event must then not leave.
        """
        if not self._everything:
            return False
        try:
            if meta is None:
                raw = event.get("meta")
                meta = (_decode_optional_object(raw) if raw is not None else None) or {}
            titles = self._of_domain.get(bytes(meta.get("domain", _MISSING)))
            if titles is None:
                titles = self._titles_of_domain(event, meta)
            if not titles or self._unlisted.issuperset(spellings := _page_titles(event)):
                return False
            if not (keys := self._listed_keys(spellings, titles)):
                return False
            self._count(keys, titles)
            redacted = _redacted(event, keeps_performer=_is_page_change(event, meta), is_event=True)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            event.clear()
            event.update(redacted)
            REDACTIONS["event"] += 1
            return True
        # Raised out here so that it carries no context: a UnicodeDecodeError holds the text that it failed on.
        raise Withheld("a field that redaction has to read is not of the type, or not the JSON, that it should be")

    def redact_key(self, key: bytes) -> bytes | None:
        """Return what may leave of the Kafka key of a redacted event: ``meta.key`` is a part of it.

        A JSON object (``{"wiki_id":…,"page_id":…}``, as the keyed streams have it) is redacted by the same rules. Any
        other key is removed (None): a bare value does not say what it is, and may be a name.
        """
        redacted = _redacted_key(key)
        REDACTIONS["key"] += redacted is None
        return redacted

    def _titles_named(self, raw: msgspec.Raw) -> _Titles | None:
        """Return what is listed on the domain that a member names, None if it names none."""
        spelled = bytes(raw)
        titles = self._of_domain.get(spelled)
        if titles is None and spelled:
            domain = normalise_domain(_text_of(raw))
            if not domain:
                return None
            titles = self._titles.get(domain, self._anywhere)
            if len(spelled) < MAX_DOMAIN_BYTES and len(self._of_domain) < MAX_DOMAINS:
                self._of_domain[spelled] = titles
        return titles

    def _titles_of_domain(self, event: Fields, meta: Fields) -> _Titles:
        """Return what is listed on the event's domain, or on any domain if the event has none."""
        titles = self._titles_named(meta.get("domain", _MISSING))
        if titles is None:
            titles = self._titles_named(event.get("server_name", _MISSING))
        if titles is not None:
            return titles
        authority = _AUTHORITY.match(_text(meta, "uri"))
        if authority and (domain := normalise_domain(authority[1])):
            return self._titles.get(domain, self._anywhere)
        return self._everything

    def _listed_keys(self, spellings: Iterable[str | None], titles: _Titles) -> set[str]:
        """Return those of the titles, normalised, that are among `titles`."""
        found: set[str] = set()
        for spelling in spellings:
            if spelling:
                keys = title_keys(spelling)
                found |= titles.keys() & keys
                if len(spelling) <= MAX_SPELLING and self._everything.keys().isdisjoint(keys):
                    if len(self._unlisted) > MAX_SPELLINGS:
                        self._unlisted = {None, ""}
                    self._unlisted.add(spelling)
        return found

    def _count(self, keys: Iterable[str], titles: _Titles) -> None:
        lists = (self._anywhere, *self._titles.values()) if titles is self._everything else (titles,)
        for page in {each[key] for each in lists for key in keys if key in each}:
            self._matches[page] = self._matches.get(page, 0) + 1


def _text(fields: Fields, name: str) -> str:
    """Return a member's text, "" if it is missing or null."""
    return _text_of(fields.get(name, _MISSING))


def _text_of(raw: msgspec.Raw) -> str:
    return (_decode_text(raw) or "") if raw else ""


def _page_titles(event: Fields) -> list[str | None]:
    """Return every title that the event gives its page, before and after the event, as it is spelled there."""
    found: list[str | None] = []
    # Written out, without loops: this runs for each event of a listed domain.
    if "title" in event:
        found.append(_decode_text(event["title"]))
    if "page_title" in event:
        found.append(_decode_text(event["page_title"]))
    if "page" in event and (page := _decode_page(event["page"])) is not None:
        found.append(page.page_title)
    # A move's old title stands in the redirect that was left behind and in prior_state (page/move, page/change).
    if "created_redirect_page" in event and (page := _decode_page(event["created_redirect_page"])) is not None:
        found.append(page.page_title)
    if "new_redirect_page" in event and (page := _decode_page(event["new_redirect_page"])) is not None:
        found.append(page.page_title)
    if "prior_state" in event and (state := _decode_prior_state(event["prior_state"])) is not None:
        found.append(state.page_title)
        if state.page is not None:
            found.append(state.page.page_title)
    # recentchange: `title` is the old title; the new one is in the log's parameters. Protection that moves along
    # with its page is logged at the new title, and has the old one there.
    if "log_params" in event and (_text(event, "log_type") == "move" or _text(event, "log_action") == "move_prot"):
        params = _decode_move_params(event["log_params"])
        if isinstance(params, str) and params.startswith(("{", "[")):  # no title begins so: it is JSON once more
            params = _decode_move_params(params)
        if isinstance(params, dict):
            # As MediaWiki stores it, a parameter's name has its number before it: "4::target".
            found += [_text(params, name) for name in params if name.rpartition(":")[2] in _MOVE_TITLES]
        elif params:
            # Old log entries: the parameters by position, the title first.
            found.append(params.split("\n", 1)[0] if isinstance(params, str) else params[0])
    return found


def _is_page_change(event: Fields, meta: Fields) -> bool:
    """Return whether the event's schema requires a performer."""
    return _text(meta, "stream") == "mediawiki.page_change.v1" or _text(event, "$schema").startswith(
        "/mediawiki/page/change/"
    )


def _redacted(event: Fields, *, keeps_performer: bool = False, is_event: bool = False) -> Fields:
    """Return the members of an object, redacted. Every value is rewritten, since it may hide a key given twice."""
    redacted: Fields = {}
    for name, raw in event.items():
        if is_event and name == "meta":
            redacted[name] = _redacted_meta(raw)
        elif keeps_performer and name == "performer":
            redacted[name] = _EMPTY_OBJECT
            REDACTIONS["performer"] += 1
        elif (value := _rewritten_member(name, raw, False)) is not None:
            redacted[name] = msgspec.Raw(_encode(value))
    return redacted


def _redacted_meta(raw: msgspec.Raw) -> msgspec.Raw:
    """Return ``meta``, redacted. A ``key`` in it is redacted by the same rule as the Kafka key."""
    meta = _decode_optional_object(raw)
    if meta is None:
        return raw
    redacted = _redacted(meta)
    for name in [name for name in redacted if name.casefold() == "key"]:
        key = _redacted_key(_decode_text(raw).encode()) if _is_text(raw := meta[name]) else None
        if key is None:
            del redacted[name]
        else:
            redacted[name] = msgspec.Raw(_encode(key.decode()))
    return msgspec.Raw(_encode(redacted))


def _redacted_key(key: bytes) -> bytes | None:
    try:
        return _encode(_redacted(_decode_object(key)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _rewritten_member(name: str, raw: msgspec.Raw, is_comment: bool) -> _Rewritten | None:
    """Return what a member's value becomes; None if the member is removed."""
    fate = _FATES.get(name) or _fate(name)
    if fate is _KEPT:
        return _rewrite(raw, is_comment)
    REDACTIONS["member" if fate is _REMOVED else "comment"] += 1
    if fate is _REMOVED:
        return None
    return _rewrite(raw, True) if fate is _COMMENT else fate


def _fate(name: str) -> msgspec.Raw:
    """Return what becomes of a member with this name: a mark, or what stands in for its value."""
    folded = name.casefold()
    # All words for those who act have one or the other.
    if ("er" in folded or "or" in folded) and _names_somebody(name):
        fate = _REMOVED
    elif blank := _BLANKED.get(folded):
        fate = blank
    else:
        fate = _COMMENT if "comment" in folded or folded == "summary" else _KEPT
    # The names that a schema gives are the same in all events. The name of a person, which the key of a map may be, is
    # not kept: MediaWiki begins it with a capital letter.
    if len(_FATES) < MAX_NAMES and _NAME_IN_A_SCHEMA.fullmatch(name):
        _FATES[name] = fate
    return fate


def _rewrite(raw: msgspec.Raw, is_comment: bool) -> _Rewritten:
    """Return a value without what says who acted; if it is a comment, without any text."""
    start = bytes(raw).lstrip(_JSON_BLANKS)[:1]
    if start == b"{":
        rewritten = {}
        for name, value in _decode_object(raw).items():
            member = _rewritten_member(name, value, is_comment)
            if member is not None:
                rewritten[name] = member
        return rewritten
    if start == b"[":
        return [_rewrite(value, is_comment) for value in _decode_array(raw)]
    if start == b'"':
        _decode_text(raw)  # Raw has not looked inside strings.
        return _EMPTY_TEXT if is_comment else raw
    return raw


def _is_text(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip(_JSON_BLANKS).startswith(b'"')


def _names_somebody(name: str) -> bool:
    return bool(_WHO.search(name.casefold()) or _ACTOR.search(_CHANGE_OF_CASE.sub("_", name)))
