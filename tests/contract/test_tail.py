"""The contract of a RecordSource: the tail, which is polled."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.core.positions import TopicPartition
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import (
    Batch,
    Bounds,
)
from tests.support.kafka.records import (
    new,
    offsets,
    one_topic,
    poll_until,
    read_all,
)
from tests.support.kafka.sources import PATIENCE_SECONDS, Harness, KafkaHarness, New


async def test_a_poll_without_news_comes_back_empty_after_a_short_while(harness: Harness) -> None:
    tp = await one_topic(harness, *new(3))
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(3):
            result = (await harness.source.poll({tp: 3})).get(tp)
            assert result is None or result == Batch([], 3, Bounds(0, 3))


async def test_a_poll_gets_the_news_of_many_partitions_each_once_and_in_order(harness: Harness) -> None:
    first, second = await harness.create(3), await harness.create(2)
    await harness.source.refresh([first, second])
    partitions = [TopicPartition(first, n) for n in range(3)] + [TopicPartition(second, n) for n in range(2)]
    written: dict[TopicPartition, list[bytes | None]] = {tp: [] for tp in partitions}

    async def write() -> None:
        for number in range(40):
            topic, partition = tp = partitions[number % 5]
            await harness.write(topic, [New(b"%d" % number, number)], partition=partition)
            written[tp].append(b"%d" % number)

    writing = asyncio.ensure_future(write())
    found, positions = await poll_until(harness.source, dict.fromkeys(partitions, 0), lambda found, _: len(found) == 40)
    await writing
    got = {tp: [r.value for r in found if (r.topic, r.partition) == tp] for tp in partitions}
    assert got == written
    assert positions == dict.fromkeys(partitions, 8)


async def test_each_poll_says_anew_what_is_wanted_and_from_where(harness: Harness) -> None:
    topic = await harness.create(2)
    for partition in (0, 1):
        await harness.write(topic, new(5), partition=partition)
    await harness.source.refresh([topic])
    a, b = TopicPartition(topic, 0), TopicPartition(topic, 1)
    found, _ = await poll_until(harness.source, {a: 0}, lambda found, _: len(found) == 5)
    assert {record.partition for record in found} == {0}
    found, _ = await poll_until(harness.source, {b: 3}, lambda found, _: len(found) == 2)
    assert [(record.partition, record.offset) for record in found] == [(1, 3), (1, 4)]
    found, _ = await poll_until(harness.source, {a: 4, b: 0}, lambda found, _: len(found) == 6)
    assert sorted((r.partition, r.offset) for r in found) == [(0, 4), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]


async def test_reads_and_polls_at_the_same_time_do_not_disturb_each_other(harness: Harness) -> None:
    tp = await one_topic(harness, *new(200))
    polling = asyncio.ensure_future(poll_until(harness.source, {tp: 200}, lambda found, _: len(found) == 5))
    results = await asyncio.gather(*(read_all(harness.source, tp, offset) for offset in range(0, 200, 10)))
    await harness.write(tp.topic, new(5, first=200))
    found, _ = await polling
    assert offsets(found) == list(range(200, 205))
    for offset, records in zip(range(0, 200, 10), results, strict=True):
        assert offsets(records)[: 200 - offset] == list(range(offset, 200))


async def test_a_patient_poll_brings_two_records_where_the_first_would_have_ended_it(
    kafka: Any, on_kafka: KafkaHarness
) -> None:
    tp = await one_topic(on_kafka, *new(1))
    source = KafkaSource(kafka_options({"metadata.broker.list": kafka.bootstrap, "fetch.wait.max.ms": 5_000}))
    try:
        await source.refresh([tp.topic])
        await poll_until(source, {tp: 0}, lambda found, _: len(found) == 1)  # which tells how large a record is
        source.be_patient(5.0, 0.03)
        polling = asyncio.ensure_future(source.poll({tp: 1}))
        await on_kafka.write(tp.topic, new(1))
        assert not (await asyncio.wait({polling}, timeout=0.5))[0]
        await on_kafka.write(tp.topic, new(1))
        result = (await asyncio.wait_for(polling, PATIENCE_SECONDS))[tp]
        assert isinstance(result, Batch)
        assert [record.offset for record in result.records] == [1, 2]
    finally:
        await source.close()
