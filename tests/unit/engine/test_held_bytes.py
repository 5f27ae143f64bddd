"""What is held in memory is counted and bounded: measured in real bytes, not by our own count."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.core.events import Event
from streams.core.filters.query import parse_filter
from streams.core.positions import Mark, Scope, TopicPartition
from streams.core.ring import Ring
from streams.engine.memory import MemorySource
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.feed import STEP_SHARE, Feed, Selection
from streams.engine.tail.track import PARTITION_BYTES
from streams.engine.tuning import DEFAULT
from tests.support.engine import Engine, eventually, whole
from tests.support.engine.lone_feed import LoneFeed

BOUND = 1 << 18
SPARE = 50_000
"""Python keeps small objects that are freed, such as tuples, and uses them again."""
SIZES = [100, 1_400, 20_000]
"""Bytes of JSON of an event."""


class Memory:
    """Bytes that Python has allocated since the beginning of the block and not freed."""

    @property
    def bytes(self) -> int:
        return tracemalloc.get_traced_memory()[0] - self._before

    def begin(self) -> None:
        gc.collect()
        self._before = tracemalloc.get_traced_memory()[0]


@contextmanager
def measured() -> Iterator[Memory]:
    tracemalloc.start()
    try:
        memory = Memory()
        memory.begin()
        yield memory
    finally:
        tracemalloc.stop()


def event(offset: int, size: int) -> Event:
    """Made again, with its own integers, as one that has been read."""
    return Event(10**9 + offset, 10**12 + offset, b'{"x":"%s"}' % (b"x" * (size - 8)))


# The ring of a partition.


@pytest.mark.parametrize("size", SIZES)
def test_a_ring_never_takes_more_than_its_bound(size: int) -> None:
    offset = most = 0
    with measured() as memory:
        ring = Ring(0, BOUND)
        while offset * size < 4 * BOUND:
            for _ in range(max(1, 20_000 // size)):
                ring.extend([event(offset, size)], 10**9 + offset + 1)
                offset += 1
            most = max(most, memory.bytes)
            assert memory.bytes <= ring.bytes + SPARE
    assert BOUND / 2 < most <= BOUND + SPARE


# A feed: its blocks in both formats, what was made of them for clients at different places, and its ids.


def feed(partitions: int) -> LoneFeed:
    topics = [f"datacentre.some.topic-{n}" for n in range(partitions)]
    made = LoneFeed(Selection(frozenset(topics), frozenset(), Scope.STREAMS))
    made.max_bytes = BOUND
    for topic in topics:
        made.place(TopicPartition(topic, 0), Mark(0, 10**9, 10**12))
    return made


def fill(of: LoneFeed, size: int, nbytes: int) -> None:
    """One block for each event, up to `nbytes` bytes of events."""
    tps = list(of.vector)
    for number in range(nbytes // size):
        tp = tps[number % len(tps)]
        of.extend(tp, [event(number, size)], Mark(0, 10**9 + number + 1, 10**12 + number + 1), 0.0)


def frame(chunk: Chunk) -> None:
    """What the first client that writes a chunk does with it (Flow.try_write)."""
    chunk.framed = b"".join((b"%x\r\n" % chunk.nbytes, *chunk.parts, b"\r\n"))


def places(of: Feed) -> range:
    """The numbers of all blocks that a client can stand at."""
    return range(of._first - 1, of.tip)


def step_to_everywhere(of: Feed, *formats: bool) -> None:
    """There is a client at each block, and each format."""
    for is_sse in formats:
        for number in places(of):
            try:
                step = of.next_step(number, is_sse)
            except LookupError:  # as it is for clients: the other format has taken its place
                continue
            assert step is not None
            frame(step)


@pytest.mark.parametrize("formats", [(True,), (False, True)])
@pytest.mark.parametrize("partitions", [1, 30])
@pytest.mark.parametrize("size", SIZES)
def test_a_feed_never_takes_more_than_its_bound(size: int, partitions: int, formats: tuple[bool, ...]) -> None:
    with measured() as memory:
        of = feed(partitions)
        fill(of, size, 2 * BOUND)
        step_to_everywhere(of, *formats)
        assert memory.bytes <= of.held_bytes + of.track.held_bytes + SPARE
        assert of.held_bytes <= BOUND * (1 + 1 / STEP_SHARE) + DEFAULT.block_bytes
        assert of.track.held_bytes == partitions * PARTITION_BYTES
        assert memory.bytes > BOUND / 4, "it does hold events"


def test_clients_at_a_thousand_places_in_a_quiet_feed_cost_no_more_than_one() -> None:
    with measured() as memory:
        of = feed(2)
        of.max_bytes = 8 << 20
        fill(of, 500, 600_000)
        blocks = memory.bytes
        step_to_everywhere(of, True)
        assert len(places(of)) == 1_200
        assert memory.bytes < blocks + (8 << 20) / STEP_SHARE + DEFAULT.block_bytes


def test_a_feed_that_gets_less_room_gives_it_back_at_once() -> None:
    with measured() as memory:
        of = feed(1)
        of.max_bytes = 4 * BOUND
        fill(of, 1_400, 4 * BOUND)
        assert memory.bytes > 2 * BOUND
        of.max_bytes = BOUND
        assert memory.bytes <= BOUND + SPARE


def test_quiet_feeds_keep_only_what_is_new_where_feeds_are_many() -> None:
    of = feed(1)
    of.max_bytes = 64 * 1024
    (tp,) = of.vector
    for number in range(40):
        of.extend(tp, [event(number, 1_400)], Mark(0, 10**9 + number + 1, 10**12 + number + 1), float(number))
    step_to_everywhere(of, True)
    before = of.held_bytes
    of.evict_before(35.0)
    assert of.tip == 39
    assert of.held_bytes < before / 3
    assert of.after(of.tip - 5) is not None
    with pytest.raises(LookupError):
        of.after(of.tip - 6)
    of.evict_before(1_000.0)
    assert of.held_bytes < 1_400 + 2_000, "the newest stays, and nothing that was made of it"
    assert of.after(of.tip - 1) is not None


async def test_hundreds_of_filters_keep_only_the_last_seconds_of_their_events() -> None:
    source = MemorySource()
    source.create("t")
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine(source, ring_bytes=1 << 20, feed_seconds=2.0).running("t"))
        whole_topic = whole("t")
        feeds = [
            await stack.enter_async_context(engine.hub.feed(whole_topic._replace(filter=parse_filter(b"wiki=w%d" % n))))
            for n in range(200)
        ]
        for number in range(2_000):
            source.append("t", b'{"wiki":"w%d","pad":"%s"}' % (number % 200, b"x" * 1_400), number)
        await eventually(lambda: all(each.tip >= 9 for each in feeds))
        held = sum(each.held_bytes for each in feeds)
        assert held > 2_000 * 1_400
        await eventually(lambda: sum(each.held_bytes for each in feeds) < held / 4)
