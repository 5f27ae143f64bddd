"""Which of the formats a client gets, from its `Accept` header.

Source: wire contract, "The two formats"; RFC 9110, section 12.5.1. The reading is lenient: what makes no sense is
passed over, and whoever admits none of the formats is answered with SSE. All work is linear in the header's length.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator
from typing import Final


class Format(enum.Enum):
    """A format of the stream; the value is its media type. The order decides between equals that no one named."""

    SSE = "text/event-stream"
    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    JSONL = "application/jsonl"

    @property
    def is_sse(self) -> bool:
        """Server-Sent Events; all others are newline-delimited JSON under one name or another."""
        return self is Format.SSE

    @property
    def content_type(self) -> str:
        """The value of `Content-Type`, as `text/event-stream; charset=utf-8`."""
        return f"{self.value}; charset=utf-8"


_WILDCARDS: Final[dict[str, tuple[int, tuple[Format, ...]]]] = {
    # range: how specific it is, what it admits
    "*/*": (0, tuple(Format)),
    "*": (0, tuple(Format)),  # as Java's HttpURLConnection writes it
    "text/*": (1, (Format.SSE,)),
    "application/*": (1, (Format.JSON, Format.NDJSON, Format.JSONL)),
}
_RANGES: Final = _WILDCARDS | {format_.value: (2, (format_,)) for format_ in Format}

# A quoted string may hold the separator; one that is never closed holds the rest. Possessive: no second try.
_QUOTED: Final = r'"(?:[^"\\]++|\\.?)*+"?'
_ITEM: Final = re.compile(rf'(?:[^,"]++|{_QUOTED})++', re.DOTALL)
_PARAMETER: Final = re.compile(rf'(?:[^;"]++|{_QUOTED})++', re.DOTALL)
_QUALITY: Final = re.compile(r"\d++(?:\.\d*+)?|\.\d++", re.ASCII)


@functools.lru_cache(maxsize=64)  # nearly all clients send one of a few
def negotiate(accept: str | None) -> Format:
    """The format for a request with this `Accept` (None: it has none).

    The highest q wins; among equals a type that is named before one that only a wildcard admits, then the first. A
    more specific range overrides the q of a wildcard, so `text/event-stream;q=0, */*` is JSON. Never raises.
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
    """Whether the header names `text/event-stream` itself, with a q above 0: what EventSource and SSE libraries do."""
    return any(
        specificity == 2 and Format.SSE in formats and quality > 0 for specificity, formats, quality in _ranges(accept)
    )


def _ranges(accept: str | None) -> Iterator[tuple[int, tuple[Format, ...], float]]:
    """The media ranges of the header that matter here: how specific each is, what it admits, its q."""
    for item in _ITEM.findall(accept or ""):
        name, _, parameters = item.partition(";")
        known = _RANGES.get(name.strip().lower())
        if known is not None:
            yield *known, _quality(parameters)


def _quality(parameters: str) -> float:
    """The first q among the parameters, at most 1; 1 where there is none or it is no number."""
    for parameter in _PARAMETER.findall(parameters):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip().strip('"')
            return min(float(value), 1.0) if _QUALITY.fullmatch(value) else 1.0
    return 1.0
