"""A stream with an end has every event before it, none after it, and an id to resume with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from streams.core.filters import parse_filter
from streams.core.plan import Start
from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.resume import preview, resolve
from streams.engine.source import PollResult
from streams.engine.terms.end import End, is_nothing_left
from tests.support.engine import eventually, whole
from tests.support.engine.connection import TP, QuickEngine, connected, id_of
from tests.support.engine.ends import (
    FROM_THE_OLDEST,
    ONE,
    PULLED_OR_WRITTEN,
    SSE_OR_JSON,
    Clock,
    T,
    end_of,
    next_of,
    offsets,
    open_stream,
    topic,
    write,
)


@SSE_OR_JSON
@PULLED_OR_WRITTEN
async def test_a_past_until_ends_before_the_first_record_of_its_time(
    is_sse: bool, takes: Callable[[], bool] | None, clock: Clock
) -> None:
    source = topic(-3, -1, -2, 0, -1, 5)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T, is_sse=is_sse, takes=takes) as (_, client):
        got = await client.to_the_end()
        assert offsets(got) == [0, 1, 2]
        if is_sse:
            assert (end_of(got), next_of(got)) == (("until", 3), {TP: 3})
        else:
            assert got.end is None


async def test_without_a_record_of_its_time_a_past_until_ends_with_what_there_is(clock: Clock) -> None:
    source = topic(-3, -2)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (_, client):
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([0, 1], ("until", 2), {TP: 2})


async def test_each_partition_ends_by_its_own_records(clock: Clock) -> None:
    source = topic(-3, 0, partitions=4)
    write(source, -5, -4, -3, 2, -1, partition=1)
    write(source, 3, partition=2)
    everything = id_of({TopicPartition("a", n): OLDEST for n in range(4)})
    async with open_stream(source, last_event_id=everything, until=T) as (_, client):
        got = await client.to_the_end()
        tps = [TopicPartition("a", n) for n in range(4)]
        assert got.offsets == {tps[0]: [0], tps[1]: [0, 1, 2]}
        assert next_of(got) == {tps[0]: 1, tps[1]: 3, tps[2]: 0, tps[3]: 0}


@PULLED_OR_WRITTEN
async def test_a_future_until_ends_at_the_first_record_of_its_time(
    takes: Callable[[], bool] | None, clock: Clock
) -> None:
    clock.ms = T - 60_000
    source = topic(-70_000)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T, takes=takes) as (_, client):
        await client.until(lambda got: len(got.events) == 1)
        write(source, -3)
        await client.until(lambda got: len(got.events) == 2)
        write(source, -2, -1, 0, -1)
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([0, 1, 2, 3], ("until", 4), {TP: 4})


@PULLED_OR_WRITTEN
async def test_a_record_of_its_time_that_is_no_event_ends_it_too(
    takes: Callable[[], bool] | None, clock: Clock
) -> None:
    clock.ms = T - 60_000
    source = topic()
    async with open_stream(source, until=T, takes=takes) as (_, client):
        write(source, -2)
        await client.until(lambda got: len(got.events) == 1)
        source.append("a", None, T)
        write(source, -1)
        got = await client.to_the_end()
        assert (offsets(got), next_of(got)) == ([0], {TP: 1})


@PULLED_OR_WRITTEN
async def test_a_future_until_ends_when_the_clock_has_passed_it(takes: Callable[[], bool] | None, clock: Clock) -> None:
    clock.ms = T - 500
    source = topic()
    async with open_stream(source, until=T, takes=takes) as (_, client):
        write(source, -5, -4)
        await client.until(lambda got: len(got.events) == 2)
        assert not client.has_ended
        clock.ms = T + 1
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([0, 1], ("until", 2), {TP: 2})


async def test_what_was_written_before_the_clock_passed_is_waited_for(clock: Clock) -> None:
    """The end is that of the log, not of what the tail has read of it."""
    clock.ms = T - 60_000
    source = Stopping()
    source.create("a")
    async with open_stream(source, until=T, keepalive_seconds=0.05) as (_, client):
        source.stopped = True
        write(source, -3, -2, -1)
        clock.ms = T
        await client.until(lambda got: got.keepalives >= 5)
        assert not client.has_ended
        source.stopped = False
        got = await client.to_the_end()
        assert (offsets(got), end_of(got)) == ([0, 1, 2], ("until", 3))


class Stopping(MemorySource):
    """Its tail can be stopped."""

    stopped = False

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.stopped else results


async def test_a_record_stamped_before_it_that_comes_later_is_not_waited_for(clock: Clock) -> None:
    source = topic(-2)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (_, client):
        write(source, -1)
        got = await client.to_the_end()
        assert (offsets(got), next_of(got)) == ([0], {TP: 1})


async def test_a_partition_that_has_ended_waits_for_the_others(clock: Clock) -> None:
    clock.ms = T - 60_000
    source = topic(partitions=2)
    other = TopicPartition("a", 1)
    async with open_stream(source, until=T) as (_, client):
        write(source, -9, 3, 4)
        write(source, -8, partition=1)
        await client.until(lambda got: len(got.events) == 2)
        write(source, 5)
        write(source, -7, partition=1)
        got = await client.until(lambda got: len(got.events) == 3)
        assert got.offsets == {TP: [0], other: [0, 1]}
        assert not client.has_ended
        clock.ms = T
        got = await client.to_the_end()
        assert (end_of(got), next_of(got)) == (("until", 3), {TP: 1, other: 2})


async def test_a_partition_added_before_it_is_in_and_one_added_after_it_does_not_hold_it_up(clock: Clock) -> None:
    clock.ms = T - 60_000
    source = topic()
    added = TopicPartition("a", 1)
    async with open_stream(source, until=T) as (_, client):
        source.create("a", 2)
        write(source, -9, 1, partition=1)
        got = await client.until(lambda got: added in got.offsets)
        clock.ms = T
        got = await client.to_the_end()
        assert got.offsets == {added: [0]}


async def test_a_client_beyond_its_end_gets_nothing_of_that_partition(clock: Clock) -> None:
    source = topic(-3, 0, 1, 2, partitions=2)
    write(source, -5, 1, partition=1)
    other = TopicPartition("a", 1)
    async with open_stream(source, last_event_id=id_of({TP: 3, other: 0}), until=T) as (_, client):
        got = await client.to_the_end()
        assert (got.offsets, next_of(got)) == ({other: [0]}, {TP: 3, other: 1})


async def test_the_ids_on_the_way_lead_to_the_same_end(clock: Clock) -> None:
    source = topic(-30, -20, -10, 0, 1, partitions=2)
    write(source, -25, -15, -5, -4, 7, partition=1)
    source.append("a", None, T + 8, partition=1)
    everything = id_of({TopicPartition("a", n): OLDEST for n in range(2)})
    async with open_stream(source, last_event_id=everything, until=T) as (engine, client):
        whole = await client.to_the_end()
        assert len(whole.events) == 7
        for number, identifier in enumerate(whole.ids, 1):
            async with connected(engine, ONE, last_event_id=identifier, until=T) as again:
                got = await again.to_the_end()
                assert whole.events[:number] + got.events == whole.events
                assert again.gaps == []
                assert next_of(got) == next_of(whole)


async def test_the_id_of_an_end_goes_on_without_a_gap_or_a_repetition(clock: Clock) -> None:
    source = topic(-3, -2)
    source.append("a", None, T - 1)
    write(source, 0, 1)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (engine, client):
        end = (await client.to_the_end()).end
        assert end is not None
        async with connected(engine, ONE, last_event_id=end[0]) as after:
            got = await after.until(lambda got: len(got.events) == 2)
            assert (offsets(got), after.gaps, got.gaps) == ([3, 4], [], [])


async def test_an_end_is_sat_out_where_kafka_does_not_say_it_and_said_when_it_does(clock: Clock) -> None:
    clock.ms = T - 60_000
    source = topic(-9)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T, keepalive_seconds=0.05) as (_, client):
        await client.until(lambda got: len(got.events) == 1)
        source.available = False
        clock.ms = T
        await client.until(lambda got: got.keepalives >= 3)
        assert not client.has_ended
        source.available = True
        got = await client.to_the_end()
        assert (end_of(got), next_of(got)) == (("until", 1), {TP: 1})


async def test_a_topic_that_is_gone_does_not_hold_the_end_up(clock: Clock) -> None:
    clock.ms = T - 60_000
    source = topic(-9)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (engine, client):
        await client.until(lambda got: len(got.events) == 1)
        source.delete("a")
        await eventually(lambda: not engine.hub.exists(TP))
        clock.ms = T
        assert end_of(await client.to_the_end()) == ("until", 1)


async def test_a_topic_that_began_anew_ends_by_its_new_records(clock: Clock) -> None:
    clock.ms = T - 60_000
    source = topic(-9, -8)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (_, client):
        await client.until(lambda got: len(got.events) == 2)
        source.delete("a")
        source.create("a")
        write(source, -7)
        got = await client.until(lambda got: len(got.events) == 3)
        write(source, 1)
        got = await client.to_the_end()
        assert (offsets(got), next_of(got), len(got.gaps)) == ([0, 1, 0], {TP: 1}, 1)


@PULLED_OR_WRITTEN
async def test_with_a_filter_an_until_ends_past_what_does_not_match(
    takes: Callable[[], bool] | None, clock: Clock
) -> None:
    clock.ms = T - 60_000
    source = topic(-9, -8)
    async with open_stream(
        source, last_event_id=FROM_THE_OLDEST, until=T, takes=takes, wanted=parse_filter(b"where=n=-8")
    ) as (_, client):
        await client.until(lambda got: len(got.events) == 1)
        write(source, -7, -6, 0, -8)
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([1], ("until", 1), {TP: 4})


async def test_an_end_where_no_record_of_its_time_is_resumes_with_what_comes_late(clock: Clock) -> None:
    source = topic(-3, -2)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, until=T) as (engine, client):
        write(source, -1)
        await eventually(lambda: client.feed.vector[TP].offset == 3)
        end = (await client.to_the_end()).end
        assert end is not None
        async with connected(engine, ONE, last_event_id=end[0], until=T) as late:
            got = await late.to_the_end()
            assert (offsets(got), late.gaps, got.gaps, next_of(got)) == ([2], [], [], {TP: 3})


@PULLED_OR_WRITTEN
async def test_a_live_client_ends_soon_after_a_record_of_its_time_that_its_filter_does_not_want(
    takes: Callable[[], bool] | None, clock: Clock
) -> None:
    """Nothing else is written to it that would wake it: no event, no sign of life."""
    clock.ms = T - 60_000
    source = topic(-9)
    async with QuickEngine(source, housekeeping_seconds=0.05).running("a") as engine, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                connected(engine, ONE, until=T + end, takes=takes, wanted=parse_filter(b"where=n<0"))
            )
            for end in (0, 100)
        ]
        write(source, -8)
        for client in clients:
            await client.until(lambda got: len(got.events) == 1)
        write(source, 50, 0)
        got = await clients[0].to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([1], ("until", 1), {TP: 2})
        assert not clients[1].has_ended
        write(source, -7, 100)
        got = await clients[1].to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([1, 4], ("until", 2), {TP: 5})
        assert engine.hub.looks == set()


@PULLED_OR_WRITTEN
async def test_at_its_end_a_client_does_not_read_again_what_its_filter_did_not_want(
    takes: Callable[[], bool] | None, clock: Clock
) -> None:
    clock.ms = T - 60_000
    source = topic(-9)
    async with QuickEngine(source, housekeeping_seconds=0.05, ring_bytes=1).running("a") as engine:
        async with connected(engine, ONE, until=T, takes=takes, wanted=parse_filter(b"where=n=-8")) as client:
            write(source, -8)
            await client.until(lambda got: len(got.events) == 1)
            reads = engine.count("eventstreams_history_reads_total")  # it may have come too late for the ring
            write(source, *[-7] * 20, 0)
            got = await client.to_the_end()
            assert (offsets(got), end_of(got), next_of(got)) == ([1], ("until", 1), {TP: 22})
        assert engine.count("eventstreams_history_reads_total") == reads


@pytest.mark.parametrize("until", [T, T + 1_000], ids=["past", "future"])
@pytest.mark.parametrize("offset", [1, 3])
@pytest.mark.parametrize("denied", ["unreadable", "unseen", ""])
async def test_whether_anything_is_left_is_the_same_for_who_reads_and_who_only_asks(
    denied: str, offset: int, until: int, clock: Clock
) -> None:
    source = topic(-3, -1, -2, 5_000)
    source.create("b")
    for time in (-3, -1):
        source.append("b", b"{}", T + time)
    engine = QuickEngine(source, ready_seconds=0.5)
    async with engine.running("a", "b"):
        if denied:
            getattr(source, denied).add("b")
        starts = {TP: Start(offset=offset), TopicPartition("b", 0): Start(offset=1)}
        async with engine.hub.feed(whole("a", "b"), list(starts)) as feed:
            position, _ = await resolve(engine.hub, starts, list(starts))
            end = End(engine.hub, until, None)
            await end.look_up(end.unknown(feed.vector))
            for_who_reads = end.is_past(position, feed.vector)
        position, _ = await preview(engine.hub, starts)
        assert await is_nothing_left(engine.hub.lookups, starts, position, until) == for_who_reads
        assert for_who_reads == (bool(denied) and offset == 3), "at the end of all that may be read"
