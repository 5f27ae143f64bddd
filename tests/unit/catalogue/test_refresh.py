"""One process's refreshes of the stream configuration."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.catalogue import refresh as module
from streams.catalogue.refresh import Refresh
from streams.catalogue.synchronise import Document, SyncResult
from streams.engine.metrics import Metrics
from streams.models import SyncRun
from tests.support.engine import cancel, eventually

Outcome = SyncRun.Outcome


class Source:
    """What each refresh in turn comes to; the last one again and again."""

    def __init__(self, *outcomes: SyncRun.Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.known: list[Document | None] = []
        self.document: Any = object()

    def synchronise(self, config: Any, known: Document | None, **options: Any) -> SyncResult:
        self.known.append(known)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return SyncResult(outcome, "s", 0.0, recorded=outcome is Outcome.CHANGED, document=self.document)


class Config:
    def __init__(self, ttl: float) -> None:
        self.stream_config_ttl = ttl


def refresh_of(source: Source, monkeypatch: pytest.MonkeyPatch, ttl: float = 0.0) -> tuple[Refresh, list[None]]:
    monkeypatch.setattr(module, "synchronise", source.synchronise)
    monkeypatch.setattr(module, "SYNC_RETRY_SECONDS", 0.005)
    written: list[None] = []
    config: Any = Config(ttl)
    return Refresh(config, Metrics(), lambda: written.append(None)), written


async def test_without_a_ttl_it_ends_as_soon_as_the_source_was_had(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(OSError("no database"), Outcome.FAILED, Outcome.FAILED, Outcome.CHANGED)
    refresh, written = refresh_of(source, monkeypatch)
    async with asyncio.timeout(10):
        await refresh.run_forever()
    assert len(source.known) == 4
    assert len(written) == 1
    assert refresh.last_good_at is not None


async def test_with_a_ttl_it_goes_on_and_gives_back_the_document_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(Outcome.CHANGED, Outcome.FAILED, Outcome.UNCHANGED)
    refresh, written = refresh_of(source, monkeypatch, ttl=0.005)
    task = asyncio.create_task(refresh.run_forever())
    await eventually(lambda: len(source.known) > 4)
    await cancel(task)
    assert source.known[:3] == [None, source.document, source.document]
    assert len(written) == 1


async def test_what_is_held_is_not_asked_for_again_until_the_streams_change(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(Outcome.HELD, Outcome.UNCHANGED)
    refresh, _ = refresh_of(source, monkeypatch)
    async with asyncio.timeout(10):
        await refresh.run_forever()
    assert refresh.last is not None
    assert not refresh.last.is_good
    refresh.reconsider()
    await eventually(lambda: refresh.last and refresh.last.is_good)
    refresh.reconsider()
    await asyncio.sleep(0.05)
    assert len(source.known) == 2, "nothing is held any more"


async def test_a_source_that_fails_is_logged_once_a_minute_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(*[OSError("no database")] * 3, *[Outcome.FAILED] * 5, Outcome.CHANGED)
    refresh, _ = refresh_of(source, monkeypatch)
    async with asyncio.timeout(20):
        await refresh.run_forever()
    assert len(source.known) == 9
    found = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == module.__name__]
    assert found == [
        ("ERROR", "The stream configuration was not refreshed: OSError: no database"),
        ("WARNING", "The stream configuration is refreshed again, after 0 s"),
    ]


async def test_a_document_that_is_held_has_its_line_at_once_also_right_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refresh, _ = refresh_of(Source(Outcome.FAILED, Outcome.HELD, Outcome.UNCHANGED), monkeypatch)
    async with asyncio.timeout(20):
        await refresh.run_forever()
    assert refresh.last is not None
    assert refresh.last.is_held, "and without a ttl nobody asks again"
    refresh.reconsider()
    await eventually(lambda: refresh.last and refresh.last.is_good)
    assert [each.getMessage() for each in caplog.records if each.name == module.__name__] == [
        "The stream configuration was not refreshed: ",
        "The source of the stream configuration can be used again, after 0 s",
        "The stream configuration was not refreshed: ",
        "The stream configuration is no longer held, after 0 s",
    ]
