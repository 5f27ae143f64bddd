"""Invariants 4 and 5, by a random model: every event exactly once, and none made with an older redaction list."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streams.core.filters import Filter, parse_filter
from streams.core.positions import END, OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, PollResult
from streams.engine.tail.feed import Feed
from tests.support.engine import PATIENCE_SECONDS, Engine, Stamp, eventually, numbered
from tests.support.engine.connection import Connection, QuickEngine, connected, id_of


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


KINDS = ("a", "b", "c")
LAST = "z"
"""The kind of the last event of each partition, which all filters want."""
FILTERS = [parse_filter(query) for query in (b"", b"", b"type=a,z", b"type=b&type=z", b"where=type!=a", b"type=!b")]


def wants(wanted: Filter, value: bytes | None) -> bool:
    """Whether a record is an event that a filter wants: said once more, without the code that is tested."""
    if value in (None, b"no event"):
        return False
    kind = json.loads(value or b"")["type"]
    kinds = {"": "abcz", "type=a,z": "az", "type=b,z": "bz"}.get(wanted.text)
    return kind in (kinds if kinds is not None else "bcz" if wanted.text.startswith("where") else "acz")


def of_kind(number: int, kind: str, padding: int = 0) -> bytes:
    return b'{"type":"%s",%s' % (kind.encode(), numbered(number, padding)[1:])


class World:
    """Topics that are written to at random, two processes that serve them, and clients that come and go."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        bounds = self._tiny_bounds()
        self.source = MemorySource()
        self.source.create("a", chance.randint(1, 3))
        self.source.create("b", chance.randint(1, 2))
        self.engines = [
            QuickEngine(
                View(self.source, random.Random(seed + n)),  # type: ignore[arg-type]
                ring_bytes=chance.choice([1, 800, 3_000, 20_000]),
                cache_bytes=chance.choice([0, 5_000, 50_000]),
                slots=chance.randint(1, 2),
                gather_seconds=chance.choice([0.0, 0.001, 0.004]),
                **bounds,
            )
            for n in (1, 2)
        ]
        self.lists = 0
        for engine in self.engines:
            self.change_list(engine)
        self.clock = 1_000
        self.is_over = False
        self.seen: list[str] = []
        """Every id that any client has been sent."""
        self.write(chance.randint(0, 60))

    def _tiny_bounds(self) -> dict[str, float]:
        chance = self.chance
        block, large = chance.choice([(300, 700), (1_000, 600), (5_000, 10_000)])
        return {
            "stall_seconds": 10 * PATIENCE_SECONDS,
            "block_bytes": block,
            "chunk_bytes": block,
            "max_copied_bytes": large,
            "shared_items": chance.choice([1, 2, 8]),
            "yield_bytes": chance.choice([1, 10_000]),
            "few_followers": chance.choice([0, 2, 50]),
            "slice_followers": chance.choice([1, 2, 64]),
            "feed_min_bytes": chance.choice([1, 1_000, 10_000]),
            "history_block_bytes": chance.choice([300, 2_000]),
            "read_bytes": chance.choice([300, 3_000, 30_000]),
            "frame_bytes": chance.choice([1, 100]),
            "min_turn_bytes": chance.choice([1, 2_000]),
        }

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
                value = of_kind(self.clock, chance.choice(KINDS), chance.choice([0, 50, 400, 900]))
                self.source.append(topic, value, timestamp, partition=partition)

    def change_list(self, engine: Engine) -> None:
        """A new version of the redaction list; the processes do not see it at the same time."""
        self.lists += 1
        engine.redact_with(Stamp(self.lists))

    def events(self, tp: TopicPartition, wanted: Filter, start: int = 0) -> list[int]:
        """What a client that starts there must get."""
        log = self.source._logs[tp]
        return [r.offset for r in log.records if r.offset >= start and wants(wanted, r.value)]

    async def run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for engine in self.engines:
                await stack.enter_async_context(engine.running("a", "b"))
            clients = [asyncio.create_task(self._client()) for _ in range(5)]
            await self._write_on()
            async with asyncio.timeout(3 * PATIENCE_SECONDS):  # seventeen clients; each has its own time, too
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
            if chance.random() < 0.15:
                self.change_list(chance.choice(self.engines))
            await asyncio.sleep(chance.choice([0, 0.001, 0.005]))
        # New partitions are to be found by both before the last records, or nobody would wait for them.
        for engine in self.engines:
            await engine.hub.refresh(0.0)
        self.is_over = True
        for topic, partition in self.partitions:
            self.source.append(topic, of_kind(0, LAST), self.clock, partition=partition)

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
        wanted = chance.choice(FILTERS)
        got: dict[TopicPartition, list[int]] = {}
        starts: dict[TopicPartition, int] = {}
        is_done = False
        while not is_done:
            engine = chance.choice(self.engines)
            async with connected(engine, **ask, takes=self._socket(), wanted=wanted) as connection:
                if not starts:
                    starts = connection.start
                    for tp, offset in starts.items():
                        assert may_start_at(tp, offset), (ask, tp, offset)
                assert connection.gaps == []
                is_done = await self._read(engine, connection, starts, got, chance.choice([1, 3, 10, 1_000]))
                ids = connection.received.ids
                assert connection.received.gaps == []
                self.seen += ids
                if ids:
                    ask = {"last_event_id": ids[-1]}
                else:
                    # Nothing came, so there is no id; a client that asks again by END or a time may skip something.
                    offsets = {tp: mark.offset for tp, mark in connection.subscription.position.items()}
                    ask = {"last_event_id": id_of(offsets)}
        for tp, offsets in got.items():
            assert offsets == self.events(tp, wanted, starts.get(tp, 0)), tp

    def _socket(self) -> Callable[[], bool] | None:
        """None (then all is pulled), or one that is full now and then."""
        share = self.chance.choice([None, 1.0, 0.9, 0.5])
        return None if share is None else lambda: self.chance.random() < share

    async def _read(
        self,
        engine: Engine,
        connection: Connection,
        starts: dict[TopicPartition, int],
        got: dict[TopicPartition, list[int]],
        chunks: int,
    ) -> bool:
        """Read some chunks; True when the last record of every partition has come."""
        chance = self.chance
        pace = chance.choice([0, 0, 0.001, 0.003])
        try:
            for _ in range(chunks):
                async with asyncio.timeout(0.1):
                    await connection.chunk()
                if self._is_complete(connection, starts, {**got, **connection.received.offsets}):
                    break
                if chance.random() < 0.2:
                    connection.subscription.park()
                if chance.random() < 0.02:
                    self.change_list(engine)
                if pace:
                    await asyncio.sleep(chance.choice([0, pace]))
        except TimeoutError:
            pass
        await connection.close()
        assert connection.received.lists == connection.versions, "made with an older redaction list (invariant 5)"
        for tp, offsets in connection.received.offsets.items():
            got.setdefault(tp, []).extend(offsets)
        return self._is_complete(connection, starts, got)

    def _is_complete(
        self, connection: Connection, starts: dict[TopicPartition, int], got: dict[TopicPartition, list[int]]
    ) -> bool:
        return self.is_over and all(
            got.get(tp, [])[-1:] == self.events(tp, connection.feed.selection.filter, starts.get(tp, 0))[-1:]
            for tp in self._wanted(connection.feed)
        )

    def _wanted(self, feed: Feed) -> list[TopicPartition]:
        selection = feed.selection
        return [tp for tp in self.partitions if tp.topic in selection.topics or tp in selection.partitions]

    async def _resume(self, id_: str) -> None:
        """From any id that any client was sent, at any process, with any filter: just what the id has not seen."""
        cursors = {
            TopicPartition(entry["topic"], entry["partition"]): int(entry["cursor"].split(":")[1])
            for entry in json.loads(id_)
        }
        is_sse = self.chance.random() < 0.7
        engine = self.chance.choice(self.engines)
        of = self.chance.choice(FILTERS)
        async with connected(engine, last_event_id=id_, is_sse=is_sse, takes=self._socket(), wanted=of) as connection:
            missing = {tp: self.events(tp, of, cursors.get(tp, 0)) for tp in self._wanted(connection.feed)}
            missing = {tp: offsets for tp, offsets in missing.items() if offsets}
            count = sum(map(len, missing.values()))
            await connection.until(lambda got: len(got.events) >= count)
            assert connection.received.offsets == missing
            assert connection.gaps == []


@pytest.mark.parametrize("seed", range(15))
async def test_every_event_comes_once_and_in_order_whatever_happens(seed: int) -> None:
    await World(seed).run()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 500))
async def test_every_event_comes_once_and_in_order_whatever_happens_for_long(seed: int) -> None:
    await World(seed).run()
