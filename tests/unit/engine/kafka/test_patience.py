"""A patient fetch gathers records: two of them, or all that come between two rounds of writing."""

from __future__ import annotations

import pytest

from streams.engine.kafka.options import KafkaOptions, kafka_options
from streams.engine.kafka.patience import FULL, Patience
from tests.support import Clock

GATHER_SECONDS = 0.03
HELD = 0.075


@pytest.fixture
def clock() -> Clock:
    return Clock()


def options(**more: object) -> KafkaOptions:
    return kafka_options({"metadata.broker.list": "127.0.0.1:1", "fetch.wait.max.ms": 500, **more})


def patient(settings: KafkaOptions, clock: Clock) -> Patience:
    patience = Patience(settings, clock)
    patience.seconds, patience.gathering = HELD, GATHER_SECONDS
    return patience


def test_while_events_are_rarer_than_rounds_a_fetch_waits_for_a_second_one(clock: Clock) -> None:
    patience = patient(options(), clock)
    assert patience.bounds(1, 1) == (500, 1), "nobody knows how large its records are"
    patience.learn(1, 3_000, 2)
    assert patience.bounds(1, 1) == (75, 2_250)
    assert patience.bounds(2, 2) == (500, 1), "another leader"
    clock.now += 0.066
    patience.learn(1, 3_000, 2)
    assert patience.bounds(1, 1) == (75, 2_250)
    patience.learn(1, 0, 0)
    assert patience.bounds(1, 1) == (75, 2_250), "an empty fetch says nothing of records"
    patience.seconds = 3.0
    assert patience.bounds(1, 1) == (500, 2_250)
    patience.seconds = 0.0
    assert patience.bounds(1, 1) == (500, 1)


def test_while_several_come_between_two_rounds_a_fetch_brings_as_many(clock: Clock) -> None:
    settings = options()
    patience = patient(settings, clock)
    patience.learn(1, 1_000, 1)
    for took, records, bounds in (
        (1.0, 2, (75, 1_500)),
        (0.010, 4, (45, 6_500)),  # 200 a second now, and half as many on average: in 36 ms, 7
        (0.035, 7, (45, 6_500)),
        (0.036, 7, (45, 6_500)),
        (0.036, 2, (45, 4_500)),  # one that brings few does not make the next one bring many
        (0.036, 2, (45, 2_500)),
        (0.042, 2, (75, 1_500)),
        (0.045, 1, (75, 1_500)),
    ):
        clock.now += took
        patience.learn(1, 1_000 * records, records)
        assert patience.bounds(1, 1) == bounds
    assert patience.pause(1) == 0, "the broker waits"
    patience.learn(1, 1_000_000, 1_000)  # at once
    most = FULL * min(settings.max_partition_fetch_bytes, settings.fetch_max_bytes)
    assert patience.bounds(1, 1) == (45, most)
    patience.gathering *= 2
    assert patience.bounds(1, 1) == (75, most), "no record is held back for longer than that"


def test_several_leaders_are_asked_together(clock: Clock) -> None:
    patience = patient(options(), clock)
    assert patience.pause(2) == 0
    for leader in (1, 2):
        clock.now += 0.010
        patience.learn(leader, 9_000, 9)
    assert patience.pause(2) == pytest.approx(GATHER_SECONDS)
    clock.now += 0.020
    assert patience.pause(2) == pytest.approx(0.010)
    assert patience.bounds(1, 2) == (45, 1_500)
    for gathering, wait_ms in ((2, 15), (3, 0)):
        patience.gathering = gathering * GATHER_SECONDS
        assert patience.bounds(1, 2) == (wait_ms, 1_500), "the pause is the longer one"
    patience.gathering = GATHER_SECONDS
    clock.now += 0.020
    assert patience.pause(2) == 0
    patience.learn(1, 0, 0)
    patience.seconds = 0
    assert patience.pause(2) == 0


def test_the_settings_say_the_least(clock: Clock) -> None:
    patience = patient(options(**{"fetch.min.bytes": 10_000}), clock)
    patience.learn(1, 1_000, 1)
    assert patience.bounds(1, 1) == (75, 10_000)
