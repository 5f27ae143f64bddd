"""Questions to Kafka about offsets and times: asked once for all who ask alike, never answered from too long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

import pytest

from streams.core.positions import TopicPartition
from streams.engine import lookups as module
from streams.engine.lookups import Lookups
from streams.engine.memory import MemorySource
from streams.engine.source import Batch, Bounds, Found, SourceUnavailableError
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine import cancel, numbered

TP = TopicPartition("t", 0)


class CountingSource(MemorySource):
    """Counts the questions, and answers them when the gate is open; what they see is what was there when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.questions = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.create("t", 2)

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Bounds]:
        self.questions += 1
        answer = await super().bounds(partitions)
        await self.gate.wait()
        return answer

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Found]:
        self.questions += 1
        answer = await super().offsets_for_times(times)
        await self.gate.wait()
        return answer

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        self.questions += 1
        answer = await super().read(partition, offset, max_bytes)
        await self.gate.wait()
        return answer


@pytest.fixture
def source() -> CountingSource:
    made = CountingSource()
    for number in range(5):
        made.append("t", numbered(number), 1000 + number)
    return made


@pytest.fixture
def lookups(source: CountingSource) -> Lookups:
    return Lookups(source)


async def test_a_thousand_who_ask_alike_cost_one_question_of_each_kind(
    source: CountingSource, lookups: Lookups
) -> None:
    assert await asyncio.gather(*(lookups.bounds([TP]) for _ in range(1000))) == [{TP: Bounds(0, 5)}] * 1000
    assert source.questions == 1
    assert await asyncio.gather(*(lookups.at_times({TP: 1002}) for _ in range(1000))) == [{TP: Found(2, 1002)}] * 1000
    assert source.questions == 2
    assert await asyncio.gather(*(lookups.timestamps_before({TP: 3}) for _ in range(1000))) == [{TP: 1002}] * 1000
    assert source.questions == 3


async def test_only_what_is_not_known_is_asked(source: CountingSource, lookups: Lookups) -> None:
    other = TopicPartition("t", 1)
    assert await lookups.bounds([TP]) == {TP: Bounds(0, 5)}
    assert await lookups.bounds([TP, other]) == {TP: Bounds(0, 5), other: Bounds(0, 0)}
    assert await lookups.bounds([other, TP]) == {TP: Bounds(0, 5), other: Bounds(0, 0)}
    assert source.questions == 2


