"""The contract of a RecordSource, kept by the real Kafka and by the one in memory that the engine is tested on."""

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
    Found,
    OutOfRangeError,
    RecordSource,
    SourceUnavailableError,
    UnknownPartitionError,
)
from streams.local.processes import HOST, free_port
from tests.support.engine import cancel
from tests.support.records import (
    MUCH,
    new,
    offsets,
    one_topic,
    poll_until,
    read_all,
    values,
)
from tests.support.sources import PATIENCE_SECONDS, Harness, KafkaHarness, MemoryHarness, New, refreshed

# Reading.


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


# Bounds and times.


async def test_bounds_are_of_all_partitions_that_there_are(harness: Harness) -> None:
    topic = await harness.create(3)
    await harness.write(topic, new(5), partition=1)
    await harness.write(topic, new(4), partition=2)
    await harness.truncate(topic, 3, partition=2)
    await harness.source.refresh([topic])
    wanted = [TopicPartition(topic, n) for n in range(5)]
    assert await harness.source.bounds(wanted) == {
        wanted[0]: Bounds(0, 0),
        wanted[1]: Bounds(0, 5),
        wanted[2]: Bounds(3, 4),
    }
    assert await harness.source.bounds([]) == {}


async def test_a_time_is_the_first_record_at_or_after_it(harness: Harness) -> None:
    tp = await one_topic(harness, *(New(b"", timestamp) for timestamp in (100, 200, 200, 500, 300, 400)))
    wanted = {
        0: Found(0, 100),
        100: Found(0, 100),
        101: Found(1, 200),
        200: Found(1, 200),
        250: Found(3, 500),
        500: Found(3, 500),
        501: None,
        MAX_OFFSET: None,
    }
    for ms, found in wanted.items():
        assert (await harness.source.offsets_for_times({tp: ms})).get(tp) == found, ms


async def test_one_more_than_the_timestamp_of_a_record_is_a_timestamp_too(harness: Harness) -> None:
    topic = await harness.create(**{"message_timestamp_after_max_ms": str(MAX_OFFSET)})
    await harness.write(topic, [New(b"last", MAX_OFFSET), New(b"before", MAX_OFFSET - 1)])
    await harness.source.refresh([topic])
    records = await read_all(harness.source, TopicPartition(topic, 0))
    assert [(record.value, record.timestamp + 1) for record in records] == [
        (b"last", MAX_OFFSET),
        (b"before", MAX_OFFSET),
    ]


async def test_times_are_asked_of_many_partitions_at_once(harness: Harness) -> None:
    topic = await harness.create(3)
    for partition in (0, 1):
        await harness.write(topic, new(5, 1_000 * partition), partition=partition)
    await harness.source.refresh([topic])
    wanted = [TopicPartition(topic, n) for n in range(4)]
    assert await harness.source.offsets_for_times(dict(zip(wanted, (3, 1_002, 0, 0), strict=True))) == {
        wanted[0]: Found(3, 3),
        wanted[1]: Found(2, 1_002),
    }


async def test_a_time_before_what_is_retained_is_the_oldest_retained_record(harness: Harness) -> None:
    tp = await one_topic(harness, *new(10))
    await harness.truncate(tp.topic, 4)
    assert await harness.source.offsets_for_times({tp: 1_001}) == {tp: Found(4, 1_004)}
    await harness.truncate(tp.topic, 10)
    assert await harness.source.offsets_for_times({tp: 0}) == {}


# Truncation, topics that come and go.


async def test_what_retention_has_taken_is_out_of_range(harness: Harness) -> None:
    tp = await one_topic(harness, *new(10))
    await harness.truncate(tp.topic, 6)
    assert (await harness.source.bounds([tp]))[tp] == Bounds(6, 10)
    for offset in (0, 5):
        with pytest.raises(OutOfRangeError):
            await harness.source.read(tp, offset, MUCH)
    assert offsets(await read_all(harness.source, tp, 6)) == [6, 7, 8, 9]
    _, positions = await poll_until(harness.source, {tp: 5}, lambda _, got: isinstance(got.get(tp), OutOfRangeError))
    assert positions == {tp: 5}
    polled, _ = await poll_until(harness.source, {tp: 6}, lambda found, _: len(found) == 4)
    assert offsets(polled) == [6, 7, 8, 9]


