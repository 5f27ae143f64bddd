"""Live: followers are written to by one loop; who does not take a chunk goes back to the pull loop.

Invariants 3, 4 and 7.
"""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from streams.core.positions import Mark, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.tail.fanout import Chunk, Fanout, Follower, Pace, Step
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine import cancel, eventually

AT = {TopicPartition("a", 0): Mark(0, 0, 0)}


class Blocks:
    """A feed of numbered chunks; those below `floor` have gone."""

    def __init__(self) -> None:
        self.tip = 0
        self.floor = 0
        self.made: dict[int, Step] = {}

    def next_step(self, number: int, is_sse: bool) -> Step | None:
        if number < self.floor:
            raise LookupError(number)
        if number == self.tip:
            return None
        new = number + 1
        after = {TopicPartition("a", 0): Mark(0, new, 0)}
        return self.made.setdefault(new, Step(Chunk((b"%d " % new,), 1), new, after, new == self.tip))


class Socket:
    def __init__(self) -> None:
        self.taken: list[Chunk] = []
        self.takes = True
        self.raises = False

    def try_write(self, chunk: Chunk) -> bool:
        if self.raises:
            raise ZeroDivisionError
        if self.takes:
            self.taken.append(chunk)
        return self.takes

    @property
    def text(self) -> bytes:
        return b"".join(part for chunk in self.taken for part in chunk.parts)


class Live:
    """A fan-out with sockets that follow it."""

    def __init__(self, count: int, gather_seconds: float = 0.0, few_followers: int = 50) -> None:
        self.blocks = Blocks()
        self.metrics = Metrics()
        self.pace = Pace(Tuning(gather_seconds=gather_seconds, few_followers=few_followers))
        self.fanout = Fanout(self.blocks.next_step, self.pace, self.metrics)
        self.sockets = [Socket() for _ in range(count)]
        self.followers = [Follower(socket, 0, AT, is_sse=True) for socket in self.sockets]
        self.tasks = [asyncio.ensure_future(self.fanout.follow(follower)) for follower in self.followers]

    def add(self, count: int = 1) -> None:
        self.blocks.tip += count
        self.fanout.wake(count)

    async def end(self) -> None:
        await cancel(*self.tasks)


async def test_all_followers_are_written_the_same_chunks_and_they_are_counted() -> None:
    live = Live(DEFAULT.slice_followers * 2)
    await asyncio.sleep(0)
    live.add()
    live.add(2)
    await eventually(lambda: all(socket.text == b"1 2 3 " for socket in live.sockets))
    assert len({id(chunk) for socket in live.sockets for chunk in socket.taken}) == 3
    sent = live.metrics.registry.get_sample_value("eventstreams_events_sent_total", {"format": "sse"})
    assert sent == 3 * len(live.sockets)
    await live.end()
    assert live.pace.followers == 0


async def test_rounds_that_are_due_together_begin_together_some_at_a_time() -> None:
    pace = Pace(Tuning(gather_seconds=1.0))
    loop = asyncio.get_running_loop()
    began: list[int] = []
    between: list[int] = []
    due = time.monotonic() + 0.02
    for number in range(2 * DEFAULT.slice_followers):

        def begin(now: float, number: int = number) -> None:
            assert now >= due
            if not number:
                loop.call_soon(lambda: between.append(len(began)))
            began.append(number)

        pace.call_at(due, begin)
    assert not began
    await eventually(lambda: began == list(range(2 * DEFAULT.slice_followers)))
    assert between == [DEFAULT.slice_followers]


async def test_few_followers_are_written_to_at_once() -> None:
    live = Live(3, gather_seconds=60.0)
    await asyncio.sleep(0)
    for number in range(1, 4):
        live.add()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert live.blocks.tip == number
        assert all(len(socket.taken) == number for socket in live.sockets)
    await live.end()


async def test_with_many_followers_what_comes_within_a_while_goes_out_together() -> None:
    live = Live(2, gather_seconds=0.2, few_followers=1)
    await asyncio.sleep(0)
    live.add()
    assert all(socket.text == b"1 " for socket in live.sockets), "after a pause nothing waits"
    live.add()
    live.add()
    await asyncio.sleep(0.02)
    assert all(socket.text == b"1 " for socket in live.sockets), "they wait"
    await eventually(lambda: all(socket.text == b"1 2 3 " for socket in live.sockets))
    await live.end()


