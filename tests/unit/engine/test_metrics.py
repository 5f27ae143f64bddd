"""What is counted as plain numbers, and computed when somebody reads the metrics."""

from __future__ import annotations

import asyncio
import math
import time

import msgspec
import pytest

from redaction import redactor
from redaction.redactor import Redactor
from streams.core.positions import TopicPartition
from streams.engine.loop_lag import TICK_SECONDS, WINDOW_SECONDS, LoopLag
from streams.engine.metrics import MAX_COMBINATIONS, Metrics
from streams.engine.subscription import Subscription
from streams.engine.tail.partition import Partition
from streams.engine.tail.partition_metrics import MAX_PARTITIONS, PartitionMetrics
from tests.support.engine import Engine, eventually, whole
from tests.support.engine.hub import TP, topic, write


def test_what_is_sent_is_counted_by_format_and_by_the_streams_that_were_asked_for() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    for streams, is_sse, events in ((["b", "a"], True, 2), (["a", "b"], False, 3), (["a"], True, 5)):
        counts = metrics.sent(streams, is_sse=is_sse)
        counts[0] += events
        counts[1] += 100 * events
    assert value("eventstreams_events_sent_total", {"format": "sse"}) == 7
    assert value("eventstreams_events_sent_total", {"format": "ndjson"}) == 3
    assert value("eventstreams_stream_events_sent_total", {"streams": "a,b"}) == 5
    assert value("eventstreams_stream_bytes_sent_total", {"streams": "a"}) == 500


def test_combinations_of_streams_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_COMBINATIONS + 3):
        metrics.sent([f"s{number}"], is_sse=True)[0] += 1
    assert metrics.registry.get_sample_value("eventstreams_stream_events_sent_total", {"streams": "other"}) == 3


def test_what_is_read_counts_in_each_stream_of_the_topic_and_no_count_goes_back() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.set_streams({"a": ["t", "u"], "b": ["u"]})
    metrics.read("u", 2, 20)
    metrics.read("elsewhere", 2, 20)
    metrics.set_streams({"a": ["t"]})
    metrics.read("u", 2, 20)
    metrics.read("t", 1, 10)
    assert value("eventstreams_stream_events_read_total", {"stream": "a"}) == 3
    assert value("eventstreams_stream_bytes_read_total", {"stream": "a"}) == 30
    assert value("eventstreams_stream_events_read_total", {"stream": "b"}) == 2


async def test_the_hub_counts_what_it_reads_and_where_clients_find_it() -> None:
    source = topic(100)
    engine = Engine(source)
    engine.metrics.set_streams({"s": ["t"]})
    read = engine.metrics.registry.get_sample_value
    async with engine.running("t"), engine.hub.feed(whole("t")) as feed:
        write(source, 200, 300)
        await eventually(lambda: read("eventstreams_stream_events_read_total", {"stream": "s"}) == 2)
        held = engine.hub.partitions[TP].ring
        assert held is not None
        assert 0 < (read("eventstreams_stream_bytes_read_total", {"stream": "s"}) or 0) < held.bytes
        old = dict(feed.vector)
        old[TP] = old[TP]._replace(offset=1)
        at_the_end = Subscription(
            engine.hub, engine.history, feed, old, is_sse=True, keepalive_seconds=0, metrics=engine.metrics
        )
        chunks = at_the_end.chunks()
        await anext(chunks)
        await chunks.aclose()
    assert engine.metrics.found_in == {"feed": 0, "ring": 1, "cache": 0, "kafka": 0}


async def test_each_partition_says_what_it_lacks() -> None:
    source = topic(100, partitions=2)
    engine = Engine(source)
    value = engine.metrics.registry.get_sample_value
    async with engine.running("t"), engine.hub.feed(whole("t")):
        source.lead("t", -1, partition=1)
        await source.refresh(["t"])
        partition = engine.hub.partitions[TP]
        assert partition.ring is not None
        partition.end, partition.held = partition.ring.tip + 7, 4
        partition.timestamp = partition.watched_ms = 1
        labels = {"topic": "t", "partition": "0"}
        assert value("eventstreams_partition_lag_records", labels) == 7
        assert value("eventstreams_partition_held_records", labels) == 4
        assert (value("eventstreams_partition_lag_seconds", labels) or 0) > 1e9
        assert value("eventstreams_partition_leaderless", labels) == 0
        assert value("eventstreams_partition_leaderless", {"topic": "t", "partition": "1"}) == 1
        assert value("eventstreams_kafka_partitions_leaderless") == 1


def test_the_partitions_that_have_samples_are_bounded() -> None:
    engine = Engine(topic(100))
    many = dict.fromkeys((TopicPartition("t", number) for number in range(MAX_PARTITIONS + 5)), _partition(engine))
    families = list(PartitionMetrics(engine.source, many).collect())
    assert len(families[0].samples) == MAX_PARTITIONS


def _partition(engine: Engine) -> Partition:
    return Partition(TP, 0, engine.tuning, from_beginning=False)


def test_the_worst_delay_of_the_event_loop_is_kept_for_a_scrape_and_no_longer_than_two() -> None:
    lag = LoopLag()
    begin = lag._began
    lag.note(0.8, begin + 1)
    lag.note(0.1, begin + 2)
    assert lag.seconds == 0.8
    lag.note(0.2, begin + WINDOW_SECONDS + 1)
    assert lag.seconds == 0.8
    lag.note(0.1, begin + 2 * WINDOW_SECONDS + 3)
    assert lag.seconds == 0.2


async def test_the_event_loops_delay_is_measured() -> None:
    lag = LoopLag()
    task = asyncio.ensure_future(lag.watch())
    await asyncio.sleep(0)
    time.sleep(TICK_SECONDS + 0.3)
    await eventually(lambda: lag.seconds > 0.25)
    task.cancel()


def test_redactions_are_counted_by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactor, "REDACTIONS", dict.fromkeys(redactor.REDACTIONS, 0))
    event = {
        "meta": b'{"domain":"a.org","key":"5"}',
        "title": b'"X"',
        "user": b'"Ada"',
        "comment": b'"by Ada"',
    }
    of_a_page = Redactor({"a.org": ["X"]})
    assert of_a_page.redact({name: msgspec.Raw(raw) for name, raw in event.items()})
    assert of_a_page.redact_key(b"5") is None
    assert redactor.REDACTIONS == {"event": 1, "member": 1, "comment": 1, "performer": 0, "key": 1}
    assert not of_a_page.redact({"title": msgspec.Raw(b'"Y"'), "meta": msgspec.Raw(b'{"domain":"a.org"}')})
    assert redactor.REDACTIONS["event"] == 1


async def test_nobody_knows_the_lag_while_nothing_is_read() -> None:
    source = topic(100)
    engine = Engine(source, ping_seconds=0.05)
    async with engine.running("t"), engine.hub.feed(whole("t")):
        await eventually(lambda: engine.count("eventstreams_kafka_up") == 1)
        await eventually(lambda: engine.count("eventstreams_hub_lag_seconds") == 0)
        source.available = False
        await eventually(lambda: math.isnan(engine.count("eventstreams_hub_lag_seconds")))
