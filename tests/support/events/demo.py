"""The demo's events as a test reads them: change by change, with the streams that describe it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from streams.local.demo.world import DemoRecord, DemoWorld

START_MS = 1_790_000_000_000
STEP_MS = 600
"""Between two changes: 12,000 of them are two hours."""

Told = dict[str, list[dict[str, Any]]]
"""Stream name to the events of one change, in the order in which they were made."""


def changes(seed: int = 1, count: int = 12_000) -> Iterator[list[DemoRecord]]:
    world = DemoWorld(seed)
    for number in range(count):
        yield world.change(START_MS + number * STEP_MS)


def told(records: list[DemoRecord]) -> Told:
    events: Told = {}
    for record in records:
        event = json.loads(record.value)
        events.setdefault(event["meta"]["stream"], []).append(event)
    return events


def is_canary(records: list[DemoRecord]) -> bool:
    return json.loads(records[0].value)["meta"]["domain"] == "canary"
