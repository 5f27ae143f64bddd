"""The pure parts of the mirror: reading a stream, taking out what the service added, and knowing what was written."""

from __future__ import annotations

import gzip
import itertools
import json

import httpx
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from streams.core.positions import TopicPartition
from streams.core.sse_parser import Comment, Item, Message, Retry, SseParser
from streams.mirror.event import MirroredEvent, read_event
from streams.mirror.positions import Positions, Verdict, Written
from streams.mirror.progress import Counts, Progress
from streams.mirror.upstream import Pauses, Refused, Unavailable, Upstream, UpstreamError
from tests.support.around.fake_service import fake_service, head

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
    verdicts = [positions.judge(event(*each), "") for each in given]
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
    positions.judge(event(3, 1000), "")
    positions.saw(['[{"topic":"s","partition":1,"timestamp":950},{"topic":"u","partition":0,"offset":-1}]'])
    assert json.loads(positions.resume_id) == [
        {"topic": "s", "partition": 1, "timestamp": 900},
        {"topic": "t", "partition": 0, "timestamp": 1000},
        {"topic": "u", "partition": 0, "timestamp": 950},
    ]


def test_ids_with_cursors_are_kept_as_they_came_of_written_and_of_silent_partitions() -> None:
    positions = Positions(["one"])
    at = {"topic": "t", "partition": 0, "timestamp": 1001, "cursor": "abc:4"}
    silent = {"topic": "s", "partition": 1, "timestamp": 900, "cursor": "abc:0"}
    positions.saw([json.dumps([silent, at])])
    positions.judge(event(3, 1000), json.dumps([silent, at]))
    assert json.loads(positions.resume_id) == [silent, at]
    positions.judge(event(2, 999), json.dumps([silent, at | {"timestamp": 1000, "cursor": "abc:3"}]))
    assert json.loads(positions.resume_id) == [silent, at], "what is repeated does not move it back"


def test_what_comes_again_is_known_although_the_newest_record_has_an_earlier_time() -> None:
    positions = Positions(["one"])
    positions.found(TopicPartition("t", 0), Written(7, 997, 1000), "one", "")
    assert positions.judge(event(6, 1000), "") is Verdict.REPEATED
    assert positions.judge(event(6, 1001), "") is Verdict.RESTARTED


def test_where_other_streams_were_mirrored_before_it_begins_by_time_and_drops_what_was_written() -> None:
    positions = Positions(["one", "two"])
    positions.found(TopicPartition("t", 0), Written(7, 1000, 1000), "one", "")
    positions.found(TopicPartition("x", 0), Written(7, 5, 5), "three", "")
    assert (positions.resume_id, positions.resume_since) == ("", "1000")
    assert positions.other_names == {"one": [TopicPartition("t", 0)]}
    assert positions.judge(event(7, 1000), "") is Verdict.REPEATED
    assert positions.judge(event(8, 1000), "") is Verdict.NEXT
    assert positions.resume_since == ""
    assert json.loads(positions.resume_id) == [{"topic": "t", "partition": 0, "timestamp": 1000}]


def test_an_id_that_is_refused_is_replaced_by_a_time_until_an_event_says_which_partitions_there_are() -> None:
    positions = Positions(["one"])
    positions.judge(event(3, 1000, "t"), "")
    positions.judge(event(3, 800, "gone"), "")
    positions.distrust_id()
    assert (positions.resume_id, positions.resume_since) == ("", "800")
    identifier = '[{"topic":"t","partition":0,"timestamp":1001}]'
    positions.saw([identifier])
    assert positions.judge(event(3, 1000, "t"), identifier) is Verdict.REPEATED
    assert positions.resume_since == ""
    assert json.loads(positions.resume_id) == [{"topic": "t", "partition": 0, "timestamp": 1000}]
    positions.saw(['[{"topic":"gone","partition":0,"timestamp":801},{"topic":"t","partition":0,"timestamp":1001}]'])
    assert len(json.loads(positions.resume_id)) == 2, "it is there again"


