"""The metrics of single partitions, computed when the metrics are read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.core.positions import TopicPartition
from streams.engine.source import RecordSource
from streams.engine.tail.partition import Partition

MAX_PARTITIONS = 1000
"""Maximum number of partitions that have samples: those that were watched first. The sums of the hub have all."""


class PartitionMetrics(Collector):
    """What is known of each partition that the hub reads."""

    def __init__(self, source: RecordSource, partitions: Mapping[TopicPartition, Partition]) -> None:
        self._source = source
        self._partitions = partitions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics (prometheus_client)."""
        labels = ["topic", "partition"]
        age = GaugeMetricFamily("eventstreams_partition_read_age_seconds", "Since it was last read", labels=labels)
        leaderless = GaugeMetricFamily("eventstreams_partition_leaderless", "1 without a leader", labels=labels)
        lag = GaugeMetricFamily("eventstreams_partition_lag_records", "Offsets that Kafka is ahead", labels=labels)
        late = GaugeMetricFamily(
            "eventstreams_partition_lag_seconds", "Age of the last record read, while Kafka has more", labels=labels
        )
        held = GaugeMetricFamily(
            "eventstreams_partition_held_records", "High watermark less last stable offset", labels=labels
        )
        now, now_ms = time.monotonic(), time.time() * 1000
        for tp, partition in itertools.islice(self._partitions.items(), MAX_PARTITIONS):
            name = [tp.topic, str(tp.partition)]
            age.add_metric(name, now - partition.read_at)
            leaderless.add_metric(name, float(self._source.broker_of(tp) < 0))
            lag.add_metric(name, partition.lag)
            late.add_metric(name, partition.lag_seconds(now_ms))
            held.add_metric(name, partition.held)
        yield from (age, leaderless, lag, late, held)
        yield GaugeMetricFamily(
            "eventstreams_kafka_partitions_leaderless",
            "Partitions without a leader, of the topics of all streams",
            self.leaderless(),
        )

    def leaderless(self) -> int:
        """Return how many partitions of the known topics have no leader."""
        of, known = self._source.broker_of, self._source.partitions
        return sum(of(TopicPartition(topic, n)) < 0 for topic, count in known.items() for n in range(count))
