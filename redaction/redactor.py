"""Removes who did it from the events of listed pages.

Redaction is by rule, not by stream: a key that names somebody is removed at any depth, so that a stream, or a field,
that nobody here has heard of does not leak. Pure: no Django, no asyncio, no clock.

Source: wire contract, "Redaction".
"""

from __future__ import annotations

import contextlib
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from streams.core.events import Fields, Withheld

__all__ = ["Redactor", "Withheld", "normalise_domain", "normalise_title"]

# A value that is rewritten: containers opened, leaves as the bytes that they were produced with.
_Rewritten = msgspec.Raw | dict[str, "_Rewritten"] | list["_Rewritten"]


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

_WHO = frozenset({"user", "performer", "editor", "actor"})
# Log parameters that are titles: the new one (log type move) and the old one (log action move_prot).
_MOVE_TITLES = frozenset({"target", "oldtitle"})
_MISSING = msgspec.Raw(b"")
_EMPTY_TEXT = msgspec.Raw(b'""')
_EMPTY_OBJECT = msgspec.Raw(b"{}")
# What stands in for a value whose key stays, at any depth.
_BLANKED = {
    "comment": _EMPTY_TEXT,
    "parsedcomment": _EMPTY_TEXT,
    "log_action_comment": _EMPTY_TEXT,
    "log_params": _EMPTY_OBJECT,
}

MAX_DOMAINS, MAX_DOMAIN_BYTES = 10_000, 300
"""Of so many domains, of this length, it is remembered whether they are listed: Wikimedia has a thousand."""

_JSON_BLANKS = b" \t\n\r"
_AUTHORITY = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#]*@)?([^/?#]*)", re.IGNORECASE)
# MediaWiki strips these from every title, so no event has them, but a title pasted into the list may.
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]+")
# Greek letters that must be taken apart before they are folded (Unicode 3.13, "canonical caseless matching").
_IOTA_BELOW = re.compile("[\u0345\u1f80-\u1fff]")
# What such an iota is folded to.
_IOTA = "\u03b9"


def normalise_title(text: str) -> str:
    """The one spelling of a page title, with its namespace prefix: what is equal here is the same page.

    Unicode NFC; runs of blanks and underscores are one underscore; none at the ends; letter case ignored, by Unicode's
    rules for all languages (the Turkish pairs of dotted and dotless i are not one letter). Writing direction marks are
    dropped, as MediaWiki's own titles do. Nothing is decoded: ``%20`` is three characters. May be empty: such a title
    counts as missing.
    """
    if not text.isprintable():
        # What is printable has no other blanks than spaces.
        text = " ".join(_DIRECTION_MARKS.sub("", text).replace("\u180e", " ").split())
    text = text.replace(" ", "_")
    if "__" in text or text[:1] == "_" or text[-1:] == "_":
        text = "_".join(filter(None, text.split("_")))
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFC", text)
    folded = text.casefold()
    if _IOTA in folded and _IOTA_BELOW.search(text):
        folded = unicodedata.normalize("NFD", text).casefold()
    # Folding takes some composed letters apart, which their other case never was.
    return unicodedata.normalize("NFC", folded)


def normalise_domain(text: str) -> str:
    """The one spelling of a host name: letter case ignored, no port, no dot at the end, in ASCII (``xn--``) where it
    can be. May be empty.
    """
    host = text.strip().casefold()
    if ":" in host:
        if host.startswith("["):
            host = host.partition("]")[0] + "]"
        elif host.count(":") == 1:
            host = host.partition(":")[0]
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = _DIRECTION_MARKS.sub("", host).encode("idna").decode()
    return host.rstrip(".")


