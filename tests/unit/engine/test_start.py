"""From where a client asked to start, to the offsets where it does: the wire contract's "Choosing where to start".

Cursors are in `test_start_by_cursor.py`.
"""

from __future__ import annotations

import random
import time

import pytest

from streams.core.errors import KafkaUnavailable
from streams.core.plan import Start
from streams.core.positions import END, MAX_OFFSET, OLDEST, Gap, Mark, TopicPartition
from streams.engine.resume import preview, resolve
from tests.support.engine import Engine, eventually, numbered, whole
from tests.support.engine.starting import TP, LaggingSource, cursor, log_of, started, tip, watched, write


async def test_the_gaps_of_who_will_not_read_are_the_same_and_nothing_is_watched_for_it() -> None:
    source = log_of(100, 200, 300, 400)
    source.truncate_before("t", 2)
    starts = [Start(offset=0), Start(offset=END), Start(offset=2), Start(timestamp=50), cursor(1, 101), cursor(2, 201)]
    engine = Engine(source)
    async with engine.running("t"):
        alone = [(await preview(engine.hub, {TP: start}))[1] for start in starts]
        assert engine.hub.partitions == {}
        async with engine.hub.feed(whole("t")):
            assert alone == [(await started(engine, start))[1] for start in starts]
        assert [bool(gaps) for gaps in alone] == [True, False, False, True, True, False]
        source.available = False
        engine.hub.lookups.forget()
        with pytest.raises(KafkaUnavailable):
            await preview(engine.hub, {TP: Start(offset=0)})


# What memory can tell.


async def test_a_warm_stream_asks_kafka_nothing() -> None:
    """Invariant 6: the end, and the cursors of who was here a moment ago, are known without Kafka."""
    source = log_of(100, 200)
    async with watched(source) as engine:
        assert await started(engine, cursor(2, 201)) == (Mark(0, 2, 201), [])
        write(source, 300, 400, 300, None, None)
        await eventually(lambda: tip(engine) == 7)
        source.available = False
        reads = source.reads
        assert await started(engine, Start(offset=END)) == (Mark(0, 7, 301), [])
        assert await started(engine, cursor(7, 301)) == (Mark(0, 7, 301), [])
        assert await started(engine, cursor(4, 401)) == (Mark(0, 4, 401), [])
        assert await started(engine, cursor(5, 301)) == (Mark(0, 5, 301), [])
        assert source.reads == reads


async def test_what_memory_cannot_tell_is_an_error_while_kafka_is_away() -> None:
    source = log_of(100, 200)
    async with watched(source) as engine:
        source.available = False
        for start in (Start(offset=0), Start(timestamp=5), cursor(1, 101), Start(offset=OLDEST)):
            engine.hub.lookups.forget()
            with pytest.raises(KafkaUnavailable):
                await started(engine, start)


async def test_a_partition_that_kafka_denies_just_now_is_an_error_and_not_its_end() -> None:
    source = log_of(100, 200)
    async with watched(source) as engine:
        source.delete("t")
        engine.hub.lookups.forget()
        with pytest.raises(KafkaUnavailable):
            await started(engine, cursor(1, 101))


async def test_a_partition_that_the_hub_does_not_watch_is_left_out() -> None:
    async with watched(log_of(100)) as engine:
        assert await resolve(engine.hub, {TopicPartition("other", 0): Start(offset=0)}) == ({}, [])


async def test_an_empty_partition_starts_at_nothing_ten_minutes_ago() -> None:
    async with watched(log_of()) as engine:
        mark, gaps = await started(engine, Start(offset=END))
        assert (mark.offset, gaps) == (0, [])
        assert mark.timestamp > 1_600_000_000_000
        assert (await started(engine, Start(offset=OLDEST)))[0].offset == 0


# By offset.


