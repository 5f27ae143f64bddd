"""The bytes of a fetch become records: only committed ones, from an offset on; what cannot be read is said, not raised.

The rules are those of aiokafka's own consumer (aiokafka/consumer/fetcher.py), which makes each record twice on its way.
Source: Kafka protocol, record batches; KIP-98 (aborted transactions, control batches).
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from streams.core.events import Record
from streams.core.positions import TopicPartition, record_timestamp
from streams.engine.tuning import DEFAULT, Tuning

_LENGTH = struct.Struct(">i")
_LENGTH_AT, _HEAD_BYTES = 8, 12
"""Every batch begins with its first offset, and the length of what follows these two."""

_unpacking = ThreadPoolExecutor(2, "decompress")
"""Decompressors let other threads run meanwhile. No other work waits in these threads."""


class Damage(NamedTuple):
    """A batch that cannot be read: its first offset, the offset after it as far as can be told, and what is wrong."""

    first: int
    next: int
    error: Exception


class Decoded(NamedTuple):
    """`records` up to `next_offset`, where the data ends or a damaged batch begins."""

    records: list[Record]
    next_offset: int
    damage: Damage | None


async def decode(
    tp: TopicPartition,
    data: bytes | None,
    aborted: Iterable[tuple[int, int]] | None,
    offset: int,
    *,
    check_crcs: bool,
    committed: bool,
    tuning: Tuning = DEFAULT,
) -> Decoded:
    """Return the records of a fetch's bytes; a large fetch keeps the event loop for about a millisecond at a time.

    `aborted` are the producers and first offsets of transactions that Kafka says were aborted.
    """
    steps = _decoding(tp, data or b"", aborted or (), offset, check_crcs, committed, tuning)
    failed: Exception | None = None
    try:
        while True:
            packed = steps.throw(failed) if failed else next(steps)
            failed = None
            if packed is None:
                await asyncio.sleep(0)
            else:
                try:
                    await asyncio.get_running_loop().run_in_executor(_unpacking, iter, packed)
                except Exception as error:
                    failed = error
    except StopIteration as end:
        decoded: Decoded = end.value
        return decoded


def _decoding(
    tp: TopicPartition,
    data: bytes,
    aborted: Iterable[tuple[int, int]],
    offset: int,
    check_crcs: bool,
    committed: bool,
    tuning: Tuning,
) -> Generator[Any, None, Decoded]:
    """The same in steps: yields a batch that `iter` is to decompress, or None to give the event loop a turn."""
    topic, partition = tp
    records: list[Record] = []
    next_offset = offset
    transactions = deque(sorted(aborted, key=lambda item: item[1]))
    producers: set[int] = set()
    batch = None
    at = turn = 0
    try:
        batches = MemoryRecords(data)
        while batches.has_next():
            batch = None
            batch = batches.next_batch()
            nbytes = _HEAD_BYTES + _LENGTH.unpack_from(data, at + _LENGTH_AT)[0]
            at += nbytes
            if check_crcs and not batch.validate_crc():
                raise CorruptRecordException("the checksum is another")
            if committed and batch.producer_id is not None:
                while transactions and transactions[0][1] <= batch.base_offset:
                    producers.add(transactions.popleft()[0])
                if batch.is_control_batch:
                    if ControlRecord.parse(next(batch).key) == ABORT_MARKER:
                        producers.discard(batch.producer_id)
                elif batch.is_transactional and batch.producer_id in producers:
                    next_offset = batch.next_offset
                    continue
            if not batch.is_control_batch:
                if nbytes > tuning.decompress_bytes and getattr(
                    batch, "compression_type", False
                ):  # the oldest formats lack it
                    yield batch
                # A batch comes whole, wherever in it the offset is; one that is damaged gives nothing.
                made: list[Record] = []
                rest = itertools.chain(batch)  # a batch itself can be iterated over only once, and in one go
                while some := list(itertools.islice(rest, tuning.turn_records)):
                    made += [
                        Record(topic, partition, r.offset, record_timestamp(r.timestamp), r.key, r.value)
                        for r in some
                        if r.offset >= next_offset
                    ]
                    turn += len(some)
                    if turn >= tuning.turn_records:
                        turn = 0
                        yield None
                records += made
            next_offset = max(next_offset, batch.next_offset)
    except Exception as error:  # whatever a decompressor makes of damaged bytes
        return Decoded(records, next_offset, Damage(*_extent(batches, batch, next_offset), error))
    return Decoded(records, next_offset, None)


def _extent(batches: Any, batch: Any, offset: int) -> tuple[int, int]:
    """The first offset of the damaged batch at `offset`, and the one after it; at least one is passed over."""
    if batch is None:
        return offset, offset + 1
    first = min(batch.base_offset, offset)
    try:
        # Its own header may be what is damaged, while the batch after it tells where that begins.
        following = batches.next_batch().base_offset if batches.has_next() else batch.next_offset
    except CorruptRecordException:
        following = batch.next_offset
    return first, following if following > offset else offset + 1
