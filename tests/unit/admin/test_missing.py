"""Topics that Kafka does not have: named in the log once, and no more when they are there."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from streams.admin import missing_topics
from streams.core.catalogue import Layers, compile_catalogue
from tests.support.engine import eventually


def service(**topics: list[str]) -> Any:
    catalogue = compile_catalogue(Layers({name: {"topics": each} for name, each in topics.items()}), 1)
    return SimpleNamespace(
        catalogue=catalogue,
        hub=SimpleNamespace(has_metadata=True, available=True),
        source=SimpleNamespace(absent={"gone", "typo"}),
    )


async def test_missing_topics_are_logged_once_and_that_they_are_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(missing_topics, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "streams.admin.missing_topics")
    of = service(a=["there", "gone"], b=["there"], c=["typo"])
    task = asyncio.ensure_future(missing_topics.tell_forever(lambda: of))
    try:
        await eventually(lambda: caplog.records)
        await asyncio.sleep(0.1)
        (said,) = caplog.messages
        assert said.startswith("Topics missing from Kafka")
        assert said.endswith(": a (gone), c (typo)")
        of.source.absent = frozenset()
        await eventually(lambda: len(caplog.records) == 2)
        assert caplog.messages[1] == "Kafka has all topics of the exposed streams"
    finally:
        task.cancel()


def test_nothing_is_missing_before_kafka_was_asked() -> None:
    of = service(a=["gone"])
    assert missing_topics.missing_by_stream(of) == {"a": ("gone",)}
    of.hub.has_metadata = False
    assert missing_topics.missing_by_stream(of) == {}
    of.hub.has_metadata, of.catalogue = True, None
    assert missing_topics.missing_by_stream(of) == {}
    assert missing_topics.missing_by_stream(None) == {}
