"""Does what a client got say who did it? The check of redaction, written without a look at how redaction is done.

It shares no code with `redaction.redactor`, so that a mistake there is seen here. Pure: no Django, no asyncio, no
clock. No result holds a name or an id: paths are made of keys alone, and a key that may itself be a name is shown
as ``*``.

Source: wire contract, "Redaction"; docs/redaction.md, "Testing a redaction".
"""

from __future__ import annotations

import contextlib
import html
import ipaddress
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

NAME_FOUND = "the performer's name"
ID_FOUND = "the performer's id"
NAME_IN_KEY = "a key that is the performer's name"
USER_KEY = "a key that names somebody, with something in it"
COMMENT = "a comment that is not empty"
LOG_PARAMS = "log parameters that are not empty"

PAGE_FIELDS = frozenset({"title", "page_title", "title_url"})
"""At any depth: they only identify the page, whose title may have its owner's name. Besides them, ``meta.uri``."""
PLACED = frozenset({"topic", "partition", "offset", "key"})
"""Members of `meta` that the service adds or replaces."""

_USER_LIKE = re.compile(r"(?:.*_)?(?:user|performer|editor|actor)(?:_.*)?|userid", re.IGNORECASE | re.DOTALL)
_COMMENTS = frozenset({"comment", "parsedcomment", "log_action_comment"})
# Under a user-like key, these say something of somebody that does not tell who it is, or only numbers them.
_NO_NAME = frozenset({"count", "date", "dt", "group", "groups", "kind", "registration", "right", "rights"}) | frozenset(
    {"domain", "language", "timestamp", "type", "wiki"}
)
_ID = frozenset({"id", "ids", "userid"})

_PLAIN_KEY = re.compile(r"[a-z$_][A-Za-z0-9$_-]{0,60}", re.ASCII)
_JOINERS = "\u200c\u200d"  # invisible, but part of how a word is spelled
_DIGITS = re.compile(r"-?[0-9]+", re.ASCII)
_ESCAPED_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPED_UNIT = re.compile(r"\\u([0-9A-Fa-f]{4})")
# Instants, UUIDs and digests: they say nothing in words, though a short name may well look like a part of one.
_MACHINE_MADE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)?|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|[0-9a-f]{32,}|[0-9a-z]{31}",
    re.ASCII,
)
# Scripts that put no blank between words (or, Hangul, none before a particle): there a name ends anywhere.
_SEAMLESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Leak(NamedTuple):
    """Where in an event (keys joined by dots, ``[n]`` for an array's element), and what of; never the value."""

    path: str
    why: str


class NotJsonError(ValueError):
    """It cannot be read as JSON, so nothing can be said of it. The message holds no part of it."""


class _Object(list[tuple[str, Any]]):
    """The members of an object as they were written: a key that is there twice is seen twice."""


class _Number(str):
    """A number as it was written."""


Part = str | int
Path = tuple[Part, ...]


class Who:
    """The names and ids of those whom a raw record says to have acted."""

    def __init__(self, names: Iterable[str] = (), ids: Iterable[str] = ()) -> None:
        self.names = frozenset(filter(None, map(_plain, names)))
        self.ids = frozenset(ids)
        spellings = sorted({spelling for name in self.names for spelling in _spellings(name)}, key=len, reverse=True)
        self._words = re.compile("|".join(map(_as_words, spellings))) if spellings else None
        self._spellings = frozenset(spellings)

    @classmethod
    def of(cls, raw: bytes) -> Who:
        """Raises NotJsonError."""
        names: list[str] = []
        ids: list[str] = []
        for path, key, value in _members(_parse(raw)):
            if not any(isinstance(part, str) and _is_user_like(part) for part in path):
                continue
            words = set(key.casefold().split("_"))
            if isinstance(value, str) and _DIGITS.fullmatch(value) and (words & _ID or isinstance(value, _Number)):
                # A bare number is an id where the key is no more than the word: `user: 17`, not `user_edit_count: 17`.
                if words & _ID or (len(words) == 1 and _is_user_like(key)):
                    ids.append(value)
            elif isinstance(value, str) and not isinstance(value, _Number) and not words & _NO_NAME:
                names.append(value)
        return cls(names, ids)

    def is_named_in(self, text: str) -> bool:
        """Whether one of the names is the whole text, or stands in it as whole words, escaped or not."""
        if self._words is None:
            return False
        readings = {_plain(reading) for reading in _readings(text)}
        if _MACHINE_MADE.fullmatch(text):
            return not readings.isdisjoint(self._spellings)
        return any(self._words.search(reading) for reading in readings)


