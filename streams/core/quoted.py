"""Values and topics as messages quote them, and what a topic's name may be."""

from __future__ import annotations

import re

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}", re.ASCII)


def quoted(value: object, longest: int = 80) -> str:
    """Return the value as Python writes it, cut to `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def has_topic_characters(name: str) -> bool:
    """Return whether the name has only characters of topics, and a possible length."""
    return _TOPIC.fullmatch(name) is not None


def is_topic(name: str) -> bool:
    """Return whether Kafka could have a topic of this name."""
    return has_topic_characters(name) and name not in {".", ".."}
