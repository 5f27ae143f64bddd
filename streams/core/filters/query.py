"""The query string of a request becomes a Filter, with its canonical form.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from streams.core.errors import InvalidFilter
from streams.core.filters import where
from streams.core.filters.filter import NO_FILTER, Filter, Values
from streams.core.spelling import normalise_title

MAX_VALUES = 100
"""Values of all parameters together, `where` apart."""
MAX_CONDITIONS = 16
MAX_BYTES = 4096
"""Bytes of the canonical form."""

_LISTS = ("wiki", "domain", "type", "namespace")
"""Parameters whose values are separated by commas."""
_SINGLES = ("title", "user", "bot", "minor", "patrolled")
_UNESCAPED = "!*'()"
"""What `encodeURIComponent` leaves as it is and `quote` does not."""

_ELLIPSIS = "%E2%80%A6"
_PARTIAL_ESCAPE = re.compile("%[0-9A-F]?$")

_WORD = re.compile(r"[^\s\x00-\x1f]+")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def parse_filter(query: bytes) -> Filter:
    """Return the filter that a query string asks for; NO_FILTER where it has none of the parameters.

    Raises InvalidFilter, whose detail says which parameter, what it was and what was expected.
    """
    asked = _asked(query)
    values: dict[str, Values] = {}
    parts: list[str] = []
    count = 0
    for parameter in (*_LISTS, *_SINGLES):
        elements = _elements(parameter, asked.get(parameter, ()))
        if not elements:
            continue
        count += len(elements)
        if count > MAX_VALUES:
            raise InvalidFilter(f"the filter has more than {MAX_VALUES} values; use fewer")
        values[parameter], canonical = _values(parameter, elements)
        if parameter in _LISTS:
            parts.append(f"{parameter}={','.join(map(_encoded, canonical))}")
        else:
            parts += [f"{parameter}={_encoded(text)}" for text in canonical]
    canary = _canary(asked.get("canary", ()))
    if canary != "true":
        parts.append(f"canary={canary}")
    conditions = _conditions(asked.get("where", ()))
    parts += [f"where={_encoded(condition.text)}" for condition in conditions]
    if not parts:
        return NO_FILTER
    # Sorted by name, stably: what stands under one name is in order already.
    text = "&".join(sorted(parts, key=lambda part: part.partition("=")[0]))
    if len(text) > MAX_BYTES:
        raise InvalidFilter(f"the filter has {len(text)} bytes in its canonical form; at most {MAX_BYTES} are allowed")
    return Filter(text, tuple(values.items()), canary, tuple(conditions))


def _asked(query: bytes) -> dict[str, list[str]]:
    """Return the texts of the parameters that are filters, those that are not empty."""
    asked: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        raw_name, _, raw_value = part.partition(b"=")
        name = _unquoted(raw_name).decode("utf-8", "replace")
        if name not in PARAMETERS or not raw_value:
            continue
        value = _unquoted(raw_value)
        try:
            asked.setdefault(name, []).append(value.decode())
        except UnicodeDecodeError:
            shown = value.decode("utf-8", "backslashreplace")
            raise InvalidFilter.of_value(name, shown, "text in UTF-8, percent-encoded") from None
    return asked


def _unquoted(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))


def _elements(parameter: str, texts: Iterable[str]) -> list[str]:
    if parameter not in _LISTS:
        return list(texts)
    elements: list[str] = []
    for text in texts:
        found = text.split(",")
        if "" in found:
            raise InvalidFilter.of_value(parameter, text, "values separated by single commas, none of them empty")
        elements += found
    return elements


def _values(parameter: str, elements: Iterable[str]) -> tuple[Values, list[str]]:
    """Return what the elements of one parameter say, and their canonical texts in order."""
    wanted: set[Any] = set()
    excluded: set[Any] = set()
    wanted_parts: set[str] = set()
    excluded_parts: set[str] = set()
    canonical: set[str] = set()
    for element in elements:
        is_excluded = element.startswith("!")
        literal = element[1:] if is_excluded or element.startswith(("=!", "==")) else element
        value, part, text = _READERS[parameter](literal) or _fail(parameter, element)
        if part is not None:
            (excluded_parts if is_excluded else wanted_parts).add(part)
        else:
            (excluded if is_excluded else wanted).add(value)
        canonical.add(f"!{text}" if is_excluded else f"={text}" if text.startswith(("!", "=!", "==")) else text)
    found = Values(frozenset(wanted), frozenset(excluded), tuple(sorted(wanted_parts)), tuple(sorted(excluded_parts)))
    return found, sorted(canonical)


Read = tuple[Any, str | None, str]
"""A value that an event's is equal to, or a part that it begins or ends with, and how it is written."""


