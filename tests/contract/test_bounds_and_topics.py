"""The contract of a RecordSource: bounds, times, truncation, and topics that come and go."""

from __future__ import annotations

import pytest

from streams.core.positions import MAX_OFFSET, TopicPartition
from streams.engine.source import (
    Bounds,
    Found,
    OutOfRangeError,
    UnknownPartitionError,
)
from tests.support.kafka.records import (
    MUCH,
    new,
    offsets,
    one_topic,
    poll_until,
    read_all,
    values,
)
from tests.support.kafka.sources import Harness, New, refreshed

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
    await harness.write(tp.topic, [New(b"again", 5)])
    assert values(await read_all(harness.source, tp)) == [b"again"]


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
