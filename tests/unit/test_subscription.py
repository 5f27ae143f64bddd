"""The pull loop: no event lost, none twice, and no id that is not true (invariants 3 and 4 of the architecture)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.core.catalogue import Stream
from streams.core.plan import plan
from streams.core.positions import END, OLDEST, Gap, TopicPartition, parse_last_event_id
from streams.engine import feed as feed_module
from streams.engine import history as history_module
from streams.engine import hub as hub_module
from streams.engine import subscription as module
from streams.engine.feed import Feed, Selection
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, PollResult
from streams.engine.start import resolve
from streams.engine.subscription import Subscription
from tests.support.engine import PATIENCE_SECONDS, Engine, Received, eventually, numbered

STREAM = Stream("s", ("a", "b"), (), (), "", None, None, False, {})
TP = TopicPartition("a", 0)


class Connection:
    """One open stream, and what it has been sent."""

    def __init__(self, subscription: Subscription, feed: Feed, gaps: list[Gap], is_sse: bool) -> None:
        self.subscription = subscription
        self.feed = feed
        self.gaps = gaps
        self.start = {tp: mark.offset for tp, mark in subscription.position.items()}
        self.received = Received()
        self._is_sse = is_sse
        self._chunks = subscription.chunks()

    async def chunk(self) -> None:
        """Wait for the next chunk and read it."""
        parts, events = await anext(self._chunks)
        before = len(self.received.events)
        if self._is_sse:
            self.received.take(b"".join(parts))
        else:
            for line in b"".join(parts).splitlines():
                self.received.take(b"event: message\nid: []\ndata: %s\n\n" % line if line else b":\n")
        assert len(self.received.events) - before == events

    async def until(self, condition: Callable[[Received], object]) -> Received:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.received):
                await self.chunk()
        return self.received

    async def close(self) -> None:
        await self._chunks.aclose()


@asynccontextmanager
async def connected(
    engine: Engine,
    stream: Stream = STREAM,
    *,
    since: int | None = None,
    last_event_id: str = "",
    is_sse: bool = True,
    keepalive_seconds: float = 0,
) -> AsyncIterator[Connection]:
    """Open a stream as the edge does (see StreamConsumer)."""
    hub = engine.hub
    last = parse_last_event_id(last_event_id)
    needed = [TopicPartition(entry.topic, entry.partition or 0) for entry in last.entries] if last else []
    planned = plan([stream], since, last, await hub.topics(stream.topics, needed))
    others = frozenset(tp for tp in planned.starts if tp.topic not in planned.topics)
    async with hub.feed(Selection(planned.topics, others, planned.scope), needed) as feed:
        position, gaps = await resolve(hub, planned.starts)
        subscription = Subscription(
            hub,
            engine.history,
            feed,
            position,
            is_sse=is_sse,
            keepalive_seconds=keepalive_seconds,
            metrics=engine.metrics,
        )
        connection = Connection(subscription, feed, [*planned.gaps, *gaps], is_sse)
        try:
            yield connection
        finally:
            await connection.close()


def id_of(offsets: Mapping[TopicPartition, int]) -> str:
    return json.dumps([{"topic": t, "partition": p, "offset": offset} for (t, p), offset in offsets.items()])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEED_SECONDS", 0.001)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.02)
    monkeypatch.setattr(feed_module, "WAKE_SECONDS", 0.001)


# Invariant 4, by a random model.


class View:
    """A source as one process sees it: its tail comes in other portions, another order, and later than another's."""

    def __init__(self, source: MemorySource, chance: random.Random) -> None:
        self._source = source
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await self._pause()
        return await self._source.read(partition, offset, self._chance.randint(1, max_bytes))

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        await self._pause()
        chosen = self._chance.sample(sorted(positions), self._chance.randint(0, len(positions)))
        results: dict[TopicPartition, PollResult] = {}
        for tp in chosen:
            batch = await self._source.read(tp, positions[tp], self._chance.choice([1, 500, 5_000]))
            if batch.next_offset > positions[tp]:
                results[tp] = batch
        return results

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.003]))


