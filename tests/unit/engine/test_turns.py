"""However much there is to do, the event loop has turns meanwhile: counted in turns, not in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.core.events import Event, Record
from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, Bounds, parts
from tests.support.engine import Engine, cancel, eventually, numbered, whole
from tests.support.engine.connection import STREAM, QuickEngine, connected, id_of


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counted() -> AsyncIterator[Turns]:
    turns = Turns()
    task = asyncio.ensure_future(turns.run())
    try:
        yield turns
    finally:
        await cancel(task)


def watched(encode: Callable[[Sequence[Record]], list[Event]], turns: Turns, seen: list[tuple[int, int]]) -> Any:
    def events(records: Sequence[Record]) -> list[Event]:
        seen.append((turns.count, len(records)))
        return encode(records)

    return events


@pytest.mark.parametrize(("partitions", "each"), [(20, 5), (20, 30), (1, 1_050)])
async def test_the_tail_gives_the_loop_a_turn_between_partitions_and_within_a_large_fetch(
    partitions: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemorySource()
    source.create("a", partitions)
    engine = Engine(source)
    async with engine.running("a"), engine.hub.feed(whole("a")) as feed, counted() as turns:
        seen: list[tuple[int, int]] = []
        monkeypatch.setattr(engine.encoder, "events", watched(engine.encoder.events, turns, seen))
        for number in range(partitions * each):
            source.append("a", numbered(number), number, partition=number % partitions)
        await eventually(lambda: all(mark.offset == each for mark in feed.vector.values()))
    assert sum(count for _, count in seen) == partitions * each
    in_a_turn: Counter[int] = Counter()
    for turn, count in seen:
        in_a_turn[turn] += count
    assert max(in_a_turn.values()) <= engine.tuning.turn_records


async def test_a_client_that_catches_up_out_of_memory_leaves_turns_to_others() -> None:
    source = MemorySource()
    source.create("a")
    source.create("b")
    engine = QuickEngine(source, ring_bytes=64 << 20)
    async with engine.running("a", "b"), engine.hub.feed(whole("a", "b")) as feed:
        for number in range(2_000):
            source.append("a", numbered(number, 2_000), number)
        await eventually(lambda: feed.vector[TopicPartition("a", 0)].offset == 2_000)
        last = id_of({TopicPartition("a", 0): 0})
        async with connected(engine, STREAM, last_event_id=last) as client, counted() as turns:
            began = turns.count
            got = await client.until(lambda got: len(got.events) == 2_000)
            assert len(got.events) == 2_000
            assert turns.count - began >= 2_000 * 2_000 // engine.tuning.yield_bytes // 2


def test_the_parts_of_a_batch_are_the_batch() -> None:
    records = [Record("t", 0, offset, 0, None, b"") for offset in (3, 4, 8, 9, 20)]
    batch = Batch(records, 25, Bounds(0, 30))
    made = list(parts(batch, 2))
    assert [[record.offset for record in part.records] for part in made] == [[3, 4], [8, 9], [20]]
    assert [part.next_offset for part in made] == [8, 20, 25]
    assert list(parts(batch, 5)) == [batch]
    assert list(parts(Batch([], 7, Bounds(0, 7)), 5)) == [Batch([], 7, Bounds(0, 7))]
