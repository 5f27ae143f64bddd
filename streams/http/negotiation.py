"""The format that a client gets, by its `Accept` header, and the codings that its `Accept-Encoding` admits.

Source: wire contract, "The two formats"; RFC 9110, sections 12.5.1 and 12.5.3. Parsing is lenient: what is invalid is
skipped, and clients that accept none of the formats get SSE. All work is linear in the length of the header.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator
from typing import Final


class Format(enum.Enum):
    """A format of the stream; the value is its media type. The order decides between equals that were not named."""

    SSE = "text/event-stream"
    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    JSONL = "application/jsonl"

    @property
    def is_sse(self) -> bool:
        """Whether this is Server-Sent Events; all others are names of newline-delimited JSON."""
        return self is Format.SSE

    @property
    def content_type(self) -> str:
        """The value of `Content-Type`, such as `text/event-stream; charset=utf-8`."""
        return f"{self.value}; charset=utf-8"


_WILDCARDS: Final[dict[str, tuple[int, tuple[Format, ...]]]] = {
    # range: its specificity, the formats that it matches
    "*/*": (0, tuple(Format)),
    "*": (0, tuple(Format)),  # sent by Java's HttpURLConnection
    "text/*": (1, (Format.SSE,)),
    "application/*": (1, (Format.JSON, Format.NDJSON, Format.JSONL)),
}
_RANGES: Final = _WILDCARDS | {format_.value: (2, (format_,)) for format_ in Format}

_SAME: Final = {"x-gzip": "gzip"}
"""Old names of codings (RFC 9110, 8.4.1.3)."""

# A quoted string may contain the separator; an unclosed one extends to the end. Possessive: no backtracking.
_QUOTED: Final = r'"(?:[^"\\]++|\\.?)*+"?'
_ITEM: Final = re.compile(rf'(?:[^,"]++|{_QUOTED})++', re.DOTALL)
_PARAMETER: Final = re.compile(rf'(?:[^;"]++|{_QUOTED})++', re.DOTALL)
_QUALITY: Final = re.compile(r"\d++(?:\.\d*+)?|\.\d++", re.ASCII)


@functools.lru_cache(maxsize=64)  # nearly all clients send one of a few values
def negotiate(accept: str | None) -> Format:
    """Return the format for a request with this `Accept` (None: the header is missing). Never raises.

    The highest q wins; among equals, a named type wins over a wildcard, then the first. A more specific range overrides
    the q of a wildcard, so `text/event-stream;q=0, */*` is JSON.
    """
    verdicts: dict[Format, tuple[int, float, int]] = {}  # how specific, q, minus the position
    for position, (specificity, formats, quality) in enumerate(_ranges(accept)):
        for format_ in formats:
            verdict = (specificity, quality, -position)
            verdicts[format_] = max(verdict, verdicts.get(format_, verdict))
    admitted = [
        ((quality, specificity, position), format_)
        for format_ in Format
        if format_ in verdicts
        for specificity, quality, position in [verdicts[format_]]
        if quality > 0
    ]
    return max(admitted, key=lambda candidate: candidate[0])[1] if admitted else Format.SSE


@functools.lru_cache(maxsize=64)
def names_event_stream(accept: str | None) -> bool:
    """Return whether the header names `text/event-stream` with a q above 0, as EventSource and SSE libraries do."""
    return any(
        specificity == 2 and Format.SSE in formats and quality > 0 for specificity, formats, quality in _ranges(accept)
    )


@functools.lru_cache(maxsize=64)
def admitted(accept_encoding: str, codings: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the codings that this `Accept-Encoding` admits, by q; of equals, the first given comes first."""
    given: dict[str, float] = {}
    for item in _ITEM.findall(accept_encoding):
        name, _, parameters = item.partition(";")
        name = name.strip().lower()
        given.setdefault(_SAME.get(name, name), _quality(parameters))
    wildcard = given.get("*", 0.0)
    qualities = {coding: given.get(coding, wildcard) for coding in codings}
    return tuple(sorted((coding for coding in codings if qualities[coding] > 0), key=lambda each: -qualities[each]))


def _ranges(accept: str | None) -> Iterator[tuple[int, tuple[Format, ...], float]]:
    """Yield the known media ranges of the header: specificity, formats, q."""
    for item in _ITEM.findall(accept or ""):
        name, _, parameters = item.partition(";")
        known = _RANGES.get(name.strip().lower())
        if known is not None:
            yield *known, _quality(parameters)


def _quality(parameters: str) -> float:
    """Return the first q among the parameters, at most 1; 1 if it is missing or not a number."""
    for parameter in _PARAMETER.findall(parameters):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip().strip('"')
            return min(float(value), 1.0) if _QUALITY.fullmatch(value) else 1.0
    return 1.0
