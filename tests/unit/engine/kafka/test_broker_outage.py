"""A broker that does not answer has a line at once, one a minute, and one when it answers again."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.positions import TopicPartition
from streams.engine.kafka import broker_trouble as module
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import SourceUnavailableError
from streams.engine.tuning import Tuning

TP = TopicPartition("t", 0)


async def test_each_broker_has_its_own_outage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = KafkaSource(
        kafka_options({"metadata.broker.list": "127.0.0.1:1"}), tuning=Tuning(broker_retry_seconds=0.001)
    )
    silent = {1, 2}

    async def fetch(leader: int, wanted: Any, *_: Any) -> dict[Any, Any]:
        if leader in silent:
            raise SourceUnavailableError("no answer within 1 s")
        return {}

    monkeypatch.setattr(source, "_fetch", fetch)
    for leader in (1, 1, 1, 2, 3):
        await source._tail_fetch(leader, {TP: 0}, 1)
    silent.clear()
    for leader in (1, 2, 3):
        await source._tail_fetch(leader, {TP: 0}, 1)
    found = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == module.__name__]
    assert found == [
        ("WARNING", "Kafka broker 1 does not answer, retrying: no answer within 1 s"),
        ("WARNING", "Kafka broker 2 does not answer, retrying: no answer within 1 s"),
        ("WARNING", "Kafka broker 1 answers again, after 0 s"),
        ("WARNING", "Kafka broker 2 answers again, after 0 s"),
    ]
    await source.close()