@pytest.mark.parametrize(
    ("question", "seconds"),
    [
        (lambda lookups: lookups.bounds([TP]), DEFAULT.bounds_seconds),
        (lambda lookups: lookups.at_times({TP: 0}), DEFAULT.found_seconds),
        (lambda lookups: lookups.timestamps_before({TP: 1}), DEFAULT.before_seconds),
    ],
)
async def test_an_answer_is_good_for_its_time_and_no_longer(
    source: CountingSource, lookups: Lookups, monkeypatch: pytest.MonkeyPatch, question: object, seconds: float
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    await question(lookups)  # type: ignore[operator]
    now += seconds - 0.01
    await question(lookups)  # type: ignore[operator]
    assert source.questions == 1
    now += 0.02
    await question(lookups)  # type: ignore[operator]
    assert source.questions == 2


async def test_fresh_bounds_are_asked_anew(source: CountingSource, lookups: Lookups) -> None:
    await lookups.bounds([TP])
    source.append("t", numbered(5), 1005)
    assert await lookups.bounds([TP]) == {TP: Bounds(0, 5)}
    assert await lookups.bounds([TP], fresh=True) == {TP: Bounds(0, 6)}
    assert await lookups.bounds([TP]) == {TP: Bounds(0, 6)}


async def test_a_storm_that_wants_fresh_bounds_costs_two_questions_and_each_gets_what_was_there_when_it_came(
    source: CountingSource, lookups: Lookups
) -> None:
    source.gate.clear()
    early = [asyncio.ensure_future(lookups.bounds([TP], fresh=True)) for _ in range(500)]
    await asyncio.sleep(0.002)
    source.append("t", numbered(5), 1005)
    late = [asyncio.ensure_future(lookups.bounds([TP], fresh=True)) for _ in range(500)]
    await asyncio.sleep(0.002)
    source.gate.set()
    await asyncio.gather(*early)
    assert await asyncio.gather(*late) == [{TP: Bounds(0, 6)}] * 500
    assert source.questions <= 3


async def test_what_is_asked_of_a_silent_broker_keeps_no_answer_of_another_one_back() -> None:
    source = MemorySource(silence_seconds=2.0)
    source.create("t", broker=1)
    source.create("u", broker=2)
    source.silent.add(2)
    lookups = Lookups(source)
    both = asyncio.ensure_future(lookups.bounds([TP, TopicPartition("u", 0)]))
    await asyncio.sleep(0)
    async with asyncio.timeout(1.0):
        assert await lookups.bounds([TP]) == {TP: Bounds(0, 0)}
        assert not both.done()
    answers = await both
    assert answers[TP] == Bounds(0, 0)
    assert isinstance(answers[TopicPartition("u", 0)], SourceUnavailableError)


async def test_that_there_is_none_is_not_remembered(source: CountingSource, lookups: Lookups) -> None:
    assert await lookups.at_times({TP: 2000}) == {}
    assert await lookups.timestamps_before({TP: 6}) == {}, "beyond the end"
    assert await lookups.bounds([TopicPartition("u", 0)]) == {}
    source.append("t", numbered(5), 2000)
    source.create("u")
    assert await lookups.at_times({TP: 2000}) == {TP: Found(5, 2000)}
    assert await lookups.timestamps_before({TP: 6}) == {TP: 2000}
    assert await lookups.bounds([TopicPartition("u", 0)]) == {TopicPartition("u", 0): Bounds(0, 0)}


async def test_what_a_question_under_way_has_missed_is_asked_again(source: CountingSource, lookups: Lookups) -> None:
    """A caller that came after a record must not get that it does not exist, as one before it rightly did."""
    source.gate.clear()
    before = asyncio.ensure_future(lookups.at_times({TP: 2000}))
    await asyncio.sleep(0.002)
    source.append("t", numbered(5), 2000)
    after = [asyncio.ensure_future(lookups.at_times({TP: 2000})) for _ in range(100)]
    await asyncio.sleep(0.002)
    assert source.questions == 1
    source.gate.set()
    assert await before == {}
    assert await asyncio.gather(*after) == [{TP: Found(5, 2000)}] * 100
    assert source.questions == 2, "they all asked again together"


async def test_a_failure_is_told_to_all_who_wait_and_the_next_asks_again(
    source: CountingSource, lookups: Lookups
) -> None:
    source.available = False
    results = await asyncio.gather(*(lookups.bounds([TP]) for _ in range(10)))
    assert {type(result[TP]) for result in results} == {SourceUnavailableError}
    assert source.questions == 1
    source.available = True
    assert await lookups.bounds([TP]) == {TP: Bounds(0, 5)}


async def test_who_asked_first_may_go_away(source: CountingSource, lookups: Lookups) -> None:
    source.gate.clear()
    first, second = (asyncio.ensure_future(lookups.bounds([TP])) for _ in range(2))
    await asyncio.sleep(0)
    await cancel(first)
    source.gate.set()
    assert await second == {TP: Bounds(0, 5)}
    assert source.questions == 1


async def test_what_was_answered_before_can_be_forgotten(source: CountingSource, lookups: Lookups) -> None:
    assert await lookups.timestamps_before({TP: 1}) == {TP: 1000}
    source.delete("t")
    source.create("t")
    source.append("t", numbered(0), 7)
    lookups.forget()
    assert await lookups.timestamps_before({TP: 1}) == {TP: 7}
    assert await lookups.bounds([TP]) == {TP: Bounds(0, 1)}
    assert await lookups.at_times({TP: 0}) == {TP: Found(0, 7)}


async def test_answers_are_kept_in_bounded_number(source: CountingSource) -> None:
    lookups = Lookups(source, Tuning(max_answers=10))
    for number in range(100):
        assert await lookups.at_times({TP: number}) == {TP: Found(0, 1000)}
    assert len(lookups._found._answers) == 10
    many = {TopicPartition("t", partition): 1003 for partition in range(50)}
    assert await lookups.at_times(many) == {TP: Found(3, 1003)}, "more at once than are kept"


async def test_the_timestamp_before_an_offset_is_that_of_the_record_right_before_it(
    source: CountingSource, lookups: Lookups
) -> None:
    source.skip("t", 2)
    source.append("t", None, 1007)
    offsets = {0: None, 1: 1000, 5: 1004, 6: None, 7: None, 8: 1007, 9: None, 50: None}
    for offset, timestamp in offsets.items():
        assert (await lookups.timestamps_before({TP: offset})).get(TP) == timestamp, offset
    source.truncate_before("t", 3)
    lookups.forget()
    for offset, timestamp in {2: None, 3: None, 4: 1003}.items():
        assert (await lookups.timestamps_before({TP: offset})).get(TP) == timestamp, offset
    assert await lookups.timestamps_before({TopicPartition("missing", 0): 5}) == {}


async def test_that_there_is_no_record_where_the_log_has_a_hole_is_remembered(
    source: CountingSource, lookups: Lookups
) -> None:
    """Behind a transaction there is one, and a storm of clients that resume there."""
    source.skip("t")
    source.append("t", numbered(6), 1006)
    for _ in range(100):
        assert await lookups.timestamps_before({TP: 6}) == {}
    assert source.questions == 1
    source.skip("t")
    for _ in range(100):
        assert await lookups.timestamps_before({TP: 8}) == {}
    assert source.questions == 2


# The newest record of a partition.


async def newest(source: MemorySource, tp: TopicPartition = TP) -> int | None:
    bounds = (await source.bounds([tp]))[tp]
    record = await Lookups(source).newest(tp, bounds)
    return record and record.offset


async def test_a_partition_without_records_has_no_newest(source: CountingSource) -> None:
    assert await newest(source, TopicPartition("t", 1)) is None
    source.truncate_before("t", 5)
    assert await newest(source) is None


async def test_the_newest_record_is_found_at_once_or_behind_holes(source: CountingSource) -> None:
    assert await newest(source) == 4
    assert source.questions == 2
    for holes in (1, 5, 100, 900):
        source.skip("t", holes)
        assert await newest(source) == 4


async def test_the_newest_record_is_looked_for_only_so_far_back(source: CountingSource) -> None:
    source.skip("t", module.MAX_STEPS_BACK)
    source.questions = 0
    assert await newest(source) is None
    assert source.questions < 10


async def test_the_newest_record_is_the_last_of_those_before_a_hole_also_where_they_are_large() -> None:
    source = CountingSource()
    for number in range(10):
        source.append("t", numbered(number, module.PROBE_BYTES), number)
    source.skip("t")
    assert await newest(source) == 9


async def test_the_newest_record_is_not_of_an_open_transaction(source: CountingSource) -> None:
    source.hold("t", 3)
    assert await newest(source) == 2
