"""Whether Kafka is there, and whether what clients follow is read: the flag, metrics, sentences, and the log."""

from __future__ import annotations

import asyncio
import math
import time
from typing import ClassVar

import pytest

from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from streams.engine.source import SourceUnavailableError
from streams.engine.tail.partition import Partition
from streams.engine.tuning import Tuning
from tests.support.engine import eventually, whole
from tests.support.engine.hub import HastyEngine, topic, write


def two_brokers() -> MemorySource:
    source = topic(100)
    source.create("u", broker=2)
    return source


class Changing(HastyEngine):
    """Each change of a trouble is logged at once."""

    TUNED: ClassVar[dict[str, float]] = {**HastyEngine.TUNED, "changed_log_seconds": 0}


REFUSED = "kafka.example:9092: connection refused: nothing listens there"
SAID = f"Kafka cannot be reached: {REFUSED}"


class Refusing(MemorySource):
    """Does not answer while it `refuses`."""

    def __init__(self) -> None:
        super().__init__()
        self.create("t")
        self.refuses = True
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        if self.refuses:
            raise SourceUnavailableError(REFUSED)


async def test_kafka_that_is_away_at_the_start_is_logged_at_once_and_not_each_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Refusing()
    hub = Changing(source).hub
    hub.set_topics(["t"])
    hub.start()
    try:
        await eventually(lambda: source.pings > 6)
        assert hub.health.problems() == [SAID]
        assert hub.health.reason == REFUSED
        assert caplog.text.count(SAID) == len(caplog.records) == 1, "a line each minute, not each second"
    finally:
        await hub.close()


async def test_kafka_that_stays_away_is_logged_again_after_a_while_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Refusing()
    hub = Changing(source, log_seconds=0).hub
    hub.set_topics(["t"])
    hub.start()
    try:
        await eventually(lambda: caplog.text.count(REFUSED) >= 3)
        source.refuses = False
        await eventually(lambda: "Kafka answers again, after " in caplog.text)
        assert hub.health.problems() == []
    finally:
        await hub.close()


async def test_a_healthy_start_is_never_degraded_once_it_is_ready() -> None:
    engine = Changing(topic(100))
    engine.hub.set_topics(["t"])
    refreshed = []
    follow = engine.hub._topics._changed

    def spy(is_new: object) -> None:
        follow(is_new)  # type: ignore[arg-type]
        refreshed.append((engine.hub.has_metadata, engine.hub.health.problems()))

    engine.hub._topics._changed = spy  # type: ignore[assignment]
    engine.hub.start()
    try:
        await eventually(lambda: refreshed)
        assert refreshed[0] == (True, [])
    finally:
        await engine.hub.close()


async def test_a_process_is_not_ready_before_it_would_serve_a_client() -> None:
    """Kafka's answer to a client's own question comes before the next look at a Kafka that was away at the start."""
    source = topic(100)
    source.available = False
    hub = Changing(source, ping_seconds=0.5).hub
    hub.set_topics(["t"])
    hub.start()
    try:
        await eventually(lambda: not hub.available and hub.health.problems())
        await asyncio.sleep(0.05)
        source.available = True
        assert await hub.topics(["t"]) == {"t": 1}
        assert hub.available or not hub.has_metadata, "it would refuse whom it is sent"
        await eventually(lambda: hub.available)
        assert hub.has_metadata
        source.available = False
        await eventually(lambda: not hub.available)
        assert hub.has_metadata, "a later outage makes degraded, not unready"
    finally:
        await hub.close()


async def test_a_broker_that_falls_silent_is_said_with_its_topics_though_kafka_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = two_brokers()
    engine = Changing(source, stall_seconds=0.4)
    async with engine.running("t", "u"), engine.hub.feed(whole("t", "u")):
        await eventually(lambda: engine.count("eventstreams_kafka_up") == 1)
        source.silent.add(2)
        await eventually(lambda: engine.hub.health.problems() == ["No events are read of u: broker 2: no answer"])
        assert engine.hub.available, "a client of other streams is served"
        assert engine.count("eventstreams_kafka_up") == 1
        assert engine.count("eventstreams_hub_partitions_unread") == 1
        assert engine.count("eventstreams_hub_oldest_read_seconds") > 0.4
        assert "No events are read of u: broker 2: no answer" in caplog.text
        source.silent.clear()
        await eventually(lambda: engine.hub.health.problems() == [])
        assert "All partitions that clients follow are read again, after " in caplog.text
        await eventually(lambda: engine.count("eventstreams_hub_partitions_unread") == 0)