def test_progress_says_how_much_how_fast_how_far_behind_and_how_long_to_go_and_nothing_twice() -> None:
    counts = Counts()
    progress = Progress(counts, 0)
    assert progress.line(10, 1000) == ""
    counts.written, progress.newest_ms = 500, 400_000
    assert progress.line(10, 1000) == "500 events written; 50.0 a second, 600 s behind"
    counts.written, counts.cuts, progress.newest_ms = 1_500, 1, 510_000
    said = progress.line(20, 1010)
    assert said == "1,500 events written, 1 reconnects; 100.0 a second, 500 s behind, 50 s to go"
    assert progress.line(30, 1020) == ""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Sun, 29 Nov 2026 08:00:30 GMT", "Date": "Sun, 29 Nov 2026 08:00:00 GMT"}, 30),
        ({"Retry-After": "99999999"}, 3600),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_refusal_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    upstream = answering(503, headers, b"<html>\x1b[2J\nSorry</html>")
    with pytest.raises(Unavailable, match=r"answered 503: <html> \[2J Sorry") as raised:
        await read(upstream)
    assert raised.value.seconds == seconds


@pytest.mark.parametrize(
    ("status", "headers", "error", "said"),
    [
        (200, {"Content-Type": "text/html; charset=utf-8"}, Unavailable, "answered with text/html.* login"),
        (200, {"Content-Type": "application/json"}, Unavailable, "answered with application/json"),
        (302, {"Location": "https://login.example/"}, Unavailable, "redirects to https://login.example/"),
        (301, {"Location": "https://other.example/"}, UpstreamError, "has moved to https://other.example/: mirror"),
        (404, {}, Refused, "answered 404"),
        (204, {}, Refused, "answered 204"),
        (429, {}, Unavailable, "answered 429"),
        (500, {}, Unavailable, "answered 500"),
    ],
)
async def test_what_is_no_stream_of_events_is_said(
    status: int, headers: dict[str, str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        await read(answering(status, headers, b"<html>event: message</html>"))
    assert type(raised.value) is error


async def test_an_answer_that_breaks_http_is_not_quoted() -> None:
    """What is read where a chunk should begin may be an event, with a name that another service redacts."""
    chunked = head("200 OK", "text/event-stream", "Transfer-Encoding: chunked")
    async with fake_service(chunked + b'data: {"user":"Secret"}\r\n') as service:
        upstream = Upstream(service.url, ["s"], "me@example.org", "1")
        with pytest.raises(Unavailable, match=r"illegal chunk header$"):
            await read(upstream)


def test_what_is_missing_or_wrong_is_said() -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(CommandError) as raised:
            call_command("mirror", "http://127.0.0.1:1", *arguments)
        return str(raised.value)

    assert "--contact is missing" in said("--stream", "a")
    assert "--contact is missing" in said("--stream", "a", "--contact", "Jürgen")
    assert "--stream is 'a,,b'" in said("--stream", "a,,b", "--contact", "me@example.org")
    assert "since='soon' is neither" in said("--stream", "a", "--contact", "me@example.org", "--since", "soon")


async def test_a_stream_that_is_compressed_unasked_is_read() -> None:
    body = gzip.compress(b":ok\n\nevent: message\nid: [1]\ndata: {}\n\n")
    headers = {"Content-Type": "text/event-stream;charset=UTF-8", "Content-Encoding": "gzip"}
    assert Message("message", "[1]", b"{}") in await read(answering(200, headers, body))


def test_what_a_service_asks_for_with_retry_counts_once() -> None:
    pauses = Pauses(0.1)
    pauses.asked(9000)
    assert pauses.seconds(2.0) == 9
    assert pauses.seconds(None) < 1


def answering(status: int, headers: dict[str, str], body: bytes) -> Upstream:
    """A service that gives this answer."""
    upstream = Upstream("https://stream.example", ["s"], "me@example.org", "1")
    upstream.transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=body))
    return upstream


async def read(upstream: Upstream) -> list[Item]:
    return [item async for items in upstream.read("", "") for item in items]
