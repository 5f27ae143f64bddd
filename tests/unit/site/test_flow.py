"""What a socket does not take waits in the transport, and nothing that is written directly overtakes it."""

from __future__ import annotations

import asyncio
import sys

from twisted.internet.task import Clock

from eventstreams_site.server.flow import Flow
from streams.engine.tail.chunk import Chunk
from tests.support.site.channel import made_channel
from tests.support.site.socket import Socket, opened


def chunk(letter: bytes) -> Chunk:
    """Return a chunk that another client has been written before."""
    made = Chunk((letter * 10,), 1)
    assert opened(Socket())[0].try_write(made)
    return made


def test_a_chunk_is_framed_once_for_all_clients_and_goes_into_the_socket() -> None:
    sockets = [Socket(), Socket()]
    flows = [opened(socket)[0] for socket in sockets]
    for each in (chunk(b"a"), chunk(b"b")):
        assert all(flow.try_write(each) for flow in flows)
    assert [socket.taken for socket in sockets] == [b"a\r\naaaaaaaaaa\r\na\r\nbbbbbbbbbb\r\n"] * 2
    assert [(flow.events, flow.nbytes) for flow in flows] == [(2, 20)] * 2


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    socket = Socket()
    flow, _ = opened(socket, chunked=False)
    assert flow.try_write(chunk(b"a"))
    assert flow.try_write(chunk(b"b"))
    assert socket.taken == b"a" * 10 + b"b" * 10


def test_what_a_socket_does_not_take_is_not_overtaken() -> None:
    socket = Socket()
    flow, transport = opened(socket)
    assert flow.try_write(chunk(b"a"))
    socket.room = 4
    assert flow.try_write(chunk(b"b"))  # the rest waits
    socket.room = 1_000
    assert not flow.try_write(chunk(b"c"))
    transport.drain()
    assert flow.try_write(chunk(b"d"))
    assert socket.taken == b"a\r\naaaaaaaaaa\r\na\r\nbbbbbbbbbb\r\na\r\ndddddddddd\r\n"


def test_a_client_that_is_paused_or_whose_response_ends_is_not_written_to() -> None:
    socket = Socket()
    flow, _ = opened(socket)
    assert flow.try_write(chunk(b"a"))
    flow.pauseProducing()
    assert not flow.try_write(chunk(b"b"))
    flow.resumeProducing()
    assert flow.try_write(chunk(b"c"))
    socket.room = 0
    assert not flow.try_write(chunk(b"d"))  # full: nothing was written
    flow.close()
    assert not flow.try_write(chunk(b"e"))
    assert socket.taken == b"a\r\naaaaaaaaaa\r\na\r\ncccccccccc\r\n"


async def test_who_waits_for_the_clients_leave_is_called_once_also_if_it_has_left_before() -> None:
    flow, _ = opened(Socket())
    called: list[str] = []
    flow.when_gone(lambda: called.append("first"))
    assert called == []
    flow.gone()
    flow.gone()
    await asyncio.sleep(0)
    assert called == ["first"]
    flow.when_gone(lambda: called.append("late"))
    await asyncio.sleep(0)
    assert called == ["first", "late"]

    flow, _ = opened(Socket())
    flow.when_gone(lambda: called.append("never"))
    flow.gone()
    flow.when_gone(None)
    await asyncio.sleep(0)
    assert "never" not in called, "the answer had ended"


def test_an_open_stream_keeps_little_of_its_request() -> None:
    channel = made_channel(Clock())
    channel.dataReceived(b"GET /v2/stream/a HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
    (request,) = channel.requests
    request._response_started = True
    flow = Flow(request, channel.connection)
    flow.open()
    for part, most in ((channel, 500), (request, 900)):
        assert sys.getsizeof(vars(part)) <= most
    assert request.content is None
    assert [*request.requestHeaders.getAllRawHeaders()] == []
    request.write(b"data")
    flow.close()
    request.finish()
    assert b"data" in channel.transport.value()  # type: ignore[attr-defined]
    channel.dataReceived(b"GET /v2/stream/b HTTP/1.1\r\nHost: a\r\n\r\n")
    (request,) = channel.requests
    assert request.uri == b"/v2/stream/b", "a connection is as good as before"
