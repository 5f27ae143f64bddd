"""Events below the rings: read once for all who ask, kept in bounded memory, by so many readers at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from streams.core.positions import TopicPartition
from streams.engine import history as module
from streams.engine.encoder import Encoder
from streams.engine.history import YIELD_EVENTS, Block, History, Log, Seats
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.source import Batch, OutOfRangeError, SourceUnavailableError, UnknownPartitionError
from tests.support.engine import Engine, Stamp, eventually, numbered

TP = TopicPartition("t", 0)
LOG = Log(TP, 0)
FAR = 1 << 40


def topic(count: int, padding: int = 0) -> MemorySource:
    source = MemorySource()
    source.create("t")
    for number in range(count):
        source.append("t", numbered(number, padding), 1000 + number)
    return source


def engine(source: MemorySource, cache_bytes: int = 8 << 20, seats: int = 2) -> Engine:
    return Engine(source, cache_bytes=cache_bytes, seats=seats)


def offsets(block: Block) -> list[int]:
    return [event.offset for event in block.events]


async def read_all(history: History, log: Log, limit: int) -> list[int]:
    found: list[int] = []
    offset = 0
    while offset < limit:
        block = await history.read(log, offset, limit)
        assert offset < block.next <= limit
        found += offsets(block)
        offset = block.next
    return found


# Reading.


async def test_a_read_gives_events_from_an_offset_up_to_a_limit() -> None:
    history = engine(topic(20)).history
    block = await history.read(LOG, 5, 9)
    assert (offsets(block), block.next, block.timestamp) == ([5, 6, 7, 8], 9, 1009)
    block = await history.read(LOG, 5, FAR)
    assert (offsets(block), block.next, block.timestamp) == (list(range(5, 20)), 20, 1020)


async def test_holes_are_passed_over_also_where_nothing_else_is_there() -> None:
    source = topic(2)
    source.skip("t", 3)
    source.append("t", b"no event", 5)
    history = engine(source).history
    block = await history.read(LOG, 0, 3)
    assert (offsets(block), block.next) == ([0, 1], 3)
    block = await history.read(LOG, 3, FAR)
    assert (offsets(block), block.next, block.timestamp) == ([], 6, 6), "a record that is no event has been seen"
    block = await history.read(LOG, 4, 5)
    assert (offsets(block), block.next, block.timestamp) == ([], 5, None)


async def test_at_the_end_a_read_does_not_move_and_is_not_remembered() -> None:
    source = topic(3)
    history = engine(source).history
    assert (await history.read(LOG, 3, FAR)).next == 3
    source.append("t", numbered(3), 5)
    assert offsets(await history.read(LOG, 3, FAR)) == [3]


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
    results = await asyncio.gather(*(history.read(LOG, 2, FAR) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [error] * 5
    source.available = True
    source.create("t")
    with pytest.raises((OutOfRangeError, UnknownPartitionError)) if error is not SourceUnavailableError else _nothing():
        await history.read(LOG, 2, FAR)


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
    await history.read(LOG, 0, FAR)
    for offset in (0, 1, 500, 999):
        block = history.cached(LOG, offset, FAR)
        assert block is not None
        assert offsets(block)[0] == offset
    assert history.cached(LOG, 1000, FAR) is None
    assert source.reads == 1


async def test_blocks_are_small_however_much_is_read_at_once() -> None:
    history = engine(topic(1000, 500)).history
    block = await history.read(LOG, 0, FAR)
    assert sum(len(event.json) for event in block.events) <= module.BLOCK_BYTES
    assert block.next < 1000


async def test_an_event_larger_than_a_block_stands_alone() -> None:
    source = topic(1)
    source.append("t", numbered(1, 3 * module.BLOCK_BYTES), 5)
    source.append("t", numbered(2), 5)
    history = engine(source).history
    assert await read_all(history, LOG, 3) == [0, 1, 2]
    block = history.cached(LOG, 1, FAR)
    assert block is not None
    assert (offsets(block), block.next) == ([1], 2)


async def test_the_cache_is_bounded_by_bytes_and_keeps_what_was_used_last() -> None:
    room = 2 << 20
    made = engine(topic(6000, 1000), cache_bytes=room)
    history = made.history
    for offset in range(0, 6000, 100):
        await history.read(LOG, offset, FAR)
        assert history.cached(LOG, 0, 1) is not None, "it is used all the time"
        held = made.count("eventstreams_history_cache_bytes")
        assert 0 < held <= room
    assert history.cached(LOG, 3000, FAR) is None


class Compressed(MemorySource):
    """Its records become eight times as many bytes as were fetched."""

    async def read(self, tp: TopicPartition, offset: int, max_bytes: int) -> Batch:
        return await super().read(tp, offset, 8 * max_bytes)


@pytest.mark.parametrize("readers", [1, 3])
async def test_partitions_that_are_merged_do_not_push_each_other_out_of_memory(readers: int) -> None:
    source = Compressed()
    topics = ("a", "b", "c", "d")
    for name in topics:
        source.create(name)
        for number in range(6000):
            source.append(name, numbered(number, 1000), number)
    history = engine(source, cache_bytes=8 << 20, seats=readers).history
    seats = [await history.seats.take() for _ in range(readers)]
    places = {(reader, name): reader * 1500 for reader in range(readers) for name in topics}
    blocks = 0
    while places:
        for (reader, name), offset in list(places.items()):
            log = Log(TopicPartition(name, 0), 0)
            block = history.cached(log, offset, 6000) or await history.read(log, offset, 6000)
            blocks += 1
            places[reader, name] = block.next
            if block.next == 6000:
                del places[reader, name]
    for seat in seats:
        seat.leave()
    assert blocks >= 80
    assert source.reads <= blocks / 2, "a read brings several blocks, and they are still there when they are wanted"


async def test_with_no_room_nothing_is_kept_and_everything_is_still_read() -> None:
    made = engine(topic(300, 1000), cache_bytes=0)
    assert await read_all(made.history, LOG, 300) == list(range(300))
    assert made.history.cached(LOG, 0, FAR) is None
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
        found: list[int] = []
        while offset < limit:
            first = offset
            block = await made.history.read(LOG, offset, limit)
            assert first < block.next <= limit
            assert offsets(block) == [o for o in kept if first <= o < block.next]
            found += offsets(block)
            offset = block.next
        assert 0 <= made.count("eventstreams_history_cache_bytes") <= 1 << 20


async def test_blocks_of_another_incarnation_are_never_taken_for_this_one() -> None:
    source = topic(10)
    history = engine(source).history
    await history.read(LOG, 0, FAR)
    source.delete("t")
    source.create("t")
    source.append("t", numbered(77), 5)
    anew = Log(TP, 1)
    assert history.cached(anew, 0, FAR) is None
    block = await history.read(anew, 0, FAR)
    assert [b'"n":77' in event.json for event in block.events] == [True]


async def test_what_is_forgotten_is_read_again() -> None:
    made = engine(topic(10))
    await made.history.read(LOG, 0, FAR)
    made.history.forget()
    assert made.history.cached(LOG, 0, FAR) is None
    assert made.count("eventstreams_history_cache_bytes") == 0
    await made.history.read(LOG, 0, FAR)
    assert made.source.reads == 2


async def test_what_is_being_read_when_the_list_changes_is_made_anew_with_the_new_list() -> None:
    count = 3 * YIELD_EVENTS  # given up in between, so that the change comes in the middle
    made = engine(topic(count))
    reading = asyncio.ensure_future(made.history.read(LOG, 0, FAR))
    while not made.count("eventstreams_events_encoded_total"):
        await asyncio.sleep(0)
    assert made.count("eventstreams_events_encoded_total") < count
    made.redact_with(Stamp(2))
    block = await reading
    assert len(block.events) > 1
    assert all(b'"list":2' in event.json for event in block.events)
    kept = made.history.cached(LOG, 0, FAR)
    assert kept is not None
    assert kept.events == block.events
    assert made.source.reads == 1, "the records were still at hand"


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
    first, second = (asyncio.ensure_future(history.read(LOG, 0, FAR)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.go.set()
    assert offsets(await second) == [0]
    assert source.reads == 1


async def test_the_event_loop_is_given_up_while_much_is_encoded() -> None:
    history = engine(topic(5 * module.YIELD_EVENTS)).history
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    await history.read(LOG, 0, FAR)
    beside.cancel()
    assert turns >= 5


# Seats.


def seats(count: int) -> tuple[Seats, Metrics]:
    metrics = Metrics()
    return Seats(count, 1000, metrics), metrics


def waiting(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("eventstreams_history_waiting")


def taken(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("eventstreams_history_readers")


async def test_seats_are_taken_first_come_first_served() -> None:
    of, metrics = seats(2)
    held = [await of.take(), await of.take()]
    order: list[int] = []

    async def client(number: int) -> None:
        seat = await of.take()
        order.append(number)
        await asyncio.sleep(0)
        seat.leave()

    clients = [asyncio.ensure_future(client(number)) for number in range(10)]
    await asyncio.sleep(0)
    assert (of.is_wanted, waiting(metrics), taken(metrics)) == (True, 10, 2)
    held.pop().leave()
    late = asyncio.ensure_future(client(99))
    await asyncio.gather(*clients, late)
    assert order == [*range(10), 99]
    held.pop().leave()
    assert (of.is_wanted, waiting(metrics), taken(metrics)) == (False, 0, 0)


async def test_a_seat_is_over_only_after_a_while_and_only_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    of, _ = seats(1)
    seat = await of.take()
    now += module.TURN_SECONDS + 1
    assert not seat.is_over
    other = asyncio.ensure_future(of.take())
    await asyncio.sleep(0)
    assert seat.is_over
    seat.leave()
    following = await other
    third = asyncio.ensure_future(of.take())
    await asyncio.sleep(0)
    assert not following.is_over, "its turn has just begun"
    following.account(999)
    assert not following.is_over
    following.account(1)
    assert following.is_over, "it has been sent its share"
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    assert not following.is_over


async def free(of: Seats, count: int) -> bool:
    """Whether just so many seats can be had."""
    held = [await asyncio.wait_for(of.take(), 5) for _ in range(count)]
    more = asyncio.ensure_future(of.take())
    for _ in range(5):
        await asyncio.sleep(0)
    is_full = not more.done()
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)
    for seat in held:
        seat.leave()
    return is_full


async def test_a_waiter_that_is_cancelled_loses_no_seat_whenever_that_is() -> None:
    of, metrics = seats(1)
    for moment in ("before", "with", "after"):
        seat = await of.take()
        first, second = (asyncio.ensure_future(of.take()) for _ in range(2))
        await asyncio.sleep(0)
        if moment == "before":
            first.cancel()
            await asyncio.sleep(0)
            seat.leave()
        elif moment == "with":
            first.cancel()
            seat.leave()
        else:
            seat.leave()
            first.cancel()
        following = await asyncio.wait_for(second, 5)
        (gone,) = await asyncio.gather(first, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError)
        following.leave()
        assert (waiting(metrics), taken(metrics)) == (0, 0)
        assert await free(of, 1)


async def test_no_seat_is_lost_or_gained_by_any_order_of_coming_and_going() -> None:
    chance = random.Random(3)
    of, metrics = seats(3)
    inside = 0

    async def client() -> None:
        nonlocal inside
        seat = await of.take()
        try:
            inside += 1
            assert inside <= 3
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            seat.leave()

    clients: list[asyncio.Task[None]] = []
    for _ in range(3000):
        if chance.random() < 0.5:
            clients.append(asyncio.ensure_future(client()))
        if clients and chance.random() < 0.3:
            chance.choice(clients).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    results: Sequence[object] = await asyncio.gather(*clients, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    await eventually(lambda: (waiting(metrics), taken(metrics)) == (0, 0))
    assert await free(of, 3)


def test_history_uses_the_encoder_that_it_is_given() -> None:
    """Invariant 2: hub and history share one way from record to event."""
    made = Engine(MemorySource())
    assert isinstance(made.encoder, Encoder)
    assert made.history._encoder is made.hub._encoder is made.encoder
