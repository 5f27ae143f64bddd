"""Live: followers are written to by one loop; a client that does not take a chunk goes back to the pull loop.

Invariants 3, 4 and 7.
"""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from streams.core.positions import Mark, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.tail import fanout
from streams.engine.tail.chunk import Chunk, Step
from streams.engine.tail.cohort import Follower, Sink
from streams.engine.tail.fanout import ALONE, HELD, OWN, RARE, YOUNG, Fanout, Rounds
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine import cancel, eventually


def follower(socket: Socket, metrics: Metrics) -> Follower:
    return Follower(socket, 0, AT, is_sse=True, sent=metrics.sent(["a"], is_sse=True))


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
        return self.made.setdefault(new, Step((b"%d " % new,), 1, None, after, number, new, is_newest=new == self.tip))


class Socket(Sink):
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
        self.rounds = Rounds(Tuning(gather_seconds=gather_seconds, few_followers=few_followers), self.metrics)
        self.fanout = Fanout(self.blocks.next_step, self.rounds)
        self.sockets = [Socket() for _ in range(count)]
        self.followers = [follower(socket, self.metrics) for socket in self.sockets]
        self.tasks = [asyncio.ensure_future(self.fanout.follow(follower)) for follower in self.followers]

    def add(self, count: int = 1) -> None:
        self.blocks.tip += count
        self.fanout.wake(count, time.monotonic())

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
    assert live.rounds.followers == 0


class OneEach:
    """Feeds with a socket each, which share rounds of writing."""

    def __init__(self, count: int, gather_seconds: float) -> None:
        self.metrics = Metrics()
        self.rounds = Rounds(Tuning(gather_seconds=gather_seconds, few_followers=1), self.metrics)
        self.feeds = [Blocks() for _ in range(count)]
        self.fanouts = [Fanout(blocks.next_step, self.rounds) for blocks in self.feeds]
        self.sockets = [Socket() for _ in range(count)]
        self.tasks = [
            asyncio.ensure_future(fanout.follow(follower(socket, self.metrics)))
            for fanout, socket in zip(self.fanouts, self.sockets, strict=True)
        ]

    def add(self, number: int, count: int = 1) -> None:
        self.feeds[number].tip += count
        self.fanouts[number].wake(count, time.monotonic())

    def begin(self) -> None:
        """Begin a round now, whenever one is booked."""
        self.rounds.booked = -math.inf
        self.rounds._begin()

    def texts(self) -> list[bytes]:
        return [socket.text for socket in self.sockets]


async def test_all_feeds_that_have_something_new_share_a_round_some_followers_at_a_time() -> None:
    count = 2 * DEFAULT.slice_followers
    live = OneEach(count, gather_seconds=0.05)
    await asyncio.sleep(0)
    between: list[int] = []
    for number in range(count):
        live.add(number)
    assert live.texts() == [b""] * count, "others may have something new by the end of this step"
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: loop.call_soon(lambda: between.append(sum(map(bool, live.texts())))))
    await eventually(lambda: live.texts() == [b"1 "] * count)
    assert between[0] in (DEFAULT.slice_followers, count)
    for number in range(count):
        live.add(number, 2 if number % 2 else 1)
    await eventually(lambda: live.texts() == [b"1 2 3 " if number % 2 else b"1 2 " for number in range(count)])
    await cancel(*live.tasks)


async def test_a_lone_event_that_is_young_waits_for_another_while_the_other_feeds_are_written_to() -> None:
    live = OneEach(3, gather_seconds=60.0)
    await asyncio.sleep(0)
    for number in range(3):
        live.add(number)
    await eventually(lambda: live.texts() == [b"1 "] * 3)
    live.add(0, 2)
    live.add(1)
    live.begin()
    assert live.texts() == [b"1 2 3 ", b"1 ", b"1 "]
    live.add(2)
    live.fanouts[1].since -= (YOUNG + 0.1) * 60
    live.begin()
    assert live.texts() == [b"1 2 3 ", b"1 2 ", b"1 "]
    live.add(2)
    live.begin()
    assert live.texts() == [b"1 2 3 ", b"1 2 ", b"1 2 3 "]
    await cancel(*live.tasks)


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
    await asyncio.sleep(0)
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
    await asyncio.sleep(0.12)  # a second one would leave at once
    live.add()
    await asyncio.sleep(0)
    assert all(socket.text == b"1 " for socket in live.sockets), "it waits for another"
    live.add()
    await asyncio.sleep(0)
    assert all(socket.text == b"1 2 3 " for socket in live.sockets), "there is another"
    await asyncio.sleep(0.11)
    live.add()
    await eventually(lambda: all(socket.text == b"1 2 3 4 " for socket in live.sockets))
    await live.end()


async def test_what_waits_is_forgotten_where_all_have_left() -> None:
    live = Live(2, gather_seconds=0.05, few_followers=1)
    await asyncio.sleep(0)
    live.add()
    await asyncio.sleep(0)
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
        (2, -2.0, 0.0, 0.0),  # overdue
        (1, -3.1, 0.0, 0.0),
    ],
)
def test_when_a_round_is_due(events: int, began: float, since: float, due: float) -> None:
    rounds = Rounds(Tuning(gather_seconds=1.0), Metrics())
    rounds.followers = 1_000
    fanout = Fanout(Blocks().next_step, rounds)
    rounds.earliest, fanout.written_at = began + 1.0, began
    fanout.events, fanout.since, fanout.is_rare = events, since, since > began + RARE
    assert rounds.due(fanout) == due


