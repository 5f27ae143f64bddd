"""Clients that are live, and cohorts: those of them that are as far, and get the same bytes.

A cohort is written to by a loop that looks at nothing but the sockets. What a client has had, and where it stands, is
known of the whole cohort, and is told to the client when it parts. Otherwise each write would touch a dozen places in
memory which have long left the CPU's cache, and that would cost a tenth of the write.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from streams.core.positions import Mark, TopicPartition
from streams.engine.tail.chunk import Chunk, Step

Send = Callable[[bytes], int]
"""A socket's own `send`: how many bytes it took. Raises OSError if it takes none, or was closed."""
NextStep = Callable[[int, bool], Step | None]
"""What comes after a block of a feed, by its number and whether as SSE.

It is None at the feed's tip. Raises LookupError if the feed no longer has that.
"""


class Share(ABC):
    """What the sinks of a cohort get alike."""

    __slots__ = ()

    @abstractmethod
    def fits(self, other: Share) -> bool:
        """Return whether sinks of this and of the other one get the same from now on."""

    @abstractmethod
    def data(self, chunk: Chunk) -> bytes | None:
        """Return the chunk as it goes into each socket; None if they do not get the same, or not directly."""

    @abstractmethod
    def sent(self, chunk: Chunk, members: int) -> None:
        """Note that this number of members have had the `data` of the chunk."""


class Sink(ABC):
    """Where a client's bytes go. A sink that has no share is in no cohort, and needs `try_write` alone."""

    __slots__ = ()

    @abstractmethod
    def try_write(self, chunk: Chunk) -> bool:
        """Write all of the chunk now; False if the client does not take it now, and nothing was written."""

    def share(self) -> Share | None:
        """Return what the sink would get in a cohort; None if it cannot be in one now."""
        return None

    def join(self, share: Share) -> Send:
        """Let a cohort write to the socket, until `part`. The share fits that of this sink."""
        raise NotImplementedError

    def part(self) -> None:
        """Write to the socket alone again, and take over what it had as a member."""
        raise NotImplementedError

    def put_rest(self, data: bytes, taken: int) -> bool:
        """Keep what the socket has not taken of `data`; False if the client has gone."""
        raise NotImplementedError


UNKNOWN: dict[TopicPartition, Mark] = {}
"""The position of a member, which its cohort knows."""


class Follower:
    """One client that is live: it has had its feed up to block `number`, and stands at `position`.

    As long as it is in a cohort, number and position are the cohort's.
    """

    __slots__ = ("cohort", "is_sse", "left", "next_step", "number", "place", "position", "sent", "sink")

    def __init__(
        self, sink: Sink, number: int, position: dict[TopicPartition, Mark], *, is_sse: bool, sent: list[int]
    ) -> None:
        self.sink = sink
        self.number = number
        self.position = position
        self.is_sse = is_sse
        self.sent = sent
        """Counts, shared by many, of events and bytes (`Metrics.sent`)."""
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.next_step: NextStep
        self.cohort: Cohort | None = None
        self.place = 0
        """Its place among the members of its cohort."""

    def leave(self, fault: Exception | None = None) -> None:
        """Give the client back to its pull loop, which continues from `position`, or raises the fault."""
        if self.left.done():
            return  # its client has been cancelled
        if fault is None:
            self.left.set_result(None)
        else:
            self.left.set_exception(fault)


class Cohort:
    """Followers of one feed that have had it up to the same block. It is written to without a turn for others."""

    __slots__ = ("_next_step", "_sends", "_singles", "is_sse", "members", "number", "position", "sent", "share")

    def __init__(self, share: Share, first: Follower, singles: dict[Follower, None]) -> None:
        self.share = share
        self._singles = singles
        """Those of its feed's followers that are in no cohort."""
        self.number = first.number
        self.position = first.position
        self.is_sse = first.is_sse
        self.sent = first.sent
        self.members: list[Follower] = []
        self._sends: list[Send] = []
        self._next_step = first.next_step

    def fits(self, other: Follower | Cohort, share: Share) -> bool:
        """Return whether a follower, or the members of another cohort, could be members, with their share."""
        return (
            other.number == self.number
            and other.is_sse is self.is_sse
            and other.sent is self.sent
            and self.share.fits(share)
        )

    def add(self, follower: Follower) -> None:
        """Add a follower that fits."""
        self._sends.append(follower.sink.join(self.share))
        del self._singles[follower]
        follower.cohort = self
        follower.place = len(self.members)
        follower.position = UNKNOWN
        self.members.append(follower)

    def part(self, follower: Follower) -> None:
        """Take a member out, which is as far as the cohort is now."""
        last, send = self.members.pop(), self._sends.pop()
        if last is not follower:
            self.members[follower.place], self._sends[follower.place] = last, send
            last.place = follower.place
        self._singles[follower] = None
        follower.cohort = None
        follower.number, follower.position = self.number, self.position
        follower.sink.part()

    def part_all(self) -> list[Follower]:
        """Take all members out, and return them."""
        members = self.members[::-1]
        for follower in members:
            self.part(follower)
        return members

    def write(self) -> Sequence[Follower]:
        """Write everything that is new to all members; return those that were, and are to be written to one by one."""
        try:
            while self.members and (step := self._next()) is not None:
                if step.parts:
                    data = self.share.data(step)
                    if data is None:
                        return self.part_all()
                    self._write(step, data)
                else:
                    self.number, self.position = step.number, step.after
                if step.is_newest:
                    break
        except Exception as fault:  # of ours: it ends the streams that it concerns (invariant 7)
            for follower in self.part_all():
                follower.leave(fault)
        return ()

    def _next(self) -> Step | None:
        try:
            return self._next_step(self.number, self.is_sse)
        except LookupError:  # the feed no longer has it: all read it from elsewhere
            for follower in self.part_all():
                follower.leave()
            return None

    def _write(self, step: Step, data: bytes) -> None:
        size = len(data)
        refused: list[Follower] = []
        cut: list[tuple[Follower, int]] = []
        for place, send in enumerate(self._sends):
            try:
                taken = send(data)
            except OSError:  # full or closed: the pull loop finds out
                refused.append(self.members[place])
                continue
            if taken != size:
                cut.append((self.members[place], taken))
        for follower in refused:
            self.part(follower)
            follower.leave()
        self.share.sent(step, len(self.members))
        count(self.sent, step, len(self.members))
        self.number, self.position = step.number, step.after
        for follower, taken in cut:
            self.part(follower)
            try:
                if not follower.sink.put_rest(data, taken):
                    follower.leave()
            except Exception as fault:  # it ends this one stream
                follower.leave(fault)


def count(sent: list[int], chunk: Chunk, times: int) -> None:
    """Count a chunk that was written this number of times."""
    sent[0] += times * chunk.events
    sent[1] += times * chunk.nbytes
