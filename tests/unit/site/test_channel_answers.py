"""What the connection itself answers, in the form of every answer, and what it does when the client's input ends."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from twisted.internet.task import Clock

from eventstreams_site.server.channel import HALF_CLOSED_SECONDS, MAX_HEADER_LINES, StreamChannel
from eventstreams_site.server.connection import ClientConnection
from tests.support.site.channel import Transport, made_channel

GET = b"GET /v2/stream/a HTTP/1.1\r\nHost: t\r\n"


def is_read(channel: StreamChannel) -> bool:
    return channel._handlingRequest and channel.transport.value() == b""


def told(channel: StreamChannel) -> tuple[dict[bytes, bytes], dict[str, Any]]:
    """The one answer: its headers and its problem."""
    head, _, body = channel.transport.value().partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    problem: dict[str, Any] = json.loads(body)
    assert first.startswith(b"HTTP/1.1 %d " % problem["status"])
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert headers[b"Content-Length"] == b"%d" % len(body)
    assert headers[b"Access-Control-Allow-Origin"] == b"*"
    assert headers[b"X-Content-Type-Options"] == b"nosniff"
    return headers, problem


def test_a_header_may_have_any_byte_from_0x80_on_and_a_tab() -> None:
    channel = made_channel(Clock())
    value = b"a\tb" + bytes(range(0x80, 0x100))
    channel.dataReceived(GET + b"User-Agent: " + value + b"\r\n\r\n")
    assert is_read(channel)
    assert channel.requests[0].requestHeaders.getRawHeaders(b"User-Agent") == [value]


@pytest.mark.parametrize("code", [*range(9), 0x0A, 0x0B, 0x0C, 0x0D, *range(0x0E, 0x20), 0x7F])
def test_a_header_may_have_no_control_character(code: int) -> None:
    channel = made_channel(Clock())
    channel.dataReceived(GET + b"User-Agent: a%cb\r\n\r\n" % code)
    assert told(channel)[1]["type"] == "bad_request"


def test_raw_bytes_of_a_target_are_read_as_if_they_were_percent_encoded() -> None:
    channel = made_channel(Clock())
    channel.dataReceived("GET /v2/stream/Å?since=\x85 HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    assert is_read(channel)
    assert channel.requests[0].path == b"/v2/stream/%C3%85"
    assert channel.requests[0].query_string == b"since=%C2%85"


@pytest.mark.parametrize("line", [b"X-%d: a\r\n", b"X: %d\r\n", b"\t%d\r\n"])
@pytest.mark.parametrize("count", [MAX_HEADER_LINES, MAX_HEADER_LINES + 1])
def test_headers_may_have_so_many_lines_and_no_more(line: bytes, count: int) -> None:
    channel = made_channel(Clock())
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: t\r\n")
    channel.dataReceived(b"".join(line % number for number in range(count - 1)) + b"\r\n")
    if count <= MAX_HEADER_LINES:
        assert is_read(channel)
    else:
        assert told(channel)[1]["type"] == "headers_too_large"


def test_the_lines_of_each_request_are_counted_anew() -> None:
    channel = made_channel(Clock())
    for _ in range(3):
        channel.dataReceived(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEADER_LINES - 1) + b"\r\n")
        assert is_read(channel)
        channel.requestDone(channel.requests[0])


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: " + b"9" * 5_000,
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip",
        b"no header",
        b"na me: x",
    ],
)
def test_headers_that_cannot_be_read_are_told_so(lines: bytes) -> None:
    channel = made_channel(Clock())
    channel.dataReceived(GET + lines + b"\r\n\r\n")
    assert told(channel)[1]["type"] == "bad_request"
    assert channel.factory.server.counted == []


@pytest.mark.parametrize("target", [b"example.org:443", b"/v2/stream/a", b"*"])
def test_connect_is_a_method_that_is_not_allowed(target: bytes) -> None:
    channel = made_channel(Clock())
    channel.dataReceived(b"CONNECT %s HTTP/1.1\r\nHost: t\r\n\r\n" % target)
    headers, problem = told(channel)
    assert problem["type"] == "method_not_allowed"
    assert headers[b"Allow"] == b"GET, HEAD, OPTIONS"
    metrics = channel.factory.server.service.metrics.text()
    assert b'eventstreams_errors_total{type="method_not_allowed"} 1.0' in metrics, "what is refused is counted"


def test_a_fault_of_ours_is_logged_and_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    channel = made_channel(Clock())

    def fail(line: bytes) -> None:
        raise ZeroDivisionError("ours")

    channel.headerReceived = fail
    with caplog.at_level(logging.ERROR):
        channel.dataReceived(GET + b"\r\n")
    assert told(channel)[1]["type"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert len(channel.factory.server.counted) == 1


def test_who_can_no_longer_be_written_to_is_cut_off() -> None:
    """uvloop raises RuntimeError where the connection was reset."""

    class Dead(Transport):
        def write(self, data: bytes) -> None:
            raise RuntimeError("unable to perform operation; the handler is closed")

    clock = Clock()
    channel = made_channel(clock, Dead())
    channel.dataReceived(b"G")
    clock.advance(31)
    assert channel.transport.disconnected


def test_a_request_whose_input_ends_is_still_answered() -> None:
    clock = Clock()
    channel = made_channel(clock)
    channel.dataReceived(GET + b"\r\n")
    channel.readConnectionLost()
    clock.pump([1.0] * int(HALF_CLOSED_SECONDS - 1))
    assert is_read(channel)
    assert not channel.transport.disconnecting
    channel.requestDone(channel.requests[0])
    channel.readConnectionLost()  # as Twisted calls it again while it reads on
    assert channel.transport.disconnecting


def test_a_client_that_has_ended_its_input_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    channel = made_channel(clock)
    channel.dataReceived(GET + b"\r\n")
    channel.readConnectionLost()
    clock.pump([1.0] * int(HALF_CLOSED_SECONDS + 1))
    assert channel.transport.disconnected


def test_in_a_stream_the_end_of_input_is_leaving() -> None:
    channel = made_channel(Clock())
    channel.dataReceived(GET + b"\r\n")
    channel.requests[0].is_endless = True
    channel.readConnectionLost()
    assert channel.transport.disconnected


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nHost: t", GET + b"Content-Length: 5\r\n\r\nabc"])
def test_a_request_that_ends_before_it_is_complete_is_told_so(part: bytes) -> None:
    clock = Clock()
    channel = made_channel(clock)
    channel.dataReceived(part)
    channel.readConnectionLost()
    assert "complete" in told(channel)[1]["detail"]
    assert channel.transport.disconnecting


def test_a_connection_without_a_request_just_ends_with_its_input() -> None:
    channel = made_channel(Clock())
    channel.readConnectionLost()
    assert channel.transport.value() == b""
    assert channel.transport.disconnecting


@pytest.mark.parametrize("sent", [b"G", GET + b"\r\n", GET + b"\r\n" + b"x" * 20_000])
def test_a_reset_that_follows_data_is_noticed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is made of the data."""
    channel = made_channel(Clock())
    channel.dataReceived(sent)
    assert not channel.transport.disconnected
    monkeypatch.setattr(ClientConnection, "is_reset", True)
    channel.dataReceived(b"x")
    assert channel.transport.disconnected
