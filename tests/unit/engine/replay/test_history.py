"""Events below the rings: read once for all that ask, kept in bounded memory, by a bounded number of readers."""

from __future__ import annotations

import asyncio
import random

import pytest

from streams.core.positions import TopicPartition
from streams.engine.encoder import Encoder
from streams.engine.memory import MemorySource
from streams.engine.replay.history import History, HistoryBlock, Log
from streams.engine.source import Batch, OutOfRangeError, SourceUnavailableError, UnknownPartitionError
from streams.engine.tail.chunk import Chunk
from streams.engine.tuning import DEFAULT
from tests.support.engine import Engine, Stamp, cancel, numbered

TP = TopicPartition("t", 0)
LOG = Log(TP, 0)
FAR = 1 << 40


def topic(count: int, padding: int = 0) -> MemorySource:
    source = MemorySource()
    source.create("t")
    for number in range(count):
        source.append("t", numbered(number, padding), 1000 + number)
    return source


def engine(source: MemorySource, cache_bytes: int = 8 << 20, slots: int = 2) -> Engine:
    return Engine(source, cache_bytes=cache_bytes, slots=slots)


def offsets(made: History, block: HistoryBlock, offset: int = 0, limit: int = FAR) -> list[int]:
    """Of the block's events that are at or after `offset` and below `limit`."""
    return [event.offset for event in made.events(block, 0, len(block.items)) if offset <= event.offset < limit]


async def block_at(history: History, log: Log, offset: int) -> HistoryBlock:
    """As a client continues: from memory, or else from the source."""
    return history.cached(log, offset) or (await history.read(log, offset))[0]


async def read_all(history: History, log: Log, limit: int) -> list[int]:
    found: list[int] = []
    offset = 0
    while offset < limit:
        block = await block_at(history, log, offset)
        assert offset < block.next
        found += offsets(history, block, offset, limit)
        offset = block.next
    return found


# Reading.


async def test_a_read_gives_records_from_an_offset_on_and_they_become_events_when_they_are_taken() -> None:
    made = engine(topic(20))
    (block,) = await made.history.read(LOG, 5)
    assert (block.start, block.next, block.timestamp, block.latest) == (5, 20, 1020, 1019)
    assert made.count("eventstreams_events_encoded_total") == 0
    assert [event.offset for event in made.history.events(block, 2, 5)] == [7, 8, 9]
    assert [event.offset for event in made.history.events(block, 0, 15)] == list(range(5, 20))
    assert made.count("eventstreams_events_encoded_total") == 15, "each once"


async def test_holes_are_passed_over_also_where_nothing_else_is_there() -> None:
    source = topic(2)
    source.skip("t", 3)
    source.append("t", b"no event", 5)
    history = engine(source).history
    (block,) = await history.read(LOG, 0)
    assert (offsets(history, block), block.next) == ([0, 1], 6)
    assert offsets(history, block) == [0, 1], "what is no event stays none"
    (block,) = await history.read(LOG, 3)
    assert (offsets(history, block), block.next, block.timestamp) == ([], 6, 6), "what is no event has been seen"
    source.skip("t")
    (block,) = await history.read(LOG, 6)
    assert (block.items, block.next, block.timestamp) == ([], 7, None)


