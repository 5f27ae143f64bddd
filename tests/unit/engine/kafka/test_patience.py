"""A patient fetch waits for about one and a half records, and no longer than any other fetch."""

from __future__ import annotations

from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.patience import Patience


def test_what_is_asked_of_a_leader() -> None:
    patience = Patience(kafka_options({"metadata.broker.list": "127.0.0.1:1", "fetch.wait.max.ms": 500}))
    patience.seconds = 0.045
    assert patience.bounds(1) == (500, 1), "nobody knows how large its records are"
    patience.learn(1, 3_000, 2)
    assert patience.bounds(1) == (45, 2_250)
    assert patience.bounds(2) == (500, 1), "another leader"
    patience.learn(1, 0, 0)
    assert patience.bounds(1) == (45, 2_250), "an empty fetch says nothing of records"
    patience.seconds = 3.0
    assert patience.bounds(1) == (500, 2_250)
    patience.seconds = 0.0
    assert patience.bounds(1) == (500, 1)


def test_the_settings_say_the_least() -> None:
    patience = Patience(kafka_options({"metadata.broker.list": "127.0.0.1:1", "fetch.min.bytes": 10_000}))
    patience.seconds = 0.045
    patience.learn(1, 1_000, 1)
    assert patience.bounds(1) == (45, 10_000)
