"""The mark of test edits (`redaction/check/produced_edit.py`), which tells them from the edits of people. Pure."""

from __future__ import annotations

import re

MARK = "7e57ed17"
"""The beginning of the request id of every test edit."""

_TEST_EDIT = re.compile(rf'"request_id"\s*:\s*"{MARK}'.encode())


def is_test_edit(event: bytes) -> bool:
    """Return whether an event, raw or served, is of a test edit. It parses nothing: it is asked of every event."""
    return MARK.encode() in event and _TEST_EDIT.search(event) is not None
