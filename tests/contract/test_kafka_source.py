"""What only the real Kafka can show, and memory and Kafka compared at length."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import astuple

from streams.core.positions import TopicPartition
from streams.engine.kafka.source import KafkaSource
from streams.engine.metrics import Metrics
from streams.engine.source import (
    Batch,
    Bounds,
    PollResult,
    SourceUnavailableError,
)
from tests.support.kafka.records import (
    MUCH,
    new,
    offsets,
    one_topic,
    poll_until,
    read_all,
)
from tests.support.kafka.sources import Harness, KafkaHarness, MemoryHarness, New

# What one broker alone cannot be brought to show: an answer of Kafka's is changed on its way.


async def test_a_partition_without_a_leader_keeps_no_other_back(
    on_kafka: KafkaHarness,
) -> None:
    source = on_kafka.source
    topic = await on_kafka.create(2)
    await source.refresh([topic])
    led, leaderless = TopicPartition(topic, 0), TopicPartition(topic, 1)
    source._leaders[leaderless] = -1
    bounds = await source.bounds([led, leaderless])
    assert bounds[led] == Bounds(0, 0)
    assert str(bounds[leaderless]) == f"{topic} partition 1 has no leader"
    assert source.is_stale
    found = await source.offsets_for_times({led: 0, leaderless: 0})
    assert led not in found
    assert isinstance(found[leaderless], SourceUnavailableError)
    with pytest.raises(SourceUnavailableError):
        await source.read(leaderless, 0, MUCH)
    await on_kafka.write(topic, new(1))
    polled, _ = await poll_until(source, {led: 0, leaderless: 0}, lambda found, _: found)
    assert offsets(polled) == [0]


@pytest.mark.parametrize(("code", "is_known"), [(5, True), (29, True), (3, False)])
async def test_only_a_topic_that_kafka_does_not_know_is_gone(
    on_kafka: KafkaHarness, monkeypatch: pytest.MonkeyPatch, code: int, is_known: bool
) -> None:
    """5 is LEADER_NOT_AVAILABLE, 29 TOPIC_AUTHORIZATION_FAILED, 3 UNKNOWN_TOPIC_OR_PARTITION."""
    source = on_kafka.source
    tp = await one_topic(on_kafka, *new(3))

    async def answer(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(topics=[(code, tp.topic, False, [])])

    monkeypatch.setattr(source, "_metadata", answer)
    await source.refresh([tp.topic])
    assert (tp.topic in source.partitions) == is_known == source.is_stale
    if is_known:
        assert offsets(await read_all(source, tp)) == [0, 1, 2]


def damage(source: KafkaSource, monkeypatch: pytest.MonkeyPatch, damaged: TopicPartition, times: int) -> None:
    """What Kafka gives of a partition is damaged on its way, `times` times."""
    batch = source._batch

    def changed(tp: TopicPartition, data: bytes | None, *rest: Any) -> Batch | None:
        nonlocal times
        if tp == damaged and data and times:
            times -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        return batch(tp, data, *rest)

    monkeypatch.setattr(source, "_batch", changed)


async def test_damaged_records_stop_no_other_partition_and_their_own_just_until_they_are_damaged_again(
    on_kafka: KafkaHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = on_kafka.source
    metrics = source._damaged._metrics = Metrics()
    topic = await on_kafka.create(2)
    await source.refresh([topic])
    sound, damaged = TopicPartition(topic, 0), TopicPartition(topic, 1)
    damage(source, monkeypatch, damaged, times=4)
    for partition in (0, 1):
        await on_kafka.write(topic, new(3), partition=partition)
    with pytest.raises(SourceUnavailableError):
        await source.read(damaged, 0, MUCH)
    polled, positions = await poll_until(
        source, {sound: 0, damaged: 0}, lambda found, got: len(found) == 3 and damaged in got
    )
    assert {record.partition for record in polled} == {0}
    assert positions[damaged] == 3
    assert await source.read(damaged, 1, MUCH) == Batch([], 3, Bounds(0, 3)), "it is known to be damaged"
    assert caplog.text.count("cannot be read") == caplog.text.count("are skipped") == 1
    assert metrics.registry.get_sample_value("eventstreams_records_skipped_total", {"reason": "damaged"}) == 3
    await on_kafka.write(topic, new(1, first=3), partition=1)
    await source.read(damaged, 0, MUCH)
    assert offsets(await read_all(source, damaged, 3)) == [3]


async def test_nothing_is_lost_of_records_that_were_damaged_only_once(
    on_kafka: KafkaHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = on_kafka.source
    tp = await one_topic(on_kafka, *new(3))
    damage(source, monkeypatch, tp, times=1)
    polled, _ = await poll_until(source, {tp: 0}, lambda found, _: found)
    assert offsets(polled) == [0, 1, 2]


# At length.


async def _the_same_script(harness: Harness, seed: int, steps: int) -> list[object]:
    """Write, transact, truncate and read at random; what was seen of it."""
    chance = random.Random(seed)
    topic = await harness.create(2)
    await harness.source.refresh([topic])
    partitions = [TopicPartition(topic, n) for n in range(2)]
    seen: list[object] = []
    for _ in range(steps):
        tp = chance.choice(partitions)
        records = [
            New(b"%d" % chance.randint(0, 10**9), chance.randint(1, 1_000), chance.choice([None, b"key"]))
            for _ in range(chance.randint(1, 5))
        ]
        what = chance.random()
        if what < 0.4:
            await harness.write(topic, records, partition=tp.partition)
        elif what < 0.55:
            await harness.transact(topic, records, partition=tp.partition)
        elif what < 0.7:
            await harness.transact(topic, records, abort=True, partition=tp.partition)
        elif what < 0.75:
            bounds = (await harness.source.bounds([tp]))[tp]
            await harness.truncate(topic, chance.randint(bounds.begin, bounds.end), partition=tp.partition)
        bounds = (await harness.source.bounds([tp]))[tp]
        offset = chance.randint(bounds.begin, bounds.end)
        found = await read_all(harness.source, tp, offset)
        seen.append((bounds, offset, [astuple(record)[1:] for record in found]))
    for tp in partitions:
        bounds = (await harness.source.bounds([tp]))[tp]
        polled, positions = await poll_until(
            harness.source, {tp: bounds.begin}, lambda _, got, end=bounds.end: _is_at(got, end)
        )
        seen.append(([astuple(record)[1:] for record in polled], list(positions.values())))
    return seen


def _is_at(results: Mapping[TopicPartition, PollResult], end: int) -> bool:
    return any(isinstance(result, Batch) and result.next_offset == end for result in results.values())


@pytest.mark.parametrize(("seed", "steps"), [(1, 40), pytest.param(2, 400, marks=pytest.mark.slow)])
async def test_memory_and_kafka_give_the_same_for_the_same(on_kafka: KafkaHarness, seed: int, steps: int) -> None:
    assert await _the_same_script(on_kafka, seed, steps) == await _the_same_script(MemoryHarness(), seed, steps)


@pytest.mark.slow
async def test_compacted_records_are_passed_over(on_kafka: KafkaHarness) -> None:
    topic = await on_kafka.create(
        cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="1000"
    )
    await on_kafka.source.refresh([topic])
    tp = TopicPartition(topic, 0)
    written = 0
    async with asyncio.timeout(120):
        while True:
            await on_kafka.write(topic, [New(b"%d" % n, n, b"key %d" % (n % 3)) for n in range(written, written + 20)])
            written += 20
            await asyncio.sleep(0.5)
            found = offsets(await read_all(on_kafka.source, tp))
            assert found == sorted(set(found))
            assert found[-1] == written - 1
            if len(found) < written - 40:
                break
    begin = (await on_kafka.source.bounds([tp]))[tp].begin
    for offset in range(begin, written, 7):
        batch = await on_kafka.source.read(tp, offset, 1)
        assert batch.next_offset > offset
        assert offsets(await read_all(on_kafka.source, tp, offset)) == [o for o in found if o >= offset]
