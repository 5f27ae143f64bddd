"""Faults that were once planted on purpose and that no other test noticed (see tests/mutants.py)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from eventstreams_site import watch as watch_module
from eventstreams_site.config.config import load_config
from eventstreams_site.process import Process
from eventstreams_site.watch import Followed, Watch
from streams.core.catalogue import Layers, Stream, compile_catalogue
from streams.core.positions import OLDEST, TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, SourceUnavailableError
from tests.support.engine import Engine, cancel, eventually, numbered, whole
from tests.support.engine.connection import Connection, QuickEngine, connected, id_of
from tests.support.engine.hub import TP, HastyEngine, received, write

ONE = Stream("one", ("t",), (), (), "", None, None, False, {})


def everything(partitions: int) -> str:
    return id_of({TopicPartition("t", number): OLDEST for number in range(partitions)})


async def test_partitions_whose_events_are_a_few_milliseconds_apart_are_merged_in_their_order() -> None:
    chance = random.Random(3)
    source = MemorySource()
    source.create("t", 3)
    now = 1_000
    written = []
    for number in range(300):
        now += chance.randint(1, 4)
        partition = chance.randint(0, 2)
        written.append((TopicPartition("t", partition), source.append("t", numbered(number), now, partition=partition)))
    async with Engine(source).running("t") as engine, connected(engine, ONE, last_event_id=everything(3)) as client:
        assert (await client.until(lambda got: len(got.events) == 300)).events == written


class Doubtful(MemorySource):
    """While `doubts`, every other question for bounds is not answered."""

    doubts = False
    asked = 0

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Any:
        if self.doubts:
            self.asked += 1
            if self.asked % 2:
                raise SourceUnavailableError("not just now")
        return await super().bounds(partitions)


async def test_a_log_that_looks_new_three_times_but_not_in_a_row_does_not_begin_anew() -> None:
    source = Doubtful()
    source.create("t")
    write(source, 100, 200, 300)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        log = source._logs[TP]
        log.end, source.doubts = 2, True
        await eventually(lambda: source.asked > 12)
        log.end = 3
        await eventually(lambda: not engine.hub.partitions[TP].is_suspect)
        source.doubts = False
        write(source, 400)
        await eventually(lambda: received(feed).offsets == {TP: [3]})
        assert received(feed).gaps == []


class Slow(MemorySource):
    """Its reads wait for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.reading = 0

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        self.reading += 1
        await self.go.wait()
        return await super().read(partition, offset, max_bytes)


async def test_a_client_that_is_parked_while_it_reads_holds_nothing_of_it_and_waits_for_its_turn() -> None:
    source = Slow()
    source.create("t")
    write(source, *range(100, 150))
    source.go.set()
    engine = Engine(source, slots=1)
    async with engine.running("t"), connected(engine, ONE, last_event_id=everything(1)) as client:
        source.go.clear()
        before = source.reading
        coming = asyncio.ensure_future(client.chunk())
        await eventually(lambda: source.reading > before)
        other = asyncio.ensure_future(engine.history.slots.take())
        await asyncio.sleep(0)
        client.subscription.park()
        slot = await asyncio.wait_for(other, 10)
        source.go.set()
        await eventually(lambda: coming.done() or engine.count("eventstreams_history_waiting") == 1)
        assert not coming.done(), "it was sent without a slot"
        assert len(client.subscription._behind.merge) == 0
        assert engine.count("eventstreams_history_lent_bytes") == 0
        slot.leave()
        await asyncio.wait_for(coming, 10)
        assert client.received.events


async def test_readers_of_many_partitions_send_most_of_what_they_read_before_their_turn_ends() -> None:
    """Each turn is over at once, and nothing is cached: what a reader throws away, it has to read again."""
    partitions, each = 8, 40
    source = MemorySource()
    source.create("t", partitions)
    for number in range(partitions * each):
        source.append("t", numbered(number, 8_000), number, partition=number % partitions)
    engine = QuickEngine(source, slots=1, cache_bytes=0, min_turn_bytes=1)
    async with (
        engine.running("t"),
        connected(engine, ONE, last_event_id=everything(partitions)) as one,
        connected(engine, ONE, last_event_id=everything(partitions)) as another,
    ):

        async def read(client: Connection) -> None:
            await client.until(lambda got: len(got.events) == partitions * each)
            client.subscription.park()

        began = source.reads
        await asyncio.gather(read(one), read(another))
        assert source.reads - began < partitions * each


async def test_who_follows_a_stream_is_asked_again_whenever_the_catalogue_is_another() -> None:
    process = Process(load_config({}))
    seen: list[object] = []
    client = Mock(recheck=seen.append)
    process.service.clients.add(client)
    catalogue = compile_catalogue(Layers({"one": {"topics": ["t"]}}), 1)
    process._apply_catalogue(catalogue)
    assert seen == [catalogue]
    assert process.service.catalogue is catalogue


async def test_a_connection_to_the_database_that_failed_is_closed_before_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.005)
    did: list[str] = []
    monkeypatch.setattr(watch_module, "connections", SimpleNamespace(close_all=lambda: did.append("closed")))

    def read(known: int | None) -> int | None:
        did.append("asked")
        raise ConnectionError("the server closed the connection")

    task = asyncio.create_task(Watch(Followed("x", read, lambda _: None)).run())
    await eventually(lambda: len(did) > 3)
    await cancel(task)
    assert did[:4] == ["asked", "closed", "asked", "closed"]
