"""The small HTTP server of the operations port: nothing that a client does ends the supervisor."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from eventstreams_site.server.listening import listen
from eventstreams_site.server.ops import CLIENT_SECONDS, MAX_CLIENTS, MAX_REQUEST_BYTES, OpsServer, Reply, send_json


class Loop:
    """The supervisor's loop, as far as the server needs it."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = listen("127.0.0.1", 0)
        self.waiting: list[Reply] = []
        self.server = OpsServer(
            self.selector,
            self.listener,
            {
                ("GET", "/now"): lambda reply: send_json(reply, {"is": "now"}),
                ("GET", "/later"): self.waiting.append,
                ("GET", "/large"): lambda reply: reply(200, "text/plain", b"x" * 5_000_000),
                ("GET", "/fault"): lambda _: 1 / 0,
            },
        )

    def turn(self) -> None:
        for key, _ in self.selector.select(0.05):
            key.data()

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline
            self.turn()

    def client(self, request: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), timeout=10)
        client.sendall(request)
        return client

    def answer(self, request: bytes) -> bytes:
        """What a client gets until its connection is closed."""
        with self.client(request) as client:
            client.setblocking(False)
            said = b""
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                self.turn()
                try:
                    data = client.recv(1 << 20)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    return said
                if not data:
                    return said
                said += data
        raise AssertionError("the connection stays open")

    @property
    def open_clients(self) -> int:
        return len(self.selector.get_map()) - 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.server.close_late(float("inf"))
    loop.selector.close()
    loop.listener.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /now HTTP/1.1", 200),
        (b"GET /now?x=1 HTTP/1.1", 200),
        (b"POST /now HTTP/1.1", 405),
        (b"GET /elsewhere HTTP/1.1", 404),
        (b"GET /fault HTTP/1.1", 500),
        (b"", 404),
        (b"nonsense", 404),
        (b"\xff\xfe a b c d", 404),
    ],
)
def test_every_request_gets_one_answer(loop: Loop, request_line: bytes, status: int) -> None:
    assert loop.answer(request_line + b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)
    assert loop.open_clients == 0


def test_a_large_answer_goes_out_whole(loop: Loop) -> None:
    assert loop.answer(b"GET /large HTTP/1.1\r\n\r\n").count(b"x") > 4_999_999


def test_a_client_that_leaves_before_its_answer_is_forgotten(loop: Loop) -> None:
    client = loop.client(b"GET /later HTTP/1.1\r\n\r\n")
    loop.until(lambda: bool(loop.waiting))
    client.close()
    loop.until(lambda: loop.open_clients == 0)
    send_json(loop.waiting[0], {})


def test_a_request_without_end_and_clients_that_say_nothing_are_bounded(loop: Loop) -> None:
    assert loop.answer(b"x" * (MAX_REQUEST_BYTES + 1)) == b""
    silent = [loop.client() for _ in range(MAX_CLIENTS + 5)]
    loop.until(lambda: loop.open_clients == MAX_CLIENTS)
    for _ in range(10):
        loop.turn()
    assert loop.open_clients == MAX_CLIENTS
    loop.server.close_late(time.monotonic())
    assert loop.open_clients == MAX_CLIENTS
    loop.server.close_late(time.monotonic() + CLIENT_SECONDS + 1)
    assert loop.open_clients == 0
    assert loop.answer(b"GET /now HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    for client in silent:
        client.close()
