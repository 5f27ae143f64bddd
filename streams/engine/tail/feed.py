"""One subscription as all its live clients share it: the order of the events, and their framed bytes.

A feed is a queue of blocks, each of whole events and framed at most once per format. A client that is live holds
nothing but the number of its last block; how far that block goes is on the block, for all who have had it alike.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from streams.core import formats
from streams.core.filters import NO_FILTER, Filter
from streams.core.positions import Mark, Position, Scope, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.tail.fanout import Chunk, Fanout, Pace, Parts, Step

MARK_BYTES = 60
"""Bytes that a block costs in memory for each partition of its position."""
OBJECT_BYTES = 560
"""Bytes that a block, or a step, costs in memory beside the bytes that are sent."""
STEP_SHARE = 4
"""Steps take up at most one in this many of a feed's bytes, and one of them is always kept."""


_DATA = b"data: "


class Selection(NamedTuple):
    """What a subscription reads: whole topics (as they grow), and single partitions of further ones.

    Of their events, those that match the filter.
    """

    topics: frozenset[str]
    partitions: frozenset[TopicPartition]
    scope: Scope
    filter: Filter = NO_FILTER


class FeedBlock:
    """Some whole events, or a comment, as shared bytes; `after` is the position after it, and `at` when it was made.

    `held_bytes` is what it takes up in memory, which grows when it is first asked for as NDJSON.
    """

    __slots__ = ("_ndjson", "_sse", "after", "at", "count", "held_bytes", "nbytes")

    def __init__(
        self, sse: Parts, count: int, after: dict[TopicPartition, Mark], at: float, ndjson: Parts | None = None
    ) -> None:
        self.at = at
        self._sse = sse
        self._ndjson = ndjson
        self.count = count
        self.after = after
        self.nbytes = sum(map(len, sse))
        self.held_bytes = self.nbytes + OBJECT_BYTES + MARK_BYTES * len(after)

    def sse(self) -> Parts:
        """Return the block as SSE."""
        return self._sse

    def ndjson(self) -> Parts:
        """Return the block as NDJSON, which is made when it is first asked for."""
        if self._ndjson is None:
            self._ndjson = _ndjson(self._sse)
            self.held_bytes += self.nbytes
        return self._ndjson


def _ndjson(sse: Parts) -> Parts:
    """The lines of the events in a block; one that is very large is not copied."""
    if len(sse) > 1:
        return sse[1], b"\n"
    # Neither an id nor JSON has a line break in it: four lines for each event, the third of them its data.
    lines = sse[0].split(b"\n")[2::4]
    return (b"".join([part for line in lines for part in (line[len(_DATA) :], b"\n")]),)


