"""Reading and writing ids: the wire contract's "Choosing where to start" and "Resuming"."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.errors import InvalidLastEventId
from streams.core.positions import (
    END,
    MAX_OFFSET,
    OLDEST,
    Cursor,
    Entry,
    Gap,
    IdWriter,
    Mark,
    Scope,
    TopicPartition,
    gaps_json,
    parse_last_event_id,
)

CLUSTER = "5L6g3nShT-eMCtK--X86sw"


def entries(text: str) -> tuple[Entry, ...]:
    parsed = parse_last_event_id(text)
    assert parsed is not None
    return parsed.entries


@pytest.mark.parametrize("text", ["", " ", "\t \r\n"])
def test_an_empty_id_counts_as_none(text: str) -> None:
    assert parse_last_event_id(text) is None


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ('[{"topic":"a","partition":0,"timestamp":1}]', Entry("a", 0, timestamp=1)),
        ('[{"topic":"a","partition":0,"offset":1}]', Entry("a", 0, offset=1)),
        ('[{"topic":"a","partition":0,"offset":-1}]', Entry("a", 0, offset=END)),
        ('[{"topic":"a","partition":0,"offset":-2}]', Entry("a", 0, offset=OLDEST)),
        ('[{"topic":"a","partition":0,"offset":0,"timestamp":0}]', Entry("a", 0, offset=0, timestamp=0)),
        (f'[{{"topic":"a","partition":0,"offset":{MAX_OFFSET}}}]', Entry("a", 0, offset=MAX_OFFSET)),
        (f'[{{"topic":"a","partition":0,"timestamp":{MAX_OFFSET}}}]', Entry("a", 0, timestamp=MAX_OFFSET)),
        ('[{"topic":"a","partition":2147483647,"offset":1}]', Entry("a", 2**31 - 1, offset=1)),
        (' [ {"partition" : 3, "topic":"A.b_c-9","timestamp":5,"other":[{}]} ] ', Entry("A.b_c-9", 3, timestamp=5)),
        (
            '[{"topic":"a","partition":0,"timestamp":5,"cursor":"5L6g3nSh:17"}]',
            Entry("a", 0, timestamp=5, cursor=Cursor("5L6g3nSh", 17)),
        ),
        ('[{"topic":"a","partition":0,"timestamp":5,"cursor":":0"}]', Entry("a", 0, timestamp=5, cursor=Cursor("", 0))),
        ('[{"topic":"a","partition":0,"offset":5,"cursor":"other cursor"}]', Entry("a", 0, offset=5)),
        ('["a"]', Entry("a", None)),
        ('"a"', Entry("a", None)),
    ],
)
def test_an_entry_is_a_topic_with_partition_and_place_or_a_bare_name(text: str, entry: Entry) -> None:
    assert entries(text) == (entry,)


def test_entries_of_every_kind_stand_together_in_their_order() -> None:
    text = '["b",{"topic":"a","partition":1,"offset":-1},{"topic":"a","partition":0,"timestamp":3}]'
    assert entries(text) == (Entry("b", None), Entry("a", 1, offset=END), Entry("a", 0, timestamp=3))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("abc", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5_000, "not JSON"),
        ("null", "not a JSON array"),
        ("17", "not a JSON array"),
        ("{}", "not a JSON array"),
        ("[]", "lists no topic"),
        ("[1]", "entry 0: it is neither"),
        ("[null]", "entry 0: it is neither"),
        ("[[]]", "entry 0: it is neither"),
        ("[{}]", "entry 0: it is neither"),
        ('[{"topic":7,"partition":0,"offset":1}]', "entry 0: it is neither"),
        ('[{"topic":"a","partition":0,"offset":1},{"topic":"","partition":0,"offset":1}]', 'entry 1: "" cannot be'),
        ('["a b"]', '"a b" cannot be the name of a Kafka topic'),
        ('["ä"]', '"\\u00e4" cannot be'),
        ('["\\ud800"]', '"\\ud800" cannot be'),
        ('["%s"]' % ("x" * 250), "cannot be the name of a Kafka topic"),
        ('[{"topic":"a","offset":1}]', "it has no partition"),
        ('[{"topic":"a","partition":null,"offset":1}]', "partition is null"),
        ('[{"topic":"a","partition":-1,"offset":1}]', "partition is -1"),
        ('[{"topic":"a","partition":2147483648,"offset":1}]', "partition is 2147483648"),
        ('[{"topic":"a","partition":true,"offset":1}]', "partition is true"),
        ('[{"topic":"a","partition":"0","offset":1}]', 'partition is "0"'),
        ('[{"topic":"a","partition":0}]', "neither offset nor timestamp"),
        ('[{"topic":"a","partition":0,"cursor":"x:1"}]', "neither offset nor timestamp"),
        ('[{"topic":"a","partition":0,"offset":-3}]', "offset is -3"),
        ('[{"topic":"a","partition":0,"offset":1.0}]', "offset is 1.0"),
        ('[{"topic":"a","partition":0,"offset":1e3}]', "offset is 1000.0"),
        ('[{"topic":"a","partition":0,"offset":"1"}]', 'offset is "1"'),
        ('[{"topic":"a","partition":0,"offset":null,"timestamp":1}]', "offset is null"),
        ('[{"topic":"a","partition":0,"offset":true}]', "offset is true"),
        ('[{"topic":"a","partition":0,"offset":NaN}]', "offset is NaN"),
        ('[{"topic":"a","partition":0,"offset":9223372036854775808}]', "offset is 9223372036854775808"),
        ('[{"topic":"a","partition":0,"timestamp":-1}]', "timestamp is -1"),
        ('[{"topic":"a","partition":0,"timestamp":1.5}]', "timestamp is 1.5"),
        ('[{"topic":"a","partition":0,"timestamp":9223372036854775808}]', "timestamp is 9223372036854775808"),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":17}]', "cursor is 17"),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":"17"}]', 'cursor is "17"'),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":"abcdefghi:17"}]', "cursor is"),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":"a:-1"}]', "cursor is"),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":"a:9223372036854775808"}]', "cursor is"),
        ('[{"topic":"a","partition":0,"timestamp":1,"cursor":"a:٣"}]', "cursor is"),
        (
            '[{"topic":"a","partition":0,"offset":1},{"topic":"a","partition":0,"timestamp":1}]',
            "entry 1: a partition 0 is listed twice",
        ),
        ('["a","a"]', "entry 1: a is listed twice"),
        ('["a",{"topic":"a","partition":0,"offset":1}]', "entry 1: a partition 0 is listed twice"),
    ],
)
def test_a_malformed_id_is_refused_with_the_entry_and_the_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidLastEventId) as caught:
        parse_last_event_id(text)
    assert says in caught.value.detail
    assert len(caught.value.detail) < 250
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("only", ["[]", "{}", "17", "null", '"else"', "[1,[2]]"])
def test_a_scope_that_we_do_not_write_counts_as_none(only: str) -> None:
    parsed = parse_last_event_id(f'[{{"topic":"a","partition":0,"offset":1,"only":{only}}}]')
    assert parsed is not None
    assert parsed.scope is Scope.STREAMS


@pytest.mark.parametrize("scope", Scope)
def test_what_is_written_is_read_again(scope: Scope) -> None:
    position = {
        TopicPartition("b", 0): Mark(3, 17, 1_596_207_527_001),
        TopicPartition("a", 10): Mark(0, 0, 0),
        TopicPartition("a", 2): Mark(0, MAX_OFFSET, MAX_OFFSET),
    }
    writer = IdWriter(CLUSTER, scope)
    writer.reset(position)
    text = b"[%s]" % writer.ids()
    parsed = parse_last_event_id(text.decode("ascii"))
    assert parsed is not None
    assert parsed.scope is scope
    assert parsed.is_ours
    assert [(e.topic, e.partition) for e in parsed.entries] == [("a", 2), ("a", 10), ("b", 0)]
    for entry in parsed.entries:
        assert entry.partition is not None
        mark = position[TopicPartition(entry.topic, entry.partition)]
        assert entry.offset is None
        assert (entry.timestamp, entry.cursor) == (mark.timestamp, Cursor(CLUSTER[:8], mark.offset))


def test_an_id_has_no_key_named_offset_which_would_outrank_the_timestamp_everywhere() -> None:
    writer = IdWriter(CLUSTER, Scope.PARTITIONS)
    writer.reset({TopicPartition("a", 0): Mark(0, 5, 9)})
    assert json.loads(b"[%s]" % writer.ids()) == [
        {"topic": "a", "partition": 0, "timestamp": 9, "cursor": "5L6g3nSh:5", "only": "partitions"}
    ]


@pytest.mark.parametrize("scope", Scope)
def test_an_id_of_twenty_partitions_with_long_names_stays_below_four_kilobytes(scope: Scope) -> None:
    topic = "x" * 72
    writer = IdWriter(CLUSTER, scope)
    writer.reset({TopicPartition(topic, n): Mark(0, 10**12 - 1, 1_999_999_999_999) for n in range(20)})
    assert len(b"id: [%s]\n" % writer.ids()) < 4096


_marks = st.builds(Mark, st.just(0), st.integers(0, MAX_OFFSET), st.integers(0, MAX_OFFSET))
_partitions = st.builds(TopicPartition, st.sampled_from(["a", "b.c", "D_e-1"]), st.integers(0, 12))


@settings(max_examples=100, deadline=None, database=None)
@given(st.dictionaries(_partitions, _marks, min_size=1), st.lists(_marks, max_size=20), st.randoms())
def test_an_id_after_single_moves_is_the_id_of_the_whole_position(
    position: dict[TopicPartition, Mark], moves: list[Mark], chance: object
) -> None:
    moving = IdWriter(CLUSTER, Scope.STREAMS)
    moving.reset(position)
    for mark in moves:
        tp = chance.choice(sorted(position))  # type: ignore[attr-defined]
        position[tp] = mark
        moving.set(tp, mark.offset, mark.timestamp)
    whole = IdWriter(CLUSTER, Scope.STREAMS)
    whole.reset(position)
    assert moving.ids() == whole.ids()


def test_an_id_by_which_no_cluster_is_known_is_still_read() -> None:
    writer = IdWriter("", Scope.STREAMS)
    writer.reset({TopicPartition("a", 0): Mark(0, 5, 9)})
    assert entries(f"[{writer.ids().decode()}]") == (Entry("a", 0, timestamp=9, cursor=Cursor("", 5)),)


def test_an_id_that_a_client_made_is_not_taken_for_ours() -> None:
    parsed = parse_last_event_id('[{"topic":"a","partition":0,"offset":1,"cursor":"5L6g3nSh:17"},"b"]')
    assert parsed is not None
    assert not parsed.is_ours


def test_gaps_are_written_as_the_contract_has_them() -> None:
    assert gaps_json([Gap("a", 0, 5, 17), Gap("b", 2, 1, None)]) == (
        b'[{"topic":"a","partition":0,"asked":5,"served":17},{"topic":"b","partition":2,"asked":1,"served":null}]'
    )


@pytest.mark.parametrize("count", [0, 1, 50, 500])
def test_of_gaps_that_are_too_many_for_a_header_whole_entries_are_left_out(count: int) -> None:
    gaps = [Gap("topic", number, 1, 2) for number in range(count)]
    written = json.loads(gaps_json(gaps, 2_000))
    assert len(gaps_json(gaps, 2_000)) <= 2_000
    assert written == [gap._asdict() for gap in gaps[: len(written)]]
    assert len(written) == count or len(gaps_json(gaps[: len(written) + 1])) > 2_000
    assert len(json.loads(gaps_json(gaps))) == count