@pytest.mark.parametrize(
    ("asked", "mark", "gaps"),
    [
        (3, Mark(0, 3, 0), []),
        (4, Mark(0, 4, 401), []),
        (5, Mark(0, 5, 301), []),
        (6, Mark(0, 6, 0), []),
        (7, Mark(0, 7, 701), []),
        (8, Mark(0, 7, 701), []),
        (MAX_OFFSET, Mark(0, 7, 701), []),
        (OLDEST, Mark(0, 0, 0), []),
        (0, Mark(0, 0, 0), []),
    ],
)
async def test_an_offset_is_taken_at_its_word_and_one_beyond_the_end_is_the_end(
    asked: int, mark: Mark, gaps: list[Gap]
) -> None:
    async with watched(log_of(100, 200, None, 400, 300, None, 700)) as engine:
        got, said = await started(engine, Start(offset=asked))
        # The timestamp of an unread beginning is that of the first record or 0: never later than what comes.
        assert got.offset == mark.offset
        assert got.timestamp == mark.timestamp or (mark.offset == 0 and got.timestamp <= 100)
        assert said == gaps


@pytest.mark.parametrize(("asked", "gaps"), [(0, [Gap("t", 0, 0, 3)]), (2, [Gap("t", 0, 2, 3)]), (3, []), (OLDEST, [])])
async def test_an_offset_below_the_oldest_is_the_oldest_and_a_gap(asked: int, gaps: list[Gap]) -> None:
    source = log_of(100, 200, 300, 400, 500)
    source.truncate_before("t", 3)
    async with watched(source) as engine:
        mark, said = await started(engine, Start(offset=asked))
        assert (mark.offset, said) == (3, gaps)
        assert mark.timestamp <= 400


async def test_an_offset_outranks_a_timestamp() -> None:
    async with watched(log_of(100, 200, 300)) as engine:
        assert (await started(engine, Start(offset=1, timestamp=300)))[0].offset == 1


# By time.


@pytest.mark.parametrize(
    ("asked", "offset"), [(0, 0), (100, 0), (101, 1), (200, 1), (250, 3), (300, 3), (301, 3), (400, 3), (401, 7)]
)
async def test_a_time_is_the_first_offset_at_or_after_it_or_else_the_end(asked: int, offset: int) -> None:
    async with watched(log_of(100, 200, None, 400, 300, None, 200)) as engine:
        mark, gaps = await started(engine, Start(timestamp=asked))
        assert (mark.offset, gaps) == (offset, [])


async def test_the_largest_time_there_is_is_the_end() -> None:
    async with watched(log_of(100)) as engine:
        assert (await started(engine, Start(timestamp=MAX_OFFSET)))[0].offset == 1


@pytest.mark.parametrize(
    ("asked", "offset", "gaps"),
    [
        (0, 2, [Gap("t", 0, 0, 300)]),
        (299, 2, [Gap("t", 0, 299, 300)]),
        (300, 2, []),
        (301, 3, []),
        (999, 4, []),
    ],
)
async def test_a_time_before_the_first_record_is_a_gap_where_the_log_has_been_cut(
    asked: int, offset: int, gaps: list[Gap]
) -> None:
    source = log_of(100, 200, 300, 400)
    source.truncate_before("t", 2)
    async with watched(source) as engine:
        mark, said = await started(engine, Start(timestamp=asked))
        assert (mark.offset, said) == (offset, gaps)


@pytest.mark.parametrize(
    ("asked", "gaps"),
    [
        (Start(timestamp=0), [(0, None)]),
        (Start(timestamp=299), [(299, None)]),
        (cursor(7, 201, "elsewher"), [(7, 3)]),
        (cursor(2, 201), [(2, 3)]),
        (Start(timestamp=MAX_OFFSET), []),
        (Start(offset=OLDEST), []),
        (Start(offset=END), []),
    ],
)
async def test_a_past_of_which_nothing_is_left_is_a_gap(asked: Start, gaps: list[tuple[int, int | None]]) -> None:
    source = log_of(100, 200, 300)
    source.truncate_before("t", 3)
    async with watched(source) as engine:
        before = int(time.time() * 1000)
        mark, said = await started(engine, asked)
        assert mark.offset == 3
        assert [
            (gap.asked, gap.served if served else None) for gap, (_, served) in zip(said, gaps, strict=True)
        ] == gaps
        for gap, (_, served) in zip(said, gaps, strict=True):
            assert served or (gap.served is not None and before <= gap.served <= time.time() * 1000)


