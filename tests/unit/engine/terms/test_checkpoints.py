"""A client that is sent nothing gets its position, if that has moved."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.core.filters import parse_filter
from streams.core.positions import Position, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.tail.chunk import Chunk
from streams.engine.terms.checkpoints import Checkpoints
from streams.engine.terms.terms import Terms
from tests.support.engine import numbered
from tests.support.engine.connection import TP, Connection, QuickEngine, connected
from tests.support.engine.ends import FROM_THE_OLDEST, ONE, PULLED_OR_WRITTEN, SSE_OR_JSON, places_in, topic

SECONDS = 0.2


@asynccontextmanager
async def open_stream(source: MemorySource, **options: Any) -> AsyncIterator[Connection]:
    async with (
        QuickEngine(source).running("a") as engine,
        connected(engine, ONE, checkpoint_seconds=SECONDS, **options) as connection,
    ):
        yield connection


@SSE_OR_JSON
@PULLED_OR_WRITTEN
async def test_a_position_that_moves_over_what_is_no_event_is_said(
    is_sse: bool, takes: Callable[[], bool] | None
) -> None:
    source = topic()
    async with open_stream(source, is_sse=is_sse, takes=takes) as client:
        source.append("a", None, 1_000)
        got = await client.until(lambda got: len(got.checkpoints) == 1)
        assert (places_in(got.checkpoints[0]), got.events) == ({TP: 1}, [])
        source.skip("a", 2)
        got = await client.until(lambda got: len(got.checkpoints) == 2)
        assert (places_in(got.checkpoints[1]), got.events) == ({TP: 3}, [])


@SSE_OR_JSON
@PULLED_OR_WRITTEN
async def test_a_position_that_stands_still_is_not_said(is_sse: bool, takes: Callable[[], bool] | None) -> None:
    source = topic()
    async with open_stream(source, is_sse=is_sse, takes=takes, keepalive_seconds=0.05) as client:
        source.append("a", numbered(0), 1_000)
        await client.until(lambda got: got.events)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.until(lambda got: got.checkpoints), 4 * SECONDS)
        assert client.received.checkpoints == []


@PULLED_OR_WRITTEN
async def test_it_is_counted_from_the_last_event(
    takes: Callable[[], bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = topic()
    sent, waits = [-math.inf], []
    note, checkpoint = Checkpoints.sent, Terms.checkpoint

    def noted(self: Checkpoints) -> None:
        sent.append(time.monotonic())
        note(self)

    def made(self: Terms, position: Position) -> tuple[Chunk, ...]:
        last = sent[-1]
        chunks = checkpoint(self, position)
        if chunks:
            waits.append(sent[-1] - last)
        return chunks

    monkeypatch.setattr(Checkpoints, "sent", noted)
    monkeypatch.setattr(Terms, "checkpoint", made)
    async with open_stream(source, takes=takes) as client:
        for number in range(6):
            source.append("a", numbered(number), 1_000 + number)
            source.append("a", None, 1_000 + number)
            await client.until(lambda got, number=number: len(got.events) > number)  # type: ignore[misc]
            await asyncio.sleep(SECONDS / 4)
        got = await client.until(lambda got: got.checkpoints and places_in(got.checkpoints[-1]) == {TP: 12})
        assert len(got.checkpoints) == len(waits)
        assert min(waits) >= SECONDS


async def test_a_catch_up_without_events_says_where_it_is() -> None:
    source = Slow()
    source.create("a")
    for _ in range(400):
        source.append("a", b"no event", 1_000)
    source.append("a", numbered(0), 1_001)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST) as client:
        source.seconds = SECONDS / 20
        got = await client.until(lambda got: len(got.checkpoints) == 2)
        offsets = [places_in(identifier)[TP] for identifier in got.checkpoints]
        assert 0 < offsets[0] < offsets[1] < 400
        source.seconds = 0
        assert len((await client.until(lambda got: got.events)).events) == 1


class Slow(MemorySource):
    """Each read of it takes `seconds`, and gives one record."""

    seconds = 0.0

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Any:
        await asyncio.sleep(self.seconds)
        return await super().read(partition, offset, 1)


async def test_one_that_waits_for_kafka_is_told_where_it_is() -> None:
    source = Slow()
    source.create("a")
    source.append("a", None, 1_000)
    source.append("a", numbered(0), 1_001)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST) as client:
        source.seconds = 2 * SECONDS
        got = await client.until(lambda got: got.checkpoints or got.events)
        assert ([places_in(identifier) for identifier in got.checkpoints], got.events) == ([{TP: 1}], [])
        assert len((await client.until(lambda got: got.events)).events) == 1


@SSE_OR_JSON
async def test_the_id_of_a_checkpoint_resumes_exactly(is_sse: bool) -> None:
    source = topic(partitions=2)
    async with QuickEngine(source).running("a") as engine:
        async with connected(engine, ONE, checkpoint_seconds=SECONDS, is_sse=is_sse) as client:
            source.append("a", numbered(0), 1_000)
            await client.until(lambda got: got.events)  # else the event's id may say both positions
            source.append("a", None, 1_001, partition=1)
            got = await client.until(lambda got: got.checkpoints)
            assert len(got.events) == 1
        source.append("a", numbered(1), 1_000)
        source.append("a", numbered(2), 1_001, partition=1)
        async with connected(engine, ONE, last_event_id=got.checkpoints[-1]) as again:
            got = await again.until(lambda got: len(got.events) == 2)
            assert (got.offsets, again.gaps) == ({TP: [1], TopicPartition("a", 1): [1]}, [])


async def test_checkpoints_do_not_count_for_a_limit() -> None:
    source = topic()
    async with open_stream(source, limit=2) as client:
        for number in range(2):
            source.append("a", None, 1_000)
            await client.until(lambda got, number=number: len(got.checkpoints) > number)  # type: ignore[misc]
            source.append("a", numbered(0), 1_000)
            await client.until(lambda got, number=number: len(got.events) > number)  # type: ignore[misc]
        got = await client.to_the_end()
        assert got.end is not None
        assert got.end[1] == {"reason": "limit", "events": 2}
        assert (len(got.events), len(got.checkpoints)) == (2, 2)


@SSE_OR_JSON
async def test_history_that_a_filter_does_not_want_after_the_last_event_is_said(is_sse: bool) -> None:
    """Nothing comes any more: without a checkpoint, every resumption would read it again."""
    source = topic()
    for number in (1, *[0] * 20):
        source.append("a", numbered(number), 1_000)
    async with open_stream(
        source, last_event_id=FROM_THE_OLDEST, is_sse=is_sse, wanted=parse_filter(b"where=n=1")
    ) as client:
        got = await client.until(lambda got: got.checkpoints)
        assert (len(got.events), [places_in(identifier) for identifier in got.checkpoints]) == (1, [{TP: 21}])


@pytest.mark.parametrize("text", [b"", b"where=n=1"])
async def test_history_whose_last_record_is_an_event_needs_no_checkpoint(text: bytes) -> None:
    source = topic()
    for number in (0, 0, 1):
        source.append("a", numbered(number), 1_000)
    async with open_stream(source, last_event_id=FROM_THE_OLDEST, wanted=parse_filter(text)) as client:
        await client.until(lambda got: got.events)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.until(lambda got: got.checkpoints), 4 * SECONDS)
        assert client.received.checkpoints == []
