"""One process's refreshes of the stream configuration."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.utils import timezone

from streams.catalogue import refresh as module
from streams.catalogue.fetched import Document, Fetched
from streams.catalogue.refresh import Refresh
from streams.catalogue.synchronise import SyncResult
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
        self.error = ""
        self.kept: list[Any] = []

    def fetch(self, config: Any, known: Document | None) -> Fetched:
        self.known.append(known)
        return Fetched("s", None if self.error else self.document, self.error, known, timezone.now(), 0.0)

    def store(self, config: Any, fetched: Fetched, **options: Any) -> SyncResult:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return SyncResult(outcome, "s", 0.0, recorded=outcome is Outcome.CHANGED, document=self.document)

    def keep(self, config: Any, document: Any, replica: Any) -> None:
        self.kept.append(document)


class Config:
    def __init__(self, ttl: float) -> None:
        self.stream_config_ttl = ttl


def refresh_of(source: Source, monkeypatch: pytest.MonkeyPatch, ttl: float = 0.0) -> tuple[Refresh, list[None]]:
    for name, function in (("fetch_source", source.fetch), ("store", source.store), ("keep_lease", source.keep)):
        monkeypatch.setattr(module, name, function)
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.01)
    monkeypatch.setattr(module, "SYNC_RETRY_SECONDS", 0.005)
    written: list[None] = []
    config: Any = Config(ttl)
    return Refresh(config, Metrics(), lambda: written.append(None)), written


async def until_it_keeps_its_lease(refresh: Refresh, source: Source) -> None:
    task = asyncio.create_task(refresh.run_forever())
    await eventually(lambda: len(source.kept) > 2)
    await cancel(task)


async def test_without_a_ttl_it_asks_until_the_source_was_had_and_then_keeps_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source(OSError("no database"), Outcome.FAILED, Outcome.FAILED, Outcome.CHANGED)
    refresh, written = refresh_of(source, monkeypatch)
    await until_it_keeps_its_lease(refresh, source)
    assert len(source.known) == 4
    assert set(source.kept) == {source.document}
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
    await until_it_keeps_its_lease(refresh, source)
    assert refresh.last is not None
    assert not refresh.last.is_good
    held = "eventstreams_stream_config_held"
    assert refresh._metrics.registry.get_sample_value(held) == 1, "an alert looks at it, as long as it takes"
    refresh.reconsider()
    await eventually(lambda: refresh.last and refresh.last.is_good)
    assert refresh._metrics.registry.get_sample_value(held) == 0
    refresh.reconsider()
    await asyncio.sleep(0.05)
    assert len(source.known) == 2, "nothing is held any more"


async def test_a_source_that_fails_is_logged_once_a_minute_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(*[OSError("no database")] * 3, *[Outcome.FAILED] * 5, Outcome.CHANGED)
    refresh, _ = refresh_of(source, monkeypatch)
    await until_it_keeps_its_lease(refresh, source)
    assert len(source.known) == 9
    found = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == module.__name__]
    assert found == [
        ("ERROR", "The stream configuration was not refreshed: OSError: no database"),
        ("WARNING", "The stream configuration is refreshed again, after 0 s"),
    ]


async def test_a_document_that_is_held_has_its_line_at_once_also_right_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(Outcome.FAILED, Outcome.HELD, Outcome.UNCHANGED)
    refresh, _ = refresh_of(source, monkeypatch)
    await until_it_keeps_its_lease(refresh, source)
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


async def test_a_source_that_fails_is_known_although_the_database_fails_or_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(OSError("no database"))
    refresh, _ = refresh_of(source, monkeypatch)
    source.error = "http://source: no answer"
    with pytest.raises(OSError, match="no database"):
        await refresh.run()
    assert refresh.source_problem == "http://source: no answer"
    task = asyncio.create_task(refresh.run_forever())
    await eventually(lambda: len(source.known) > 2)
    assert "was not refreshed: http://source: no answer; OSError: no database" in caplog.text
    await cancel(task)

    hanging = threading.Event()
    source.error = ""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.01)
    monkeypatch.setattr(module, "store", lambda *_, **__: hanging.wait(30))
    try:
        with pytest.raises(TimeoutError, match="the database does not answer"):
            await refresh.run()
        assert refresh.source_problem == ""
        source.error = "http://source: no answer"
        with pytest.raises(TimeoutError):
            await refresh.run()
        assert refresh.source_problem == "http://source: no answer"
    finally:
        hanging.set()
    monkeypatch.setattr(module, "STORE_SECONDS", 10.0)
    monkeypatch.setattr(module, "store", source.store)
    source.outcomes, source.error = [Outcome.UNCHANGED], ""
    assert refresh._storing is not None
    await refresh._storing
    assert (await refresh.run()).is_good
    assert refresh.source_problem == ""
