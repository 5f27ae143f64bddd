"""Three replicated brokers and 50 clients: a fault of one broker loses nothing, repeats nothing and cuts nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.core.positions import TopicPartition
from streams.local.kafka_jars import LocalKafkaError
from tests.support.client.exact import ExactReader, all_have
from tests.support.client.reading import from_the_beginning
from tests.support.engine import cancel
from tests.support.kafka.replicated import SESSION_SECONDS, Replicated, replicated
from tests.support.kafka.writing import Writer
from tests.support.site.serving import PATH, serving

TOPIC, PARTITIONS, TYPES = "replicated", 6, 5
LIVE, FILTERED, HISTORY = 20, 15, 15
WRITE_SECONDS = 0.25
PAUSE_SECONDS = 30.0
ACK_TO_CLIENT_SECONDS = 5.0
FAULT_TO_EVENT_SECONDS = SESSION_SECONDS + 5.0
PATIENCE_SECONDS = 90.0


class Timed(ExactReader):
    """Notes when each event came."""

    def __init__(self, port: int, path: str, step: int) -> None:
        super().__init__(port, path, step)
        self.came: dict[TopicPartition, dict[int, float]] = defaultdict(dict)

    def take(self, chunk: bytes) -> None:
        before = dict(self.last)
        super().take(chunk)
        now = time.monotonic()
        for tp, last in self.last.items():
            for number in range(before.get(tp, last - 1) + 1, last + 1):
                self.came[tp][number] = now


class Watched:
    """The clients, the writers, and newcomers that try to get in twice a second."""

    def __init__(self, cluster: Replicated, port: int, writers: dict[TopicPartition, Writer]) -> None:
        self.cluster, self.port, self.writers = cluster, port, writers
        self.timed = Timed(port, PATH, 1)
        start = from_the_beginning(writers)
        self.readers: list[ExactReader] = [self.timed]
        self.readers += [ExactReader(port, PATH, 1) for _ in range(LIVE - 1)]
        self.readers += [ExactReader(port, f"{PATH}?type=t{n % TYPES}", TYPES) for n in range(FILTERED)]
        self.readers += [ExactReader(port, PATH, 1, start) for _ in range(HISTORY)]
        self.acknowledged: dict[TopicPartition, dict[int, float]] = defaultdict(dict)
        self.refused_at: list[tuple[float, dict[str, int]]] = []
        self.let_in = 0
        self.is_enough = False
        self.faults_at: list[float] = []

    async def write(self, tp: TopicPartition) -> None:
        to = self.writers[tp]
        to.types = TYPES
        while not self.is_enough:  # a write that is cancelled may reach Kafka all the same
            await to.write(tp, [None])
            self.acknowledged[tp][to.count - 1] = time.monotonic()
            await asyncio.sleep(WRITE_SECONDS)

    async def come(self) -> None:
        """Newcomers: each is let in, or told why not."""
        while True:
            newcomer, at = ExactReader(self.port, PATH, 1), time.monotonic()
            await newcomer.read(2.0)
            self.let_in += newcomer.connections
            if newcomer.ends:
                self.refused_at.append((at, dict(newcomer.ends)))
            await asyncio.sleep(0.5)

    async def is_whole(self) -> None:
        """Wait until all replicas are in sync again, and all clients have what was written until now."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(Exception):  # no broker answers just now
                    if await self.cluster.in_sync(TOPIC):
                        break
                await asyncio.sleep(0.5)
        newest = {tp: to.held[tp][-1][1] for tp, to in self.writers.items()}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(self.timed.last.get(tp, -1) >= number for tp, number in newest.items()):
                await asyncio.sleep(0.1)

    def is_troubled(self, at: float) -> bool:
        """Whether a partition may be without a leader at this time."""
        return any(fault - 2.0 <= at <= fault + FAULT_TO_EVENT_SECONDS for fault in self.faults_at)

    def to_client(self) -> tuple[list[float], list[float]]:
        """The seconds from acknowledgements to the client: those of quiet times, and of troubled ones."""
        quiet, troubled = [], []
        for tp, acknowledged in self.acknowledged.items():
            came = self.timed.came[tp]
            for number, at in acknowledged.items():
                if number in came:
                    (troubled if self.is_troubled(at) else quiet).append(came[number] - at)
        return quiet, troubled

    def from_faults(self) -> list[tuple[float, float]]:
        """Of each fault the longest time until a partition's next event: until Kafka had it, and until a client had."""
        return [
            (
                max(min(at for at in of.values() if at > fault) for of in self.acknowledged.values()) - fault,
                max(min(at for at in of.values() if at > fault) for of in self.timed.came.values()) - fault,
            )
            for fault in self.faults_at
        ]


