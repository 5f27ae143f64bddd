"""The two sources under one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.kafka.sources import Harness, KafkaHarness, MemoryHarness, kafka_harness


@pytest.fixture(params=["memory", "kafka"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
    else:
        async with kafka_harness(request.getfixturevalue("kafka").bootstrap) as made:
            yield made


@pytest.fixture
async def on_kafka(kafka: Any) -> AsyncIterator[KafkaHarness]:
    async with kafka_harness(kafka.bootstrap) as made:
        yield made