def _word(text: str) -> Read | None:
    return (text, None, text) if _WORD.fullmatch(text) else None


def _domain(text: str) -> Read | None:
    host = text.lower()
    if host.startswith("*."):
        return (None, host[1:], host) if _HOST.fullmatch(host[2:]) else None
    return (host, None, host) if _HOST.fullmatch(host) else None


def _namespace(text: str) -> Read | None:
    return (int(text), None, str(int(text))) if _INTEGER.fullmatch(text) else None


def _title(text: str) -> Read | None:
    if text.endswith("/*"):
        page = normalise_title(text[:-2])
        return (None, f"{page}/", f"{page}/*") if page else None
    return _name(text)


def _name(text: str) -> Read | None:
    name = normalise_title(text)
    return (name, None, name) if name else None


def _flag(text: str) -> Read | None:
    return (text == "true", None, text) if text in ("true", "false") else None


_READERS: dict[str, Callable[[str], Read | None]] = {
    "wiki": _word,
    "domain": _domain,
    "type": _word,
    "namespace": _namespace,
    "title": _title,
    "user": _name,
    "bot": _flag,
    "minor": _flag,
    "patrolled": _flag,
}
PARAMETERS = frozenset({*_READERS, "canary", "where"})
_EXPECTED = {
    "wiki": "names of databases such as enwiki, separated by commas",
    "domain": "host names such as en.wikipedia.org or *.wikipedia.org, separated by commas",
    "type": "words such as edit or log, separated by commas",
    "namespace": "integers such as 0 or 14, separated by commas",
    "title": "the title of a page, or one that ends in /* for all pages below it",
    "user": "the name of a user",
    "bot": "true or false",
    "minor": "true or false",
    "patrolled": "true or false",
}


def _canary(texts: Iterable[str]) -> str:
    texts = list(texts)
    if len(texts) > 1:
        raise InvalidFilter("canary was given more than once; give it once")
    text = texts[0] if texts else "true"
    if text not in ("true", "false", "only"):
        raise InvalidFilter.of_value("canary", text, "true, false or only")
    return text


def _conditions(texts: Iterable[str]) -> list[where.Condition]:
    texts = sorted(set(texts))
    if len(texts) > MAX_CONDITIONS:
        raise InvalidFilter(f"where was given {len(texts)} times; at most {MAX_CONDITIONS} are allowed")
    conditions = []
    for text in texts:
        try:
            conditions.append(where.parse_condition(text))
        except where.ConditionError:
            raise InvalidFilter.of_value("where", text, where.EXPECTED) from None
    return conditions


def _encoded(text: str) -> str:
    return quote(text, safe=_UNESCAPED)


def _fail(parameter: str, element: str) -> Read:
    raise InvalidFilter.of_value(parameter, element, _EXPECTED[parameter])


def shortened(text: str, max_bytes: int) -> str:
    """Return a canonical form without its last parameters and values, so that it has at most `max_bytes`.

    If the first value alone is longer, it is cut, and ends with an ellipsis: something is in force, and it says what.
    """
    if len(text) <= max_bytes:
        return text
    end = max(text.rfind(separator, 0, max_bytes + 1) for separator in "&,")
    if end > 0:
        return text[:end]
    whole_escapes = _PARTIAL_ESCAPE.sub("", text[: max_bytes - len(_ELLIPSIS)])
    parameter, _, value = whole_escapes.partition("=")
    return f"{parameter}={_encoded(unquote(value, errors='ignore'))}{_ELLIPSIS}"
