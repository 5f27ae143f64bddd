"""Where a client starts that has an id of ours: its cursor is exact, and is disbelieved on evidence only."""

from __future__ import annotations

import pytest

from streams.core.plan import Start
from streams.core.positions import Gap, Mark
from tests.support.engine.starting import cursor, log_of, started, tip, watched, write


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (cursor(0, 100), "nothing is before it"),
        (cursor(1, 101), "the second of two within a millisecond is next"),
        (cursor(2, 101), "both have been seen"),
        (cursor(4, 901), "timestamps out of order"),
        (cursor(5, 51), "timestamps out of order"),
        (cursor(3, 17), "the record before it is missing, which proves nothing"),
        (cursor(6, 17), "the record before it is missing, which proves nothing"),
        (cursor(3, 500), "it is what Kafka has for the id's own time: an id of who began by time and had nothing yet"),
    ],
)
async def test_a_cursor_of_this_cluster_is_exact(asked: Start, why: str) -> None:
    async with watched(log_of(100, 100, None, 900, 50, None, 60)) as engine:
        assert asked.cursor is not None
        assert await started(engine, asked) == (Mark(0, asked.cursor.offset, asked.timestamp or 0), []), why


async def test_a_cursor_at_the_beginning_is_believed_since_what_was_before_it_has_expired() -> None:
    source = log_of(100, 200, 300)
    source.truncate_before("t", 2)
    async with watched(source) as engine:
        assert await started(engine, cursor(2, 201)) == (Mark(0, 2, 201), [])


async def test_a_cursor_below_the_oldest_is_the_oldest_and_a_gap() -> None:
    source = log_of(100, 200, 300)
    source.truncate_before("t", 2)
    async with watched(source) as engine:
        mark, gaps = await started(engine, cursor(1, 101))
        assert (mark.offset, gaps) == (2, [Gap("t", 0, 1, 2)])


@pytest.mark.parametrize(
    ("asked", "offset"),
    [
        (cursor(2, 101), 0),  # the record before has another timestamp: the first at or after 100
        (cursor(1, 301), 2),
        (cursor(4, 301), 2),  # beyond the end
        (cursor(4, 901), 3),
        (cursor(1, 0), 0),
    ],
)
async def test_a_cursor_is_disbelieved_on_evidence_and_time_decides_and_a_gap_is_said(
    asked: Start, offset: int
) -> None:
    async with watched(log_of(100, 120, 300)) as engine:
        assert asked.cursor is not None
        mark, gaps = await started(engine, asked)
        assert (mark.offset, gaps) == (offset, [Gap("t", 0, asked.cursor.offset, offset)])


async def test_a_cursor_ahead_of_the_hub_is_checked_against_kafka_and_believed() -> None:
    """An id from another process, whose hub is faster."""
    source = log_of(100)
    async with watched(source) as engine:
        await started(engine, Start(offset=0))  # bounds that are soon out of date
        source.lags = True
        write(source, 200, 300)
        assert await started(engine, cursor(3, 301)) == (Mark(0, 3, 301), [])
        assert tip(engine) == 1


@pytest.mark.parametrize(
    ("asked", "offset"), [(cursor(7, 201, "elsewher"), 1), (cursor(1, 301, "elsewher"), 2), (cursor(0, 999, ""), 3)]
)
async def test_a_cursor_of_another_cluster_counts_for_nothing_and_its_timestamp_goes_back_one(
    asked: Start, offset: int
) -> None:
    async with watched(log_of(100, 200, 300)) as engine:
        mark, gaps = await started(engine, asked)
        assert (mark.offset, gaps) == (offset, [])


async def test_a_cursor_of_another_cluster_that_has_kept_more_is_a_gap() -> None:
    source = log_of(100, 200, 300)
    source.truncate_before("t", 2)
    async with watched(source) as engine:
        assert (await started(engine, cursor(7, 101, "elsewher")))[1] == [Gap("t", 0, 7, 2)]
        assert (await started(engine, cursor(7, 301, "elsewher")))[1] == []
