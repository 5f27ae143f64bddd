"""Cohorts: a client that joins, is full or leaves at any moment gets each block of its feed once, in order, whole.

Real responses and compressed bodies, on sockets whose room the test decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstreams_site.server.flow import Flow
from streams.core.events import Event
from streams.core.positions import Mark, Scope, TopicPartition
from streams.engine.compress.compression import Compression
from streams.engine.metrics import Metrics
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Follower
from streams.engine.tail.fanout import Fanout
from streams.engine.tail.feed import Selection
from streams.engine.tuning import Tuning
from tests.support.client.compressed import decoder
from tests.support.client.reading import dechunk
from tests.support.engine.lone_feed import LoneFeed
from tests.support.site.socket import Socket, opened

TP = TopicPartition("eqiad.mediawiki.recentchange", 0)
SELECTION = Selection(frozenset({TP.topic}), frozenset(), Scope.STREAMS)
SLICE = 3
"""Members of a cohort, at most."""
WIDE = 1 << 40
START = b":ok\n\n"
LEFT_OUT = (type, types.ModuleType, types.FunctionType, Flow, Socket, asyncio.Future)
"""What is not looked into for what a feed holds: sockets, and what tests know."""
KINDS = [("", True), ("", True), ("zstd", True), ("gzip", True), ("", False), ("gzip", False)]


class Stage:
    """A feed with its blocks' text, for each form, and the number of events of each."""

    def __init__(self) -> None:
        self.feed = LoneFeed(SELECTION)
        self.feed.place(TP, Mark(0, 0, 0))
        self.feed.fanout._rounds.slice = SLICE
        self.compression = Compression(Metrics(), Tuning(compression_seconds=1e-9))
        self.texts: dict[tuple[int, bool], bytes] = {}
        self.events: dict[int, int] = {}
        self.sent = [0, 0]

    def add(self, count: int, pad: int = 200) -> None:
        first = self.feed.vector[TP].offset
        json = b'{"meta":{"domain":"a.org","dt":"2026-11-29T08:00:00Z"},"n":%d,"pad":"%b"}'
        events = [Event(n, n, json % (n, b"x" * pad)) for n in range(first, first + count)]
        self.feed.extend(TP, events, Mark(0, first + count, first + count), 100.0)
        self._note(count)

    async def round(self, count: int) -> None:
        """Add events, and have them written."""
        self.add(count)
        for _ in range(20):
            await asyncio.sleep(0)

    def comment(self) -> None:
        self.feed.comment(b":\n\n", (), 100.0)
        self._note(0)

    def _note(self, count: int) -> None:
        block = self.feed.after(self.feed.tip - 1)
        assert block is not None
        self.events[self.feed.tip] = count
        self.texts[self.feed.tip, True] = b"".join(block.parts)
        self.texts[self.feed.tip, False] = b"".join(block.ndjson())
        self.feed.wake(100.0)


