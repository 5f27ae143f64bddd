"""Live: one loop, and not a task for each client, writes new events to all followers of a feed.

A client that is at its feed's newest block and whose socket takes what it is given is a follower: a number and a sink.
As soon as a sink does not take a chunk, its client goes back to the pull loop, which waits for the socket and catches
up (invariant 3). Waking a task for each client and event would cost as much as the system call that writes to it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from streams.core.positions import Mark, TopicPartition
from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.tuning import Tuning

FETCH = 0.5
"""Delay between fetches, as a multiple of `gather_seconds`. At 1.0, fetches and writes would wait for each other."""
ALONE = 1.5
"""Delay of a lone event, as a multiple of `gather_seconds`."""
RARE = 3.0
"""An event that comes later than this multiple of `gather_seconds` after the last round does not wait."""

Parts = tuple[bytes, ...]


class Chunk:
    """What a client is sent next: whole events or a comment, as parts that are shared where they can be.

    `framed` is for the edge: the same bytes as they go into a socket, made by the first client that writes them.
    """

    __slots__ = ("events", "framed", "nbytes", "parts")

    def __init__(self, parts: Parts, events: int) -> None:
        self.parts = parts
        self.events = events
        self.nbytes = sum(map(len, parts))
        self.framed: bytes | None = None


class Step(NamedTuple):
    """A chunk of a feed, and where it leads: to block `number`, which may be its newest, and the position `after`."""

    chunk: Chunk
    number: int
    after: dict[TopicPartition, Mark]
    is_newest: bool


class Sink(Protocol):
    """Where a client's bytes go."""

    def try_write(self, chunk: Chunk) -> bool:
        """Write all of the chunk now; False if the client does not take it now, and nothing was written."""


class Follower:
    """One client that is live: it has had its feed up to block `number`, and stands at `position`."""

    __slots__ = ("is_sse", "left", "number", "position", "sink")

    def __init__(self, sink: Sink, number: int, position: dict[TopicPartition, Mark], *, is_sse: bool) -> None:
        self.sink = sink
        self.number = number
        self.position = position
        self.is_sse = is_sse
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Pace:
    """How events wait for each other, so that they share a write; one for all feeds of a process.

    Where there are many followers, the system calls are the cost. Rounds of writing are then `gather_seconds` apart,
    and an event that is alone waits somewhat longer for the next one; but not where events are rarer than that anyway.
    """

    def __init__(self, tuning: Tuning) -> None:
        self.followers = 0
        self.tuning = tuning
        self._gather_seconds = tuning.gather_seconds
        self._booked: dict[int, list[Callable[[float], None]]] = {}
        """What is to begin at the end of which tick (time.monotonic)."""

    def fetch_delay(self, fetched: float) -> float:
        """Return the seconds before the next fetch; `fetched` is when a fetch was last answered (time.monotonic)."""
        if self.followers <= self.tuning.few_followers:
            return 0.0
        return max(0.0, fetched + FETCH * self._gather_seconds - time.monotonic())

    def round_at(self, round_began: float, events: int, since: float) -> float:
        """Return when a feed's next round begins, by the time of its last round and of the first event that waits."""
        gather = self._gather_seconds
        if self.followers <= self.tuning.few_followers or since > round_began + RARE * gather:
            return since
        return round_began + gather if events > 1 else since + ALONE * gather

    def call_at(self, due: float, begin: Callable[[float], None]) -> None:
        """Call `begin` with the time, when it is `due`, or a tick later."""
        tick = math.ceil(due / self.tuning.tick_seconds)
        booked = self._booked.get(tick)
        if booked is None:
            self._booked[tick] = [begin]
            wait = tick * self.tuning.tick_seconds - time.monotonic()
            asyncio.get_running_loop().call_later(wait, self._begin, tick)
        else:
            booked.append(begin)

    def _begin(self, tick: int) -> None:
        booked, slice_ = self._booked.pop(tick), self.tuning.slice_followers
        now = max(time.monotonic(), tick * self.tuning.tick_seconds)  # a timer may be early by its own resolution
        for begin in booked[:slice_]:
            begin(now)
        if len(booked) > slice_:
            self._booked[tick] = booked[slice_:]
            asyncio.get_running_loop().call_soon(self._begin, tick)


