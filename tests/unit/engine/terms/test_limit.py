"""A stream with a limit ends right after that number of events, with an id for the next ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from streams.core.filters import parse_filter
from streams.core.positions import OLDEST, TopicPartition
from tests.support.engine import Received
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
@pytest.mark.parametrize("limit", [1, 2, 7, 20])
async def test_a_limit_ends_right_after_the_last_event(
    limit: int, is_sse: bool, takes: Callable[[], bool] | None
) -> None:
    source = topic(*range(20))
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, limit=limit, is_sse=is_sse, takes=takes) as (_, it):
        got = await it.to_the_end()
        assert offsets(got) == list(range(limit))
        if is_sse:
            assert (end_of(got), next_of(got)) == (("limit", limit), {TP: limit})


@PULLED_OR_WRITTEN
async def test_a_limit_ends_a_live_stream_at_once(takes: Callable[[], bool] | None) -> None:
    source = topic()
    async with open_stream(source, limit=5, takes=takes) as (_, client):
        write(source, 0)
        await client.until(lambda got: len(got.events) == 1)
        write(source, 1, 2, 3, 4)
        got = await client.to_the_end()
        assert (offsets(got), end_of(got)) == ([0, 1, 2, 3, 4], ("limit", 5))


@PULLED_OR_WRITTEN
async def test_a_limit_within_what_comes_at_once_is_exact(takes: Callable[[], bool] | None) -> None:
    source = topic()
    async with open_stream(source, limit=3, takes=takes) as (_, client):
        write(source, *range(10))
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([0, 1, 2], ("limit", 3), {TP: 3})


async def test_records_that_are_no_events_do_not_count_for_a_limit() -> None:
    source = topic(0)
    for _ in range(5):
        source.append("a", None, T)
    write(source, 1, 2)
    source.append("a", None, T)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, limit=2) as (_, client):
        got = await client.to_the_end()
        assert (offsets(got), next_of(got)) == ([0, 6], {TP: 7})


async def test_pages_by_a_limit_have_every_event_once() -> None:
    source = topic(*range(25), partitions=3)
    write(source, *range(5, 15), partition=1)
    write(source, *range(5, 40, 7), partition=2)
    identifier, pages, events = id_of({TopicPartition("a", n): OLDEST for n in range(3)}), 0, []
    async with QuickEngine(source).running("a") as engine:
        while len(events) < 40:
            async with connected(engine, ONE, last_event_id=identifier, limit=7) as page:
                left = min(7, 40 - len(events))
                got = await page.until(partial(_has, left))
                if left == 7:
                    await page.to_the_end()
                assert page.gaps == []
                events += got.events
                pages += 1
                if got.end is not None:
                    identifier = got.end[0]
    assert (len(set(events)), pages) == (40, 6)


def _has(count: int, got: Received) -> bool:
    return len(got.events) == count


@pytest.mark.parametrize(("limit", "reason", "count"), [(2, "limit", 2), (3, "limit", 3), (4, "until", 3)])
async def test_of_a_limit_and_a_time_the_first_counts(limit: int, reason: str, count: int, clock: Clock) -> None:
    source = topic(-3, -2, -1, 0, 1)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, limit=limit, until=T) as (engine, client):
        got = await client.to_the_end()
        assert (len(got.events), end_of(got)) == (count, (reason, count))
        assert engine.metrics.registry.get_sample_value("eventstreams_stream_ends_total", {"reason": reason}) == 1


@pytest.mark.parametrize("takes", [None, lambda: True])
async def test_another_client_of_the_feed_goes_on(takes: Callable[[], bool] | None) -> None:
    source = topic()
    async with open_stream(source, limit=2, takes=takes) as (engine, client), connected(engine, ONE) as other:
        write(source, 0, 1, 2)
        assert len((await client.to_the_end()).events) == 2
        write(source, 3)
        assert offsets(await other.until(lambda got: len(got.events) == 4)) == [0, 1, 2, 3]


@PULLED_OR_WRITTEN
async def test_with_a_filter_a_limit_ends_right_after_the_last_event_that_matches(
    takes: Callable[[], bool] | None,
) -> None:
    source = topic()
    wanted = parse_filter(b"where=n<2")
    async with open_stream(source, limit=2, takes=takes, wanted=wanted) as (engine, client):
        write(source, 5, 0, 7, 1, 8, 9)
        got = await client.to_the_end()
        assert (offsets(got), end_of(got), next_of(got)) == ([1, 3], ("limit", 2), {TP: 4})
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, limit=2, wanted=wanted) as again:
            got = await again.to_the_end()
            assert (offsets(got), next_of(got)) == ([1, 3], {TP: 4})
