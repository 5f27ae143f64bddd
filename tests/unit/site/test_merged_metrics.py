"""The metrics of several workers as one."""

from __future__ import annotations

import json
import math

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import Metric

from eventstreams_site.server.control import Frames, frame
from eventstreams_site.server.merged_metrics import Family, MergedMetrics, families_of


def worker(events: int, clients: int, up: float = 1, rss: int = 7) -> list[Family]:
    """What a worker sends: it has gone through JSON."""
    registry = CollectorRegistry()
    Counter("eventstreams_events", "Events", ["stream"], registry=registry).labels('a"b').inc(events)
    Gauge("eventstreams_connected_clients", "Clients", registry=registry).set(clients)
    Gauge("eventstreams_kafka_up", "Kafka", registry=registry).set(up)
    Gauge("eventstreams_hub_lag_records", "Lag", registry=registry).set(math.nan if not up else clients)
    Gauge("process_resident_memory_bytes", "Memory", registry=registry).set(rss)
    found: list[Family] = json.loads(json.dumps(families_of(registry)))
    return found


def text(merged: MergedMetrics) -> str:
    class Registry(CollectorRegistry):
        def collect(self) -> list[Metric]:  # type: ignore[override]
            return merged.collect()

    return generate_latest(Registry()).decode()


def test_counters_and_gauges_are_summed_and_what_is_shared_is_the_worst_value() -> None:
    merged = MergedMetrics()
    merged.update(10, 0, worker(3, 5, rss=7))
    merged.update(11, 1, worker(4, 6, rss=8))
    lines = text(merged).splitlines()
    assert 'eventstreams_events_total{stream="a\\"b"} 7.0' in lines
    assert "eventstreams_connected_clients 11.0" in lines
    assert "eventstreams_kafka_up 1.0" in lines
    assert "eventstreams_hub_lag_records 6.0" in lines
    assert 'process_resident_memory_bytes{worker="0"} 7.0' in lines
    assert 'process_resident_memory_bytes{worker="1"} 8.0' in lines
    assert not any("_created" in line for line in lines)
    merged.update(11, 1, worker(4, 6, up=0))
    assert "eventstreams_kafka_up 0.0" in text(merged)
    assert "eventstreams_hub_lag_records NaN" in text(merged), "nobody knows how far Kafka is ahead"


def test_a_worker_that_ends_leaves_its_counts_and_takes_its_gauges_along() -> None:
    merged = MergedMetrics()
    merged.update(10, 0, worker(3, 5))
    merged.update(11, 1, worker(4, 6))
    for pid in (10, 10, 99):
        merged.end(pid)
    assert 'eventstreams_events_total{stream="a\\"b"} 7.0' in text(merged)
    assert "eventstreams_connected_clients 6.0" in text(merged)
    assert 'memory_bytes{worker="0"}' not in text(merged)
    merged.update(12, 0, worker(1, 1))
    merged.end(12)
    merged.end(11)
    assert 'eventstreams_events_total{stream="a\\"b"} 8.0' in text(merged)
    assert text(merged) == text(merged), "looking changes nothing"


def test_frames_are_whole_messages_wherever_the_stream_is_cut() -> None:
    messages = [{"type": "state", "unready": ["ä" * 300]}, {"type": "collect"}]
    data = b"".join(map(frame, messages))
    for size in (1, 3, 4, 5, 100, len(data)):
        frames = Frames()
        found = [each for at in range(0, len(data), size) for each in frames.feed(data[at : at + size])]
        assert found == messages