async def test_a_topic_that_is_deleted_is_unknown_and_one_recreated_has_nothing_of_the_old(harness: Harness) -> None:
    tp = await one_topic(harness, *new(10))
    await harness.delete(tp.topic)
    await refreshed(harness.source, tp.topic, None)
    with pytest.raises(UnknownPartitionError):
        await harness.source.read(tp, 0, MUCH)
    assert await harness.source.bounds([tp]) == {}
    assert await harness.source.offsets_for_times({tp: 0}) == {}
    await poll_until(harness.source, {tp: 10}, lambda _, got: isinstance(got.get(tp), UnknownPartitionError))

    await harness.create(topic=tp.topic)
    await refreshed(harness.source, tp.topic, 1)
    assert (await harness.source.bounds([tp]))[tp] == Bounds(0, 0)
    with pytest.raises(OutOfRangeError):
        await harness.source.read(tp, 10, MUCH)
    await poll_until(harness.source, {tp: 10}, lambda _, got: isinstance(got.get(tp), OutOfRangeError))
    await harness.write(tp.topic, [New(b"anew", 5)])
    assert values(await read_all(harness.source, tp)) == [b"anew"]


async def test_partitions_that_are_added_are_known_after_a_refresh_and_polled_beside_the_others(
    harness: Harness,
) -> None:
    tp = await one_topic(harness, *new(1))
    added = TopicPartition(tp.topic, 1)
    _, positions = await poll_until(harness.source, {tp: 0}, lambda found, _: found)
    await harness.add_partitions(tp.topic, 2)
    await refreshed(harness.source, tp.topic, 2)
    await harness.write(tp.topic, [New(b"added", 5)], partition=1)
    await harness.write(tp.topic, [New(b"old", 5)])
    found, _ = await poll_until(harness.source, {**positions, added: 0}, lambda found, _: len(found) == 2)
    assert {(record.partition, record.value) for record in found} == {(0, b"old"), (1, b"added")}


async def test_only_the_topics_that_were_asked_for_are_known(harness: Harness) -> None:
    first, second, third = [await harness.create(n) for n in (1, 2, 3)]
    await harness.source.refresh([first, third, "test.none"])
    assert dict(harness.source.partitions) == {first: 1, third: 3}
    await harness.source.refresh([second])
    assert dict(harness.source.partitions) == {second: 2}
    await harness.source.refresh([])
    assert dict(harness.source.partitions) == {}


async def test_no_question_ever_creates_a_topic(harness: Harness) -> None:
    """On a broker with auto.create.topics.enable, which is the default."""
    source = harness.source
    tp = TopicPartition("test.never-made", 0)
    for _ in range(2):
        await source.refresh([tp.topic])
        assert await source.bounds([tp]) == {}
        assert await source.offsets_for_times({tp: 0}) == {}
        with pytest.raises(UnknownPartitionError):
            await source.read(tp, 0, MUCH)
        results = await source.poll({tp: 0})
        assert isinstance(results[tp], UnknownPartitionError)
        await source.ping()
    assert tp.topic not in await harness.topics()


async def test_a_partition_beyond_those_of_its_topic_is_unknown(harness: Harness) -> None:
    tp = await one_topic(harness, *new(1))
    beyond = TopicPartition(tp.topic, 1)
    with pytest.raises(UnknownPartitionError):
        await harness.source.read(beyond, 0, MUCH)
    assert await harness.source.bounds([tp, beyond]) == {tp: Bounds(0, 1)}


# The tail.


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
        source = KafkaSource(kafka_options({"metadata.broker.list": f"{HOST}:{free_port()}"}), readers=1)
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
