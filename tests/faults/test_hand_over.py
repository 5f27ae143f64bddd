"""From history to live: clients that start anywhere get every event once while new ones keep coming.

Invariant 4: hand-over is by position. Offsets have holes where a transaction ended or was aborted.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client.many import BESIDE, many
from tests.support.client.reading import NDJSON, SSE, Crowd, resume_at
from tests.support.kafka.writing import Writer, meanwhile, partitions_of, writer
from tests.support.site.serving import PATH, serving

EVENTS = 50_000
CLIENTS = 20
PARTITIONS = 3
BLOCK = 250
STEP_MS = 10
PAD = "x" * 150
TINY_RING = 65_536
JUST_BEFORE = 400
"""Maximum events from before that a client which starts at the end may get: those of two seconds of the hub's lag."""


class Topic:
    """A topic that is being written: history first, then 200 events a second. Perhaps all in transactions."""

    def __init__(self, name: str, to: Writer, transactional: bool) -> None:
        self.partitions = partitions_of([name], PARTITIONS)
        self.start = int(time.time() * 1000) - 2 * EVENTS * STEP_MS
        self.to = to
        self.is_transactional = transactional
        self._writes = 0

    async def write_history(self) -> None:
        """EVENTS events, by their timestamps STEP_MS apart."""
        while self.to.count < EVENTS:
            first = self.start + self.to.count * STEP_MS
            await self._write(list(range(first, first + BLOCK * STEP_MS, STEP_MS)))

    async def go_on(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self._write([None] * 10)
            await asyncio.sleep(0.05)

    async def _write(self, timestamps: list[int | None]) -> None:
        """To the partitions in turn; some transactions are aborted, which nobody must see."""
        tp = self.partitions[self._writes % PARTITIONS]
        self._writes += 1
        if self.is_transactional:
            await self.to.transact(tp, timestamps, PAD, abort=self._writes % 7 == 3)
        else:
            await self.to.write(tp, timestamps, PAD)

    def held(self, tp: TopicPartition, since_number: int = 0, since_offset: int = 0) -> list[int]:
        """The offsets that readers must get."""
        return [o for o, number in self.to.held[tp] if number >= since_number and o >= since_offset]


class Client:
    """One of the clients: how it starts, and what it must get."""

    def __init__(self, number: int, topic: Topic, chance: random.Random) -> None:
        self.query = ""
        self.headers = dict(SSE if number % 2 else NDJSON)
        self.first_number = 0
        self.first_offsets = dict.fromkeys(topic.partitions, 0)
        self.from_end = False
        self.marker = -1
        self._topic = topic
        match number // 2 % 4:
            case 0:
                self.first_number = chance.randrange(EVENTS)
                self.query = f"?since={topic.start + self.first_number * STEP_MS}"
                # Kafka also finds the marker of a transaction that has ended, and its time is now: the first one.
                self.marker = BLOCK if topic.is_transactional else -1
            case 1:
                self.first_offsets = {tp: chance.randrange(topic.to.held[tp][-1][0]) for tp in topic.partitions}
                self._start_at(self.first_offsets)
            case 2:
                self._start_at(dict.fromkeys(topic.partitions, -2))
            case _:
                self.from_end = True

    def _start_at(self, offsets: dict[TopicPartition, int]) -> None:
        self.headers["Last-Event-ID"] = resume_at(offsets)

    async def connect(self, crowd: Crowd, port: int) -> None:
        before = self._topic.to.count
        self._follower = await crowd.connect(port, PATH + self.query, self.headers)
        if self.from_end:
            self.first_number = self._topic.to.count
            self._earliest_number = before - JUST_BEFORE

    async def check(self) -> None:
        """Wait for the last event, and look at all."""
        await self._follower.has({tp: self._topic.held(tp)[-1] for tp in self._topic.partitions})
        for tp, offsets in self._follower.offsets.items():
            expected = self._topic.held(tp, self.first_number, self.first_offsets[tp])
            if self.marker >= 0:
                expected = self._topic.held(tp, since_offset=min([self.marker, *expected]))
            if self.from_end and len(offsets) > len(expected):
                expected = self._topic.held(tp, self._earliest_number)[-len(offsets) :]
            assert offsets == expected


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize(
    "transactional", [pytest.param(False, id="plain"), pytest.param(True, id="transactions", marks=pytest.mark.slow)]
)
async def test_clients_that_start_anywhere_get_every_event_once_while_events_go_on(
    transactional: bool, beside: int, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Some of them on a server whose rings hold a second or two, so that history reaches almost to the tip."""
    chance = random.Random(2026)
    name = make_topic(PARTITIONS)
    options = {"transactional_id": name} if transactional else {}
    async with (
        serving(tmp_path, kafka.bootstrap, [name]) as site,
        serving(tmp_path, kafka.bootstrap, [name], ring_bytes=TINY_RING) as tiny,
        writer(kafka.bootstrap, **options) as to,
        Crowd() as crowd,
    ):
        topic = Topic(name, to, transactional)
        await topic.write_history()
        clients = [Client(number, topic, chance) for number in range(CLIENTS)]
        enough = asyncio.Event()
        async with many(site.port, PATH, beside) as others, meanwhile(topic.go_on(enough)):
            for number, client in enumerate(clients):
                await client.connect(crowd, (tiny if 8 <= number < 16 else site).port)
                await asyncio.sleep(0.2)
            enough.set()
            assert await others.stayed()
        for client in clients:
            await client.check()


@pytest.mark.slow
async def test_clients_that_fall_behind_again_and_again_get_every_event_once(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Too slow for the feed, and below the ring: out of Kafka, then out of the ring, then live once more."""
    chance = random.Random(2026)
    partitions = partitions_of([make_topic(PARTITIONS)], PARTITIONS)
    async with (
        serving(tmp_path, kafka.bootstrap, [partitions[0].topic], ring_bytes=TINY_RING) as site,
        writer(kafka.bootstrap) as to,
        Crowd() as crowd,
    ):

        async def write(rounds: int) -> None:
            for number in range(rounds):
                await to.write(partitions[number % PARTITIONS], [None] * 10, "x" * 2_000)
                await asyncio.sleep(0.02)

        followers = [
            await crowd.connect(site.port, PATH, SSE if number % 2 else NDJSON, receive_buffer=8_192)
            for number in range(6)
        ]
        reads = site.metric("eventstreams_history_reads_total")
        async with meanwhile(write(300)) as writing:
            while not writing.done():
                chance.choice(followers).stall(chance.uniform(0.2, 1.5))
                await asyncio.sleep(0.1)
        for follower in followers:
            await follower.has({tp: events[-1][0] for tp, events in to.held.items()})
        assert site.metric("eventstreams_history_reads_total") - reads > 20, "they were to fall behind"
    for follower in followers:
        assert follower.offsets == {tp: [offset for offset, _ in events] for tp, events in to.held.items()}