async def test_kafka_is_not_up_while_nothing_of_what_is_wanted_can_be_read() -> None:
    source = two_brokers()
    engine = Changing(source, stall_seconds=0.4)
    async with engine.running("t", "u"), engine.hub.feed(whole("u")):
        await eventually(lambda: engine.count("eventstreams_kafka_up") == 1)
        assert engine.count("eventstreams_hub_lag_records") == 0
        source.silent.add(2)
        await eventually(lambda: engine.count("eventstreams_kafka_up") == 0)
        await eventually(lambda: math.isnan(engine.count("eventstreams_hub_lag_records")))
        assert engine.hub.available, "the metadata still come"


async def test_nothing_is_said_to_be_read_again_while_kafka_is_away(caplog: pytest.LogCaptureFixture) -> None:
    source = topic(100)
    engine = Changing(source, stall_seconds=0.3)
    async with engine.running("t"), engine.hub.feed(whole("t")):
        source.silent.add(1)
        await eventually(lambda: "No events are read of t" in caplog.text)
        source.available = False
        await eventually(lambda: "Kafka cannot be reached" in caplog.text)
        seen = engine.hub.health._looked_at
        await eventually(lambda: engine.hub.health._looked_at > seen + 1)
        assert "read again" not in caplog.text
        source.available = True
        source.silent.clear()
        await eventually(lambda: "read again" in caplog.text)


async def test_what_open_transactions_hold_back_is_a_metric() -> None:
    source = topic(100)
    async with Changing(source).running("t") as engine, engine.hub.feed(whole("t")):
        source.hold("t", 1)
        write(source, 200, 300)
        await eventually(lambda: engine.count("eventstreams_kafka_held_records") == 2)
        source.hold("t", None)
        await eventually(lambda: engine.count("eventstreams_kafka_held_records") == 0)


async def test_a_topic_that_was_deleted_while_it_was_followed_is_no_trouble_of_kafkas() -> None:
    source = two_brokers()
    engine = Changing(source, stall_seconds=0.2)
    async with engine.running("t", "u"), engine.hub.feed(whole("t", "u")):
        source.delete("u")
        await eventually(lambda: not engine.hub.exists(next(tp for tp in engine.hub.partitions if tp.topic == "u")))
        seen = engine.hub.health._looked_at
        await eventually(lambda: engine.hub.health._looked_at > seen)
        assert engine.hub.health.problems() == []


async def test_many_topics_are_named_in_one_sentence_of_bounded_length() -> None:
    source = topic()
    names = [f"topic.{number:02}" for number in range(30)]
    for name in names:
        source.create(name, broker=2)
    engine = Changing(source, stall_seconds=0.2)
    async with engine.running("t", *names), engine.hub.feed(whole("t", *names)):
        source.silent.add(2)
        said = "No events are read of topic.00, topic.01, topic.02, topic.03, topic.04 and 25 more: broker 2: no answer"
        await eventually(lambda: engine.hub.health.problems() == [said])  # some may count as unread a look later


def test_one_transaction_holds_a_partition_for_long_and_one_after_the_other_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    partition = Partition(TopicPartition("t", 0), 0, Tuning(), from_beginning=True)
    for end in range(60):  # each second, a transaction has ended and the next one has begun
        partition.saw(end, 5)
        now += 1
    assert partition.held_seconds == 1
    for more in range(60):
        partition.saw(59, 5 + more)
        now += 1
    assert partition.held_seconds == 61
    partition.saw(64, 0)
    assert partition.held_seconds == 0
    now += 60
    partition.saw(64, 1)
    assert partition.held_seconds == 0
