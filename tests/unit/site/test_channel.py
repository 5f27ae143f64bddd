"""A request has to be complete in time, even if its bytes keep coming one by one."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from eventstreams_site.server import channel as module
from eventstreams_site.server.channel import REQUEST_SECONDS, StreamChannel
from eventstreams_site.server.request import path_of
from tests.support.site.channel import made_channel

HEAD = b"POST /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel(clock: Clock) -> StreamChannel:
    return made_channel(clock)


def drip(channel: StreamChannel, clock: Clock, data: bytes, seconds: float) -> None:
    """One byte after the other, for `seconds` seconds, the last of them at their end."""
    for number in range(len(data)):
        channel.dataReceived(data[number : number + 1])
        clock.advance(seconds / len(data))


@pytest.mark.parametrize(
    "sent", [b"GET /" + b"a" * 500, b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 500, HEAD + b"x" * 500]
)
def test_a_request_that_drips_is_told_that_it_took_too_long(channel: StreamChannel, clock: Clock, sent: bytes) -> None:
    drip(channel, clock, sent, REQUEST_SECONDS - 1)
    assert channel.transport.value() == b""
    drip(channel, clock, b"x" * 10, 2)
    assert channel.transport.value().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert channel.transport.disconnecting


def test_a_request_that_is_complete_may_be_answered_for_ever(channel: StreamChannel, clock: Clock) -> None:
    drip(channel, clock, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", REQUEST_SECONDS - 1)
    clock.advance(3600)
    assert channel.transport.value() == b""
    assert not channel.transport.disconnecting


def test_who_was_refused_and_goes_on_sending_is_cut_off(channel: StreamChannel, clock: Clock) -> None:
    channel.dataReceived(b"no request at all\r\n")
    assert channel.transport.value().startswith(b"HTTP/1.1 400 Bad Request\r\n")
    drip(channel, clock, HEAD, module.LINGER_SECONDS + 0.1)
    assert channel.transport.value().count(b"HTTP/1.1 ") == 1
    assert channel.transport.disconnected


def test_a_connection_that_has_ended_leaves_no_timer(channel: StreamChannel, clock: Clock) -> None:
    channel.dataReceived(b"GET /")
    channel.connectionLost(None)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/admin/?a=b", "/admin/"),
        (b"/%61dmin/", "/admin/"),
        (b"http://test/admin/x", "/admin/x"),
        (b"HTTPS://test", "/"),
        (b"/v2/stream/a", "/v2/stream/a"),
    ],
)
def test_whether_it_is_the_admins_is_seen_in_every_form_of_a_target(target: bytes, path: str) -> None:
    assert path_of(target, "") == path
    assert path_of(target, "/events") == path, "the proxy strips the prefix"
