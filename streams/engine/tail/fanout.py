"""Live: one loop, and not a task for each client, writes new events to all followers of all feeds.

A client that is at its feed's newest block and whose socket takes what it is given is a follower: a number and a sink.
As soon as a sink does not take a chunk, its client goes back to the pull loop, which waits for the socket and catches
up (invariant 3). Waking a task for each client and event would cost as much as the system call that writes to it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Iterator

from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.tail.cohort import Cohort, Follower, NextStep, count
from streams.engine.tuning import Tuning

ALONE = 1.5
"""Delay of a lone event, as a multiple of `gather_seconds`."""
HELD = 1 + ALONE
"""For how long a fetch may hold events back, as a multiple of `gather_seconds`: until the next round, then as above."""
YOUNG = 0.5
"""A lone event that has waited for less than this multiple of `gather_seconds` is left to the next round."""
OWN = 2.0
"""For how long a fetch gathers, as a multiple of `gather_seconds`, where most clients share their feed with nobody, and
get several events in this time: framing a block for one client costs as much as writing it."""
SEVERAL = 1.5
"""How many events of a feed count as several, on average."""
RARE = 3.0
"""An event that comes later than this multiple of `gather_seconds` after its feed's last round takes the next one."""

_WRITING = "writing to followers"


class Fanout:
    """The followers of one feed, and what waits for them."""

    __slots__ = ("_next_step", "_rounds", "cohorts", "events", "followers", "is_rare", "since", "singles", "written_at")

    def __init__(self, next_step: NextStep, rounds: Rounds) -> None:
        self._next_step = next_step
        self._rounds = rounds
        self.followers = 0
        self.cohorts: list[Cohort] = []
        """What most of many followers are members of; the others are `singles`."""
        self.singles: dict[Follower, None] = {}
        self.events = 0
        """New events, or comments, that no round has taken up yet, and since when there are any (time.monotonic)."""
        self.since = 0.0
        self.is_rare = False
        """Whether the last round was a while ago (RARE) when they came: it is no use to wait for others."""
        self.written_at = -math.inf
        """When the last round began that took something of this feed."""

    async def follow(self, follower: Follower) -> None:
        """Write to the follower, until its sink does not take a chunk or the feed has evicted what it needs."""
        follower.next_step = self._next_step
        self.singles[follower] = None
        self.followers += 1
        self._rounds.followers += 1
        try:
            await follower.left
        finally:
            if follower.cohort is not None:
                follower.cohort.part(follower)
            self.cohorts = [each for each in self.cohorts if each.members]
            follower.next_step = _nothing  # a round that is under way may still have it
            del self.singles[follower]
            self.followers -= 1
            self._rounds.followers -= 1

    def take_up(self, now: float) -> Iterable[Cohort | Follower]:
        """Return whom the round that begins `now` writes to, for what is new."""
        self.events = 0
        self.written_at = now
        if self.followers > 1:
            self._join_halves()
            for follower in list(self.singles):
                self._place(follower)
        return [*self.cohorts, *self.singles]

    def _join_halves(self) -> None:
        """Make one of two cohorts that many have left."""
        halves: list[Cohort] = []
        for cohort in self.cohorts:
            if 2 * len(cohort.members) <= self._rounds.slice:
                other = next((each for each in halves if each.fits(cohort, cohort.share)), None)
                if other is None:
                    halves.append(cohort)
                else:
                    halves.remove(other)
                    for follower in cohort.part_all():
                        other.add(follower)
        self.cohorts = [each for each in self.cohorts if each.members]

    def _place(self, follower: Follower) -> None:
        """Make a follower the member of a cohort, if it can be one, and is not ahead of all."""
        share = None if follower.left.done() else follower.sink.share()
        if share is None or (self.cohorts and all(each.number != follower.number for each in self.cohorts)):
            return
        for cohort in reversed(self.cohorts):
            has_room = len(cohort.members) < self._rounds.slice
            if has_room and cohort.fits(follower, share):
                break
        else:
            cohort = Cohort(share, follower, self.singles)
            self.cohorts.append(cohort)
        cohort.add(follower)

    def wake(self, events: int, now: float) -> None:
        """Write `events` new events and comments to all followers, in a round that is due `now` or later (s)."""
        if not self.followers:
            return
        rounds = self._rounds
        if not self.events:
            self.since = min(now, rounds.held_since)
            self.is_rare = now > self.written_at + rounds.rare_seconds
            rounds.waiting[self] = None
        self.events += events
        if rounds.booked > now and rounds.booked > rounds.earliest:  # else it could not be earlier
            rounds.book_for(self, now)


