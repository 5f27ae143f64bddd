"""Bounds what one record of the log takes, whatever it quotes."""

from __future__ import annotations

LONGEST_LINE = 8_000
"""Maximum characters of a message: it may quote a request of up to 64 kB."""


def shortened(text: str) -> str:
    """Return at most LONGEST_LINE characters of a text, and how many it has in all."""
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} ({len(text)} characters in all)"
