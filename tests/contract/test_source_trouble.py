"""Trouble with one partition keeps no other one back, in the real Kafka and in the one in memory."""

from __future__ import annotations

import pytest

from streams.core.positions import TopicPartition
from streams.engine.source import Bounds, Found, SourceUnavailableError
from tests.support.kafka.records import MUCH, new, poll_until
from tests.support.kafka.sources import Harness


async def test_a_leader_that_has_moved_keeps_no_other_partition_back_and_is_found_again(harness: Harness) -> None:
    topic = await harness.create(2)
    for partition in (0, 1):
        await harness.write(topic, new(3), partition=partition)
    source = harness.source
    await source.refresh([topic])
    steady, moved = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert source.broker_of(steady) == source.broker_of(moved)
    harness.mislead(moved)
    bounds = await source.bounds([steady, moved])
    assert bounds[steady] == Bounds(0, 3)
    assert isinstance(bounds[moved], SourceUnavailableError)
    found = await source.offsets_for_times({steady: 0, moved: 0})
    assert found[steady] == Found(0, 1_000)
    assert isinstance(found[moved], SourceUnavailableError)
    with pytest.raises(SourceUnavailableError):
        await source.read(moved, 0, MUCH)
    polled, _ = await poll_until(source, {steady: 0, moved: 0}, lambda found, _: len(found) == 3)
    assert {record.partition for record in polled} == {0}
    assert source.is_stale
    await source.refresh([topic])
    assert not source.is_stale
    assert await source.bounds([steady, moved]) == {steady: Bounds(0, 3), moved: Bounds(0, 3)}
    polled, _ = await poll_until(source, {steady: 3, moved: 0}, lambda found, _: len(found) == 3)
    assert {record.partition for record in polled} == {1}


async def test_topics_that_do_not_exist_are_told_from_those_that_do(harness: Harness) -> None:
    topic = await harness.create()
    await harness.source.refresh([topic, "test.none"])
    assert harness.source.absent == {"test.none"}
    assert harness.source.denied == set()
    assert harness.source.broker_of(TopicPartition("test.none", 0)) == -1
