"""One subscription as all its live clients share it: the order of the events, and their framed bytes.

A feed is a queue of blocks, each of whole events and framed at most once per format. A client that is live holds
nothing but the number of its last block; how far that block goes is on the block, for all who have had it alike.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sized
from typing import NamedTuple, Protocol

from streams.core import formats
from streams.core.filters import NO_FILTER, Filter
from streams.core.positions import Mark, Position, Scope, TopicPartition
from streams.engine.tail.chunk import Parts, Step
from streams.engine.tail.fanout import Fanout, Rounds
from streams.engine.tuning import Tuning

MARK_BYTES = 60
"""Bytes that a block costs in memory for each partition of its position."""
OBJECT_BYTES = 560
"""Bytes that a block, or a step, costs in memory beside the bytes that are sent."""
EVENT_BYTES = 120
"""Bytes that an event of a block costs in memory beside the bytes that are sent."""
STEP_SHARE = 4
"""Steps take up at most one in this many of a feed's bytes, and one of them is always kept."""


class Selection(NamedTuple):
    """What a subscription reads: whole topics (as they grow), and single partitions of further ones.

    Of their events, those that match the filter.
    """

    topics: frozenset[str]
    partitions: frozenset[TopicPartition]
    scope: Scope
    filter: Filter = NO_FILTER


class FeedBlock(Step):
    """Some whole events, or a comment, as SSE: the step to it from the block before; `at` is when it was made.

    An event is three parts: what is before its JSON, which is the ring's own, and what is after it.
    """

    __slots__ = ("_ndjson", "at")

    def __init__(
        self,
        parts: Parts,
        events: int,
        nbytes: int,
        after: dict[TopicPartition, Mark],
        at: float,
        ndjson: Parts | None = None,
    ) -> None:
        # Without a call: this is done for each block.
        self.parts, self.events, self.nbytes, self.after, self.at = parts, events, nbytes, after, at
        self.framed = self.forms = self.grown = None
        self.form_bytes = 0
        self._ndjson = ndjson

    def follow(self, number: int) -> None:
        """Become the newest block, after this one."""
        self.before = number
        self.number = number + 1
        self.is_newest = True

    @property
    def held_bytes(self) -> int:
        """What the block takes up in memory, without what is made of it for sockets."""
        return self.nbytes + OBJECT_BYTES + EVENT_BYTES * self.events + MARK_BYTES * len(self.after)

    def ndjson(self) -> Parts:
        """Return the block as NDJSON."""
        if self._ndjson is not None:
            return self._ndjson
        return tuple([part for json in self.parts[1::3] for part in (json, b"\n")])


class Moved(Protocol):
    """The track of a feed, which moves it. See `Track`."""

    vector: dict[TopicPartition, Mark]

    @property
    def inbox(self) -> Sized:
        """What has come since."""
        ...

    def settle(self) -> None:
        """Take in what has come meanwhile."""
        ...

    def take(self) -> FeedBlock | None:
        """Do the same, but return it if it is one block for one feed, which is not given the block."""
        ...