async def test_an_event_that_is_alone_leaves_with_the_next_one_or_after_a_while_by_itself() -> None:
    live = Live(2, gather_seconds=0.1, few_followers=1)
    await asyncio.sleep(0)
    live.add()
    await asyncio.sleep(0.11)  # a second one would leave at once
    live.add()
    await asyncio.sleep(0)
    assert all(socket.text == b"1 " for socket in live.sockets), "it waits for another"
    live.add()
    assert all(socket.text == b"1 2 3 " for socket in live.sockets), "there is another"
    await asyncio.sleep(0.11)
    live.add()
    await eventually(lambda: all(socket.text == b"1 2 3 4 " for socket in live.sockets))
    await live.end()


async def test_what_waits_is_forgotten_where_all_have_left() -> None:
    live = Live(2, gather_seconds=0.05, few_followers=1)
    await asyncio.sleep(0)
    live.add()
    live.add()
    await live.end()
    await asyncio.sleep(0.1)
    assert all(socket.text == b"1 " for socket in live.sockets)


@pytest.mark.parametrize(
    ("events", "began", "since", "due"),
    [
        (1, -100.0, 0.0, 0.0),  # it has been quiet
        (5, -100.0, 0.0, 0.0),
        (1, -0.5, 0.0, 1.5),
        (2, -0.5, 0.0, 0.5),
        (2, -2.0, 0.0, -1.0),  # overdue
        (1, -3.1, 0.0, 0.0),
    ],
)
def test_when_a_round_is_due(events: int, began: float, since: float, due: float) -> None:
    pace = Pace(Tuning(gather_seconds=1.0))
    pace.followers = 1_000
    assert pace.round_at(began, events, since) == due


def test_nothing_is_fetched_for_many_before_it_can_be_sent() -> None:
    pace = Pace(Tuning(gather_seconds=20.0))
    assert pace.fetch_delay(time.monotonic()) == 0, "few get all at once"
    pace.followers = 1_000
    assert 9 < pace.fetch_delay(time.monotonic()) <= 10
    assert pace.fetch_delay(time.monotonic() - 11) == 0
    assert pace.fetch_delay(-math.inf) == 0


async def test_who_does_not_take_a_chunk_leaves_at_the_position_that_it_has_had() -> None:
    live = Live(2)
    await asyncio.sleep(0)
    live.add()
    live.sockets[0].takes = False
    live.add()
    live.add()
    await asyncio.wait_for(live.tasks[0], 5)
    follower = live.followers[0]
    assert (follower.number, follower.position[TopicPartition("a", 0)].offset) == (1, 1)
    await eventually(lambda: live.sockets[1].text == b"1 2 3 ")
    assert live.sockets[0].text == b"1 "
    assert live.pace.followers == 1
    await live.end()


async def test_whom_the_feed_has_gone_past_leaves() -> None:
    live = Live(1)
    await asyncio.sleep(0)
    live.blocks.floor = 5
    live.blocks.tip = 9
    live.fanout.wake(1)
    await asyncio.wait_for(live.tasks[0], 5)
    assert live.followers[0].number == 0


async def test_a_fault_ends_one_follower_and_the_others_go_on() -> None:
    live = Live(3)
    await asyncio.sleep(0)
    live.sockets[1].raises = True
    live.add()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(live.tasks.pop(1), 5)
    live.add()
    await eventually(lambda: live.sockets[0].text == live.sockets[2].text == b"1 2 ")
    await live.end()


async def test_who_leaves_in_the_middle_of_a_round_is_not_written_to() -> None:
    live = Live(DEFAULT.slice_followers + 1)
    await asyncio.sleep(0)
    live.add()
    await cancel(live.tasks[-1])
    await asyncio.sleep(0.01)
    assert live.sockets[-1].taken == []
    assert live.sockets[0].text == b"1 "
    await live.end()


async def test_a_fault_outside_of_all_followers_is_counted_and_the_next_round_begins_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = Live(3)
    await asyncio.sleep(0)
    sent = live.metrics.sent

    def fails(*_: object, **__: object) -> None:
        monkeypatch.setattr(live.metrics, "sent", sent)
        raise ZeroDivisionError

    monkeypatch.setattr(live.metrics, "sent", fails)
    live.add()
    live.add()
    await eventually(lambda: all(socket.text == b"1 2 " for socket in live.sockets))
    place = {"place": "writing to followers"}
    assert live.metrics.registry.get_sample_value("eventstreams_faults_total", place) == 1
    await live.end()


async def test_a_client_that_is_cancelled_by_what_is_written_to_it_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = Live(2)
    await asyncio.sleep(0)

    def leaves(chunk: Chunk) -> bool:
        live.tasks[0].cancel()
        return False

    monkeypatch.setattr(live.sockets[0], "try_write", leaves)
    live.add()
    live.add()
    await eventually(lambda: live.sockets[1].text == b"1 2 ")
    assert (
        live.metrics.registry.get_sample_value("eventstreams_faults_total", {"place": "writing to followers"}) is None
    )
    await live.end()
