"""Events below the rings: read from Kafka once for all who ask, kept as blocks in a cache bounded by bytes.

Clients that read here hold blocks, so only so many may at a time: a seat is lent to a client while it is writable,
and for a turn only where others wait.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from typing import NamedTuple

from streams.core.events import Event
from streams.core.positions import TopicPartition
from streams.core.ring import OVERHEAD
from streams.engine.encoder import Encoder
from streams.engine.metrics import Metrics
from streams.engine.source import Batch, RecordSource

READ_BYTES = 1 << 20
"""Of one fetch, at most; compressed records may become a few times more."""
BLOCK_BYTES = 128 << 10
"""Of one cached block: what a client may hold of one partition."""
YIELD_EVENTS = 200
"""The event loop is given up after encoding so many."""
TURN_SECONDS = 2.0
MIN_TURN_BYTES = 1 << 20
TURN_SHARE = 8
"""A turn ends after an eighth of the cache: who waits for the same range then still finds it there."""


class Log(NamedTuple):
    """A partition in one incarnation: another one has other records at the same offsets."""

    tp: TopicPartition
    incarnation: int


class Block(NamedTuple):
    """The events of one partition from `start` up to, but not including, `next`.

    `timestamp` is that of the last record seen in it plus one, ms; None where it has none.
    """

    start: int
    next: int
    events: list[Event]
    timestamp: int | None
    nbytes: int

    def part(self, offset: int, limit: int) -> Block:
        """What of it is at or after `offset` and below `limit`."""
        if offset == self.start and limit >= self.next:
            return self
        first = bisect_left(self.events, offset, key=_offset)
        last = bisect_left(self.events, limit, key=_offset)
        events = self.events[first:last]
        if limit >= self.next:
            return self._replace(start=offset, events=events)
        return Block(offset, limit, events, events[-1].timestamp + 1 if events else None, self.nbytes)


class Seats:
    """Who may read history now, first come, first served; a turn is `turn_bytes` long where others wait."""

    def __init__(self, count: int, turn_bytes: int, metrics: Metrics) -> None:
        self.turn_bytes = turn_bytes
        self._count = count
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()
        self._metrics = metrics

    @property
    def is_wanted(self) -> bool:
        return bool(self._queue)

    @property
    def taken(self) -> int:
        return self._count - self._free

    async def take(self) -> Seat:
        if self._free and not self._queue:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            self._metrics.reader_queue.inc()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on()
                elif turn in self._queue:  # else it has just been passed over
                    self._queue.remove(turn)
                raise
            finally:
                self._metrics.reader_queue.dec()
        self._metrics.readers.inc()
        return Seat(self)

    def give_back(self) -> None:
        self._metrics.readers.dec()
        self._pass_on()

    def _pass_on(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Seat:
    """Leave it as soon as the client is not writable, and when `is_over`."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._until = time.monotonic() + TURN_SECONDS
        self._left = seats.turn_bytes

    @property
    def is_over(self) -> bool:
        return self._seats.is_wanted and (self._left <= 0 or time.monotonic() > self._until)

    def account(self, nbytes: int) -> None:
        """So much has been sent from this seat."""
        self._left -= nbytes

    def leave(self) -> None:
        self._seats.give_back()


