"""`manage.py serve` with faults whose texts and variables hold what no telemetry may have.

One in the midst of records, one in a page of the admin, one in a public answer. Run by test_telemetry:
``python -m tests.support.broken.faulty --port N``
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.management import execute_from_command_line

from streams.core.events import Event, Record
from streams.engine.encoder import Encoder

_events = Encoder.events


def _failing_events(self: Encoder, records: Iterable[Record]) -> list[Event]:
    records = list(records)
    made = _events(self, records)
    if any(b'"fails": true' in (record.value or b"") for record in records):
        Encoder.events = _events  # type: ignore[method-assign] # once
        raise ValueError(f"cannot take {records} and {made}")
    return made


def _failing_login(request: Any, *_: object, **__: object) -> None:
    asked = dict(request.GET)
    raise KeyError(f"cannot show {asked}")


async def _failing_info(scope: Any, _service: object) -> None:
    raise RuntimeError(f"cannot answer {scope}")


if __name__ == "__main__":
    import sys

    import django

    django.setup()

    from streams.http import views

    Encoder.events = _failing_events  # type: ignore[method-assign]
    admin.site.login = _failing_login  # type: ignore[assignment,method-assign]
    views.rc = _failing_info  # type: ignore[assignment]
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