class Client:
    """A client's pull loop; `passed` are the blocks that it was to get."""

    def __init__(self, stage: Stage, coding: str, *, is_sse: bool) -> None:
        self.socket = Socket()
        self.socket.room = WIDE
        self.flow, self.transport = opened(self.socket)
        self._stage = stage
        self._coding = coding
        self._is_sse = is_sse
        feed = stage.feed
        feed.clients += 1
        self.body = stage.compression.body(coding, feed, self.flow, is_sse=is_sse) if coding else None
        self._number = feed.tip
        self.has_begun = False
        self.passed: list[int] = []
        self.task = asyncio.ensure_future(self._pull())

    async def _pull(self) -> None:
        feed = self._stage.feed
        if self.body is not None:
            await self.flow.write((self.body.begin(START),))
        self.has_begun = True
        while True:
            try:
                while (step := feed.next_step(self._number, self._is_sse)) is not None:
                    await self._put(step)
                    self._go_to(step.number)
            except LookupError:
                self._number = feed.tip  # it would read that from the ring
                continue
            sink = self.flow if self.body is None else self.body
            follower = Follower(sink, self._number, dict(feed.vector), is_sse=self._is_sse, sent=self._stage.sent)
            try:
                await feed.fanout.follow(follower)
            finally:
                self._go_to(follower.number)

    def _go_to(self, number: int) -> None:
        self.passed += range(self._number + 1, number + 1)
        self._number = number

    async def _put(self, chunk: Chunk) -> None:
        if not chunk.parts:
            return
        sink = self.flow if self.body is None else self.body
        if not sink.try_write(chunk):
            parts = chunk.parts if self.body is None else self.body.written(chunk).parts
            await self.flow.write(parts, chunk.events)
        self._stage.sent[0] += chunk.events
        self._stage.sent[1] += chunk.nbytes

    def has_room(self) -> None:
        self.socket.room = WIDE
        if self.transport._tempDataBuffer:
            self.transport.drain()

    async def leave(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self._stage.feed.clients -= 1
        self.has_room()
        if self.has_begun:
            await self._check()
        elif self.body is not None:
            self._stage.compression.give_back(self.body)

    async def _check(self) -> None:
        """End the response, and look at all that was sent."""
        if self.body is not None:
            await self.flow.write((self.body.end(),))
            self._stage.compression.give_back(self.body)
        plain = content = dechunk(self.socket.taken)
        if self._coding:
            reader = decoder(self._coding)
            reader.feed(content)
            assert reader.is_whole
            plain = reader.plain.removeprefix(START)
        assert plain == b"".join([self._stage.texts[number, self._is_sse] for number in self.passed])
        assert (self.flow.events, self.flow.nbytes) == (sum(self._stage.events[n] for n in self.passed), len(content))


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, len(KINDS) - 1)),
        st.tuples(st.sampled_from(["add", "round", "round"]), st.integers(1, 3)),
        st.tuples(st.sampled_from(["full", "tight", "squeeze", "sent", "room", "leave"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["redact", "miss", "comment", "large"]), st.just(0)),
    ),
    max_size=60,
)


@given(MOVES)
def test_each_client_gets_each_block_once_and_whole_whatever_becomes_of_the_others(
    moves: list[tuple[str, int]],
) -> None:
    asyncio.run(play(moves))


async def play(moves: list[tuple[str, int]]) -> None:
    stage = Stage()
    clients: list[Client] = []
    all_clients: list[Client] = []
    for move, number in [*[("join", n % len(KINDS)) for n in range(2 * len(KINDS))], *[("round", 1)] * 4, *moves]:
        some = [clients[number % len(clients)]] if clients else []
        if move == "join":
            coding, is_sse = KINDS[number]
            clients.append(Client(stage, coding, is_sse=is_sse))
            all_clients.append(clients[-1])
        elif move == "add":
            stage.add(number)
        elif move == "round":
            await stage.round(number)
        elif move == "large":  # too large for one write
            stage.add(1, pad=100_000)
        elif move == "comment":
            stage.comment()
        elif move == "redact":
            stage.compression.forget()
            stage.feed.forget()
        elif move == "miss":
            stage.feed.miss()
            stage.feed.wake(100.0)
        for client in some:
            if move == "full":
                client.socket.room = 0
            elif move == "tight":
                client.socket.room = 30
            elif move == "squeeze":  # it takes a part; what waits goes first, although there is room again
                client.socket.room = 30
                await stage.round(1)
                client.socket.room = WIDE
                await stage.round(1)
            elif move == "sent":
                client.has_room()
            elif move == "room":
                client.socket.room = WIDE
            elif move == "leave":
                await client.leave()
                clients.remove(client)
        assert stage.feed.fanout.followers == len(stage.feed.fanout.singles) + sum(
            len(each.members) for each in stage.feed.fanout.cohorts
        )
    for client in clients:
        await client.leave()
    assert stage.feed.fanout.cohorts == []
    assert stage.compression.windows == 0
    assert stage.sent[0] == sum(client.flow.events for client in all_clients)


