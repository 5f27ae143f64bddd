"""What of history is held, by the cache and by readers, is counted: measured in real bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.core.catalogue import Stream
from streams.core.events import Event, Record
from streams.core.positions import IdWriter, Mark, Scope, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.replay.history import HistoryBlock, Log
from streams.engine.replay.merge import Merge
from streams.engine.source import Batch
from streams.engine.tuning import DEFAULT
from tests.support.engine import Engine, eventually, numbered, whole
from tests.support.engine.connection import STREAM, connected, id_of
from tests.unit.engine.test_held_bytes import SPARE, measured

BOUND = 1 << 19
TP = TopicPartition("t", 0)
LOG = Log(TP, 0)


class Fresh(MemorySource):
    """What is read is made again, as it is of a fetch's bytes."""

    def __init__(self, count: int, value: bytes, key: bytes | None) -> None:
        super().__init__()
        self.create("t")
        for number in range(count):
            self.append("t", value, 10**12 + number, key=key)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        batch = await super().read(partition, offset, max_bytes)
        return batch._replace(records=[self._anew(record) for record in batch.records])

    @staticmethod
    def _anew(record: Record) -> Record:
        key = bytes(bytearray(record.key)) if record.key is not None else None
        value = bytes(bytearray(record.value or b""))
        return Record(record.topic, 0, record.offset, int(str(record.timestamp)), key, value)


VALUES = {
    "small": (b'{"n":1}', None),
    "usual": (b'{"meta":{"dt":"x"},"pad":"%s"}' % (b"x" * 1_400), b"key"),
    "keys": (b'{"n":1}', b"k" * 5_000),
    "breaks": (b'{"pad":"%s"}' % ("\u0085".encode() * 700), None),
}


@pytest.mark.parametrize("are_sent", [False, True])
@pytest.mark.parametrize("kind", VALUES)
async def test_the_cache_of_history_never_takes_more_than_its_bound(kind: str, are_sent: bool) -> None:
    value, key = VALUES[kind]
    count = 3 * BOUND // (len(value) + len(key or b"") + 400)
    engine = Engine(Fresh(count, value, key), cache_bytes=BOUND)
    history = engine.history
    with measured() as memory:
        offset = 0
        while offset < count:
            block = history.cached(LOG, offset) or (await history.read(LOG, offset, 100_000))[0]
            if are_sent:
                history.events(block, 0, len(block.items))
            offset = block.next
            del block
        cached = engine.count("eventstreams_history_cache_bytes")
        assert BOUND / 2 < cached <= BOUND
        assert memory.bytes <= cached + SPARE


async def test_what_a_reader_holds_beyond_the_cache_is_counted_until_it_lets_go() -> None:
    value, key = VALUES["usual"]
    engine = Engine(Fresh(1_000, value, key), cache_bytes=0)
    history = engine.history
    with measured() as memory:
        merge = Merge(history, IdWriter("c", Scope.STREAMS), is_sse=True)
        merge.begin({TP: Mark(0, 0, 0)})
        merge.hold(TP, await history.read(LOG, 0, BOUND), Mark(0, 1_000, 0))
        lent = engine.count("eventstreams_history_lent_bytes")
        assert lent > BOUND / 2
        assert memory.bytes <= lent + SPARE
        for _ in range(5):
            merge.chunk()
        assert engine.count("eventstreams_history_lent_bytes") < lent
        merge.clear()
        assert engine.count("eventstreams_history_lent_bytes") == 0
        await asyncio.sleep(0)  # the task of the read still had them
        assert memory.bytes <= SPARE


async def test_a_block_counts_once_whoever_holds_it() -> None:
    engine = Engine(Fresh(1, b"{}", None), cache_bytes=BOUND)
    (block,) = await engine.history.read(LOG, 0)

    def counts() -> tuple[float, float]:
        return engine.count("eventstreams_history_cache_bytes"), engine.count("eventstreams_history_lent_bytes")

    size = block.nbytes
    for change, expected in (
        (engine.history.lend, (size, 0)),
        (engine.history.lend, (size, 0)),
        (_forgotten(engine), (0, size)),
        (engine.history.take_back, (0, size)),
        (engine.history.take_back, (0, 0)),
    ):
        change(block)
        assert counts() == expected