def test_a_fetch_waits_for_a_second_event_while_events_come_often_and_many_follow() -> None:
    rounds = Rounds(Tuning(gather_seconds=20.0), Metrics())
    rounds.fetched(0.0, 2)
    assert rounds.patience == 0, "few get all at once"
    rounds.followers = 1_000
    rounds._came_at = -math.inf
    rounds.fetched(0.0, 1)
    assert rounds.patience == 0, "the first after a pause"
    rounds.fetched(0.0, 1)
    assert rounds.patience == HELD * 20.0, "another soon after it"
    rounds.fetched(0.0, 2)
    assert rounds.patience == HELD * 20.0
    rounds._came_at -= ALONE * 20.0 + 1
    rounds.fetched(0.0, 1)
    assert rounds.patience == 0, "events are rarer now"
    rounds.fetched(0.0, 2)
    rounds.fetched(0.0, 0)
    assert rounds.patience == 0, "none came"


@pytest.mark.parametrize(
    ("clients", "events", "every", "others", "times"),
    [
        (1, 2, 0.6, 0, OWN),  # each gets four in the time of a longer fetch
        (1, 1, 0.6, 0, OWN),
        (1, 1, 1.5, 0, 1.0),  # they would come one by one all the same
        (1, 3, 0.6, 110, 1.0),  # most clients are others
        (3, 3, 0.6, 0, 1.0),  # three share what it costs to frame a block
    ],
)
def test_fetches_gather_for_longer_where_most_clients_share_their_feed_with_nobody(
    clients: int, events: int, every: float, others: int, times: float
) -> None:
    rounds = Rounds(Tuning(gather_seconds=1.0), Metrics())
    rounds.followers = 100 * clients + others
    for _ in range(100):
        feed = Fanout(Blocks().next_step, rounds)
        feed.followers, feed.events, feed.since = clients, events, -math.inf
        feed.written_at = time.monotonic() - every
        rounds.waiting[feed] = None
    rounds.booked = -math.inf
    rounds._begin()
    assert rounds.gathering == times * 1.0


def test_a_round_of_few_clients_does_not_decide_for_how_long_fetches_gather() -> None:
    rounds = Rounds(Tuning(gather_seconds=20.0), Metrics())
    rounds.followers = 100
    rounds._decide_on_gathering(1000.0, 90, 90, 180, 90 * 40.0)
    rounds._decide_on_gathering(1010.0, 5, 5, 5, 5 * 10.0)
    assert rounds.gathering == OWN * 20.0
    rounds._decide_on_gathering(1000.0 + RARE * OWN * 20.0 + 1, 5, 5, 5, 5 * 10.0)
    assert rounds.gathering == 20.0, "the others have had none for a while"


async def test_an_event_that_a_fetch_has_waited_with_does_not_wait_again() -> None:
    live = Live(1, gather_seconds=20.0, few_followers=0)
    await asyncio.sleep(0)
    now = time.monotonic()
    live.rounds.earliest, live.fanout.written_at = now - 25 + live.rounds._gather_seconds, now - 25
    for patience, due in ((0.0, now + ALONE * 20.0), (HELD * 20.0, now)):
        live.rounds.patience = patience
        live.rounds.fetched(now - HELD * 20.0, 1)
        live.fanout.events = 0
        live.fanout.wake(1, now)
        assert due - 1 < live.rounds.due(live.fanout) < due + 10
    await live.end()


async def test_who_does_not_take_a_chunk_leaves_at_the_position_that_it_has_had() -> None:
    live = Live(2)
    await asyncio.sleep(0)
    live.add()
    await asyncio.sleep(0)
    live.sockets[0].takes = False
    live.add()
    live.add()
    await asyncio.wait_for(live.tasks[0], 5)
    follower = live.followers[0]
    assert (follower.number, follower.position[TopicPartition("a", 0)].offset) == (1, 1)
    await eventually(lambda: live.sockets[1].text == b"1 2 3 ")
    assert live.sockets[0].text == b"1 "
    assert live.rounds.followers == 1
    await live.end()


async def test_whom_the_feed_has_gone_past_leaves() -> None:
    live = Live(1)
    await asyncio.sleep(0)
    live.blocks.floor = 5
    live.blocks.tip = 9
    live.fanout.wake(1, time.monotonic())
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
    write = fanout._write_all

    def fails(_: object) -> None:
        monkeypatch.setattr(fanout, "_write_all", write)
        raise ZeroDivisionError

    monkeypatch.setattr(fanout, "_write_all", fails)
    live.add()
    place = {"place": "writing to followers"}
    await eventually(lambda: live.metrics.registry.get_sample_value("eventstreams_faults_total", place) == 1)
    live.add()
    await eventually(lambda: all(socket.text == b"1 2 " for socket in live.sockets))
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