async def a_leader_is_killed(it: Watched) -> None:
    victim = it.cluster.brokers[(await it.cluster.leaders(TOPIC))[0]]
    it.faults_at.append(time.monotonic())
    victim.kill()
    await asyncio.sleep(SESSION_SECONDS + 6.0)
    await asyncio.to_thread(victim.start)


async def a_leader_is_paused(it: Watched) -> None:
    victim = it.cluster.brokers[(await it.cluster.leaders(TOPIC))[1]]
    it.faults_at.append(time.monotonic())
    victim.pause()
    await asyncio.sleep(PAUSE_SECONDS)
    victim.resume()
    it.faults_at.append(time.monotonic())


async def the_controller_is_killed(it: Watched) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (number := it.cluster.controller):
            await asyncio.sleep(0.1)
        it.faults_at.append(time.monotonic())
        it.cluster.brokers[number].kill()
        while it.cluster.controller in {0, number}:
            await asyncio.sleep(0.1)
    await asyncio.to_thread(it.cluster.brokers[number].start)


async def all_are_restarted_in_turn(it: Watched) -> None:
    for broker in it.cluster.brokers.values():
        it.faults_at.append(time.monotonic())
        await asyncio.to_thread(broker.stop)
        it.faults_at.append(time.monotonic())
        await asyncio.to_thread(broker.start)
        await it.is_whole()


FAULTS: list[Callable[[Watched], Awaitable[None]]] = [
    a_leader_is_killed,
    a_leader_is_paused,
    the_controller_is_killed,
    all_are_restarted_in_turn,
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    try:
        with replicated(tmp_path_factory.mktemp("brokers")) as made:
            yield made
    except LocalKafkaError as error:
        if os.environ.get("EVENTSTREAMS_TEST_KAFKA"):
            pytest.skip(f"this test needs its own Kafkas: {error}")
        raise


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_faults_of_one_broker_lose_nothing_repeat_nothing_and_cut_nobody(
    cluster: Replicated, tmp_path: Path
) -> None:
    await cluster.create(TOPIC, [1, 2, 3, 1, 2, 3])
    partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        enable_idempotence=True,
        request_timeout_ms=1_500,  # what the writer takes longer is no delay of ours
        metadata_max_age_ms=1_000,
    )
    await producer.start()
    try:
        writers = {tp: Writer(producer) for tp in partitions}
        for tp, to in writers.items():
            to.types = TYPES
            await to.write(tp, [None] * TYPES * 4)
        async with serving(tmp_path, cluster.bootstrap, [TOPIC]) as site:
            it = Watched(cluster, site.port, writers)
            tasks = [asyncio.create_task(reader.read_forever()) for reader in it.readers]
            writing = [asyncio.create_task(it.write(tp)) for tp in partitions]
            coming = asyncio.create_task(it.come())
            try:
                await it.is_whole()
                for fault in FAULTS:
                    await fault(it)
                    await it.is_whole()
                it.is_enough = True
                await asyncio.gather(*writing)
                await cancel(coming)
                newest = {tp: to.held[tp][-1][1] for tp, to in writers.items()}
                assert await all_have(it.readers, newest, PATIENCE_SECONDS) == []
            finally:
                for task in (*writing, coming, *tasks):
                    with contextlib.suppress(Exception):
                        await cancel(task)
        assert {reader.connections for reader in it.readers} == {1}, "no connection was cut"
        quiet, troubled = it.to_client()
        after = it.from_faults()
        print(
            f"ack to client: median {statistics.median(quiet):.3f} s, at most {max(quiet):.2f} s, in trouble "
            f"{max(troubled):.2f} s; from faults to acknowledgement and event "
            f"{[(round(kafka, 1), round(client, 1)) for kafka, client in after]}; {it.let_in} newcomers, "
            f"refused {it.refused_at}"
        )
        assert max(quiet) < ACK_TO_CLIENT_SECONDS
        assert max(troubled) < FAULT_TO_EVENT_SECONDS
        assert max(client for _, client in after) < FAULT_TO_EVENT_SECONDS
        assert it.let_in > 0
        unjustly = [(at, ends) for at, ends in it.refused_at if not it.is_troubled(at)]
        assert unjustly == [], "newcomers are refused only while a partition has no leader"
    finally:
        await producer.stop()
