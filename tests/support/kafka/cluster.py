"""Three brokers of one Kafka cluster, to be paused one by one; the first is the controller too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, for_code

from streams.local.kafka import LocalKafka

CLUSTER_ID = "xThreeBrokersOfATest0w"


class Cluster:
    """`brokers` by their ids, 1 to 3."""

    def __init__(self, folder: Path, properties: Mapping[str, str]) -> None:
        first = LocalKafka(folder / "1", cluster_id=CLUSTER_ID, properties=properties)
        self.brokers = {1: first}
        for number in (2, 3):
            self.brokers[number] = LocalKafka(
                folder / str(number),
                cluster_id=CLUSTER_ID,
                properties={
                    "process.roles": "broker",
                    "node.id": str(number),
                    "controller.quorum.voters": f"1@{first.controller}",
                    **properties,
                },
            )

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def start(self) -> None:
        first, *others = self.brokers.values()
        first.start()
        with ThreadPoolExecutor(len(others)) as threads:
            list(threads.map(LocalKafka.start, others))

    def kill(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    async def create(self, topics: Mapping[str, int]) -> None:
        """Create topics of one partition each, name to the broker that holds it."""
        new = [NewTopic(name, -1, -1, replica_assignments={0: [broker]}) for name, broker in topics.items()]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics(new)
            assert [for_code(code) for _, code, *_ in answer.topic_errors] == [NoError] * len(new), answer
        finally:
            await admin.close()


@contextmanager
def three_brokers(folder: Path, **properties: str) -> Iterator[Cluster]:
    """Start a cluster; `properties` of all brokers have underscores for dots."""
    cluster = Cluster(folder, {name.replace("_", "."): value for name, value in properties.items()})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
