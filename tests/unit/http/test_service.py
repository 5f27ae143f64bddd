"""When a process is ready, and when it is only degraded (wire contract, `/readyz`)."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streams.catalogue.synchronise import SyncResult
from streams.http import service as module
from streams.http.limits import ConnectionLimits
from streams.http.service import Service
from streams.models import SyncRun


@pytest.fixture
def service() -> Service:
    """One that has all that it needs, for now."""
    health = SimpleNamespace(problems=list[str], reason="")
    feeds = SimpleNamespace(are_full=False, limit=7)
    any_part: Any = SimpleNamespace(
        has_metadata=True, available=True, last=None, source_problem="", health=health, feeds=feeds
    )
    made = Service(
        settings=any_part,
        hub=any_part,
        history=any_part,
        source=any_part,
        metrics=any_part,
        compression=any_part,
        limits=ConnectionLimits(0, 0),
        start=any_part,
        configured_pages={},
        refresh=any_part,
        schemas=any_part,
        catalogue=any_part,
    )
    made.redaction_read_at = time.monotonic()
    return made


@pytest.mark.parametrize(
    ("seconds", "unready", "degraded"),
    [(0, False, False), (9, False, False), (11, False, True), (599, False, True), (601, True, True)],
)
def test_a_redaction_list_that_cannot_be_read_is_said_and_after_ten_minutes_makes_unready(
    service: Service, monkeypatch: pytest.MonkeyPatch, seconds: float, unready: bool, degraded: bool
) -> None:
    now = time.monotonic() + seconds
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    assert any("redaction list" in reason for reason in service.unready()) == unready
    assert any("redaction list" in reason for reason in service.degraded()) == degraded


def test_filters_that_are_refused_are_said(service: Service) -> None:
    service.hub.feeds.are_full = True  # type: ignore[misc]
    (reason,) = service.degraded()
    assert "all 7 different subscriptions" in reason
    assert "raise max_feeds" in reason


def test_a_stream_configuration_that_cannot_be_refreshed_is_said(service: Service) -> None:
    assert service.degraded() == []
    last: Any = SyncResult(SyncRun.Outcome.FAILED, "http://secret/", 1.0, "http://secret/: no answer")
    service.refresh.last = last
    assert service.degraded() == ["the stream configuration could not be refreshed; the last good one is in force"]
    assert service.unready() == []
    service.catalogue = None
    assert service.unready() == ["no stream configuration yet: its source cannot be used (see the log or the admin)"]


def test_readyz_names_the_source_and_the_database_when_both_are_away(service: Service) -> None:
    """The refresh has no result then; `/readyz` has what it found before, too."""
    service.refresh.source_problem = "http://secret/: no answer"
    failed = "the stream configuration could not be refreshed; the last good one is in force"
    assert service.degraded() == [failed]
    held: Any = SyncResult(SyncRun.Outcome.HELD, "http://secret/", 1.0, "it would withdraw 5 of 8 streams")
    service.refresh.last = held
    assert service.degraded() == [
        "a new stream configuration is held until somebody applies it in the admin",
        failed,
    ]
    service.catalogue, service.redaction_read_at, service.refresh.last = None, None, None
    service.behind = lambda: {"the redaction list": 5.0}
    assert service.unready() == [
        "no stream configuration yet: its source cannot be used (see the log or the admin)",
        "the redaction list has not been read yet: the database does not answer (see the log)",
    ]


def test_a_stream_configuration_that_is_held_is_said_as_such(service: Service) -> None:
    last: Any = SyncResult(SyncRun.Outcome.HELD, "http://secret/", 1.0, "it would withdraw 5 of 8 streams")
    service.refresh.last = last
    assert service.degraded() == ["a new stream configuration is held until somebody applies it in the admin"]


def test_each_part_that_lacks_at_the_start_is_a_reason(service: Service) -> None:
    assert service.unready() == []
    service.hub.has_metadata = False
    service.catalogue = None
    service.redaction_read_at = None
    service.draining = True
    assert len(service.unready()) == 4


def test_too_few_redacted_pages_make_unready_whether_or_not_a_list_is_in_force(service: Service) -> None:
    assert service.has_redaction_list
    service.redaction_lacks = "the database has 1 redacted page"
    assert service.unready() == [service.redaction_lacks]
    assert service.degraded() == []
    assert not service.has_redaction_list
    service.redaction_read_at = None
    assert service.unready() == [service.redaction_lacks]
    service.redaction_lacks = ""
    assert not service.has_redaction_list


async def test_right_after_the_start_a_request_waits_for_kafkas_first_answer(service: Service) -> None:
    service.hub.available = False
    waiting = asyncio.ensure_future(service.starting())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    service.hub.available = True
    await asyncio.wait_for(waiting, 5)


async def test_without_kafka_a_request_waits_less_than_the_three_seconds_in_which_it_is_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < module.PATIENCE_SECONDS < 3
    service.hub.available = False
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    await asyncio.wait_for(service.starting(), 5)
    service.started_at -= module.STARTING_SECONDS
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    await asyncio.wait_for(service.starting(), 5)  # the start is over: nobody waits any more