class Feed:
    """The blocks of one selection, oldest to newest, bounded by bytes; the newest is always kept.

    Who looks at a feed sees all that its track was given until then: it becomes blocks when somebody looks.
    """

    __slots__ = (
        "__weakref__",
        "_block_bytes",
        "_blocks",
        "_bytes",
        "_changed",
        "_first",
        "_keepalive_seconds",
        "_last_block_at",
        "_max_bytes",
        "_newest",
        "_step_bytes",
        "_steps",
        "_track",
        "clients",
        "coming",
        "fanout",
        "idle_since",
        "selection",
    )

    def __init__(self, selection: Selection, track: Moved, now: float, rounds: Rounds, tuning: Tuning) -> None:
        self.selection = selection
        self.clients = 0
        self.idle_since = 0.0
        self.coming = 0
        """Events and comments that nobody has been woken for yet."""
        self._track = track
        self._max_bytes = self._block_bytes = tuning.block_bytes
        self._blocks: list[FeedBlock] = []
        self._first = 0
        self._bytes = 0
        self._changed: asyncio.Event | None = None
        """What those wait for who wait for a change, if there are any."""
        self._newest: FeedBlock | None = None
        """The newest block, which is the step that nearly all who are live are given."""
        self._steps: dict[tuple[int, bool], Step] = {}
        """What else `next_step` made, since the newest block came, where several clients ask for the same."""
        self._step_bytes = 0
        self.fanout = Fanout(self.take_step, rounds)
        self._keepalive_seconds = tuning.keepalive_seconds
        self._last_block_at = now

    @property
    def vector(self) -> dict[TopicPartition, Mark]:
        """The feed's position: after its newest block, and over what it did not want since."""
        self._track.settle()
        return self._track.vector

    @property
    def max_bytes(self) -> int:
        """Maximum bytes of its blocks, but for the newest."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, nbytes: int) -> None:
        self._max_bytes = nbytes
        self._evict()

    @property
    def held_bytes(self) -> int:
        """What the feed takes up in memory: its blocks in both formats, and its steps."""
        newest = self._newest
        made = 0 if newest is None else newest.form_bytes + (newest.nbytes if newest.framed else 0)
        return self._bytes + self._step_bytes + made

    @property
    def tip(self) -> int:
        """The number of the newest block."""
        self._track.settle()
        return self._first + len(self._blocks) - 1

    def after(self, number: int) -> FeedBlock | None:
        """Return the block that follows block `number`; None at the tip. Raises LookupError if it was evicted."""
        index = number + 1 - self._first
        if index == len(self._blocks):
            self._track.settle()
            index = number + 1 - self._first
        if index < 0:
            raise LookupError(number)
        return self._blocks[index] if index < len(self._blocks) else None

    def entry(self, position: Position) -> tuple[int, dict[TopicPartition, Mark]]:
        """Return where a client at `position` (of all partitions) joins: the number of a block, and its position.

        It is the first block that is not behind the client, so that it has little to catch up, or else the tip.
        """
        vector, blocks = self.vector, self._blocks
        index = bisect_left(range(len(blocks)), True, key=lambda n: not ahead(position, blocks[n].after))
        if 0 < index < len(blocks):
            after = blocks[index].after
            # Not before a partition was added or recreated: what lies between would be missed.
            if after.keys() == vector.keys() and all(
                m.incarnation == vector[tp].incarnation for tp, m in after.items()
            ):
                return self._first + index, dict(after)
        return self.tip, dict(vector)

    def next_step(self, number: int, is_sse: bool) -> Step | None:
        """Return as many blocks after block `number` as leave in one write, as one chunk; None at the tip.

        Raises LookupError as `after` does. NDJSON has no comments, so that its chunk may be empty.
        """
        if self._track.inbox:
            self._track.settle()  # or what was made before would pass for the newest
        newest = self._newest
        if newest is not None and newest.before == number and is_sse:
            return newest
        made = self._steps.get((number, is_sse)) if self._steps else None
        if made is None:
            made = self._step_after(number, is_sse)
            if made is not None and self.clients > 1:
                self._keep_step((number, is_sse), made)
        return made

    def take_step(self, number: int, is_sse: bool) -> Step | None:
        """Return the same for a follower, to which it is written at once.

        What the only client is given is not kept: nobody else can need it, and memory that is free again at once is
        the next feed's, still in the CPU's cache. If the client does not take it, it catches up from the rings.
        """
        if self.clients != 1:
            return self.next_step(number, is_sse)
        if is_sse and not self._blocks and number == self._first - 1 and self._track.inbox:
            block = self._track.take()
            if block is not None:
                self._first += 1
                self._last_block_at = block.at
                block.follow(number)
                return block
        step = self.next_step(number, is_sse)
        if step is not None and step.is_newest and step.parts and step.number == number + 1:
            self._let_all_go()  # of more blocks, compression asks for one after the other
        return step

    def _step_after(self, number: int, is_sse: bool) -> Step | None:
        index, blocks = number + 1 - self._first, self._blocks
        if index < 0:
            raise LookupError(number)
        if index >= len(blocks):
            return None
        block = blocks[index]
        parts: list[bytes] = []
        size = events = 0
        while index < len(blocks) and (not size or size + blocks[index].nbytes <= self._block_bytes):
            block = blocks[index]
            parts += block.parts if is_sse else block.ndjson()
            size += block.nbytes
            events += block.events
            index += 1
        last = self._first + index - 1
        nbytes = size if is_sse else None
        return Step(tuple(parts), events, nbytes, block.after, number, last, is_newest=index == len(blocks))

    def _keep_step(self, key: tuple[int, bool], step: Step) -> None:
        """Keep a step, and let older ones go: clients at different blocks would have one of each made."""
        self._steps[key] = step
        step.grown = self._grow_steps
        self._grow_steps(_step_bytes(step))

    def _grow_steps(self, nbytes: int) -> None:
        self._step_bytes += nbytes
        while self._step_bytes > self._max_bytes // STEP_SHARE and len(self._steps) > 1:
            oldest = self._steps.pop(next(iter(self._steps)))
            oldest.grown = None
            self._step_bytes -= _step_bytes(oldest)

    def forget_steps(self) -> None:
        """Drop the steps that are kept, with all that was made of them: who wants one has it made again."""
        if self._newest is not None:
            self._newest.let_forms_go()
        if not self._steps:
            return
        for step in self._steps.values():
            step.grown = None
        self._steps.clear()
        self._step_bytes = 0

    async def changed(self) -> None:
        """Wait until the feed has moved."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    # What its track and the hub do to it.

    def append(self, block: FeedBlock) -> None:
        """Add a block. Call `wake` afterwards."""
        blocks = self._blocks
        if self._newest is not None:
            self.forget_steps()
        self._newest = block
        block.follow(self._first + len(blocks) - 1)
        blocks.append(block)
        self._bytes += block.held_bytes
        self._last_block_at = block.at
        if self._bytes > self._max_bytes:
            self._evict()

    def comment(self, sse: bytes, ndjson: Parts, now: float) -> None:
        """Add a comment after all events; `now` in seconds. Call `wake` afterwards."""
        self.append(FeedBlock((sse,), 0, len(sse), dict(self.vector), now, ndjson))
        self.coming += 1

    def miss(self) -> None:
        """Do without events: all followers have to read them from elsewhere. Call `wake` afterwards."""
        self._let_all_go()
        self._first += 1  # also who had the newest block is behind now
        self.coming += 1

    def wake(self, now: float) -> None:
        """Tell all followers what has been added: once for many partitions, so that it leaves in one write.

        `now` is in seconds (time.monotonic).
        """
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        if coming := self.coming:
            self.coming = 0
            self.fanout.wake(coming, now)

    def evict_before(self, oldest: float) -> None:
        """Evict blocks that were made earlier, but for the newest, and what was made of it for sockets."""
        blocks = self._blocks
        while len(blocks) > 1 and blocks[0].at < oldest:
            self._bytes -= blocks.pop(0).held_bytes
            self._first += 1
        if self._last_block_at < oldest:
            self.forget_steps()

    def keep_alive(self, now: float) -> None:
        """Send a comment to all followers if nothing was sent for the keep-alive time."""
        if self.clients and 0 < self._keepalive_seconds <= now - self._last_block_at:
            self._track.settle()
            if self._keepalive_seconds <= now - self._last_block_at:
                self.comment(formats.SSE_KEEPALIVE, (formats.NDJSON_KEEPALIVE,), now)
                self.wake(now)

    def forget(self) -> None:
        """Evict all blocks: clients that have not passed them catch up."""
        self._track.settle()
        self._let_all_go()

    def _let_all_go(self) -> None:
        self._first += len(self._blocks)
        self._blocks.clear()
        self._bytes = 0
        if self._steps:
            self.forget_steps()
        self._newest = None

    def _evict(self) -> None:
        while self._bytes > self._max_bytes and len(self._blocks) > 1:
            self._bytes -= self._blocks.pop(0).held_bytes
            self._first += 1


def _step_bytes(step: Step) -> int:
    """What it may take up: once it is framed for a socket, its bytes are there a second time; and its forms."""
    return step.nbytes + step.form_bytes + OBJECT_BYTES


def behind(position: Position, target: Position) -> bool:
    """Return whether `position` is anywhere before `target`."""
    return any(position[tp][:2] < mark[:2] for tp, mark in target.items())


def ahead(position: Position, target: Position) -> bool:
    """Return whether `position` is anywhere beyond `target`, which may have partitions that have vanished since."""
    return any(tp in position and position[tp][:2] > mark[:2] for tp, mark in target.items())