def find_leaks(raw: bytes, served: bytes) -> list[Leak]:
    """Where the served event has the performer's name, as whole words, or their id, under a user-like key.

    Fields that only identify the page are passed over, except under a user-like key. Raises NotJsonError.
    """
    who = Who.of(raw)
    leaks: dict[Leak, None] = {}
    for path, key, value in _members(_parse(served)):
        is_under_user = any(isinstance(part, str) and _is_user_like(part) for part in path)
        shown = _shown(path, who)
        if path[-1] == key and who.is_named_in(key):
            leaks[Leak(shown, NAME_IN_KEY)] = None
        if not isinstance(value, str):
            continue
        identifies_page = not is_under_user and (key in PAGE_FIELDS or path == ("meta", "uri"))
        if not isinstance(value, _Number) and not identifies_page and who.is_named_in(value):
            leaks[Leak(shown, NAME_FOUND)] = None
        if is_under_user and value in who.ids:
            leaks[Leak(shown, ID_FOUND)] = None
    return list(leaks)


def find_user_keys(served: bytes, who: Who | None = None) -> list[Leak]:
    """By shape alone: where an event, taken to be of a listed page, has what none such may have.

    That is a user-like key with something in it (page_change's ``"performer": {}`` has nothing), a comment, or log
    parameters. `who`, where it is known, keeps names out of the paths. Raises NotJsonError.
    """
    leaks: dict[Leak, None] = {}
    found: list[Path] = []
    for path, key, value in _members(_parse(served)):
        if path[-1] != key or _is_empty(value) or any(path[: len(above)] == above for above in found):
            continue
        folded = key.casefold()
        why = (
            USER_KEY
            if _is_user_like(key)
            else COMMENT
            if folded in _COMMENTS
            else LOG_PARAMS
            if folded == "log_params"
            else ""
        )
        if why:
            found.append(path)
            leaks[Leak(_shown(path, who), why)] = None
    return list(leaks)


def removed_paths(raw: bytes, served: bytes) -> list[str]:
    """The paths of what the client did not get as it was produced: removed, emptied or replaced. In the raw order.

    What the service adds to `meta` is none of it. Raises NotJsonError.
    """
    who = Who.of(raw)
    removed: list[str] = []
    todo: list[tuple[Path, Any, Any]] = [((), _parse(raw), _parse(served))]
    while todo:
        path, before, after = todo.pop()
        if isinstance(before, _Object) and isinstance(after, _Object):
            if not after and before and path:
                removed.append(_shown(path, who))
                continue
            left = dict(after)
            deeper = [
                ((*path, key), value, left.get(key, _MISSING))
                for key, value in dict(before).items()
                if path != ("meta",) or key not in PLACED
            ]
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after) != 0:
            deeper = [((*path, at), *pair) for at, pair in enumerate(zip(before, after, strict=True))]
        else:
            if type(before) is not type(after) or before != after:
                removed.append(_shown(path, who))
            continue
        todo += reversed(deeper)
    return removed


_MISSING = object()


# Which events are of the page


class _Event(msgspec.Struct):
    """What says which page and which revision an event is of; anything may be in the place of anything."""

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


_decode_event = msgspec.json.Decoder(_Event).decode


