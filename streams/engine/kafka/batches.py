"""The bytes of a fetch become records: only committed ones, from an offset on; damage is reported, not raised.

The rules are those of aiokafka's own consumer (aiokafka/consumer/fetcher.py), which makes each record twice on its way.
Source: Kafka protocol, record batches; KIP-98 (aborted transactions, control batches).
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections import deque
from collections.abc import Iterable
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

    `aborted` are the producers and first offsets of transactions that Kafka says were aborted; only if `committed`,
    their records are left out.
    """
    records = _Records(tp, tuning)
    transactions = _Transactions(aborted or ())
    next_offset = offset
    batches = batch = None
    at = 0
    data = data or b""
    try:
        batches = MemoryRecords(data)
        while batches.has_next():
            batch = None
            batch = batches.next_batch()
            nbytes = _HEAD_BYTES + _LENGTH.unpack_from(data, at + _LENGTH_AT)[0]
            at += nbytes
            if check_crcs:
                _check(batch)
            if committed and transactions.is_aborted(batch):
                next_offset = batch.next_offset
                continue
            if not batch.is_control_batch:
                if nbytes > tuning.decompress_bytes and getattr(
                    batch, "compression_type", False
                ):  # old formats lack it
                    await asyncio.get_running_loop().run_in_executor(_unpacking, iter, batch)
                await records.add(batch, next_offset)
            next_offset = max(next_offset, batch.next_offset)
    except Exception as error:  # whatever a decompressor makes of damaged bytes
        return Decoded(records.made, next_offset, Damage(*_extent(batches, batch, next_offset), error))
    return Decoded(records.made, next_offset, None)


def _check(batch: Any) -> None:
    if not batch.validate_crc():
        raise CorruptRecordException("the checksum does not match")


class _Transactions:
    """Which batches of a fetch belong to transactions that were aborted; it is to be asked of all of them, in order."""

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._to_come = deque(sorted(aborted, key=lambda item: item[1]))
        self._producers: set[int] = set()
        """The producers whose transaction under way is one of these."""

    def is_aborted(self, batch: Any) -> bool:
        if batch.producer_id is None:
            return False
        while self._to_come and self._to_come[0][1] <= batch.base_offset:
            self._producers.add(self._to_come.popleft()[0])
        if batch.is_control_batch:
            if ControlRecord.parse(next(batch).key) == ABORT_MARKER:
                self._producers.discard(batch.producer_id)
            return False
        return bool(batch.is_transactional and batch.producer_id in self._producers)


class _Records:
    """The records that were `made` of a fetch's batches."""

    def __init__(self, tp: TopicPartition, tuning: Tuning) -> None:
        self.made: list[Record] = []
        self._topic, self._partition = tp
        self._slice = tuning.turn_records
        self._since_turn = 0

    async def add(self, batch: Any, offset: int) -> None:
        """Add a batch's records from `offset` on; a batch that is damaged adds none.

        A batch comes whole, wherever in it the offset is.
        """
        topic, partition = self._topic, self._partition
        made: list[Record] = []
        rest = itertools.chain(batch)  # a batch itself can be iterated over only once, and in one go
        while some := list(itertools.islice(rest, self._slice)):
            made += [
                Record(topic, partition, r.offset, record_timestamp(r.timestamp), r.key, r.value)
                for r in some
                if r.offset >= offset
            ]
            self._since_turn += len(some)
            if self._since_turn >= self._slice:
                self._since_turn = 0
                await asyncio.sleep(0)
        self.made += made


def _extent(batches: Any, batch: Any, offset: int) -> tuple[int, int]:
    """The first offset of the damaged batch at `offset`, and the one after it; at least one is skipped."""
    if batch is None:
        return offset, offset + 1
    first = min(batch.base_offset, offset)
    try:
        # Its own header may be what is damaged, while the batch after it tells where that begins.
        following = batches.next_batch().base_offset if batches.has_next() else batch.next_offset
    except CorruptRecordException:
        following = batch.next_offset
    return first, following if following > offset else offset + 1