class Redactor:
    """A compiled list of pages: domain → titles, in any spelling. Immutable; `version` says which list it is.

    Titles that normalise to nothing match nothing. Raises TypeError for a title that is not text (YAML's own typing
    makes 7 of ``007`` and False of ``No``).
    """

    __slots__ = ("_everywhere", "_passes", "_titles", "version")

    def __init__(self, pages: Mapping[str, Iterable[str]], version: int = 0) -> None:
        self.version = version
        lists: dict[str, set[str]] = {}
        for domain, titles in pages.items():
            if isinstance(titles, str):
                raise TypeError(f"the pages of {domain} are one text, {titles!r}; give a list of titles")
            for title in titles:
                if not isinstance(title, str):
                    raise TypeError(f"the title {title!r} of {domain} is not text; put it in quotes")
                if normalised := normalise_title(title):
                    lists.setdefault(normalise_domain(domain), set()).add(normalised)
        self._titles = {domain: frozenset(titles) for domain, titles in lists.items()}
        self._everywhere = frozenset[str]().union(*self._titles.values())
        self._passes: dict[bytes, bool] = {}
        """What `passes` said of a domain, as events spell it."""

    def __len__(self) -> int:
        """How many pages are listed."""
        return sum(map(len, self._titles.values()))

    def passes(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        """True where the event's domain is not listed, told from ``meta.domain`` or, where that is empty, from
        ``server_name`` (empty where the event has it not). False also where they do not tell.
        """
        if not self._everywhere:
            return True
        spelled = bytes(domain)
        passes = self._passes.get(spelled)
        if passes is None:
            try:
                own = normalise_domain(_text_of(domain))
                host = own or normalise_domain(_text_of(server_name))
            except (msgspec.DecodeError, UnicodeDecodeError):
                return False
            passes = bool(host) and host not in self._titles
            if own and len(spelled) < MAX_DOMAIN_BYTES and len(self._passes) < MAX_DOMAINS:
                self._passes[spelled] = passes
        return passes

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        """Redact `event`, the members of an event's object, in place; True if it is of a listed page.

        An event of no listed page is left as it is. `meta` is the members of ``event["meta"]`` where the caller has
        decoded them already; it is only read, so after True the caller decodes ``event["meta"]`` anew.

        Raises Withheld where the fields that say which page it is, or any field of a listed page's event, cannot be
        read: the event must not leave, and may have no more than its original content.
        """
        if not self._everywhere:
            return False
        try:
            if meta is None:
                raw = event.get("meta")
                meta = (_decode_optional_object(raw) if raw is not None else None) or {}
            titles = self._titles_of_domain(event, meta)
            if titles is None or titles.isdisjoint(_page_titles(event)):
                return False
            redacted = _redacted(event, keeps_performer=_is_page_change(event, meta))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            event.clear()
            event.update(redacted)
            return True
        # Raised out here so that it carries no context: a UnicodeDecodeError holds the text that it failed on.
        raise Withheld("a field that redaction has to read is not of the type, or not the JSON, that it should be")

    def redact_key(self, key: bytes) -> bytes | None:
        """What may leave of the Kafka key of an event that was redacted: ``meta.key`` is as much a part of it.

        Of a JSON object (``{"wiki_id":…,"page_id":…}``, as the keyed streams have it) that which the event would keep
        of it; else nothing: a bare value does not say what it is, and may be a name.
        """
        try:
            return _encode(_redacted(_decode_object(key), keeps_performer=False))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _titles_of_domain(self, event: Fields, meta: Fields) -> frozenset[str] | None:
        """The listed titles of the event's domain, None if it is not listed; of every domain if the event has none."""
        if (domain := normalise_domain(_text(meta, "domain"))) or (
            domain := normalise_domain(_text(event, "server_name"))
        ):
            return self._titles.get(domain)
        authority = _AUTHORITY.match(_text(meta, "uri"))
        if authority and (domain := normalise_domain(authority[1])):
            return self._titles.get(domain)
        return self._everywhere


def _text(fields: Fields, name: str) -> str:
    """A member's text, "" where it is missing or null."""
    return _text_of(fields.get(name, _MISSING))


def _text_of(raw: msgspec.Raw) -> str:
    return (_decode_text(raw) or "") if raw else ""


def _page_titles(event: Fields) -> Iterator[str]:
    """Every title that the event gives its page, before and after it, normalised."""
    for name in ("title", "page_title"):
        if (raw := event.get(name)) is not None and (title := _decode_text(raw)):
            yield _normalised(title)
    # A move's old title stands in prior_state (page/move, page/change) and in the redirect that was left behind.
    for name in ("page", "created_redirect_page", "new_redirect_page"):
        if (raw := event.get(name)) is not None and (page := _decode_page(raw)) and page.page_title:
            yield _normalised(page.page_title)
    if (raw := event.get("prior_state")) is not None and (state := _decode_prior_state(raw)):
        if state.page_title:
            yield _normalised(state.page_title)
        if state.page and state.page.page_title:
            yield _normalised(state.page.page_title)
    # recentchange: `title` is the old title; the new one is in the log's parameters. Protection that moves along
    # with its page is logged at the new title, and has the old one there.
    if "log_params" in event and (_text(event, "log_type") == "move" or _text(event, "log_action") == "move_prot"):
        params = _decode_move_params(event["log_params"])
        if isinstance(params, dict):
            for name in params:
                # As MediaWiki stores it, a parameter's name has its number before it: "4::target".
                if name.rpartition(":")[2] in _MOVE_TITLES:
                    yield normalise_title(_text(params, name))
        elif params:
            # Old log entries: the parameters by position, the title first.
            yield normalise_title((params.split("\n", 1)[0] if isinstance(params, str) else params[0]) or "")


def _normalised(title: str) -> str:
    """`normalise_title`, cached, for titles that stay in a listed page's events: one edit has events in many streams.

    What is longer than any title of MediaWiki (255 bytes and a namespace) is not kept.
    """
    return _normalised_title(title) if len(title) < 400 else normalise_title(title)


_normalised_title = functools.lru_cache(maxsize=4096)(normalise_title)


def _is_page_change(event: Fields, meta: Fields) -> bool:
    """Whether the event's schema requires a performer."""
    return _text(meta, "stream") == "mediawiki.page_change.v1" or _text(event, "$schema").startswith(
        "/mediawiki/page/change/"
    )


def _redacted(event: Fields, *, keeps_performer: bool) -> Fields:
    """The members of a redacted event. Every value is rewritten: left alone, it could hide a key given twice."""
    redacted: Fields = {}
    for name, raw in event.items():
        if keeps_performer and name == "performer":
            redacted[name] = _EMPTY_OBJECT
        elif not _names_somebody(name):
            redacted[name] = _BLANKED.get(name.casefold()) or msgspec.Raw(_encode(_rewrite(raw)))
    return redacted


def _rewrite(raw: msgspec.Raw) -> _Rewritten:
    start = bytes(raw).lstrip(_JSON_BLANKS)[:1]
    if start == b"{":
        return {
            name: _BLANKED.get(name.casefold()) or _rewrite(value)
            for name, value in _decode_object(raw).items()
            if not _names_somebody(name)
        }
    if start == b"[":
        return [_rewrite(value) for value in _decode_array(raw)]
    if start == b'"':
        _decode_text(raw)  # Raw has not looked inside strings.
    return raw


def _names_somebody(name: str) -> bool:
    folded = name.casefold()
    return folded == "userid" or not _WHO.isdisjoint(folded.split("_"))
