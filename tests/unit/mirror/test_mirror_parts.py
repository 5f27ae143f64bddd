"""The pure parts of the mirror: reading a stream, taking out what the service added, and knowing what was written."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.positions import TopicPartition
from streams.core.sse_parser import Comment, Message, Retry, SseParser
from streams.mirror.event import MirroredEvent, read_event
from streams.mirror.positions import Positions, Verdict, Written

STREAM = (
    b':ok\n\n:gap [{"topic":"t"}]\nretry: 4000\n\nevent: message\nid: [1]\ndata: {"a":\ndata: 1}\n\n'
    b": \nevent:error\ndata:{}\r\n\r\nevent: no data\n\ndata: last\n\ndata: unfinished\n"
)
ITEMS = [
    Comment(b"ok"),
    Comment(b'gap [{"topic":"t"}]'),
    Retry(4000),
    Message("message", "[1]", b'{"a":\n1}'),
    Comment(b""),
    Message("error", "[1]", b"{}"),
    Message("message", "[1]", b"last"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_says_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    items = [item for first, last in itertools.pairwise(edges) for item in parser.feed(STREAM[first:last])]
    assert items == ITEMS


ID = '[{"topic":"a.t","partition":0,"timestamp":1001},{"topic":"b.t","partition":2,"timestamp":2001}]'


@pytest.mark.parametrize(
    ("sent", "produced", "key"),
    [
        (b'{"x":1.0,"meta":{"id":"1","topic":"b.t","partition":2,"offset":7}}', b'{"x":1.0,"meta":{"id":"1"}}', None),
        # Large numbers, escapes and the order of members stay as they are.
        (
            b'{"n":123456789012345678901,"meta":{"topic":"b.t","partition":2,"offset":7,"key":"k\\u00e9"},"t":"\\u2028"}',
            b'{"n":123456789012345678901,"t":"\\u2028"}',
            "ké".encode(),
        ),
        (
            b'{"meta":{"key":[107,0,255],"dt":"x","topic":"b.t","partition":2,"offset":7}}',
            b'{"meta":{"dt":"x"}}',
            b"k\0\xff",
        ),
    ],
)
def test_what_a_service_has_added_is_taken_out_again(sent: bytes, produced: bytes, key: bytes | None) -> None:
    event = read_event(sent, ID)
    assert (event.value, event.key) == (produced, key)
    assert (event.topic, event.partition, event.offset, event.timestamp) == ("b.t", 2, 7, 2000)


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        (b"", ID),
        (b"[]", ID),
        (b"{}", ID),
        (b'{"meta":[]}', ID),
        (b"[" * 100_000, ID),
        (b'{"meta":{"topic":1,"partition":2,"offset":7}}', ID),
        (b'{"meta":{"topic":"b.t","partition":true,"offset":7}}', ID),
        (b'{"meta":{"topic":"b.t","partition":2,"offset":-1}}', ID),
        (b'{"meta":{"topic":"b.t","partition":2,"offset":7}}', ""),
        (b'{"meta":{"topic":"b.t","partition":2,"offset":7}}', '[["b.t"]]'),
        (b'{"meta":{"topic":"b.t","partition":2,"offset":7}}', '[{"topic":"b.t","partition":2,"offset":-1}]'),
    ],
)
def test_what_does_not_say_which_record_it_was_is_refused(data: bytes, identifier: str) -> None:
    with pytest.raises(ValueError, match=r"^(an event|the id of an event) "):
        read_event(data, identifier)


def event(offset: int, timestamp: int, topic: str = "t") -> MirroredEvent:
    return MirroredEvent(topic, 0, offset, timestamp, None, b"{}", False)


def test_an_event_is_next_repeated_after_a_hole_or_of_a_log_that_began_anew() -> None:
    positions = Positions(["one"])
    given = [(5, 100), (6, 90), (6, 90), (5, 100), (7, 100), (10, 101), (8, 100), (0, 200), (1, 200), (0, 200)]
    verdicts = [positions.judge(event(*each)) for each in given]
    assert verdicts == [
        Verdict.NEXT,
        Verdict.NEXT,
        Verdict.REPEATED,
        Verdict.REPEATED,
        Verdict.NEXT,
        Verdict.AFTER_HOLE,
        Verdict.REPEATED,
        Verdict.RESTARTED,
        Verdict.NEXT,
        Verdict.REPEATED,
    ]


def test_resuming_asks_again_for_the_last_millisecond_and_for_silent_partitions_from_where_they_were_seen() -> None:
    positions = Positions(["one"])
    assert (positions.resume_id, positions.resume_since) == ("", "")
    positions.saw(['[{"topic":"s","partition":1,"timestamp":900},{"topic":"t","partition":0,"timestamp":1001}]'])
    positions.judge(event(3, 1000))
    positions.saw(['[{"topic":"s","partition":1,"timestamp":950},{"topic":"u","partition":0,"offset":-1}]'])
    assert json.loads(positions.resume_id) == [
        {"topic": "s", "partition": 1, "timestamp": 900},
        {"topic": "t", "partition": 0, "timestamp": 1000},
        {"topic": "u", "partition": 0, "timestamp": 950},
    ]


def test_what_comes_again_is_known_although_the_newest_record_has_an_earlier_time() -> None:
    positions = Positions(["one"])
    positions.found(TopicPartition("t", 0), Written(7, 997), "one", 1000)
    assert positions.judge(event(6, 1000)) is Verdict.REPEATED
    assert positions.judge(event(6, 1001)) is Verdict.RESTARTED


def test_where_other_streams_were_mirrored_before_it_begins_by_time_and_drops_what_was_written() -> None:
    positions = Positions(["one", "two"])
    positions.found(TopicPartition("t", 0), Written(7, 1000), "one", 1000)
    positions.found(TopicPartition("x", 0), Written(7, 5), "three", 5)
    assert (positions.resume_id, positions.resume_since) == ("", "1000")
    assert positions.judge(event(7, 1000)) is Verdict.REPEATED
    assert positions.judge(event(8, 1000)) is Verdict.NEXT
    assert positions.resume_since == ""
    assert json.loads(positions.resume_id) == [{"topic": "t", "partition": 0, "timestamp": 1000}]