class World:
    """Topics that are written to at random, two processes that serve them, and clients that come and go."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = chance = random.Random(seed)
        self._make_bounds_tiny(monkeypatch)
        self.source = MemorySource()
        self.source.create("a", chance.randint(1, 3))
        self.source.create("b", chance.randint(1, 2))
        self.engines = [
            Engine(
                View(self.source, random.Random(seed + n)),  # type: ignore[arg-type]
                ring_bytes=chance.choice([1, 800, 3_000, 20_000]),
                cache_bytes=chance.choice([0, 5_000, 50_000]),
                seats=chance.randint(1, 2),
            )
            for n in (1, 2)
        ]
        self.clock = 1_000
        self.is_over = False
        self.seen: list[str] = []
        """Every id that any client has been sent."""
        self.write(chance.randint(0, 60))

    def _make_bounds_tiny(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chance = self.chance
        block, whole = chance.choice([(300, 700), (1_000, 600), (5_000, 10_000)])
        for of in (feed_module, module):
            monkeypatch.setattr(of, "BLOCK_BYTES", block)
            monkeypatch.setattr(of, "WHOLE_BYTES", whole)
        monkeypatch.setattr(hub_module, "FEED_MIN_BYTES", chance.choice([1, 1_000, 10_000]))
        monkeypatch.setattr(history_module, "BLOCK_BYTES", chance.choice([300, 2_000]))
        monkeypatch.setattr(history_module, "READ_BYTES", chance.choice([300, 3_000, 30_000]))
        monkeypatch.setattr(history_module, "YIELD_EVENTS", chance.choice([1, 7]))
        monkeypatch.setattr(history_module, "MIN_TURN_BYTES", chance.choice([1, 2_000]))

    @property
    def partitions(self) -> list[TopicPartition]:
        return sorted(self.source._logs)

    def write(self, count: int) -> None:
        chance = self.chance
        for _ in range(count):
            topic, partition = chance.choice(self.partitions)
            self.clock += chance.choice([0, 0, 1, 5])
            what = chance.random()
            if what < 0.1:
                self.source.skip(topic, chance.randint(1, 4), partition=partition)
            elif what < 0.2:
                self.source.append(topic, chance.choice([None, b"no event"]), self.clock, partition=partition)
            else:
                timestamp = self.clock + (chance.randint(-50, 50) if chance.random() < 0.2 else 0)
                value = numbered(self.clock, chance.choice([0, 50, 400, 900]))
                self.source.append(topic, value, timestamp, partition=partition)

    def events(self, tp: TopicPartition, start: int = 0) -> list[int]:
        """What a client that starts there must get."""
        log = self.source._logs[tp]
        return [r.offset for r in log.records if r.offset >= start and r.value not in (None, b"no event")]

    async def run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for engine in self.engines:
                await stack.enter_async_context(engine.running("a", "b"))
            clients = [asyncio.create_task(self._client()) for _ in range(5)]
            await self._write_on()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*clients)
                assert self.seen
                resumed = [self._resume(id_) for id_ in self.chance.sample(self.seen, min(12, len(self.seen)))]
                await asyncio.gather(*resumed)
            for engine in self.engines:
                await eventually(lambda engine=engine: engine.count("eventstreams_history_readers") == 0)
                assert engine.count("eventstreams_history_waiting") == 0
                assert engine.count("eventstreams_gaps_total") == 0

    async def _write_on(self) -> None:
        chance = self.chance
        for _ in range(chance.randint(5, 25)):
            self.write(chance.choice([1, 3, 20]))
            if chance.random() < 0.08:
                self.source.create("b", chance.randint(1, 4))
            await asyncio.sleep(chance.choice([0, 0.001, 0.005]))
        # New partitions are to be found by both before the last records, or nobody would wait for them.
        for engine in self.engines:
            await engine.hub.refresh(0.0)
        self.is_over = True
        for topic, partition in self.partitions:
            self.source.append(topic, numbered(0), self.clock, partition=partition)

    def _start(self) -> tuple[dict[str, Any], Callable[[TopicPartition, int], bool]]:
        """How to ask, and whether an offset is one where the client may start."""
        chance = self.chance
        logs = {tp: log for tp, log in self.source._logs.items() if tp.topic == "a"}
        kind = chance.choice(["end", "since", "oldest", "offsets", "times"])
        if kind == "end":
            return {}, lambda tp, offset: offset <= self.source._logs[tp].end
        if kind == "since":
            ms = chance.randint(900, self.clock + 20)
            return {"since": ms}, lambda tp, offset: offset <= self._first_at(tp, ms)
        if kind == "oldest":
            return {"last_event_id": id_of(dict.fromkeys(logs, OLDEST))}, lambda tp, offset: offset == 0
        if kind == "offsets":
            asked = {tp: chance.choice([END, chance.randint(0, log.end + 2)]) for tp, log in logs.items()}
            return (
                {"last_event_id": id_of(asked)},
                lambda tp, offset: tp in asked and offset <= (asked[tp] if asked[tp] >= 0 else logs[tp].end),
            )
        tp = chance.choice(sorted(logs))
        ms = chance.randint(900, self.clock)
        text = json.dumps([{"topic": tp.topic, "partition": tp.partition, "timestamp": ms}])
        return {"last_event_id": text}, lambda tp, offset: offset <= self._first_at(tp, ms)

    def _first_at(self, tp: TopicPartition, ms: int) -> int:
        log = self.source._logs[tp]
        return next((r.offset for r in log.records if r.timestamp >= ms), log.end)

    async def _client(self) -> None:
        """Comes, reads a while at its own pace, goes, and resumes by its last id at either process."""
        chance = self.chance
        await asyncio.sleep(chance.choice([0, 0.005, 0.02]))
        ask, may_start_at = self._start()
        got: dict[TopicPartition, list[int]] = {}
        starts: dict[TopicPartition, int] = {}
        is_done = False
        while not is_done:
            async with connected(chance.choice(self.engines), **ask) as connection:
                if not starts:
                    starts = connection.start
                    for tp, offset in starts.items():
                        assert may_start_at(tp, offset), (ask, tp, offset)
                assert connection.gaps == []
                is_done = await self._read(connection, starts, got, chance.choice([1, 3, 10, 1_000]))
                ids = connection.received.ids
                assert connection.received.gaps == []
                self.seen += ids
                if ids:
                    ask = {"last_event_id": ids[-1]}
                else:
                    # Nothing came, so there is no id; who asks again by END or a time may skip something.
                    offsets = {tp: mark.offset for tp, mark in connection.subscription.position.items()}
                    ask = {"last_event_id": id_of(offsets)}
        for tp, offsets in got.items():
            assert offsets == self.events(tp, starts.get(tp, 0)), tp

    async def _read(
        self,
        connection: Connection,
        starts: dict[TopicPartition, int],
        got: dict[TopicPartition, list[int]],
        chunks: int,
    ) -> bool:
        """Read some chunks; True when the last record of every partition has come."""
        chance = self.chance
        pace = chance.choice([0, 0, 0.001, 0.003])
        taken: Counter[TopicPartition] = Counter()
        for _ in range(chunks):
            try:
                async with asyncio.timeout(0.1):
                    await connection.chunk()
            except TimeoutError:
                return self._is_complete(connection, starts, got)
            for tp, offsets in connection.received.offsets.items():
                got.setdefault(tp, []).extend(offsets[taken[tp] :])
                taken[tp] = len(offsets)
            if self._is_complete(connection, starts, got):
                return True
            if chance.random() < 0.2:
                connection.subscription.park()
            if pace:
                await asyncio.sleep(chance.choice([0, pace]))
        return False

    def _is_complete(
        self, connection: Connection, starts: dict[TopicPartition, int], got: dict[TopicPartition, list[int]]
    ) -> bool:
        return self.is_over and all(
            got.get(tp, [])[-1:] == self.events(tp, starts.get(tp, 0))[-1:] for tp in self._wanted(connection.feed)
        )

    def _wanted(self, feed: Feed) -> list[TopicPartition]:
        selection = feed.selection
        return [tp for tp in self.partitions if tp.topic in selection.topics or tp in selection.partitions]

    async def _resume(self, id_: str) -> None:
        """From any id that any client was sent, at any process: just what the id has not seen."""
        cursors = {
            TopicPartition(entry["topic"], entry["partition"]): int(entry["cursor"].split(":")[1])
            for entry in json.loads(id_)
        }
        is_sse = self.chance.random() < 0.7
        async with connected(self.chance.choice(self.engines), last_event_id=id_, is_sse=is_sse) as connection:
            wanted = {tp: self.events(tp, cursors.get(tp, 0)) for tp in self._wanted(connection.feed)}
            wanted = {tp: offsets for tp, offsets in wanted.items() if offsets}
            count = sum(map(len, wanted.values()))
            await connection.until(lambda got: len(got.events) >= count)
            assert connection.received.offsets == wanted
            assert connection.gaps == []


@pytest.mark.parametrize("seed", range(25))
async def test_every_event_comes_once_and_in_order_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await World(seed, monkeypatch).run()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 500))
async def test_every_event_comes_once_and_in_order_whatever_happens_for_long(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await World(seed, monkeypatch).run()


# What the model leaves out: gaps, outages, seats, formats.

ONE = Stream("one", ("a",), (), (), "", None, None, False, {})


def topic(count: int, padding: int = 0) -> MemorySource:
    source = MemorySource()
    source.create("a")
    write(source, count, padding)
    return source


def write(source: MemorySource, count: int, padding: int = 0, number: int = 0) -> None:
    for n in range(number, number + count):
        source.append("a", numbered(n, padding), 1_000 + n)


def offsets(got: Received) -> list[int]:
    return got.offsets.get(TP, [])


FROM_THE_OLDEST = id_of({TP: OLDEST})


async def test_an_ndjson_client_gets_one_event_a_line_and_no_gap() -> None:
    source = topic(5)
    async with Engine(source).running("a") as engine:
        source.truncate_before("a", 2)
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, is_sse=False) as connection:
            await connection.until(lambda got: len(got.events) == 3)
            write(source, 2)
            assert offsets(await connection.until(lambda got: len(got.events) == 5)) == [2, 3, 4, 5, 6]


async def test_a_very_large_event_is_passed_on_in_parts_that_are_not_copied() -> None:
    source = topic(1)
    write(source, 1, padding=2 * module.WHOLE_BYTES)
    async with (
        Engine(source, cache_bytes=64 << 20).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        assert offsets(await connection.until(lambda got: len(got.events) == 2)) == [0, 1]
        write(source, 1, padding=2 * module.WHOLE_BYTES)
        write(source, 1)
        assert offsets(await connection.until(lambda got: len(got.events) == 4)) == [0, 1, 2, 3]


async def test_chunks_are_of_bounded_size_however_much_there_is_to_catch_up() -> None:
    source = topic(500, padding=1_000)
    async with (
        Engine(source).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        count = 0
        while count < 500:
            parts, events = await anext(connection._chunks)
            assert sum(map(len, parts)) < module.BLOCK_BYTES + events * 200 + 2_000
            count += events


async def test_partitions_are_merged_by_their_timestamps_on_the_way_to_the_end() -> None:
    source = MemorySource()
    source.create("a", 3)
    for n in range(90):
        source.append("a", numbered(n), 1_000 + n, partition=n % 3)
    everything = id_of({TopicPartition("a", n): OLDEST for n in range(3)})
    async with Engine(source).running("a") as engine, connected(engine, ONE, last_event_id=everything) as connection:
        got = await connection.until(lambda got: len(got.events) == 90)
        assert [offset * 3 + tp.partition for tp, offset in got.events] == list(range(90))


async def test_who_is_ahead_of_the_feed_waits_for_it_and_hears_a_sign_of_life() -> None:
    """An id from another process, whose hub is faster."""
    source = StoppingSource()
    source.create("a")
    async with (
        Engine(source).running("a") as engine,
        connected(engine, ONE),
    ):
        source.stopped = True
        write(source, 3)
        async with connected(engine, ONE, last_event_id=id_of({TP: 3}), keepalive_seconds=0.03) as connection:
            await connection.until(lambda got: got.keepalives >= 2)
            assert connection.received.events == []
            source.stopped = False
            write(source, 2)
            assert offsets(await connection.until(lambda got: len(got.events) == 2)) == [3, 4]


class StoppingSource(MemorySource):
    """Its tail can be stopped, and its reads take a while."""

    stopped = False
    read_seconds = 0.0

    async def poll(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, PollResult]:
        results = await super().poll(positions)
        return {} if self.stopped else results

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        await asyncio.sleep(self.read_seconds)
        return await super().read(partition, offset, max_bytes)


async def test_an_outage_while_catching_up_is_sat_out_with_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.1) as connection,
    ):
        await connection.chunk()
        source.available = False
        await connection.until(lambda got: got.keepalives >= 2)
        assert len(connection.received.events) < 100
        source.available = True
        got = await connection.until(lambda got: len(got.events) == 100)
        assert offsets(got) == list(range(100))
        assert got.gaps == []


async def test_a_long_way_without_any_event_has_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 1)
    source = StoppingSource()
    source.create("a")
    for n in range(200):
        source.append("a", None if n % 2 else b"no event", n)
    write(source, 1)
    async with Engine(source).running("a") as engine:
        source.read_seconds = 0.002
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.05) as connection:
            got = await connection.until(lambda got: got.events)
            assert got.keepalives >= 2
            assert offsets(got) == [200]


async def test_no_sign_of_life_where_they_are_switched_off() -> None:
    source = topic(10)
    async with Engine(source).running("a") as engine:
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection:
            source.available = False
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.chunk()
        source.available = True


async def test_retention_that_overtakes_a_reader_is_a_gap_and_the_rest_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        source.truncate_before("a", 60)
        got = await connection.until(lambda got: got.events[-1][1] == 99)
        seen = offsets(got)
        (gap,) = got.gaps
        assert (gap["topic"], gap["partition"], gap["served"]) == ("a", 0, 60)
        assert seen == [*range(gap["asked"]), *range(60, 100)]
        assert gap["asked"] < 60
        assert engine.count("eventstreams_gaps_total") == 1


async def test_a_topic_that_is_recreated_is_a_gap_for_who_follows_and_none_of_the_old_events_comes_again() -> None:
    source = topic(50)
    engine = Engine(source, ring_bytes=1)
    async with engine.running("a"):
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as reader:
            await reader.until(lambda got: len(got.events) == 50)  # what it has read stays in the cache
            async with connected(engine, ONE) as follower:
                start = asyncio.ensure_future(follower.chunk())
                await asyncio.sleep(0.02)
                source.delete("a")
                source.create("a")
                for n in range(30):
                    source.append("a", b'{"anew":%d}' % n, 9_000 + n)
                await start
                for connection, seen in ((follower, []), (reader, list(range(50)))):
                    got = await connection.until(lambda got: got.events and got.events[-1][1] == 29 and got.gaps)
                    assert offsets(got) == seen + list(range(30))
                    assert [(gap["asked"], gap["served"]) for gap in got.gaps] == [(50, 0)]
        async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as late:
            parts, events = await anext(late._chunks)
            assert b"".join(parts).count(b'"anew":') == events > 0


async def test_a_topic_that_is_recreated_under_a_reader_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as connection,
    ):
        await connection.chunk()
        read = len(connection.received.events)
        source.delete("a")
        source.create("a")
        for n in range(5):
            source.append("a", b'{"anew":%d}' % n, 9_000 + n)
        got = await connection.until(lambda got: got.gaps and offsets(got)[-5:] == [0, 1, 2, 3, 4])
        assert read < 100
        assert got.gaps[-1]["served"] == 0


async def test_a_topic_that_goes_under_a_reader_is_a_gap_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = topic(100)
    source.create("b")
    both = id_of({TP: OLDEST, TopicPartition("b", 0): OLDEST})
    async with (
        Engine(source, cache_bytes=0).running("a", "b") as engine,
        connected(engine, last_event_id=both) as connection,
    ):
        await connection.chunk()
        source.delete("a")
        source.append("b", numbered(1), 5)
        got = await connection.until(lambda got: TopicPartition("b", 0) in got.offsets and got.gaps)
        (gap,) = got.gaps
        assert (gap["topic"], gap["served"]) == ("a", None)
        assert gap["asked"] == len(offsets(got))


async def test_a_topic_that_comes_back_with_fewer_partitions_is_a_gap_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    source = MemorySource()
    source.create("a", 2)
    for n in range(50):
        source.append("a", numbered(n), n, partition=1)
    gone = TopicPartition("a", 1)
    async with (
        Engine(source, cache_bytes=0).running("a") as engine,
        connected(engine, ONE, last_event_id=id_of({TP: OLDEST, gone: OLDEST})) as connection,
    ):
        await connection.chunk()
        source.delete("a")
        source.create("a")
        write(source, 3)
        got = await connection.until(lambda got: len(offsets(got)) == 3)
        assert [(gap["partition"], gap["asked"], gap["served"]) for gap in got.gaps] == [
            (1, len(got.offsets[gone]), None)
        ]


async def test_a_partition_added_while_a_client_connects_comes_from_its_first_event() -> None:
    source = topic(1)
    engine = Engine(source)
    async with engine.running("a"), connected(engine, ONE) as first:
        hub = engine.hub
        planned = plan([ONE], 0, None, await hub.topics(["a"]))
        source.create("a", 2)
        source.append("a", numbered(7), 7, partition=1)
        await first.until(lambda got: got.events)  # the feed has gone on beyond its first event
        async with hub.feed(Selection(planned.topics, frozenset(), planned.scope)) as feed:
            position, _ = await resolve(hub, planned.starts)
            subscription = Subscription(
                hub, engine.history, feed, position, is_sse=True, keepalive_seconds=0, metrics=engine.metrics
            )
            late = Connection(subscription, feed, [], is_sse=True)
            got = await late.until(lambda got: len(got.events) == 2)
            assert got.offsets == {TP: [0], TopicPartition("a", 1): [0]}
            await late.close()


# Seats: what a client holds of history, it holds only while it can be written to.


def readers(engine: Engine) -> float:
    return engine.count("eventstreams_history_readers")


async def read_on(*connections: Connection) -> list[Connection]:
    """Read each to the end of the topic, and on, as the edge does while the client takes what it is sent.

    Returns whose turn it was, chunk by chunk.
    """
    order: list[Connection] = []

    async def pull(connection: Connection) -> None:
        while True:
            await connection.chunk()
            order.append(connection)

    pulling = [asyncio.ensure_future(pull(connection)) for connection in connections]
    await eventually(
        lambda: all(
            connection.received.events and connection.received.events[-1][1] == 99 for connection in connections
        )
    )
    await asyncio.sleep(0.01)
    for task in pulling:
        task.cancel()
    await asyncio.gather(*pulling, return_exceptions=True)
    for connection in connections:
        assert offsets(connection.received) == list(range(100))
    return order


async def test_a_client_that_is_parked_holds_neither_a_seat_nor_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with Engine(topic(100), seats=1).running("a") as engine:
        async with (
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as stalled,
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as other,
        ):
            await stalled.chunk()
            assert readers(engine) == 1
            stalled.subscription.park()
            assert readers(engine) == 0
            assert not stalled.subscription._ahead
            await read_on(other)
            await read_on(stalled)
        assert readers(engine) == 0


async def test_a_client_that_is_parked_while_it_waits_for_a_seat_is_not_given_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with Engine(topic(100), seats=1).running("a") as engine:
        async with (
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as first,
            connected(engine, ONE, last_event_id=FROM_THE_OLDEST, keepalive_seconds=0.02) as second,
        ):
            await first.chunk()
            await second.chunk()
            assert second.received.keepalives == 1, "it waits"
            second.subscription.park()
            first.subscription.park()
            await asyncio.sleep(0.01)
            assert readers(engine) == 0
            await read_on(first, second)
        assert readers(engine) == 0


async def test_a_client_that_goes_while_it_waits_for_a_seat_leaves_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    async with (
        Engine(topic(100), seats=1).running("a") as engine,
        connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as first,
    ):
        await first.chunk()
        for goes in ("before", "with"):
            async with connected(engine, ONE, last_event_id=FROM_THE_OLDEST) as second:
                waiting = asyncio.ensure_future(second.chunk())
                await asyncio.sleep(0.01)
                if goes == "with":
                    first.subscription.park()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        await read_on(first)
        await eventually(lambda: readers(engine) == 0)


async def test_readers_that_wait_get_their_turn_before_one_has_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "READ_BYTES", 200)
    monkeypatch.setattr(history_module, "MIN_TURN_BYTES", 1_000)
    async with Engine(topic(100), seats=1, cache_bytes=0).running("a") as engine, contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(engine, ONE, last_event_id=FROM_THE_OLDEST)) for _ in range(4)
        ]
        order = await read_on(*clients)
        begun = max(order.index(client) for client in clients)
        ended = min(len(order) - order[::-1].index(client) for client in clients)
        assert begun < ended, "all had begun before any had ended"


async def test_a_client_that_follows_needs_no_seat_and_no_kafka() -> None:
    source = topic(3)
    async with Engine(source, seats=1).running("a") as engine, connected(engine, ONE) as connection:
        reads = source.reads
        write(source, 50)
        assert len(offsets(await connection.until(lambda got: len(got.events) == 50))) == 50
        assert source.reads == reads
        assert readers(engine) == 0