class Rounds:
    """Rounds of writing, which all feeds of a process share: new events go to all followers, one after the other.

    Where there are many followers, the system calls are the cost. Rounds are then `gather_seconds` apart, and an event
    that is alone in its feed waits somewhat longer for the next one; but not where events are rarer than that anyway.
    One round for all feeds wakes the event loop once, and the readers' side too; each call after the first finds its
    way warm, and costs a third of what it costs alone.
    """

    def __init__(self, tuning: Tuning, metrics: Metrics) -> None:
        self.followers = 0
        self._few = tuning.few_followers
        self._gather_seconds = tuning.gather_seconds
        self.slice = tuning.slice_followers
        self._faults = Faults(metrics, tuning)
        self.rare_seconds = RARE * tuning.gather_seconds
        self.waiting: dict[Fanout, None] = {}
        """Those of which something is to be written."""
        self._round: Iterator[Cohort | Follower] | None = None
        self.earliest = -math.inf
        """When the next round may begin, if there are many followers."""
        self.booked = math.inf
        """For when a round is booked, if one is."""
        self._handle: asyncio.Handle | None = None
        self.patience = 0.0
        """Seconds for which the next fetch may hold events back, to gather some."""
        self.gathering = tuning.gather_seconds
        """For how many seconds it is to gather where many come."""
        self._gathering_until = -math.inf
        self._came_at = -math.inf
        """When a fetch last brought events (time.monotonic)."""
        self.held_since = math.inf
        """Since when the events of the last fetch count as waiting, if it was patient: not before a round was due."""

    def fetched(self, asked_at: float, events: int) -> None:
        """Decide on the next fetch: it is patient where events come faster than a lone one would wait for another."""
        now, alone = time.monotonic(), ALONE * self._gather_seconds
        self.held_since = asked_at + self._gather_seconds if self.patience else math.inf
        is_busy = events > 1 or (events == 1 and now - self._came_at <= alone)
        self.patience = HELD * self._gather_seconds if is_busy and self.followers > self._few else 0.0
        if events:
            self._came_at = now

    def book_for(self, fanout: Fanout, now: float) -> None:
        """Begin a round for what waits of a feed: `now`, or when it is due."""
        if self._round is None:
            self._book(self.due(fanout), now)

    def due(self, fanout: Fanout) -> float:
        """Return when a round may begin for what waits of a feed."""
        if self.followers <= self._few:
            return fanout.since
        if fanout.events > 1 or fanout.is_rare:
            return max(self.earliest, fanout.since)
        return max(self.earliest, fanout.since + ALONE * self._gather_seconds)

    def _book(self, due: float, now: float) -> None:
        """Begin a round then, or once what runs now is done: others may have something new by then."""
        if due >= self.booked:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.booked = due
        loop = asyncio.get_running_loop()
        self._handle = loop.call_soon(self._begin) if due <= now else loop.call_later(due - now, self._begin)

    def _begin(self) -> None:
        now = max(time.monotonic(), self.booked)  # a timer may be early by its own resolution
        self.booked, self._handle = math.inf, None
        youngest = now if self.followers <= self._few else now - YOUNG * self._gather_seconds
        ready = [f for f in self.waiting if f.events > 1 or f.is_rare or f.since <= youngest]
        units: list[Cohort | Follower] = []
        clients = events = 0
        seconds = 0.0
        for fanout in ready:
            del self.waiting[fanout]
            clients += fanout.followers
            events += fanout.events
            seconds += now - fanout.written_at
            try:
                units += fanout.take_up(now)
            except Exception as fault:  # without `caught`, which is three calls for each feed
                self._faults.count(_WRITING, fault)
        self._decide_on_gathering(now, len(ready), clients, events, seconds)
        self.earliest = now + self._gather_seconds
        self._round = iter(units)
        self._write_slice()

    def _decide_on_gathering(self, now: float, feeds: int, clients: int, events: int, seconds: float) -> None:
        """Let fetches gather for longer if a round writes to most clients, and most of these share no block.

        Its feeds have this number of events, for which they have waited these seconds, all added up. A round of few
        clients decides nothing, unless the others have had none for a while.
        """
        is_of_most = 2 * clients >= self.followers
        longer = OWN * self._gather_seconds
        if is_of_most and clients < 2 * feeds and events * longer >= SEVERAL * seconds:
            self.gathering = longer
            self._gathering_until = now + RARE * longer
        elif is_of_most or now > self._gathering_until:
            self.gathering = self._gather_seconds

    def _write_slice(self) -> None:
        assert self._round is not None
        written, is_over = 0, False
        singles: list[Follower] = []
        with self._faults.caught(_WRITING):  # or no round would ever begin again
            for unit in self._round:
                if isinstance(unit, Cohort):
                    written += len(unit.members)
                    singles += unit.write()
                else:
                    written += 1
                    singles.append(unit)
                if written >= self.slice:
                    break
            else:
                is_over = True
            _write_all(singles)
        if not is_over:
            asyncio.get_running_loop().call_soon(self._write_slice)
            return
        self._round = None
        if self.waiting:
            self._book(min(map(self.due, self.waiting)), time.monotonic())


def _nothing(_number: int, _is_sse: bool) -> None:
    """What comes next for who is no follower any more."""


def _write_all(followers: Iterable[Follower]) -> None:
    """Write what is new to some followers, one after the other."""
    for follower in followers:
        _write(follower)


def _write(follower: Follower) -> None:
    """Write everything that is new to one follower."""
    if follower.left.done():
        return
    try:
        while (step := follower.next_step(follower.number, follower.is_sse)) is not None:
            if step.parts:
                if not follower.sink.try_write(step):
                    break
                count(follower.sent, step, 1)
            follower.number = step.number
            follower.position = step.after
            if step.is_newest:
                return
        else:
            return
    except LookupError:
        pass
    except Exception as fault:  # a fault of ours ends this one stream (invariant 7)
        follower.leave(fault)
        return
    follower.leave()
