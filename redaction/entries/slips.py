"""Titles that were copied together with something that is not a part of them. Pure: no Django.

Some are never right, though MediaWiki would allow them: a part of an address, a text in the wrong encoding. Others may
be: a title can stand in quotation marks, or begin with a dash. An admin who means one gives the whole address of the
page, which is copied and not typed.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

_PATH = re.compile(r"/?wiki/|/wiki/", re.ASCII)
_INDEX = re.compile(r"/?(?:w/)?index\.php\?(.*)", re.ASCII)
_ADDRESS = re.compile(r"(?:https?:)?//[^/\s]+/(?:wiki/|w/index\.php\?)", re.IGNORECASE)
_QUERY = re.compile(r"[?&][a-z_]+=\S*$", re.ASCII)
_PARAMETER = re.compile(r"[?&]([a-z_]+)=", re.ASCII)
_PARAMETERS = frozenset(
    {"action", "curid", "diff", "fbclid", "from", "hl", "lang", "limit", "mobileaction", "namespace", "offset", "oldid"}
    | {"page", "pagefrom", "printable", "redirect", "redlink", "search", "section", "setlang", "title", "useformat"}
    | {"uselang", "useskin", "utm_campaign", "utm_medium", "utm_source", "variant", "veaction", "wprov"}
)
"""Names of parameters in addresses that MediaWiki, or a link to it, uses."""
_QUOTES = (('"', '"'), ("'", "'"), ("«", "»"), ("“", "”"), ("„", "“"), ("„", "”"), ("‘", "’"), ("”", "”"), ("`", "`"))
_PERCENT = re.compile("%[0-9A-Fa-f]{2}")
_BULLET = re.compile(r"[-*•–—]\s+(?=\S)")
_BOXES = re.compile("[\u2500-\u259f]")
_CYRILLIC = re.compile("[\u0400-\u052f]+")
_CERTAIN = "ÃÂÐÑ"
"""Letters with which two-byte sequences begin that no language writes: Ã©, Â«, Ð¤."""


class Slip(NamedTuple):
    """What is wrong with a title, and the title that is probably meant; `is_certain`: the title is never right."""

    why: str
    meant: str
    is_certain: bool = True


def find_slip(title: str, *, of_address: bool = False) -> Slip | None:
    """Return the first slip in a title, None if it has none; `meant` has none.

    A title that is `of_address` was copied and not typed: quotation marks and the like belong to it.
    """
    always = (_address, _path, _query, _misread)
    for find in always if of_address else (_listed, _quoted, *always):
        found = find(title)
        if found is not None:
            deeper = find_slip(found.meant)
            meant = deeper.meant if deeper else found.meant
            is_certain = found.is_certain or (deeper is not None and deeper.is_certain)
            return Slip(f"{found.why} “{meant}”", meant, is_certain)
    return None


def without_escapes(title: str) -> str:
    """Return the title with %20 and the like decoded, or as it is if they are not UTF-8.

    No title can contain a percent sign before two hexadecimal digits, so nothing else can be meant.
    """
    if _PERCENT.search(title) is None:
        return title
    try:
        return unquote(title, errors="strict")
    except UnicodeDecodeError:
        return title


def _listed(title: str) -> Slip | None:
    mark = _BULLET.match(title)
    return mark and Slip("the mark of a list stands before the title: write", title[mark.end() :])


def _address(title: str) -> Slip | None:
    """Find an address inside a title: after `view-source:`, or that of a second line whose line break was lost."""
    address = _ADDRESS.search(title)
    meant = title[address.end() :].strip() if address else ""
    if address is None or not meant:
        return None
    return Slip(f"“{address[0]}” begins an address inside the title: give one address alone, or the title,", meant)


def _path(title: str) -> Slip | None:
    if index := _INDEX.match(title):
        meant = parse_qs(index[1]).get("title", [""])[0].replace("_", " ")
        return Slip(f"“{title[:60]}” is a part of an address: write the title alone,", meant) if meant else None
    path = _PATH.match(title)
    if path is None or not title[path.end() :].strip():
        return None
    meant = title[path.end() :].strip()
    # Comparing titles ignores case, but case distinguishes this page from the slip.
    real = f"W{path[0].lstrip('/')[1:]}{meant}"
    why = f"“{path[0]}” is a part of an address (a title that really begins so: “{real}”): write the title alone,"
    return Slip(why, meant)


def _query(title: str) -> Slip | None:
    query = _QUERY.search(title)
    if query is None:
        return None
    first = re.search(r"\?[a-z_]+=", title, re.ASCII)
    start = first.start() if first else query.start()
    meant = title[:start].strip()
    if not meant:
        return None
    is_known = not _PARAMETERS.isdisjoint(_PARAMETER.findall(title[start:]))
    else_ = "" if is_known else " (or the whole address of the page, if it belongs to its title)"
    why = f"“{title[start:][:60]}” is a part of an address: write the title alone{else_},"
    return Slip(why, meant, is_certain=is_known)


def _quoted(title: str) -> Slip | None:
    for opening, closing in _QUOTES:
        inner = title[1:-1].strip()
        if len(title) > 2 and title[0] == opening and title[-1] == closing and inner:
            if opening in inner or closing in inner:
                continue  # as in "A" and "B"
            return Slip(
                "the title stands in quotation marks: leave them out, or give the whole address of the page if they "
                "belong to its title; probably meant:",
                inner,
                is_certain=False,
            )
    return None


def _misread(title: str) -> Slip | None:
    """Find UTF-8 that was read in another encoding (Ð¤Ñ… for Фх)."""
    meant = _reread(title)
    if meant is None:
        return None
    return Slip("the title was read in the wrong encoding: copy it from the wiki, or write", meant)


def _reread(title: str) -> str | None:
    foreign = [char for char in title if not char.isascii()]
    if len(foreign) < 2:
        return None
    if (text := _utf8(_western(title))) is not None:
        seen = [char for char in text if not char.isascii()]
        # One pair alone may be two letters that somebody wrote.
        if len(seen) > 1 or len(foreign) > 2 or foreign[0] in _CERTAIN:
            return text
    if (text := _utf8(_encoded(title, "cp1251"))) is not None:
        seen = [char for char in text if not char.isascii()]
        if len(seen) > 1 and _CYRILLIC.fullmatch("".join(seen)):
            return text
    if _BOXES.search(title):
        for encoding in ("koi8_r", "cp866", "cp437"):
            if (text := _utf8(_encoded(title, encoding))) is not None:
                return text
    return None


def _western(title: str) -> bytes | None:
    """Encode as Windows-1252, with the control characters of Latin-1 where that has no character."""
    made = b""
    for char in title:
        try:
            made += char.encode("cp1252")
        except UnicodeEncodeError:
            if not 0x80 <= ord(char) <= 0x9F:
                return None
            made += bytes([ord(char)])
    return made


def _encoded(title: str, encoding: str) -> bytes | None:
    try:
        return title.encode(encoding)
    except UnicodeEncodeError:
        return None


def _utf8(data: bytes | None) -> str | None:
    try:
        text = data.decode() if data is not None else None
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None
