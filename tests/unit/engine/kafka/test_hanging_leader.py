"""A leader that keeps its connection and never answers: metadata is asked for soon, and the new leader at once."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.core.positions import TopicPartition
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import Batch, Bounds
from streams.engine.tuning import Tuning

TP = TopicPartition("t", 0)
HANGS, NEW = 1, 2


async def test_a_fetch_that_is_overdue_makes_metadata_stale_and_the_new_leader_is_not_held_up() -> None:
    options = kafka_options({"metadata.broker.list": "127.0.0.1:1,127.0.0.1:2", "fetch.wait.max.ms": 20})
    source = KafkaSource(options, tuning=Tuning(trouble_seconds=60.0))
    asked: list[int] = []

    async def fetch(leader: int, wanted: Any, *_: Any) -> Any:
        asked.append(leader)
        if leader == HANGS:
            await asyncio.Event().wait()
        return {TP: (wanted[TP], Batch([], 7, Bounds(0, 7)))}

    source._fetch = fetch  # type: ignore[method-assign]
    source._leaders = {TP: HANGS}
    try:
        assert await source.poll({TP: 3}) == {}
        assert not source.is_stale, "a moment is nothing"
        source._asked_at[HANGS] -= 61
        async with asyncio.timeout(5):
            while not source.is_stale:
                await source.poll({TP: 3})
        assert asked == [HANGS], "it is not asked again while it may answer"
        source._leaders = {TP: NEW}
        async with asyncio.timeout(5):
            while not (found := await source.poll({TP: 3})):
                pass
        assert found[TP] == Batch([], 7, Bounds(0, 7))
        assert asked[:2] == [HANGS, NEW]
    finally:
        await source.close()
