"""How active topics are: asked once for all, in small questions, and never a reason to wait for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

import pytest

from streams.core.positions import TopicPartition
from streams.engine import rates as module
from streams.engine.lookups import Lookups
from streams.engine.memory import MemorySource
from streams.engine.rates import BATCH, Rates
from streams.engine.source import Bounds, Found
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine.hub import now_ms

Times = Mapping[TopicPartition, int]


class AskedSource(MemorySource):
    """Remembers how many partitions each question named; answers when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        wanted = list(partitions)
        self.sizes.append(len(wanted))
        await self.gate.wait()
        return await super().bounds(wanted)

    async def offsets_for_times(self, times: Times) -> Mapping[TopicPartition, Found]:
        self.sizes.append(len(times))
        return await super().offsets_for_times(times)


@pytest.fixture
def source() -> AskedSource:
    return AskedSource()


@pytest.fixture
def rates(source: AskedSource) -> Rates:
    return Rates(source, Lookups(source))


class Clock:
    """In place of `time`, for the module under test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now))


def write(source: MemorySource, topic: str, *ages_seconds: float, partition: int = 0) -> None:
    for age in ages_seconds:
        source.append(topic, b"{}", int(now_ms() - age * 1000), partition=partition)


async def known(source: MemorySource, *topics: str) -> None:
    await source.refresh(topics)


async def test_what_came_in_the_last_minute_counts_in_all_partitions(source: AskedSource, rates: Rates) -> None:
    source.create("t", 2)
    write(source, "t", 4000, 300, 90, 50, 40, 1)
    write(source, "t", 100, 30, 20, 0, partition=1)
    await known(source, "t")
    assert await rates.of(["t"]) == {"t": 6 / 60}


async def test_a_silent_topic_has_a_rate_and_an_absent_one_has_none(source: AskedSource, rates: Rates) -> None:
    source.create("empty")
    source.create("old")
    write(source, "old", 5000, 4000)
    await known(source, "empty", "old", "absent")
    assert await rates.of(["empty", "old", "absent"]) == {"empty": 0, "old": 0}


async def test_a_topic_without_its_old_records_counts_those_that_are_left(source: AskedSource, rates: Rates) -> None:
    source.create("t")
    write(source, "t", 50, 40, 30)
    source.truncate_before("t", 1)
    await known(source, "t")
    assert await rates.of(["t"]) == {"t": 2 / 60}


async def test_an_answer_holds_for_half_a_minute(
    source: AskedSource, rates: Rates, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    source.create("t")
    await known(source, "t")
    assert await rates.of(["t"]) == {"t": 0}
    write(source, "t", 0)
    clock.now += DEFAULT.rates_seconds - 1
    assert await rates.of(["t"]) == {"t": 0}
    clock.now += 2
    await asyncio.sleep(0.6)  # the lookups remember the end for half a second
    assert await rates.of(["t"]) == {"t": 1 / 60}


async def test_a_thousand_who_ask_at_once_cost_one_round(source: AskedSource, rates: Rates) -> None:
    source.create("t")
    write(source, "t", 1)
    await known(source, "t")
    assert await asyncio.gather(*(rates.of(["t"]) for _ in range(1000))) == [{"t": 1 / 60}] * 1000
    assert source.sizes == [1, 1]


async def test_many_topics_are_asked_for_in_small_questions(source: AskedSource, rates: Rates) -> None:
    topics = [f"{place}.{number}" for place in ("a", "b") for number in range(242)]
    for topic in topics:
        source.create(topic)
        write(source, topic, 1)
    await known(source, *topics)
    assert await rates.of(topics) == dict.fromkeys(topics, 1 / 60)
    assert max(source.sizes) == BATCH
    assert len(source.sizes) == 2 * 5


async def test_who_asks_a_kafka_that_is_away_is_told_nothing_and_it_is_left_alone(
    source: AskedSource, rates: Rates, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    source.create("t")
    await known(source, "t")
    assert await rates.of(["t"]) == {"t": 0}
    source.available = False
    clock.now += DEFAULT.rates_seconds + 1
    await asyncio.sleep(0.6)
    assert await rates.of(["t"]) == {}
    asked = len(source.sizes)
    clock.now += DEFAULT.rates_seconds - 1
    assert await rates.of(["t"]) == {}
    assert len(source.sizes) == asked


async def test_nobody_waits_long_and_the_question_goes_on_for_who_comes_next(source: AskedSource) -> None:
    rates = Rates(source, Lookups(source), Tuning(rates_patience_seconds=0.05))
    source.create("t")
    write(source, "t", 1)
    await known(source, "t")
    source.gate.clear()
    assert await rates.of(["t"]) == {}
    gone = asyncio.ensure_future(rates.of(["t"]))
    await asyncio.sleep(0)
    gone.cancel()
    source.gate.set()
    await asyncio.sleep(0.02)
    assert await rates.of(["t"]) == {"t": 1 / 60}
    assert len(source.sizes) == 2


async def test_a_silent_broker_empties_only_the_rates_of_its_own_topics(source: AskedSource, rates: Rates) -> None:
    source.create("t", broker=1)
    source.create("u", broker=2)
    source.create("v", 2, broker=1)
    source.lead("v", 2, partition=1)
    for name in "tuv":
        write(source, name, 1)
    await known(source, "t", "u", "v")
    source.silent.add(2)
    assert await rates.of(["t", "u", "v"]) == {"t": 1 / 60}, "nor is half of a topic said to be the whole"
