"""Three brokers that hold the same partitions, each of them a controller too: any one may fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.local.kafka import LocalKafka

CLUSTER_ID = "xReplicatedClusterTest"
SESSION_SECONDS = 6.0


class Replicated:
    """`brokers` by their ids, 1 to 3; one of them is the active controller."""

    def __init__(self, folder: Path) -> None:
        self.brokers = {number: LocalKafka(folder / str(number), cluster_id=CLUSTER_ID) for number in (1, 2, 3)}
        voters = ",".join(f"{number}@{broker.controller}" for number, broker in self.brokers.items())
        for number, broker in self.brokers.items():
            broker._properties |= {
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "broker.session.timeout.ms": str(int(SESSION_SECONDS * 1000)),
                "default.replication.factor": "3",
                "min.insync.replicas": "2",
                "offsets.topic.replication.factor": "3",
                "transaction.state.log.replication.factor": "3",
                "replica.lag.time.max.ms": "4000",
                "controller.quorum.fetch.timeout.ms": "1000",
            }

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    @property
    def controller(self) -> int:
        """The id of the active controller, as a broker that runs has noted it; 0 while they elect one."""
        for broker in self.brokers.values():
            path = broker.folder / "data" / "__cluster_metadata-0" / "quorum-state"
            if broker.running and path.exists():
                leader = int(json.loads(path.read_text())["leaderId"])
                if leader > 0:
                    return leader
        return 0

    def start(self) -> None:
        with ThreadPoolExecutor(len(self.brokers)) as threads:
            list(threads.map(LocalKafka.start, self.brokers.values()))

    def kill(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    async def create(self, topic: str, leaders: list[int]) -> None:
        """Create a topic whose partitions prefer these leaders, each held by all three brokers."""
        replicas = {number: [leader, *({1, 2, 3} - {leader})] for number, leader in enumerate(leaders)}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(topic, -1, -1, replica_assignments=replicas)])
            assert [code for _, code, *_ in answer.topic_errors] == [0], answer
        finally:
            await admin.close()

    async def leaders(self, topic: str) -> dict[int, int]:
        """Partition → the id of its leader; -1 if it has none. (A client that is new each time: nothing is cached.)"""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        await admin.start()
        try:
            ((about,),) = [await admin.describe_topics([topic])]
            return {each["partition"]: each["leader"] for each in about["partitions"]}
        finally:
            await admin.close()

    async def in_sync(self, topic: str) -> bool:
        """Whether all replicas of all partitions are in sync."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        await admin.start()
        try:
            ((about,),) = [await admin.describe_topics([topic])]
            return all(len(each["isr"]) == 3 and each["leader"] > 0 for each in about["partitions"])
        finally:
            await admin.close()


@contextmanager
def replicated(folder: Path) -> Iterator[Replicated]:
    """Start a cluster."""
    cluster = Replicated(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
