"""Finds out whether an event says who acted: the independent check of the redaction.

It shares no code with `redaction.redactor`, so that it finds a mistake there. Pure: no Django, no asyncio, no clock. No
result has a name or an id: paths consist of keys, and a key that may itself be a name is shown as ``*``.

Source: wire contract, "Redaction"; docs/redaction.md, "Testing a redaction".
"""

from __future__ import annotations

import html
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from redaction.check.json_members import NotJsonError as NotJsonError
from redaction.check.json_members import Number, Object, Path, members, parse

NAME_FOUND = "the performer's name"
ID_FOUND = "the performer's id"
NAME_IN_KEY = "a key that is the performer's name"
USER_KEY = "a key that names somebody, with something in it"
COMMENT = "a comment that is not empty"
LOG_PARAMS = "log parameters that are not empty"
BARE_KEY = "a Kafka key that does not say what it is: it may be a name"

PAGE_FIELDS = frozenset({"title", "page_title", "title_url"})
"""Keys, at any depth, that only identify the page, whose title may be its owner's name. So does ``meta.uri``."""
PLACED = frozenset({"topic", "partition", "offset", "key"})
"""Members of `meta` that the service adds or replaces."""

_PEOPLE = ("user", "performer", "editor", "author", "creator", "contributor")
# Where one word of a key ends and the next begins: at what is no letter, and where capitals begin or end.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
# Under a user-like key, these words say something about somebody that does not tell who it is.
_NO_NAME = frozenset({"count", "date", "dt", "group", "groups", "kind", "registration", "right", "rights"}) | frozenset(
    {"domain", "language", "timestamp", "type", "wiki"}
)
_ID = frozenset({"id", "ids", "userid", "uid"})

_PLAIN_KEY = re.compile(r"[a-z$_][A-Za-z0-9$_-]{0,60}", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]+", re.ASCII)
_ESCAPED_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPED_UNIT = re.compile(r"\\u([0-9A-Fa-f]{4})")
# Times, UUIDs and digests: they have no words, though a short name may look like a part of one.
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
    """The path in an event (keys joined by dots, ``[n]`` for an array's element) and what is there; never the value."""

    path: str
    why: str


class Who:
    """The names and ids of the people who acted, according to a raw record."""

    def __init__(self, names: Iterable[str] = (), ids: Iterable[str] = ()) -> None:
        self.names = frozenset(filter(None, map(_plain, names)))
        self.ids = frozenset(ids)
        spellings = sorted({spelling for name in self.names for spelling in _spellings(name)}, key=len, reverse=True)
        self._words = re.compile("|".join(map(_as_words, spellings))) if spellings else None
        self._spellings = frozenset(spellings)

    @classmethod
    def of(cls, raw: bytes) -> Who:
        """Return the people in a raw record. Raises NotJsonError."""
        names: list[str] = []
        ids: list[str] = []
        for path, key, value in members(parse(raw)):
            if not any(isinstance(part, str) and _is_user_like(part) for part in path):
                continue
            words = _words(key)
            if isinstance(value, str) and _DIGITS.fullmatch(value) and (words & _ID or isinstance(value, Number)):
                # A bare number is an id if the key is just the word: `user: 17`, not `user_edit_count: 17`.
                if words & _ID or (len(words) == 1 and _is_user_like(key)):
                    ids.append(value)
            elif isinstance(value, str) and not isinstance(value, Number) and not words & _NO_NAME:
                names.append(value)
        return cls(names, ids)

    def is_named_in(self, text: str) -> bool:
        """Return whether a name is the whole text, or is in it as whole words, escaped or not."""
        if self._words is None:
            return False
        readings = {_plain(reading) for reading in _readings(text)}
        if _MACHINE_MADE.fullmatch(text):
            return not readings.isdisjoint(self._spellings)
        return any(self._words.search(reading) for reading in readings)


