"""What only the source in memory has; what it has in common with Kafka is in tests/contract."""

from __future__ import annotations

import random

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource


async def test_the_oldest_records_leave_when_there_are_more_bytes_than_are_retained() -> None:
    source = MemorySource(retained_bytes=100_000)
    for topic in ("large", "small"):
        source.create(topic)
    large, small = TopicPartition("large", 0), TopicPartition("small", 0)
    chance = random.Random(7)
    for number in range(5_000):
        source.append("large", b"x" * chance.randrange(200), number)
        if number % 100 == 0:
            source.append("small", b"y" * 100, number)
    held = {}
    for tp, first in ((large, (await source.bounds([large]))[large]), (small, (await source.bounds([small]))[small])):
        batch = await source.read(tp, first.begin, 1 << 20)  # type: ignore[union-attr]
        held[tp] = [record.offset for record in batch.records]
    assert held[large] == list(range(held[large][0], 5_000))
    assert held[small] == list(range(50)), "only the largest log has to give"
    nbytes = sum(log.nbytes for log in source._logs.values())
    assert 80_000 < nbytes <= 100_000
    assert nbytes == source._nbytes == sum(len(r.value or b"") for log in source._logs.values() for r in log.records)


async def test_one_record_larger_than_all_that_is_retained_is_not_kept_for_ever() -> None:
    source = MemorySource(retained_bytes=1_000)
    source.create("large")
    source.append("large", b"x" * 5_000, 1)
    source.append("large", b"y", 2)
    tp = TopicPartition("large", 0)
    bounds = (await source.bounds([tp]))[tp]
    assert bounds == (1, 2)
    source.delete("large")
    assert source._nbytes == 0
