"""One subscription as all its live clients share it: the order of the events, and their framed bytes.

A feed is a queue of blocks, each of whole events and framed at most once per format. A client that follows holds
nothing but the number of its last block; how far that block goes is on the block, for all who have had it alike.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streams.core import formats
from streams.core.events import Event
from streams.core.positions import Gap, IdWriter, Mark, Position, Scope, TopicPartition

BLOCK_BYTES = 64 * 1024
"""A block holds at least one event, and further ones up to so many bytes."""
WHOLE_BYTES = 256 * 1024
"""An event larger than this is not copied into a frame: its parts go out one after the other."""

FEW_CLIENTS = 50
WAKE_SECONDS = 0.025
"""More than a few clients are woken at once, but then not again for so long: what comes meanwhile shares a write."""

Parts = tuple[bytes, ...]


class Selection(NamedTuple):
    """What a subscription reads: whole topics (as they grow), and single partitions of further ones."""

    topics: frozenset[str]
    partitions: frozenset[TopicPartition]
    scope: Scope


class Block:
    """Some whole events, or a comment, as shared bytes; `after` is the position of who has had it."""

    __slots__ = ("_events", "_sse", "after", "count", "nbytes")

    def __init__(self, sse: Parts, events: Sequence[Event], after: Position, ndjson_comment: bytes = b"") -> None:
        self._sse = sse
        self._events: Parts | Sequence[Event] = events or ((ndjson_comment,) if ndjson_comment else ())
        self.count = len(events)
        self.after = after
        self.nbytes = sum(map(len, sse))

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

    def __init__(self, selection: Selection, cluster: str, keepalive_seconds: float, now: float) -> None:
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
        self._rest: asyncio.TimerHandle | None = None
        self._is_wake_due = False
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

    async def changed(self) -> None:
        """Wait until the feed has moved."""
        await self._changed.wait()

    # What the hub does to it.

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        """A partition of the selection is read from `mark` on."""
        self.missing.discard(tp)
        self.vector[tp] = mark
        self._writer.reset(self.vector)
        self._wake_now()

    def extend(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, now: float) -> None:
        """New events of one partition, after which it stands at `mark`; `now` in seconds."""
        frames: list[bytes] = []
        taken: list[Event] = []
        size = 0
        for event in events:
            offset, timestamp, json = event
            self._writer.set(tp, offset + 1, timestamp + 1)
            large = len(json) > WHOLE_BYTES
            if taken and (size + len(json) > BLOCK_BYTES or large):
                self._append((b"".join(frames),), taken, now)
                frames, taken, size = [], [], 0
            self.vector[tp] = Mark(mark.incarnation, offset + 1, timestamp + 1)
            head = formats.sse_head(self._writer.ids())
            if large:
                self._append((head, json, formats.SSE_TAIL), [event], now)
                continue
            frames += (head, json, formats.SSE_TAIL)
            taken.append(event)
            size += len(json)
        if taken:
            self._append((b"".join(frames),), taken, now)
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        self._wake()

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        """The partition goes on from `mark`, and what is between is missing: said to all who follow."""
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        self._append((formats.sse_gap([gap]),), [], now)
        self._wake()

    def keep_alive(self, now: float) -> None:
        """Where nothing was to send for long, send a comment to all who follow."""
        if self.clients and 0 < self._keepalive_seconds <= now - self._last_block_at:
            self._append((formats.SSE_KEEPALIVE,), [], now, formats.NDJSON_KEEPALIVE)
            self._wake()

    def forget(self) -> None:
        """Let all blocks go: who has not had them catches up."""
        self._first += len(self._blocks)
        self._blocks.clear()
        self._bytes = 0

    def _append(self, sse: Parts, events: Sequence[Event], now: float, ndjson_comment: bytes = b"") -> None:
        block = Block(sse, events, dict(self.vector), ndjson_comment)
        self._blocks.append(block)
        self._bytes += block.nbytes
        self._last_block_at = now
        while self._bytes > self.max_bytes and len(self._blocks) > 1:
            self._bytes -= self._blocks.popleft().nbytes
            self._first += 1

    def _wake(self) -> None:
        if self._rest is None:
            self._wake_now()
            if self.clients > FEW_CLIENTS:
                self._rest = asyncio.get_running_loop().call_later(WAKE_SECONDS, self._rested)
        else:
            self._is_wake_due = True

    def _rested(self) -> None:
        self._rest = None
        if self._is_wake_due:
            self._is_wake_due = False
            self._wake()

    def _wake_now(self) -> None:
        self._changed.set()
        self._changed.clear()


def behind(position: Position, target: Position) -> bool:
    """Whether `position` is anywhere before `target`."""
    return any(position[tp][:2] < mark[:2] for tp, mark in target.items())


def ahead(position: Position, target: Position) -> bool:
    """Whether `position` is anywhere beyond `target`."""
    return any(position[tp][:2] > mark[:2] for tp, mark in target.items())
