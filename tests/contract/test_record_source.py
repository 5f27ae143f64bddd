"""The contract of a RecordSource, kept by the real Kafka and by the one in memory that the engine is tested on: reads.

Bounds, times and topics are in `test_bounds_and_topics.py`, the tail in `test_tail.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from streams.core.events import Record
from streams.core.positions import MAX_OFFSET, TopicPartition
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import (
    Batch,
    Bounds,
    OutOfRangeError,
    RecordSource,
    SourceUnavailableError,
)
from streams.local.processes import HOST, free_port
from tests.support.engine import cancel
from tests.support.kafka.records import (
    MUCH,
    new,
    offsets,
    one_topic,
    poll_until,
    read_all,
    values,
)
from tests.support.kafka.sources import PATIENCE_SECONDS, Harness, KafkaHarness, MemoryHarness, New


async def test_a_read_gives_whole_records_and_where_to_go_on(harness: Harness) -> None:
    written = [New(b"a", 5, b"key"), New(None, 3, b"key"), New(b"", 7), New(b"\xff\x00", 6)]
    tp = await one_topic(harness, *written)
    batch = await harness.source.read(tp, 0, MUCH)
    assert list(batch.records) == [
        Record(tp.topic, 0, offset, record.timestamp, record.key, record.value) for offset, record in enumerate(written)
    ]
    assert (batch.next_offset, batch.bounds) == (4, Bounds(0, 4))


async def test_a_read_begins_where_it_is_told_to_also_within_a_batch(harness: Harness) -> None:
    tp = await one_topic(harness, *new(20))
    for offset in (0, 7, 19):
        batch = await harness.source.read(tp, offset, MUCH)
        assert offsets(batch.records) == list(range(offset, 20))


async def test_a_read_at_the_end_gives_nothing_and_does_not_wait(harness: Harness) -> None:
    tp = await one_topic(harness, *new(3))
    assert await harness.source.read(tp, 3, MUCH) == Batch([], 3, Bounds(0, 3))
    empty = await one_topic(harness)
    assert await harness.source.read(empty, 0, MUCH) == Batch([], 0, Bounds(0, 0))


@pytest.mark.parametrize("offset", [4, 100, MAX_OFFSET])
async def test_an_offset_beyond_the_end_is_out_of_range(harness: Harness, offset: int) -> None:
    tp = await one_topic(harness, *new(3))
    with pytest.raises(OutOfRangeError):
        await harness.source.read(tp, offset, MUCH)


async def test_a_read_stops_at_about_its_bytes_and_the_rest_follows(harness: Harness) -> None:
    topic = await harness.create()
    for first in range(0, 60, 10):  # Kafka gives whole batches
        await harness.write(topic, [New(b"%d" % n * 1_000, n) for n in range(first, first + 10)])
    await harness.source.refresh([topic])
    tp = TopicPartition(topic, 0)
    first_read = await harness.source.read(tp, 0, 30_000)
    assert 0 < len(first_read.records) < 60
    assert offsets(await read_all(harness.source, tp, 0, 30_000)) == list(range(60))


async def test_a_record_larger_than_what_was_asked_for_comes_all_the_same(harness: Harness) -> None:
    topic = await harness.create(max_message_bytes=str(16 << 20))
    large = New(b"x" * (9 << 20), 2)
    for record in (New(b"before", 1), large, New(b"after", 3)):
        await harness.write(topic, [record])
    await harness.source.refresh([topic])
    tp = TopicPartition(topic, 0)
    batch = await harness.source.read(tp, 1, 1_000)
    assert (offsets(batch.records), batch.next_offset) == ([1], 2)
    assert batch.records[0].value == large.value
    assert values(await read_all(harness.source, tp, 0, 1_000)) == [b"before", large.value, b"after"]
    polled, _ = await poll_until(harness.source, {tp: 0}, lambda found, _: len(found) == 3)
    assert values(polled) == [b"before", large.value, b"after"]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_are_read(on_kafka: KafkaHarness, compression: str) -> None:
    topic = await on_kafka.create()
    written = new(500)
    await on_kafka.write(topic, written, compression=compression)
    await on_kafka.source.refresh([topic])
    tp = TopicPartition(topic, 0)
    assert values(await read_all(on_kafka.source, tp)) == [record.value for record in written]
    assert offsets((await on_kafka.source.read(tp, 250, MUCH)).records)[0] == 250


# Transactions: only what is committed, and the position goes over what is no record.


async def test_a_committed_transaction_is_read_and_its_marker_passed_over(harness: Harness) -> None:
    tp = await one_topic(harness, *new(2))
    await harness.transact(tp.topic, new(3, first=2))
    await harness.write(tp.topic, new(1, first=5))
    assert offsets(await read_all(harness.source, tp)) == [0, 1, 2, 3, 4, 6]
    assert (await harness.source.bounds([tp]))[tp] == Bounds(0, 7)


async def test_an_aborted_transaction_is_never_seen(harness: Harness) -> None:
    tp = await one_topic(harness, *new(2))
    await harness.transact(tp.topic, [New(b"aborted", 2_000)] * 3, abort=True)
    await harness.write(tp.topic, new(1, first=9))
    assert values(await read_all(harness.source, tp)) == [b"value 0", b"value 1", b"value 9"]
    found, positions = await poll_until(harness.source, {tp: 0}, lambda found, _: len(found) == 3)
    assert offsets(found) == [0, 1, 6]
    assert positions == {tp: 7}


async def test_the_position_moves_over_markers_and_aborted_records_where_nothing_follows(harness: Harness) -> None:
    tp = await one_topic(harness, *new(1))
    await harness.transact(tp.topic, new(1, first=1))
    await harness.transact(tp.topic, new(2), abort=True)
    assert await read_all(harness.source, tp, 3) == []
    batch = await harness.source.read(tp, 2, MUCH)
    assert (batch.records, batch.next_offset) == ([], 6), "from a marker to the end"
    _, positions = await poll_until(harness.source, {tp: 2}, lambda _, results: results)
    assert positions == {tp: 6}


async def test_an_open_transaction_ends_reads_at_the_last_stable_offset_until_it_is_committed(harness: Harness) -> None:
    tp = await one_topic(harness, *new(2))
    async with harness.open_transaction(tp.topic, new(2, first=2)):
        await harness.write(tp.topic, new(1, first=4))  # behind it, and not part of it
        assert (await harness.source.bounds([tp]))[tp] == Bounds(0, 2)
        batch = await harness.source.read(tp, 0, MUCH)
        assert (offsets(batch.records), batch.next_offset, batch.bounds) == ([0, 1], 2, Bounds(0, 2))
        assert await harness.source.read(tp, 2, MUCH) == Batch([], 2, Bounds(0, 2), held=3)
        assert await harness.source.offsets_for_times({tp: 1_002}) == {}
        polled, positions = await poll_until(harness.source, {tp: 0}, lambda found, _: len(found) >= 2)
        assert (offsets(polled), positions) == ([0, 1], {tp: 2})
        assert (await harness.source.poll(positions)).get(tp) in (None, Batch([], 2, Bounds(0, 2), held=3))
    polled, _ = await poll_until(harness.source, {tp: 2}, lambda found, _: len(found) >= 3)
    assert offsets(polled) == [2, 3, 4]
    assert offsets(await read_all(harness.source, tp)) == [0, 1, 2, 3, 4]
    assert (await harness.source.bounds([tp]))[tp] == Bounds(0, 6)


# The cluster.


async def test_the_clusters_id_is_known_after_the_first_refresh(harness: Harness) -> None:
    await harness.source.refresh([])
    assert len(harness.source.cluster_id) >= 8
    await harness.source.ping()
    assert not harness.source.is_stale


@pytest.mark.parametrize("kind", ["memory", "kafka"])
async def test_where_nobody_answers_every_question_says_so(kind: str) -> None:
    source: RecordSource
    if kind == "memory":
        memory = MemoryHarness().source
        memory.available = False
        source = memory
    else:
        source = KafkaSource(kafka_options({"metadata.broker.list": f"{HOST}:{free_port()}"}))
    try:
        for question in (source.ping(), source.refresh(["t"])):
            with pytest.raises(SourceUnavailableError):
                await question
        assert source.partitions == {}
    finally:
        await source.close()


async def test_a_source_can_be_closed_in_the_middle_of_a_poll(on_kafka: KafkaHarness) -> None:
    tp = await one_topic(on_kafka)
    polling = asyncio.ensure_future(on_kafka.source.poll({tp: 0}))
    await asyncio.sleep(0.02)
    await cancel(polling)
    await asyncio.wait_for(on_kafka.source.close(), PATIENCE_SECONDS)


async def test_topics_that_do_not_exist_are_named_and_nothing_else_changes(harness: Harness) -> None:
    tp = await one_topic(harness, *new(1))
    before = dict(harness.source.partitions)
    assert await harness.source.missing([tp.topic, f"{tp.topic}.absent"]) == {f"{tp.topic}.absent"}
    assert await harness.source.missing([]) == set()
    assert dict(harness.source.partitions) == before