def find_leaks(raw: bytes, served: bytes) -> list[Leak]:
    """Return where the served event has the performer's name, as whole words, or their id, under a user-like key.

    Fields that only identify the page are skipped, except under a user-like key. Raises NotJsonError.
    """
    who = Who.of(raw)
    leaks: dict[Leak, None] = {}
    for path, key, value in members(parse(served)):
        is_under_user = any(isinstance(part, str) and _is_user_like(part) for part in path)
        shown = _shown(path, who)
        if path[-1] == key and who.is_named_in(key):
            leaks[Leak(shown, NAME_IN_KEY)] = None
        if not isinstance(value, str):
            continue
        identifies_page = not is_under_user and (key in PAGE_FIELDS or path == ("meta", "uri"))
        if not isinstance(value, Number) and not identifies_page and who.is_named_in(value):
            leaks[Leak(shown, NAME_FOUND)] = None
        if is_under_user and value in who.ids:
            leaks[Leak(shown, ID_FOUND)] = None
    return list(leaks)


def find_user_keys(served: bytes, who: Who | None = None) -> list[Leak]:
    """Return where an event of a listed page has, by its shape alone, what no such event may have.

    That is a user-like key with something in it (page_change's ``"performer": {}`` has nothing), a comment, or log
    parameters. `who`, if known, keeps names out of the paths. Raises NotJsonError.
    """
    return [Leak(_shown(path, who), why) for path, why in _told_by_shape(parse(served))]


def _told_by_shape(document: Any) -> Iterator[tuple[Path, str]]:
    """Yield the outermost places that say, or may say, who acted."""
    found: list[Path] = []
    for path, key, value in members(document):
        if _is_empty(value) or any(path[: len(above)] == above for above in found):
            continue
        why = ""
        if path[-1] == key:
            folded = key.casefold()
            if _is_user_like(key):
                why = USER_KEY
            elif folded == "log_params":
                why = LOG_PARAMS
            elif folded == "comment":
                why = COMMENT
            elif path[:-1] == ("meta",) and folded == "key":
                yield from _told_by_kafka_key(path, value)
                continue
        if not why and _is_text(value) and any(isinstance(part, str) and _is_comment_like(part) for part in path):
            why = COMMENT
        if why:
            found.append(path)
            yield path, why


def _told_by_kafka_key(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    try:
        document = parse(value) if _is_text(value) else None
    except NotJsonError:
        document = None
    if isinstance(document, Object):
        yield from (((*path, *below), why) for below, why in _told_by_shape(document))
    else:
        yield path, BARE_KEY


def removed_paths(raw: bytes, served: bytes) -> list[str]:
    """Return the paths of what was removed, emptied or replaced, in the order of the raw record.

    What the service adds to `meta` does not count. Raises NotJsonError.
    """
    who = Who.of(raw)
    removed: list[str] = []
    todo: list[tuple[Path, Any, Any]] = [((), parse(raw), parse(served))]
    while todo:
        path, before, after = todo.pop()
        if isinstance(before, Object) and isinstance(after, Object):
            if not after and before and path:
                removed.append(_shown(path, who))
                continue
            left = dict(after)
            deeper = [
                ((*path, key), value, left.get(key, _MISSING))
                for key, value in dict(before).items()
                if path != ("meta",) or key not in PLACED or key not in left
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


def _words(key: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(key)}


def _is_user_like(key: str) -> bool:
    folded = key.casefold()
    return any(word in folded for word in _PEOPLE) or any(word.startswith("actor") for word in _words(key))


def _is_comment_like(key: str) -> bool:
    folded = key.casefold()
    return "comment" in folded or folded == "summary"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


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
    """Yield the spellings of a name: an IP address has several."""
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
    """Return whether a name is no whole word if a letter or digit follows (or precedes) this end of it."""
    return re.match(r"\w", char) is not None and (len(name) == 1 or _SEAMLESS.match(char) is None)


def _readings(text: str) -> Iterator[str]:
    """Yield the text, and what it says if it is escaped as HTML, as a URL, or as JSON within JSON."""
    texts = [text]
    if "&" in text:
        texts.append(html.unescape(text))
    if "\\u" in text:
        texts.append(_unescaped_json(text))
    for reading in texts:
        yield reading
        decoded = reading
        if "%" in reading:
            decoded = _ESCAPED_BYTES.sub(_decoded_bytes, reading)
            yield decoded
        if "+" in decoded:
            yield decoded.replace("+", " ")


def _decoded_bytes(escaped: re.Match[str]) -> str:
    return bytes.fromhex(escaped[0].replace("%", "")).decode(errors="replace")


def _unescaped_json(text: str) -> str:
    units = _ESCAPED_UNIT.sub(lambda m: chr(int(m[1], 16)), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
