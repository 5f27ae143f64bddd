"""A stop takes at most the drain and three seconds, whatever stalls: its parts share one deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.process import Process
from eventstreams_site.server import fleet, server, signals
from eventstreams_site.server.fleet import Fleet
from eventstreams_site.server.server import StreamServer
from eventstreams_site.server.shared_counts import SharedCounts
from eventstreams_site.telemetry.reporting import Telemetry
from tests.support.engine import cancel
from tests.unit.site.test_host_limits import CHECKED

TOTAL_SECONDS = 3.0
"""After the drain (wire contract, operations)."""


class Client:
    """One that never leaves."""

    def end(self) -> None:
        """It takes no notice."""


class Connection:
    """One that takes nothing."""

    is_clear = is_flushed = False

    def abort(self) -> None:
        """It takes no notice."""


async def forever() -> None:
    await asyncio.Event().wait()


def telemetry(hang: threading.Event) -> Any:
    made: Any = Telemetry.__new__(Telemetry)
    made.tracing = SimpleNamespace(close=lambda: hang.wait(30))
    made.sentry = None
    return made


def process(hang: threading.Event, drain_seconds: float) -> Process:
    """All of whose dependencies hang."""
    made: Any = Process.__new__(Process)
    made.drain_seconds = drain_seconds
    made.service = SimpleNamespace(
        draining=False,
        answering=1,
        connecting=(),
        clients=[Client()],
        connections=[Connection()],
        hub=SimpleNamespace(close=forever),
        refresh=SimpleNamespace(replica=SimpleNamespace(may_hold=True, release=lambda: hang.wait(30))),
    )
    made._redactor = None
    made._matches = SimpleNamespace(write_all=lambda: hang.wait(30))
    made._tasks = [asyncio.ensure_future(forever())]
    made._telemetry = telemetry(hang)
    return made  # type: ignore[no-any-return]


async def test_a_server_all_of_whose_parts_stall_is_done_before_it_would_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang = threading.Event()
    deadlines: list[float] = []
    monkeypatch.setattr(signals, "end_within", lambda _loop, seconds: deadlines.append(seconds))
    drain_seconds = 0.3
    stalls = asyncio.ensure_future(forever())
    it: Any = StreamServer.__new__(StreamServer)
    it.__dict__.update(
        _process=process(hang, drain_seconds),
        _intake=SimpleNamespace(close=lambda: None),
        _shared=SimpleNamespace(close=lambda: None, is_closed=False),
        connections={1: {"application_instance": stalls}},
    )
    it.service = it._process.service
    try:
        began = time.monotonic()
        await it._stop()
        took = time.monotonic() - began - drain_seconds
    finally:
        hang.set()
        await cancel(stalls)
    assert deadlines == [drain_seconds + TOTAL_SECONDS]
    assert took + signals.FLUSH_SECONDS < TOTAL_SECONDS
    assert took < fleet.STOP_SECONDS + 0.3, "the supervisor waits for it"


def test_the_parts_of_a_stop_have_room_in_its_seconds() -> None:
    worker = server.PARTS_SECONDS + server.SHARED_SECONDS + server.LEFT_SECONDS
    assert worker + signals.ALARM_SECONDS < TOTAL_SECONDS
    assert worker < fleet.STOP_SECONDS
    assert fleet.STOP_SECONDS + fleet.STOP_DUMP_SECONDS + signals.FLUSH_SECONDS <= TOTAL_SECONDS


def test_a_supervisor_whose_workers_had_to_be_killed_does_not_wait_for_redis_too() -> None:
    workers = Fleet(CHECKED, 1, watch=lambda _: None, unwatch=lambda _: None)
    workers.stop(100.0)
    assert workers.stops_at + signals.FLUSH_SECONDS <= 100.0 + CHECKED.drain_seconds + TOTAL_SECONDS
    shared: Any = SharedCounts.__new__(SharedCounts)
    waited: list[float] = []
    shared._thread = SimpleNamespace(join=waited.append)
    for left in (10.0, 0.2, -1.0):
        shared.wait_until_closed(left)
    assert waited == [0.5, 0.2, 0.0]