def _forgotten(engine: Engine) -> Callable[[HistoryBlock], None]:
    def forget(block: HistoryBlock) -> None:
        engine.history.forget()

    return forget


def test_the_ids_of_who_is_parked_are_let_go() -> None:
    """They are as long as there are partitions, for each client."""
    engine = Engine(MemorySource())
    position = {TopicPartition(f"datacentre.topic-{number}", 0): Mark(0, 10**9, 10**12) for number in range(1_000)}
    tp = next(iter(position))
    with measured() as memory:
        merge = Merge(engine.history, IdWriter("cluster", Scope.STREAMS), is_sse=True)
        merge.begin(position)
        assert memory.bytes < SPARE
        item = Record(tp.topic, 0, 10**9, 10**12, None, b"{}")
        block = HistoryBlock(10**9, 10**9 + 1, [item], 500, 10**9 + 1, engine.history.version)
        merge.hold(tp, [block], Mark(0, 10**9 + 1, 0))
        assert memory.bytes > 3 * SPARE
        merge.clear()
        assert memory.bytes < SPARE


async def test_a_client_holds_a_bounded_part_of_the_rings_however_many_partitions_it_reads() -> None:
    partitions, each, size = 100, 40, 2_000
    source = MemorySource()
    source.create("t", partitions)
    engine = Engine(source)
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        for number in range(partitions * each):
            source.append("t", numbered(number, size), number, partition=number % partitions)
        await eventually(lambda: all(mark.offset == each for mark in feed.vector.values()))
        stream = Stream("s", ("t",), (), (), "", None, None, False, {})
        beginning = id_of({TopicPartition("t", number): 0 for number in range(partitions)})
        async with connected(engine, stream, last_event_id=beginning) as client:
            await client.chunk()
            held = client.subscription._behind.merge._held.values()
            nbytes = sum(len(item.json) for one in held for item in one.block.items if isinstance(item, Event))
            assert size * partitions / 2 < nbytes < DEFAULT.look_ahead_bytes + partitions * 2 * size
            got = await client.until(lambda got: len(got.events) == partitions * each)
            assert got.events == sorted(got.events, key=lambda event: (event[1], event[0].partition))


async def test_what_clients_hold_of_rings_and_what_is_being_read_is_counted() -> None:
    source = MemorySource()
    source.create("a")
    source.create("b")
    for number in range(50):
        source.append("a", numbered(number, 1_000), number)
    reading: list[float] = []

    async with Engine(source, ring_bytes=1 << 20).running("a", "b") as engine, engine.hub.feed(whole("a", "b")) as feed:
        read = source.read

        async def watched(tp: TopicPartition, offset: int, max_bytes: int) -> Batch:
            reading.append(engine.count("eventstreams_history_reading_bytes"))
            return await read(tp, offset, max_bytes)

        source.read = watched  # type: ignore[method-assign]
        await engine.history.read(Log(TopicPartition("a", 0), 0), 0, 1 << 20)
        assert reading == [engine.tuning.read_bytes]
        assert engine.count("eventstreams_history_reading_bytes") == 0
        for number in range(50, 100):
            source.append("a", numbered(number, 1_000), number)
        await eventually(lambda: feed.vector[TopicPartition("a", 0)].offset == 100)
        async with connected(
            engine, STREAM, last_event_id=id_of({TopicPartition("a", 0): 50, TopicPartition("b", 0): 0})
        ) as client:
            catch_up = client.subscription._catch_up()
            a = TopicPartition("a", 0)
            catch_up.merge.begin({**feed.vector, a: feed.vector[a]._replace(offset=50)})
            assert catch_up._take_from_ring(a, dict(feed.vector))
            held = engine.count("eventstreams_ring_lent_bytes")
            assert 50_000 < held < 70_000
            client.subscription.park()
            assert engine.count("eventstreams_ring_lent_bytes") == 0