async def test_at_the_end_a_read_does_not_move_and_is_not_remembered() -> None:
    source = topic(3)
    history = engine(source).history
    assert [block.next for block in await history.read(LOG, 3)] == [3]
    source.append("t", numbered(3), 5)
    assert offsets(history, (await history.read(LOG, 3))[0]) == [3]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda source: source.truncate_before("t", 5), OutOfRangeError),
        (lambda source: source.delete("t"), UnknownPartitionError),
        (lambda source: setattr(source, "available", False), SourceUnavailableError),
    ],
)
async def test_a_read_that_fails_fails_for_all_who_wait_and_is_tried_again_by_the_next(
    change: object, error: type[Exception]
) -> None:
    source = topic(10)
    history = engine(source).history
    change(source)  # type: ignore[operator]
    results = await asyncio.gather(*(history.read(LOG, 2) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [error] * 5
    source.available = True
    source.create("t")
    with pytest.raises((OutOfRangeError, UnknownPartitionError)) if error is not SourceUnavailableError else _nothing():
        await history.read(LOG, 2)


class _nothing:  # noqa: N801 — it reads as a word of the sentence above
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


# The cache.


async def test_a_thousand_readers_of_one_range_cost_one_read_of_the_source() -> None:
    source = topic(1000, 500)
    history = engine(source).history
    results = await asyncio.gather(*(read_all(history, LOG, 1000) for _ in range(1000)))
    assert all(result == list(range(1000)) for result in results)
    assert source.reads == 1


async def test_what_has_been_read_is_found_in_memory_from_any_offset_within() -> None:
    source = topic(1000, 500)
    history = engine(source).history
    await history.read(LOG, 0)
    for offset in (0, 1, 500, 999):
        block = history.cached(LOG, offset)
        assert block is not None
        assert offsets(history, block, offset)[0] == offset
    assert history.cached(LOG, 1000) is None
    assert source.reads == 1


@pytest.mark.parametrize("padding", [0, 500])
async def test_blocks_are_small_however_much_is_read_at_once_and_however_small_events_are(padding: int) -> None:
    blocks = await engine(topic(1000, padding)).history.read(LOG, 0)
    assert [block.start for block in blocks[1:]] == [block.next for block in blocks[:-1]]
    for block in blocks:
        size = sum(len(record.value) for record in block.items)  # type: ignore[union-attr, arg-type]
        assert size + len(block.items) * DEFAULT.frame_bytes <= DEFAULT.history_block_bytes


async def test_an_event_larger_than_a_block_stands_alone() -> None:
    source = topic(1)
    source.append("t", numbered(1, 3 * DEFAULT.history_block_bytes), 5)
    source.append("t", numbered(2), 5)
    history = engine(source, cache_bytes=64 << 20).history
    assert await read_all(history, LOG, 3) == [0, 1, 2]
    block = history.cached(LOG, 1)
    assert block is not None
    assert (offsets(history, block), block.next) == ([1], 2)


async def test_the_cache_is_bounded_by_bytes_and_keeps_what_was_used_last() -> None:
    room = 2 << 20
    made = engine(topic(6000, 1000), cache_bytes=room)
    history = made.history
    for offset in range(0, 6000, 100):
        await block_at(history, LOG, offset)
        assert history.cached(LOG, 0) is not None, "it is used all the time"
        held = made.count("eventstreams_history_cache_bytes")
        assert 0 < held <= room
    assert history.cached(LOG, 3000) is None


async def test_where_there_is_not_room_for_all_of_a_read_what_comes_first_is_kept() -> None:
    made = engine(topic(6000, 1000), cache_bytes=600_000)
    blocks = await made.history.read(LOG, 0)
    assert made.history.cached(LOG, 0) is blocks[0]
    assert made.history.cached(LOG, blocks[-1].start) is None


async def test_a_block_as_it_was_sent_counts_as_what_the_cache_holds() -> None:
    made = engine(topic(10), cache_bytes=600_000)
    (block,) = await made.history.read(LOG, 0)
    held = made.count("eventstreams_history_cache_bytes")
    for ids in ((), (b"before", b"after"), (b"other", b"after")):  # of each format, the last one is kept
        made.history.cache_frame(block, ids, Chunk((b"x" * 1_000,), 1))
    assert made.count("eventstreams_history_cache_bytes") == held + 2_000
    made.history.cache_frame(block, (), Chunk((b"x" * 700_000,), 1))
    assert made.count("eventstreams_history_cache_bytes") == 0


async def test_with_no_room_nothing_is_kept_and_everything_is_still_read() -> None:
    made = engine(topic(300, 1000), cache_bytes=0)
    assert await read_all(made.history, LOG, 300) == list(range(300))
    assert made.history.cached(LOG, 0) is None
    assert made.count("eventstreams_history_cache_bytes") == 0


async def test_overlapping_reads_in_any_order_give_every_event_once() -> None:
    chance = random.Random(7)
    source = MemorySource()
    source.create("t")
    kept = []
    for number in range(3000):
        if chance.random() < 0.1:
            source.skip("t", chance.randint(1, 5))
        kept.append(source.append("t", numbered(number, chance.randint(0, 900)), number))
    end = kept[-1] + 1
    made = engine(source, cache_bytes=1 << 20)
    for _ in range(150):
        offset = chance.randint(0, end - 1)
        limit = chance.randint(offset + 1, end)
        while offset < limit:
            first = offset
            block = await block_at(made.history, LOG, offset)
            assert first < block.next <= end
            assert offsets(made.history, block, first) == [o for o in kept if first <= o < block.next]
            offset = block.next
        assert 0 <= made.count("eventstreams_history_cache_bytes") <= 1 << 20


async def test_blocks_of_another_incarnation_are_never_taken_for_this_one() -> None:
    source = topic(10)
    history = engine(source).history
    await history.read(LOG, 0)
    source.delete("t")
    source.create("t")
    source.append("t", numbered(77), 5)
    again = Log(TP, 1)
    assert history.cached(again, 0) is None
    (block,) = await history.read(again, 0)
    assert [b'"n":77' in event.json for event in history.events(block, 0, 1)] == [True]


async def test_what_was_held_when_the_list_changed_is_read_again() -> None:
    made = engine(topic(1000, 500))
    first, second, *_ = await made.history.read(LOG, 0)
    made.history.events(first, 0, 1)
    made.redact_with(Stamp(2))
    assert made.history.cached(LOG, 0) is None
    assert made.history.cached(LOG, second.start) is None
    (again, *_) = await made.history.read(LOG, 0)
    assert all(b'"list":2' in event.json for event in made.history.events(again, 0, 5))
    assert made.source.reads == 2  # type: ignore[attr-defined]


async def test_a_block_is_not_used_with_two_lists() -> None:
    made = engine(topic(10))
    (block,) = await made.history.read(LOG, 0)
    made.history.events(block, 0, 5)
    made.redact_with(Stamp(2))
    with pytest.raises(RuntimeError):
        made.history.events(block, 5, 10)


async def test_who_waits_for_a_read_gets_no_events_that_another_made_before_the_list_changed() -> None:
    made = engine(topic(10))

    async def quick() -> None:
        (block,) = await made.history.read(LOG, 0)
        made.history.events(block, 0, 10)
        made.redact_with(Stamp(2))

    _, blocks = await asyncio.gather(quick(), made.history.read(LOG, 0))
    assert all(b'"list":2' in event.json for event in made.history.events(blocks[0], 0, 10))


async def test_a_share_is_what_all_who_read_may_hold_together() -> None:
    made = engine(topic(1), cache_bytes=8 << 20, slots=4)
    history = made.history
    assert history.share(1) == 8 << 20
    held = [await history.slots.take() for _ in range(4)]
    assert history.share(8) == (8 << 20) // 32
    assert history.share(1_000) == DEFAULT.history_block_bytes, "a block is not divided"
    for slot in held:
        slot.leave()


class Packed(MemorySource):
    """Its records take up a quarter of their length, as if compressed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        self.asked.append(max_bytes)
        return await super().read(partition, offset, 4 * max_bytes)


async def test_what_is_asked_for_allows_for_compression() -> None:
    source = Packed()
    source.create("t")
    for number in range(6000):
        source.append("t", numbered(number, 1000), number)
    history = engine(source, cache_bytes=64 << 20).history
    offset = 0
    for _ in range(3):
        blocks = await history.read(LOG, offset, 400_000)
        offset = blocks[-1].next
    assert sum(block.nbytes for block in blocks) == pytest.approx(400_000, rel=0.1)
    assert source.asked[0] == 400_000


class SlowSource(MemorySource):
    """Reads wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.create("t")
        self.append("t", numbered(0), 5)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await self.go.wait()
        return await super().read(partition, offset, max_bytes)


async def test_a_reader_that_goes_away_does_not_end_the_read_of_the_others() -> None:
    source = SlowSource()
    history = engine(source).history
    first, second = (asyncio.ensure_future(history.read(LOG, 0)) for _ in range(2))
    await asyncio.sleep(0)
    await cancel(first)
    source.go.set()
    assert offsets(history, (await second)[0]) == [0]
    assert source.reads == 1


def test_history_uses_the_encoder_that_it_is_given() -> None:
    """Invariant 2: hub and history share one way from record to event."""
    made = Engine(MemorySource())
    assert isinstance(made.encoder, Encoder)
    assert made.history._encoder is made.hub._encoder is made.encoder
