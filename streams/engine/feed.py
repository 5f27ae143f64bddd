"""One subscription as all its live clients share it: the order of the events, and their framed bytes.

A feed is a queue of blocks, each of whole events and framed at most once per format. A client that is live holds
nothing but the number of its last block; how far that block goes is on the block, for all who have had it alike.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streams.core import formats
from streams.core.events import Event
from streams.core.positions import Gap, IdWriter, Mark, Position, Scope, TopicPartition
from streams.engine.fanout import Chunk, Fanout, Pace, Parts, Step
from streams.engine.metrics import Metrics

BLOCK_BYTES = 64 * 1024
"""A block holds at least one event, and further ones up to so many bytes."""
WHOLE_BYTES = 256 * 1024
"""An event larger than this is not copied into a frame: its parts go out one after the other."""
MARK_BYTES = 200
"""What a block costs in memory for each partition of its position."""


class Selection(NamedTuple):
    """What a subscription reads: whole topics (as they grow), and single partitions of further ones."""

    topics: frozenset[str]
    partitions: frozenset[TopicPartition]
    scope: Scope


class Block:
    """Some whole events, or a comment, as shared bytes; `after` is the position of who has had it."""

    __slots__ = ("_events", "_sse", "after", "count", "held_bytes", "nbytes")

    def __init__(
        self, sse: Parts, events: Sequence[Event], after: dict[TopicPartition, Mark], ndjson_comment: bytes = b""
    ) -> None:
        self._sse = sse
        self._events: Parts | Sequence[Event] = events or ((ndjson_comment,) if ndjson_comment else ())
        self.count = len(events)
        self.after = after
        self.nbytes = sum(map(len, sse))
        self.held_bytes = self.nbytes + MARK_BYTES * len(after)

    def sse(self) -> Parts:
        return self._sse

    def ndjson(self) -> Parts:
        if self.count and isinstance(self._events[0], Event):
            self._events = ndjson_parts([event for event in self._events if isinstance(event, Event)])
        return self._events  # type: ignore[return-value]


def ndjson_parts(events: Sequence[Event]) -> Parts:
    """Events as lines; one that is very large is not copied."""
    if len(events) == 1 and len(events[0].json) > WHOLE_BYTES:
        return events[0].json, b"\n"
    return (b"".join([part for event in events for part in (event.json, b"\n")]),)


class Feed:
    """The blocks of one selection, oldest to newest, bounded by bytes; the newest is always kept.

    `vector` is the feed's own position: after its newest block, and over what was no event since.
    """

    def __init__(
        self, selection: Selection, cluster: str, keepalive_seconds: float, now: float, pace: Pace, metrics: Metrics
    ) -> None:
        self.selection = selection
        self.clients = 0
        self.idle_since = 0.0
        self.missing: set[TopicPartition] = set()
        """Partitions of the selection that the hub has not positioned yet."""
        self.vector: dict[TopicPartition, Mark] = {}
        self.max_bytes = BLOCK_BYTES
        self._writer = IdWriter(cluster, selection.scope)
        self._blocks: deque[Block] = deque()
        self._first = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._new = 0
        """Events and comments that nobody has been woken for yet."""
        self._steps: dict[tuple[int, bool], Step] = {}
        """What `next_step` made since the newest block came: many ask for the same."""
        self.fanout = Fanout(self.next_step, pace, metrics)
        self._keepalive_seconds = keepalive_seconds
        self._last_block_at = now

    @property
    def tip(self) -> int:
        """The number of the newest block."""
        return self._first + len(self._blocks) - 1

    def after(self, number: int) -> Block | None:
        """The block that follows block `number`; None at the tip. Raises LookupError where it has gone."""
        index = number + 1 - self._first
        if index < 0:
            raise LookupError(number)
        return self._blocks[index] if index < len(self._blocks) else None

    def entry(self, position: Position) -> tuple[int, dict[TopicPartition, Mark]]:
        """Where a client at `position` (of all the feed's partitions) is to join: a block's number, and its position.

        It is the first block that is not behind the client, so that it has little to catch up, or else the tip.
        """
        blocks = self._blocks
        index = bisect_left(range(len(blocks)), True, key=lambda n: not ahead(position, blocks[n].after))
        if 0 < index < len(blocks):
            after = blocks[index].after
            # Not before a partition was added, or began anew: what lies between would be missed.
            if len(after) == len(self.vector) and all(
                m.incarnation == self.vector[tp].incarnation for tp, m in after.items()
            ):
                return self._first + index, dict(after)
        return self.tip, dict(self.vector)

    def next_step(self, number: int, is_sse: bool) -> Step | None:
        """As many blocks after block `number` as leave in one write, as one chunk; None at the tip.

        Raises LookupError as `after` does. NDJSON has no comments, so that its chunk may be empty.
        """
        made = self._steps.get((number, is_sse))
        if made is None:
            block = self.after(number)
            if block is None:
                return None
            first = number
            parts: Parts = ()
            size = events = 0
            while block is not None and (not size or size + block.nbytes <= BLOCK_BYTES):
                parts += block.sse() if is_sse else block.ndjson()
                size += block.nbytes
                events += block.count
                after = block.after
                number += 1
                block = self.after(number)
            made = self._steps[first, is_sse] = Step(Chunk(parts, events), number, after, block is None)
        return made

    async def changed(self) -> None:
        """Wait until the feed has moved."""
        await self._changed.wait()

    # What the hub does to it.

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        """A partition of the selection is read from `mark` on."""
        self.missing.discard(tp)
        self.vector[tp] = mark
        self._writer.reset(self.vector)
        self.wake()

    def extend(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, now: float) -> None:
        """New events of one partition, after which it stands at `mark`; `now` in seconds. To be followed by `wake`."""
        frames: list[bytes] = []
        size = first = 0
        for index, event in enumerate(events):
            json = event.json
            large = len(json) > WHOLE_BYTES
            if frames and (size + len(json) > BLOCK_BYTES or large):
                self._append_events(tp, (b"".join(frames),), events[first:index], mark, now)
                frames, first, size = [], index, 0
            self._writer.set(tp, event.offset + 1, event.timestamp + 1)
            frames += (formats.sse_head(self._writer.ids()), json, formats.SSE_TAIL)
            size += len(json)
            if large:
                self._append_events(tp, tuple(frames), events[index : index + 1], mark, now)
                frames, first, size = [], index + 1, 0
        if frames:
            self._append_events(tp, (b"".join(frames),), events[first:], mark, now)
        if self.vector[tp] != mark:
            self.vector[tp] = mark
            self._writer.set(tp, mark.offset, mark.timestamp)

    def wake(self) -> None:
        """Let all who follow know what has been added: once for many partitions, so that it leaves in one write."""
        self._changed.set()
        self._changed.clear()
        if self._new:
            self.fanout.wake(self._new)
            self._new = 0

    def _append_events(self, tp: TopicPartition, sse: Parts, events: Sequence[Event], mark: Mark, now: float) -> None:
        last = events[-1]
        if mark.offset != last.offset + 1 or mark.timestamp != last.timestamp + 1:
            mark = Mark(mark.incarnation, last.offset + 1, last.timestamp + 1)
        self.vector[tp] = mark
        self._append(sse, events, now)

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        """The partition goes on from `mark`, and what is between is missing: said to all who follow."""
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        self._append((formats.sse_gap([gap]),), [], now)
        self.wake()

    def keep_alive(self, now: float) -> None:
        """Where nothing was to send for long, send a comment to all who follow."""
        if self.clients and 0 < self._keepalive_seconds <= now - self._last_block_at:
            self._append((formats.SSE_KEEPALIVE,), [], now, formats.NDJSON_KEEPALIVE)
            self.wake()

    def forget(self) -> None:
        """Let all blocks go: who has not had them catches up."""
        self._first += len(self._blocks)
        self._blocks.clear()
        self._steps.clear()
        self._bytes = 0

    def _append(self, sse: Parts, events: Sequence[Event], now: float, ndjson_comment: bytes = b"") -> None:
        block = Block(sse, events, dict(self.vector), ndjson_comment)
        self._blocks.append(block)
        self._steps.clear()
        self._bytes += block.held_bytes
        self._new += block.count or 1
        self._last_block_at = now
        while self._bytes > self.max_bytes and len(self._blocks) > 1:
            self._bytes -= self._blocks.popleft().held_bytes
            self._first += 1


def behind(position: Position, target: Position) -> bool:
    """Whether `position` is anywhere before `target`."""
    return any(position[tp][:2] < mark[:2] for tp, mark in target.items())


def ahead(position: Position, target: Position) -> bool:
    """Whether `position` is anywhere beyond `target`."""
    return any(position[tp][:2] > mark[:2] for tp, mark in target.items())