class Feed:
    """The blocks of one selection, oldest to newest, bounded by bytes; the newest is always kept.

    `vector` is the feed's position, which its track moves: after its newest block, and over what it did not want since.
    """

    def __init__(
        self,
        selection: Selection,
        vector: dict[TopicPartition, Mark],
        now: float,
        pace: Pace,
        metrics: Metrics,
    ) -> None:
        self.selection = selection
        self.clients = 0
        self.idle_since = 0.0
        self.vector = vector
        tuning = pace.tuning
        self._max_bytes = self._block_bytes = tuning.block_bytes
        self._blocks: deque[FeedBlock] = deque()
        self._first = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._new = 0
        """Events and comments that nobody has been woken for yet."""
        self._steps: dict[tuple[int, bool], Step] = {}
        """What `next_step` made last, since the newest block came: many ask for the same."""
        self._step_bytes = 0
        self.fanout = Fanout(self.next_step, pace, metrics)
        self._keepalive_seconds = tuning.keepalive_seconds
        self._last_block_at = now

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
        return self._bytes + self._step_bytes

    @property
    def tip(self) -> int:
        """The number of the newest block."""
        return self._first + len(self._blocks) - 1

    def after(self, number: int) -> FeedBlock | None:
        """Return the block that follows block `number`; None at the tip. Raises LookupError if it was evicted."""
        index = number + 1 - self._first
        if index < 0:
            raise LookupError(number)
        return self._blocks[index] if index < len(self._blocks) else None

    def entry(self, position: Position) -> tuple[int, dict[TopicPartition, Mark]]:
        """Return where a client at `position` (of all partitions) joins: the number of a block, and its position.

        It is the first block that is not behind the client, so that it has little to catch up, or else the tip.
        """
        blocks = self._blocks
        index = bisect_left(range(len(blocks)), True, key=lambda n: not ahead(position, blocks[n].after))
        if 0 < index < len(blocks):
            after = blocks[index].after
            # Not before a partition was added or recreated: what lies between would be missed.
            if len(after) == len(self.vector) and all(
                m.incarnation == self.vector[tp].incarnation for tp, m in after.items()
            ):
                return self._first + index, dict(after)
        return self.tip, dict(self.vector)

    def next_step(self, number: int, is_sse: bool) -> Step | None:
        """Return as many blocks after block `number` as leave in one write, as one chunk; None at the tip.

        Raises LookupError as `after` does. NDJSON has no comments, so that its chunk may be empty.
        """
        made = self._steps.get((number, is_sse))
        if made is None:
            block = self.after(number)
            if block is None:
                return None
            first = number
            parts: list[bytes] = []
            size = events = 0
            while block is not None and (not size or size + block.nbytes <= self._block_bytes):
                parts += block.sse() if is_sse else self._ndjson_of(block)
                size += block.nbytes
                events += block.count
                after = block.after
                number += 1
                block = self.after(number)
            made = Step(Chunk(tuple(parts), events), number, after, block is None)
            self._keep_step((first, is_sse), made)
            if self._bytes > self._max_bytes:
                self._evict()
        return made

    def _ndjson_of(self, block: FeedBlock) -> Parts:
        before = block.held_bytes
        parts = block.ndjson()
        self._bytes += block.held_bytes - before
        return parts

    def _keep_step(self, key: tuple[int, bool], step: Step) -> None:
        """Keep a step, and let older ones go: clients at different blocks would have one of each made."""
        self._steps[key] = step
        self._step_bytes += _step_bytes(step)
        while self._step_bytes > self._max_bytes // STEP_SHARE and len(self._steps) > 1:
            self._step_bytes -= _step_bytes(self._steps.pop(next(iter(self._steps))))

    def _forget_steps(self) -> None:
        self._steps.clear()
        self._step_bytes = 0

    async def changed(self) -> None:
        """Wait until the feed has moved."""
        await self._changed.wait()

    # What its track and the hub do to it.

    def append(
        self,
        sse: Parts,
        count: int,
        after: dict[TopicPartition, Mark],
        now: float,
        ndjson: Parts | None = None,
    ) -> None:
        """Add a block of `count` events, or a comment; `now` in seconds. Call `wake` afterwards."""
        block = FeedBlock(sse, count, after, now, ndjson)
        self._blocks.append(block)
        self._forget_steps()
        self._bytes += block.held_bytes
        self._new += count or 1
        self._last_block_at = now
        self._evict()

    def miss(self) -> None:
        """Do without events: all followers have to read them from elsewhere. Call `wake` afterwards."""
        self.forget()
        self._first += 1  # also who had the newest block is behind now
        self._new += 1

    def wake(self) -> None:
        """Tell all followers what has been added: once for many partitions, so that it leaves in one write."""
        self._changed.set()
        self._changed.clear()
        if self._new:
            self.fanout.wake(self._new)
            self._new = 0

    def evict_before(self, oldest: float) -> None:
        """Evict blocks that were made earlier, but for the newest, and what was made of it for sockets."""
        blocks = self._blocks
        while len(blocks) > 1 and blocks[0].at < oldest:
            self._bytes -= blocks.popleft().held_bytes
            self._first += 1
        if self._last_block_at < oldest:
            self._forget_steps()

    def keep_alive(self, now: float) -> None:
        """Send a comment to all followers if nothing was sent for the keep-alive time."""
        if self.clients and 0 < self._keepalive_seconds <= now - self._last_block_at:
            self.append((formats.SSE_KEEPALIVE,), 0, dict(self.vector), now, (formats.NDJSON_KEEPALIVE,))
            self.wake()

    def forget(self) -> None:
        """Evict all blocks: clients that have not passed them catch up."""
        self._first += len(self._blocks)
        self._blocks.clear()
        self._bytes = 0
        self._forget_steps()

    def _evict(self) -> None:
        while self._bytes > self._max_bytes and len(self._blocks) > 1:
            self._bytes -= self._blocks.popleft().held_bytes
            self._first += 1


def _step_bytes(step: Step) -> int:
    """What it may take up: once it is framed for a socket, its bytes are there a second time."""
    return step.chunk.nbytes + OBJECT_BYTES


def behind(position: Position, target: Position) -> bool:
    """Return whether `position` is anywhere before `target`."""
    return any(position[tp][:2] < mark[:2] for tp, mark in target.items())


def ahead(position: Position, target: Position) -> bool:
    """Return whether `position` is anywhere beyond `target`."""
    return any(position[tp][:2] > mark[:2] for tp, mark in target.items())