class PageFilter:
    """Finds the events of a page, of a revision, or (with both) of that revision of that page, raw or served.

    A revision id means nothing without its wiki, so there is always a domain. An event that has no domain counts as
    one of every domain.
    """

    def __init__(self, domain: str, title: str | None, rev_id: int | None) -> None:
        if not title and rev_id is None:
            raise ValueError("neither a title nor a revision id was given")
        self._domain = _host(domain)
        self._title = _title(title) if title else None
        self._rev_id = rev_id

    def matches(self, event: bytes) -> bool:
        """False also for what is no event."""
        try:
            fields = _decode_event(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            try:  # JSON may have lone surrogates, msgspec's not
                loaded = json.loads(event)
            except (ValueError, RecursionError):
                return False
            if not isinstance(loaded, dict):
                return False
            fields = _Event(**{name: loaded.get(name) for name in _Event.__struct_fields__})
        if self._rev_id is not None and str(self._rev_id) not in _revisions(fields):
            return False
        if self._title is not None and all(_title(title) != self._title for title in _titles(fields)):
            return False
        domain = _domain(fields)
        return not domain or domain == self._domain


def is_of(event: bytes, domain: str, title: str | None = None, rev_id: int | None = None) -> bool:
    """Whether an event, raw or served, is of the page (and revision)."""
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
    yield from (str(place) for place in places if isinstance(place, int | str))


def _title(text: str) -> str:
    """One spelling for all: NFC, blanks as underscores are, none twice or at the ends, no letter case."""
    if not text.isascii():
        visible = "".join(char for char in text if char in _JOINERS or unicodedata.category(char) != "Cf")
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", visible).casefold())
    return " ".join(text.replace("_", " ").split()).casefold()


def _host(text: str) -> str:
    host = re.sub(r":[0-9]*$", "", text.strip()).casefold()
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode()
    return host.rstrip(".")


# Reading JSON


def _parse(text: bytes) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except (ValueError, RecursionError):
        pass
    raise NotJsonError("it cannot be read as JSON")  # out here: the context would hold the text


def _members(document: Any) -> Iterator[tuple[Path, str, Any]]:
    """Every member at any depth, and every element of an array, in order: path, key (an array's for its elements)."""
    todo: list[tuple[Path, str, Any]] = [((), "", document)]
    while todo:
        path, key, value = todo.pop()
        if path:
            yield path, key, value
        if isinstance(value, _Object):
            todo += [((*path, name), name, member) for name, member in reversed(value)]
        elif isinstance(value, list):
            todo += [((*path, at), key, member) for at, member in reversed(list(enumerate(value)))]


def _is_user_like(key: str) -> bool:
    return _USER_LIKE.fullmatch(key) is not None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list) and not value)


def _shown(path: Path, who: Who | None) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part) is None or (who is not None and who.is_named_in(part)):
            text += ".*"
        else:
            text += f".{part}"
    return text.removeprefix(".")


# Finding names


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).replace("_", " ").split())


def _spellings(name: str) -> Iterator[str]:
    """A name; an IP address is one also in its other spellings."""
    yield name
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return
    for text in (
        address.compressed,
        address.exploded,
        ":".join(f"{int(x, 16):x}" for x in address.exploded.split(":")) if address.version == 6 else str(address),
    ):
        yield from (text.lower(), text.upper())


def _as_words(name: str) -> str:
    start = r"(?<!\w)" if _has_seam(name, name[0]) else ""
    end = r"(?!\w)" if _has_seam(name, name[-1]) else ""
    return start + re.escape(name) + end


def _has_seam(name: str, char: str) -> bool:
    """Whether a name is no whole word where a letter or digit follows (or precedes) this end of it."""
    return re.match(r"\w", char) is not None and (len(name) == 1 or _SEAMLESS.match(char) is None)


def _readings(text: str) -> Iterator[str]:
    """The text, and what it says where it is escaped as HTML, as a URL, or as JSON within JSON."""
    texts = [text]
    if "&" in text:
        texts.append(html.unescape(text))
    if "\\u" in text:
        texts.append(_unescaped_json(text))
    for reading in texts:
        yield reading
        if "%" in reading:
            decoded = _ESCAPED_BYTES.sub(
                lambda m: bytes.fromhex(m[0].replace("%", "")).decode(errors="replace"), reading
            )
            yield decoded
            reading = decoded
        if "+" in reading:
            yield reading.replace("+", " ")


def _unescaped_json(text: str) -> str:
    units = _ESCAPED_UNIT.sub(lambda m: chr(int(m[1], 16)), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
