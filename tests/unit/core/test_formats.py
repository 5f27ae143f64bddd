"""The bytes of the two formats, as the clients of the wire contract depend on them."""

from __future__ import annotations

import json

from streams.core import formats
from streams.core.errors import Draining, InternalError
from streams.core.positions import Gap


def test_an_event_is_three_fields_and_a_blank_line() -> None:
    framed = formats.sse_head(b'{"topic":"t"}') + b'{"a":1}' + formats.SSE_TAIL
    assert framed == b'event: message\nid: [{"topic":"t"}]\ndata: {"a":1}\n\n'


def test_a_stream_begins_with_ok_and_a_blank_line_or_with_one_empty_line() -> None:
    assert formats.SSE_START == b":ok\n\n"
    assert formats.NDJSON_START == b"\n"


def test_a_sign_of_life_is_a_comment_without_a_blank_line_or_an_empty_line() -> None:
    assert formats.SSE_KEEPALIVE == b":\n"
    assert formats.NDJSON_KEEPALIVE == b"\n"


def test_a_gap_is_one_comment_line() -> None:
    gap = formats.sse_gap([Gap("a", 0, 5, None)])
    assert gap == b':gap [{"topic":"a","partition":0,"asked":5,"served":null}]\n'


def test_an_error_has_no_id_and_says_when_to_come_back() -> None:
    problem = InternalError().problem("GET", "/v2/stream/a?since=\u2028\r\nid: 1")
    retry, event, data, *rest = formats.sse_error(problem).split(b"\n")
    assert (retry, event, rest) == (b"retry: 10000", b"event: error", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == problem
    assert data.isascii()


def test_an_error_can_say_another_time() -> None:
    assert formats.sse_error(Draining().problem("GET", "/"), 7_500).startswith(b"retry: 7500\n")