async def test_an_empty_log_that_never_held_anything_is_no_gap() -> None:
    async with watched(log_of()) as engine:
        assert (await started(engine, Start(timestamp=5)))[1] == []


async def test_to_start_by_time_no_record_is_read_however_many_partitions_there_are() -> None:
    """Kafka gives whole batches: reading one of each partition takes longer than a client waits."""
    source = LaggingSource()
    source.create("t", 150)
    partitions = [TopicPartition("t", number) for number in range(150)]
    for tp in partitions:
        for timestamp in (100, 200, 300):
            source.append("t", numbered(1), timestamp, partition=tp.partition)
    async with watched(source) as engine:
        reads = source.reads
        position, gaps = await resolve(engine.hub, dict.fromkeys(partitions, Start(timestamp=150)))
        assert [mark.offset for mark in position.values()] == [1] * 150
        again = {tp: cursor(mark.offset, mark.timestamp) for tp, mark in position.items()}
        assert await resolve(engine.hub, again) == (position, gaps) == (position, [])
        assert source.reads == reads


async def test_an_end_is_the_hubs_own_so_that_nothing_is_skipped_that_comes_meanwhile() -> None:
    source = log_of(100)
    async with watched(source) as engine:
        source.lags = True
        write(source, 200, 300)
        assert (await started(engine, Start(offset=END)))[0].offset == 1
        assert (await started(engine, Start(timestamp=1_000)))[0].offset == 1


# All together.


async def test_partitions_are_resolved_each_by_its_own_start() -> None:
    source = log_of(100, 200)
    source.create("t", 3)
    source.append("t", numbered(1), 500, partition=1)
    engine = Engine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")):
        position, gaps = await resolve(
            engine.hub,
            {
                TP: Start(offset=1),
                TopicPartition("t", 1): Start(timestamp=1),
                TopicPartition("t", 2): Start(offset=END),
            },
        )
    assert {tp.partition: mark.offset for tp, mark in position.items()} == {0: 1, 1: 0, 2: 0}
    assert gaps == []


@pytest.mark.parametrize("seed", range(20))
async def test_the_id_of_any_start_is_believed_and_leads_back_to_it(seed: int) -> None:
    """What an id says must agree with the log, or a client that resumes would be sent events again."""
    chance = random.Random(seed)
    source = log_of(*(chance.choice([None, chance.randint(1, 500)]) for _ in range(chance.randint(1, 40))))
    end = (await source.bounds([TP]))[TP].end
    source.truncate_before("t", chance.choice([0, chance.randint(0, end)]))
    async with watched(source) as engine:
        write(source, *(chance.choice([None, chance.randint(1, 500)]) for _ in range(chance.randint(0, 20))))
        end = (await source.bounds([TP]))[TP].end
        await eventually(lambda: tip(engine) == end)
        for _ in range(30):
            start = chance.choice(
                [
                    Start(offset=chance.choice([OLDEST, END, chance.randint(0, end + 3)])),
                    Start(timestamp=chance.randint(0, 600)),
                    cursor(chance.randint(0, end + 3), chance.randint(0, 600)),
                    cursor(chance.randint(0, end + 3), chance.randint(0, 600), "elsewher"),
                ]
            )
            mark, _ = await started(engine, start)
            again, gaps = await started(engine, cursor(mark.offset, mark.timestamp))
            assert (again.offset, gaps) == (mark.offset, []), start