class Fanout:
    """The followers of one feed.

    `next_step(number, is_sse)` gives what comes after a block, None at the feed's tip; it raises LookupError if the
    feed no longer has that.
    """

    def __init__(self, next_step: Callable[[int, bool], Step | None], pace: Pace, metrics: Metrics) -> None:
        self._next_step = next_step
        self._pace = pace
        self._slice = pace.tuning.slice_followers
        self._metrics = metrics
        self._faults = Faults(metrics, pace.tuning)
        self._followers: dict[Follower, None] = {}
        self._round: Iterator[Follower] | None = None
        self._round_began = -math.inf
        self._waiting = 0
        """New events, or comments, that no round has taken up yet, and since when there are any."""
        self._waiting_since = 0.0
        self._booked = math.inf
        """For when a round is booked, if one is."""

    async def follow(self, follower: Follower) -> None:
        """Write to the follower, until its sink does not take a chunk or the feed has evicted what it needs."""
        self._followers[follower] = None
        self._pace.followers += 1
        try:
            await follower.left
        finally:
            del self._followers[follower]
            self._pace.followers -= 1

    def wake(self, events: int) -> None:
        """Write `events` new events and comments of the feed to its followers, in a round that is due now or later."""
        now = time.monotonic()
        if not self._waiting:
            self._waiting_since = now
        self._waiting += events
        self._begin_round_when_due(now)

    def _begin_booked(self, now: float) -> None:
        self._booked = math.inf
        self._begin_round_when_due(now)

    def _begin_round_when_due(self, now: float) -> None:
        """A fault here must not reach who calls it, for other feeds too; the next event begins a round."""
        with self._faults.caught("beginning a round of writing"):
            self._begin_round(now)

    def _begin_round(self, now: float) -> None:
        if not self._waiting or self._round is not None:
            return  # such as where the earlier one of two that were booked took all up
        due = self._pace.round_at(self._round_began, self._waiting, self._waiting_since)
        if due > now and self._followers:
            if due < self._booked:
                self._booked = due
                self._pace.call_at(due, self._begin_booked)
            return
        self._waiting = 0
        if self._followers:
            self._round_began = now
            self._round = iter(list(self._followers))
            self._write_slice()

    def _write_slice(self) -> None:
        assert self._round is not None
        some = list(itertools.islice(self._round, self._slice))
        with self._faults.caught("writing to followers"):  # or no round would ever begin again
            sse, ndjson = [0, 0], [0, 0]
            for follower in some:
                self._write(follower, sse if follower.is_sse else ndjson)
            if sse[1]:
                self._metrics.sent(*sse, is_sse=True)
            if ndjson[1]:
                self._metrics.sent(*ndjson, is_sse=False)
        if len(some) == self._slice:
            asyncio.get_running_loop().call_soon(self._write_slice)
        else:
            self._round = None
            if self._waiting:
                self._begin_round_when_due(time.monotonic())

    def _write(self, follower: Follower, sent: list[int]) -> None:
        """Everything that is new to one follower; `sent` counts events and bytes."""
        if follower.left.done():
            return
        try:
            while (step := self._next_step(follower.number, follower.is_sse)) is not None:
                chunk = step.chunk
                if chunk.parts:
                    if not follower.sink.try_write(chunk):
                        break
                    sent[0] += chunk.events
                    sent[1] += chunk.nbytes
                follower.number = step.number
                follower.position = step.after
                if step.is_newest:
                    return
            else:
                return
        except LookupError:
            pass
        except Exception as error:  # a fault of ours ends this one stream (invariant 7)
            if not follower.left.done():
                follower.left.set_exception(error)
            return
        if not follower.left.done():  # its client may have been cancelled by what was written
            follower.left.set_result(None)