async def gathered(stage: Stage, *kinds: tuple[str, bool]) -> list[Client]:
    """Return clients that are members of cohorts."""
    clients = [Client(stage, coding, is_sse=is_sse) for coding, is_sse in kinds]
    for _ in range(3):
        await stage.round(1)
    assert not stage.feed.fanout.singles
    return clients


async def test_many_followers_are_members_of_few_cohorts_and_each_write_is_one_call() -> None:
    stage = Stage()
    clients = await gathered(stage, *[("", True)] * (2 * SLICE))
    assert [len(cohort.members) for cohort in stage.feed.fanout.cohorts] == [SLICE, SLICE]
    assert [client.socket.sends for client in clients] == [3] * len(clients)
    clients[0].socket.is_closed = True
    await stage.round(1)
    assert [client.flow.events for client in clients[1:]] == [4] * (len(clients) - 1)
    clients[0].socket.is_closed = False
    for client in clients:
        await client.leave()


async def test_who_comes_after_all_have_left_has_nothing_of_their_chain_or_cohort() -> None:
    stage = Stage()
    first = await gathered(stage, ("gzip", True), ("gzip", True))
    other = Client(stage, "", is_sse=False)
    await asyncio.sleep(0)
    for client in first:
        await client.leave()
    assert stage.compression.windows == 0
    last = Client(stage, "gzip", is_sse=True)
    for _ in range(3):
        await stage.round(1)
    for client in (last, other):
        await client.leave()  # the trailer is right, or it could not be decoded


async def test_a_cohort_that_all_have_left_takes_nothing_of_its_feed() -> None:
    stage = Stage()
    clients = await gathered(stage, ("", True), ("", True))
    [cohort] = stage.feed.fanout.cohorts
    for client in clients:
        await client.leave()
    stage.feed.clients = 1
    stage.add(1)
    assert cohort.write() == ()  # a round had it before they left
    assert stage.feed.after(stage.feed.tip - 1) is not None, "that is for the one that comes next"


async def test_cohorts_that_many_have_left_become_one() -> None:
    stage = Stage()
    clients = await gathered(stage, *[("", True)] * (3 * SLICE))
    left = clients[::SLICE]
    for client in clients:
        if client not in left:
            await client.leave()
    await stage.round(1)
    assert sorted(len(cohort.members) for cohort in stage.feed.fanout.cohorts) == [1, 2]
    for client in left:
        await client.leave()


async def test_a_fault_with_what_a_socket_left_ends_that_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    clients = await gathered(stage, *[("", True)] * SLICE)
    for client in clients[:2]:
        client.socket.room = 30

    put_rest = Flow.put_rest

    def fails(flow: Flow, data: bytes, taken: int) -> bool:
        if flow is clients[0].flow:
            raise ZeroDivisionError
        return put_rest(flow, data, taken)

    monkeypatch.setattr(Flow, "put_rest", fails)
    await stage.round(1)
    with pytest.raises(ZeroDivisionError):
        await clients.pop(0).task
    for client in clients:
        client.has_room()
    await stage.round(1)
    for client in clients:
        await client.leave()
    assert [client.flow.events for client in clients] == [5] * len(clients)
    stage.feed.clients -= 1


async def test_nothing_is_held_of_what_was_sent_after_the_list_was_swapped() -> None:
    stage = Stage()
    clients = await gathered(stage, *[(coding, True) for coding in ("", "zstd", "gzip") for _ in range(2)])
    stage.add(1, pad=5_000)
    await stage.round(1)
    marker = b"x" * 5_000
    assert held(stage.feed.fanout, marker)
    stage.compression.forget()
    stage.feed.forget()
    assert not held(stage.feed.fanout, marker)
    for client in clients:
        await client.leave()


def held(fanout: Fanout, marker: bytes) -> bool:
    """Return whether bytes with the marker can be reached from a feed and its cohorts."""
    seen: set[int] = set()
    waiting: list[object] = [*fanout.cohorts, fanout._next_step.__self__]  # type: ignore[attr-defined]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, LEFT_OUT):
            continue
        seen.add(id(thing))
        if isinstance(thing, bytes) and marker in thing:
            return True
        waiting += gc.get_referents(thing)
    return False
