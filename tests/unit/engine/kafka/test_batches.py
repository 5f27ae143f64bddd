"""The bytes of a fetch become records, and a damaged batch is reported with where it ends."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.kafka.batches import Decoded, decode
from streams.engine.tuning import DEFAULT, Tuning

TP = TopicPartition("t", 3)
HEADER_BYTES = 61
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def batch(
    first: int,
    *values: bytes | None,
    compression: int = 0,
    producer: int = -1,
    transactional: bool = False,
    timestamp: int = 1_000,
) -> bytes:
    """Records from offset `first` on, as Kafka has them."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=transactional,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 26,
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp + number, b"key", value, [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, first)
    return bytes(data)


def control(first: int, producer: int, *, abort: bool) -> bytes:
    """A transaction's marker."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1 << 20)
    builder.append(0, 5, struct.pack(">hh", 0, 0 if abort else 1), b"", [])
    data = bytearray(builder.build())
    attributes = struct.unpack_from(">h", data, 21)[0] | 0x20
    struct.pack_into(">h", data, 21, attributes)
    struct.pack_into(">q", data, 0, first)
    return bytes(data)


def decoded(data: bytes | None, offset: int = 0, aborted: Any = None, **options: bool) -> Decoded:
    return asyncio.run(decode(TP, data, aborted, offset, **{"check_crcs": False, "committed": True, **options}))


def values(got: Decoded) -> list[bytes | None]:
    return [record.value for record in got.records]


@pytest.mark.parametrize("compression", [0, SNAPPY, ZSTD])
def test_records_are_those_from_the_asked_offset_on(compression: int) -> None:
    data = batch(5, b"a", None, b"c", compression=compression) + batch(10, b"d")
    got = decoded(data, 6, check_crcs=True)
    expected = [(6, 1_001, None), (7, 1_002, b"c"), (10, 1_000, b"d")]
    assert got == Decoded([Record("t", 3, at, time, b"key", value) for at, time, value in expected], 11, None)


@pytest.mark.parametrize("data", [None, b"", batch(0, b"a" * 100)[:-1]])
def test_where_no_batch_is_whole_there_is_nothing(data: bytes | None) -> None:
    assert decoded(data, 7) == Decoded([], 7, None)


def test_a_batch_cut_off_at_the_end_is_left_for_the_next_fetch() -> None:
    assert decoded(batch(0, b"a", b"b") + batch(2, b"c")[:-1]) == decoded(batch(0, b"a", b"b"))


def test_old_message_formats_are_read() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1 << 20)
    for number in range(3):
        builder.append(number, 1_000, None, b"%d" % number)
    got = decoded(bytes(builder.build()), 1, check_crcs=True)
    assert (values(got), got.next_offset, got.damage) == ([b"1", b"2"], 3, None)


def test_aborted_transactions_and_markers_are_passed_over_unless_everything_is_wanted() -> None:
    data = (
        batch(0, b"kept", producer=1, transactional=True)
        + batch(1, b"aborted", b"too", producer=2, transactional=True)
        + control(3, 2, abort=True)
        + control(4, 1, abort=False)
        + batch(5, b"after", producer=2, transactional=True)
        + control(6, 2, abort=False)
    )
    got = decoded(data, aborted=[(2, 1)])
    assert (values(got), got.next_offset, got.damage) == ([b"kept", b"after"], 7, None)
    got = decoded(data, aborted=[(2, 1)], committed=False)
    assert values(got) == [b"kept", b"aborted", b"too", b"after"]


def broken(data: bytes, at: int = HEADER_BYTES) -> bytes:
    """A batch of which the bytes from `at` on are others; how long it is still stands in its header."""
    return data[:at] + b"\xff" * (len(data) - at)


@pytest.mark.parametrize("compression", [0, SNAPPY, ZSTD])
def test_what_comes_before_a_damaged_batch_is_given_and_the_batch_is_said(compression: int) -> None:
    damaged = broken(batch(2, b"c" * 500, b"d" * 500, compression=compression))
    got = decoded(batch(0, b"a", b"b") + damaged + batch(9, b"e"))
    assert (values(got), got.next_offset) == ([b"a", b"b"], 2)
    assert got.damage is not None
    assert got.damage[:2] == (2, 9), "the next batch tells best where it ends"
    got = decoded(damaged, 3)
    assert got.damage is not None
    assert (got.records, got.next_offset, got.damage[:2]) == ([], 3, (2, 4))


def test_a_checksum_is_looked_at_where_that_is_wanted() -> None:
    data = batch(0, b"value")
    data = data.replace(b"value", b"valve")
    assert values(decoded(data)) == [b"valve"]
    got = decoded(data, check_crcs=True)
    assert got.damage is not None
    assert (got.records, got.damage[:2]) == ([], (0, 1))


@pytest.mark.parametrize("at", [0, *range(12, HEADER_BYTES)])  # with another length, nobody could find its end
def test_whatever_byte_of_a_header_is_damaged_the_reader_gets_on(at: int) -> None:
    data = bytearray(batch(4, b"a", b"b", b"c", compression=SNAPPY) + batch(7, b"d"))
    data[at] ^= 0xFF
    got = decoded(bytes(data), 4, check_crcs=True)
    assert got.next_offset > 4 or (got.damage is not None and got.damage.next > 4)


# A large fetch.


class Turns:
    """Counts the turns that the event loop takes while something is decoded."""

    def __init__(self) -> None:
        self.count = 0

    async def during(self, data: bytes, tuning: Tuning = DEFAULT) -> Decoded:
        work = asyncio.ensure_future(decode(TP, data, None, 0, check_crcs=True, committed=True, tuning=tuning))
        while not work.done():
            await asyncio.sleep(0)
            self.count += 1
        return work.result()


def lines(count: int) -> list[bytes]:
    """Records that can be compressed, as events can."""
    chance = random.Random(1)
    return [b"%x " % chance.getrandbits(200) * 20 for _ in range(count)]


async def test_the_event_loop_has_turns_while_a_large_fetch_is_decoded() -> None:
    turns = Turns()
    some = lines(5_000)
    got = await turns.during(batch(0, *some) + batch(5_000, b"end"))
    assert values(got) == [*some, b"end"]
    assert turns.count >= len(some) // DEFAULT.turn_records


@pytest.mark.parametrize("compression", [GZIP, SNAPPY, LZ4, ZSTD])
async def test_a_large_batch_is_decompressed_while_the_event_loop_goes_on(compression: int) -> None:
    """With slices of all records, the only turns are those while a thread decompresses."""
    one = batch(0, *lines(20_000), compression=compression)
    assert len(one) > DEFAULT.decompress_bytes
    turns = Turns()
    got = await turns.during(one, Tuning(turn_records=1 << 30))
    assert (len(got.records), got.next_offset, got.damage) == (20_000, 20_000, None)
    assert turns.count > 5


async def test_a_large_batch_that_is_damaged_is_said_as_a_small_one_is() -> None:
    whole = batch(0, *lines(2_000), compression=GZIP)
    damaged = broken(batch(2_000, *lines(2_000), compression=GZIP), HEADER_BYTES + 50)
    got = await decode(TP, whole + damaged + batch(4_000, b"e"), None, 0, check_crcs=False, committed=True)
    assert (len(got.records), got.next_offset) == (2_000, 2_000)
    assert got.damage is not None
    assert got.damage[:2] == (2_000, 4_000)


# Times.


@pytest.mark.parametrize(
    ("written", "read"), [(2**63 - 1, 2**63 - 2), (2**63 - 2, 2**63 - 2), (-1, -1), (-2, -1), (-(2**63), -1), (0, 0)]
)
def test_one_more_than_the_timestamp_of_a_record_is_a_timestamp_too(written: int, read: int) -> None:
    (record,) = decoded(batch(0, b"a", timestamp=written)).records
    assert record.timestamp == read


def test_records_of_the_oldest_format_have_no_timestamp() -> None:
    builder = LegacyRecordBatchBuilder(magic=0, compression_type=0, batch_size=1 << 20)
    builder.append(0, None, None, b"old")
    (record,) = decoded(bytes(builder.build())).records
    assert (record.timestamp, record.value) == (-1, b"old")