class History:
    """Blocks by partition and offset; what is being read is not read again, it is waited for."""

    def __init__(self, source: RecordSource, encoder: Encoder, metrics: Metrics, seats: int, cache_bytes: int) -> None:
        self.seats = Seats(seats, max(MIN_TURN_BYTES, cache_bytes // TURN_SHARE), metrics)
        self._source = source
        self._encoder = encoder
        self._metrics = metrics
        self._max_bytes = cache_bytes
        # Blocks that there is no room to keep are not fetched ahead.
        self._read_bytes = min(READ_BYTES, max(BLOCK_BYTES, cache_bytes // 8))
        self._bytes = 0
        self._blocks: OrderedDict[tuple[Log, int], Block] = OrderedDict()
        self._starts: dict[Log, list[int]] = {}
        self._reads: dict[tuple[Log, int], asyncio.Task[Block]] = {}

    @property
    def version(self) -> int:
        """Of the redaction list now: who holds events of another one must not use them any more (invariant 5)."""
        return self._encoder.version

    def cached(self, log: Log, offset: int, limit: int) -> Block | None:
        """Events from `offset` on and below `limit`, where memory has them."""
        starts = self._starts.get(log)
        index = bisect_right(starts, offset) - 1 if starts else -1
        if starts is None or index < 0:
            return None
        key = log, starts[index]
        block = self._blocks[key]
        if offset >= block.next:
            return None
        self._blocks.move_to_end(key)
        return block.part(offset, limit)

    async def read(self, log: Log, offset: int, limit: int) -> Block:
        """Events from `offset` on and below `limit`; at least one, or none up to its `next`.

        Raises what RecordSource.read raises.
        """
        block = self.cached(log, offset, limit)
        if block is None:
            read = self._reads.get((log, offset))
            if read is None:
                read = self._reads[log, offset] = asyncio.ensure_future(self._read(log, offset))
                read.add_done_callback(lambda task: task.cancelled() or task.exception())
            block = (await asyncio.shield(read)).part(offset, limit)
        return block

    def forget(self) -> None:
        """Drop all that is held (another redaction list)."""
        for key in list(self._blocks):
            self._drop(key)

    async def _read(self, log: Log, offset: int) -> Block:
        """Read from Kafka, keep the blocks, return the first."""
        try:
            room = self._room()
            batch = await self._source.read(log.tp, offset, min(self._read_bytes, room))
            self._metrics.kafka_reads.inc()
            while True:
                version = self.version
                blocks = await self._blocks_of(batch, offset, room)
                if version == self.version:  # else the list has changed meanwhile
                    break
            for block in blocks:
                self._keep(log, block)
            return blocks[0]
        finally:
            del self._reads[log, offset]

    def _room(self) -> int:
        """How many bytes of events one read may bring, so that those of all reads stay beside each other.

        Compressed records become several times more. Unbounded, the blocks of one partition would push out those of
        the next, and a client that merges them would read each of them again for a single block.
        """
        logs = len(self._starts.keys() | {log for log, _ in self._reads})
        return max(BLOCK_BYTES, self._max_bytes // 2 // (logs * max(1, self.seats.taken)))

    async def _blocks_of(self, batch: Batch, offset: int, room: int) -> list[Block]:
        """The batch as blocks, the first of which begins at `offset`, as far as there is room. At least one."""
        blocks: list[Block] = []
        start, size = offset, 0
        events: list[Event] = []
        records = batch.records
        for first in range(0, len(records), YIELD_EVENTS):
            if first:
                await asyncio.sleep(0)
            for event in self._encoder.events(records[first : first + YIELD_EVENTS]):
                if events and size + len(event.json) > BLOCK_BYTES:
                    end = events[-1]
                    blocks.append(Block(start, end.offset + 1, events, end.timestamp + 1, size))
                    room -= size
                    if room <= 0:
                        return blocks
                    start, size, events = end.offset + 1, 0, []
                events.append(event)
                size += len(event.json) + OVERHEAD
        seen = records[-1].timestamp + 1 if records else None
        blocks.append(Block(start, batch.next_offset, events, seen, size))
        return blocks

    def _keep(self, log: Log, block: Block) -> None:
        key = log, block.start
        # A block beyond an eighth of the cache would push out what others share; an empty one may be the log's end.
        if block.nbytes > self._max_bytes // 8 or block.next == block.start or key in self._blocks:
            return
        starts = self._starts.setdefault(log, [])
        starts.insert(bisect_right(starts, block.start), block.start)
        self._blocks[key] = block
        self._bytes += block.nbytes
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._blocks)))
        self._metrics.cache_bytes.set(self._bytes)

    def _drop(self, key: tuple[Log, int]) -> None:
        log, start = key
        self._bytes -= self._blocks.pop(key).nbytes
        starts = self._starts[log]
        del starts[bisect_left(starts, start)]
        if not starts:
            del self._starts[log]
        self._metrics.cache_bytes.set(self._bytes)


def _offset(event: Event) -> int:
    return event.offset
