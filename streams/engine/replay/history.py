"""Events below the rings: read from Kafka once for all who ask, kept as blocks in a cache bounded by bytes.

What Kafka gives at a time is as large as its producers made it. It is cut into blocks of records at once, and a record
becomes an event only when someone is to be sent it: what is read for nothing costs next to nothing. But one that may be
of a listed page becomes an event at once: nothing that is to be redacted stays in memory.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from streams.core.events import Event, Record
from streams.core.filters import Filter
from streams.core.positions import TopicPartition
from streams.core.ring import OVERHEAD
from streams.engine.encoder import Encoder
from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.replay.pace import Pace
from streams.engine.replay.reader_slots import ReaderSlots
from streams.engine.source import Batch, RecordSource
from streams.engine.tail.chunk import Chunk
from streams.engine.tuning import Tuning

TURN_SHARE = 8
"""A turn ends after an eighth of the cache: a client that waits for the same range then still finds it there."""
MAX_EXPANSION = 8.0
"""Maximum growth that is expected of compressed records."""
READS_AHEAD = 4
"""If a reader may hold this many times `read_bytes` of a partition, its next read begins while it is sent the last."""


class Log(NamedTuple):
    """A partition in one incarnation: another one has other records at the same offsets."""

    tp: TopicPartition
    incarnation: int


class HistoryBlock:
    """The records of one partition from `start` up to, but not including, `next`, which become events one by one.

    `items` rise in offset; a record that turned out to be no event is an Event without JSON. `timestamp` is that of the
    last of them plus one, None if there is none; `latest` is the greatest (ms). `version` is that of the redaction list
    which it was made with. `chunks` are the block as it was last sent, by what of the ids is not its own. `read_end` is
    where the read ended that it is from. `framed_bytes` is about its size as SSE, and `nbytes` what it takes up in
    memory. `is_kept` is whether the cache has it; `readers` is how many hold it.
    """

    __slots__ = (
        "__weakref__",
        "chunks",
        "framed_bytes",
        "is_kept",
        "items",
        "latest",
        "nbytes",
        "next",
        "read_end",
        "readers",
        "ring_bytes",
        "start",
        "timestamp",
        "version",
    )

    def __init__(
        self, start: int, next_: int, items: Sequence[Record | Event], nbytes: int, read_end: int, version: int
    ) -> None:
        self.start = start
        self.next = next_
        self.items = list(items)
        self.nbytes = self.framed_bytes = nbytes
        self.read_end = read_end
        self.timestamp = items[-1].timestamp + 1 if items else None
        self.latest = max([item.timestamp for item in items], default=-1)
        self.version = version
        self.is_kept = False
        self.ring_bytes = 0
        """What a reader holds of a ring, where the block is around events of one."""
        self.readers = 0
        self.chunks: dict[tuple[bytes, ...], Chunk] = {}


class History:
    """Blocks by partition and offset; what is being read is not read again, it is waited for."""

    def __init__(self, source: RecordSource, encoder: Encoder, metrics: Metrics, tuning: Tuning) -> None:
        self.tuning = tuning
        turn_bytes = max(tuning.min_turn_bytes, tuning.history_cache_bytes // TURN_SHARE)
        self.slots = ReaderSlots(turn_bytes, metrics, tuning)
        self._pace = Pace(tuning.history_bytes_per_second, metrics)
        self._source = source
        self._encoder = encoder
        self.metrics = metrics
        self._faults = Faults(metrics, tuning)
        self._max_bytes = tuning.history_cache_bytes
        self._bytes = 0
        self._lent_bytes = self._ring_lent_bytes = 0
        """Of blocks that readers hold and the cache does not."""
        self._blocks: OrderedDict[tuple[Log, int], HistoryBlock] = OrderedDict()
        self._starts: dict[Log, list[int]] = {}
        self._reads: dict[tuple[Log, int], asyncio.Task[list[HistoryBlock]]] = {}
        self._wanted: Counter[tuple[Log, int]] = Counter()
        """How many clients wait for a read."""
        self._not_begun: set[asyncio.Task[list[HistoryBlock]] | None] = set()
        """Reads that wait until they may begin."""
        self._expansion: dict[str, float] = {}
        """By topic, how many times larger than Kafka holds them records were lately."""

    @property
    def version(self) -> int:
        """Of the redaction list now: who holds events of another one must not use them any more (invariant 5)."""
        return self._encoder.version

    def share(self, partitions: int) -> int:
        """Return the bytes that a reader may hold of each of `partitions`: all readers hold the size of the cache."""
        return max(self.tuning.history_block_bytes, self._max_bytes // max(1, self.slots.taken) // max(1, partitions))

    def cached(self, log: Log, offset: int) -> HistoryBlock | None:
        """Return the block that has `offset`, if memory has it."""
        starts = self._starts.get(log)
        index = bisect_right(starts, offset) - 1 if starts else -1
        if starts is None or index < 0:
            return None
        key = log, starts[index]
        block = self._blocks[key]
        if offset >= block.next:
            return None
        self._blocks.move_to_end(key)
        return block

    async def read(self, log: Log, offset: int, share: int | None = None) -> list[HistoryBlock]:
        """Return blocks from `offset` on that follow each other; the last may be empty, and end where it begins.

        About `share` bytes are asked for. Raises what RecordSource.read raises.
        """
        while True:
            blocks = await self._awaited(log, offset, share or self.tuning.read_bytes)
            if blocks[0].version == self.version:  # else the list has changed meanwhile
                return blocks

    async def _awaited(self, log: Log, offset: int, share: int) -> list[HistoryBlock]:
        """Wait for a read. If all leave who wait for it before it may begin, it never does: others come first."""
        key, read = (log, offset), self._reading(log, offset, share)
        self._wanted[key] += 1
        try:
            return await asyncio.shield(read)
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._wanted[key]
                if read in self._not_begun:
                    del self._reads[key]
                    read.cancel()

    def read_ahead(self, log: Log, block: HistoryBlock, limit: int, share: int) -> None:
        """Begin the next read, if there is room: what follows the read that `block` is from, unless beyond `limit`."""
        offset = block.read_end
        if (
            share >= READS_AHEAD * self.tuning.read_bytes
            and block.next <= offset < limit
            and self.cached(log, offset) is None
        ):
            self._reading(log, offset, share)

    def _reading(self, log: Log, offset: int, share: int) -> asyncio.Task[list[HistoryBlock]]:
        read = self._reads.get((log, offset))
        if read is None:
            read = self._reads[log, offset] = asyncio.ensure_future(self._read(log, offset, share))
            read.add_done_callback(lambda task: task.cancelled() or task.exception())
        return read

    def events(self, block: HistoryBlock, first: int, last: int) -> list[Event]:
        """Return what of a block's items is an event, from index `first` up to, but not including, `last`."""
        if block.version != self._encoder.redactor.version:
            self._check(block)
        items = block.items
        if last - first == 1 and type(item := items[first]) is Event:  # partitions take turns
            return [item] if item.json else []
        places = [place for place in range(first, last) if type(items[place]) is Record]
        if places:
            self._make_events(block, places)
        return [item for item in items[first:last] if type(item) is Event and item.json]

    def matching(self, tp: TopicPartition, block: HistoryBlock, first: int, last: int, wanted: Filter) -> list[Event]:
        """Return what of a block's items is an event that a filter wants, from index `first` to before `last`.

        A block keeps as a record only what is not redacted: a filter sees in it what it would see in the event, so that
        a record that does not match does not become one. One on which the filter fails is skipped.
        """
        self._check(block)
        if wanted.looks_at_added:
            self.events(block, first, last)
        is_wanted, items = wanted.wants(), block.items
        places = []
        for place in range(first, last):
            item = items[place]
            json = item.value if type(item) is Record else item.json  # type: ignore[union-attr]
            try:
                if json and is_wanted(json):
                    places.append(place)
            except Exception as fault:
                self._faults.skipped_by_filters(tp, item.offset, fault)
        records = [place for place in places if type(items[place]) is Record]
        if records:
            self._make_events(block, records)
        found = [event for place in places if type(event := items[place]) is Event and event.json]
        self.metrics.filtered(last - first, len(found))
        return found

    def _check(self, block: HistoryBlock) -> None:
        if block.version != self.version:
            raise RuntimeError("A block was used after the redaction list had changed")

    def _make_events(self, block: HistoryBlock, places: Sequence[int]) -> None:
        """Put events in place of the records at some indices of a block, in order."""
        items = block.items
        records = [item for place in places if type(item := items[place]) is Record]
        made = self._encoder.in_place(records, records)
        for place, event in zip(places, made, strict=True):
            items[place] = event
        grown = sum([len(event.json) + OVERHEAD for event in made if type(event) is Event])
        grown -= sum([_record_bytes(record, self.tuning) for record in records])
        if grown > 0:  # line breaks that had to be escaped, a long key
            self._count(block, grown)

    def cache_frame(self, block: HistoryBlock, ids: tuple[bytes, ...], chunk: Chunk) -> None:
        """Keep a block as it is sent, for those who are to be sent the same."""
        before = _chunk_bytes(block)
        for held in block.chunks.values():
            held.grown = None
        # One for each format: ids of several partitions differ from client to client, and do not come again.
        block.chunks = {key: held for key, held in block.chunks.items() if bool(key) != bool(ids)}
        block.chunks[ids] = chunk
        for held in block.chunks.values():
            held.grown = functools.partial(self._grow, weakref.ref(block))
        self._count(block, _chunk_bytes(block) - before)

    def _grow(self, block: weakref.ref[HistoryBlock], grown: int) -> None:
        """Count bytes of a block's chunk; the chunk must not keep its block in memory."""
        if (kept := block()) is not None:
            self._count(kept, grown)

    def lend(self, block: HistoryBlock) -> None:
        """Count a reader that holds the block, until `take_back`.

        Events of a ring count apart: most of them are in the ring too.
        """
        block.readers += 1
        if block.ring_bytes:
            self._lend_ring(block.ring_bytes)
        if block.nbytes and block.readers == 1 and not block.is_kept:
            self._lent_bytes += block.nbytes
            self.metrics.lent_bytes.set(self._lent_bytes)

    def take_back(self, block: HistoryBlock) -> None:
        """Count one reader of the block fewer."""
        block.readers -= 1
        if block.ring_bytes:
            self._lend_ring(-block.ring_bytes)
        if block.nbytes and not block.readers and not block.is_kept:
            self._lent_bytes -= block.nbytes
            self.metrics.lent_bytes.set(self._lent_bytes)

    def _lend_ring(self, nbytes: int) -> None:
        self._ring_lent_bytes += nbytes
        self.metrics.ring_lent_bytes.set(self._ring_lent_bytes)

    def forget(self) -> None:
        """Drop all that is held (another redaction list)."""
        for key in list(self._blocks):
            self._drop(key)
        self.metrics.cache_bytes.set(self._bytes)

    async def _read(self, log: Log, offset: int, share: int) -> list[HistoryBlock]:
        topic, tuning = log.tp.topic, self.tuning
        asked = int(min(tuning.read_bytes, max(tuning.history_block_bytes, share) / self._expansion.get(topic, 1.0)))
        self.metrics.reading_bytes.inc(asked)
        got, itself = 0, asyncio.current_task()
        try:
            self._not_begun.add(itself)
            await self._pace.grant(asked)
            self._not_begun.discard(itself)
            batch = await self._source.read(log.tp, offset, asked)
            self.metrics.kafka_reads.inc()
            blocks = _cut(batch, self._encoder.cacheable(batch.records), offset, self.version, tuning)
            got = sum(block.nbytes for block in blocks)
            self.metrics.history_bytes.inc(got)
            if batch.next_offset < batch.bounds.end:  # else it is not as much as was asked for
                expansion = got / asked
                self._expansion[topic] = min(MAX_EXPANSION, max(1.0, expansion))
            # What will be wanted last goes first, where there is not room for all.
            for block in reversed(blocks):
                self._keep(log, block)
            self.metrics.cache_bytes.set(self._bytes)
            return blocks
        finally:
            self._pace.took_less(asked - got)
            self._not_begun.discard(itself)
            self.metrics.reading_bytes.dec(asked)
            if self._reads.get((log, offset)) is itself:
                del self._reads[log, offset]

    def _count(self, block: HistoryBlock, grown: int) -> None:
        """Count bytes that the block takes up more."""
        block.nbytes += grown
        if block.is_kept:
            self._bytes += grown
            self._evict()
            self.metrics.cache_bytes.set(self._bytes)
        elif block.readers:
            self._lent_bytes += grown
            self.metrics.lent_bytes.set(self._lent_bytes)

    def _keep(self, log: Log, block: HistoryBlock) -> None:
        key = log, block.start
        # A block beyond an eighth of the cache would push out what others share; an empty one may be the log's end.
        if block.nbytes > self._max_bytes // 8 or block.next == block.start or key in self._blocks:
            return
        starts = self._starts.setdefault(log, [])
        starts.insert(bisect_right(starts, block.start), block.start)
        self._blocks[key] = block
        block.is_kept = True
        if block.readers:
            self._lent_bytes -= block.nbytes
        self._bytes += block.nbytes
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._blocks)))

    def _drop(self, key: tuple[Log, int]) -> None:
        log, start = key
        block = self._blocks.pop(key)
        block.is_kept = False
        self._bytes -= block.nbytes
        if block.readers:
            self._lent_bytes += block.nbytes
            self.metrics.lent_bytes.set(self._lent_bytes)
        starts = self._starts[log]
        del starts[bisect_left(starts, start)]
        if not starts:
            del self._starts[log]


def _chunk_bytes(block: HistoryBlock) -> int:
    """What a block takes up as it was last sent, compressed too."""
    return sum(chunk.nbytes + chunk.form_bytes for chunk in block.chunks.values())


def _record_bytes(record: Record, tuning: Tuning) -> int:
    """About what it takes up in memory, and as SSE."""
    return len(record.value or b"") + len(record.key or b"") + tuning.frame_bytes


def _cut(
    batch: Batch, items: Sequence[Record | Event], offset: int, version: int, tuning: Tuning
) -> list[HistoryBlock]:
    """The batch as blocks of `items`, one for each record, the first of which begins at `offset`. At least one."""
    blocks: list[HistoryBlock] = []
    records = batch.records
    start, first, size = offset, 0, 0
    for index, record in enumerate(records):
        nbytes = _record_bytes(record, tuning)
        if size and size + nbytes > tuning.history_block_bytes:
            blocks.append(HistoryBlock(start, record.offset, items[first:index], size, batch.next_offset, version))
            start, first, size = record.offset, index, 0
        size += nbytes
    blocks.append(HistoryBlock(start, batch.next_offset, items[first:], size + OVERHEAD, batch.next_offset, version))
    return blocks
