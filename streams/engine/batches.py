"""The bytes of a fetch become records: only committed ones, from an offset on; what cannot be read is said, not raised.

The rules are those of aiokafka's own consumer (aiokafka/consumer/fetcher.py), which makes each record twice on its way.
Source: Kafka protocol, record batches; KIP-98 (aborted transactions, control batches).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from streams.core.events import Record
from streams.core.positions import TopicPartition


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


def decode(
    tp: TopicPartition,
    data: bytes | None,
    aborted: Iterable[tuple[int, int]] | None,
    offset: int,
    *,
    check_crcs: bool,
    committed: bool,
) -> Decoded:
    """`aborted` are the producers and first offsets of transactions that Kafka says were aborted."""
    topic, partition = tp
    records: list[Record] = []
    next_offset = offset
    transactions = deque(sorted(aborted or (), key=lambda item: item[1]))
    producers: set[int] = set()
    batch = None
    try:
        batches = MemoryRecords(data or b"")
        while batches.has_next():
            batch = None
            batch = batches.next_batch()
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
                # A batch comes whole, wherever in it the offset is.
                records += [
                    Record(topic, partition, record.offset, record.timestamp, record.key, record.value)
                    for record in batch
                    if record.offset >= next_offset
                ]
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
