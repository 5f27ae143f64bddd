"""Settings as JSON text: for people, and to compare them."""

from __future__ import annotations

import json


def json_text(value: object) -> str:
    """Return the value as JSON on one line, with its keys in their order."""
    return json.dumps(value, ensure_ascii=False)


def canonical(value: object) -> str:
    """Return a JSON text that is equal for equal values: unlike Python, JSON distinguishes `true` from 1."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
