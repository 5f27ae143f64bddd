"""Connections that end as no client should: cut off by a reset (SO_LINGER 0) in every state that a request has."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

GET = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST /healthz HTTP/1.1\r\nHost: test\r\n"
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))
SECONDS = 10.0
"""The time to wait for an answer."""

Rude = Callable[[socket.socket, bytes], None]
"""What one kind does; it is given the request for a stream."""


def sends(*pieces: bytes) -> Rude:
    def rude(opened: socket.socket, stream: bytes) -> None:
        for piece in pieces:
            opened.sendall(piece)

    return rude


def after_an_answer(opened: socket.socket, stream: bytes) -> None:
    """Part of a later request, on a connection that is kept alive."""
    opened.sendall(GET)
    read_until(opened, b'"ok"}')
    opened.sendall(b"GET /readyz HT")


def asks_for_a_stream(opened: socket.socket, stream: bytes) -> None:
    opened.sendall(stream)


def in_a_stream(opened: socket.socket, stream: bytes) -> None:
    opened.sendall(stream)
    read_until(opened, b":ok")


def in_a_stream_with_more(opened: socket.socket, stream: bytes) -> None:
    """The reset follows bytes that the server does not want, after more of them than it keeps."""
    in_a_stream(opened, stream)
    opened.sendall(b"x" * 20_000)
    time.sleep(0.02)
    opened.sendall(b"x")


KINDS: dict[str, Rude] = {
    "part of a request line": sends(b"G"),
    "part of the headers": sends(b"GET /healthz HTTP/1.1\r\nHost: te"),
    "part of a body": sends(POST + b"Content-Length: 5000\r\n\r\n", b"x" * 100),
    "part of a chunk": sends(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\nxxx"),
    "no HTTP at all": sends(TLS_HELLO, b"\r\n\r\n"),
    "a request, unread": sends(GET),
    "a part of the third request": sends(GET + GET + b"GET /rea"),
    "a part after an answer": after_an_answer,
    "a stream, unread": asks_for_a_stream,
    "more bytes in a stream": in_a_stream_with_more,
}


def read_until(opened: socket.socket, end: bytes) -> None:
    seen = b""
    while end not in seen:
        data = opened.recv(65_536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        seen += data


def reset(opened: socket.socket) -> None:
    """Close it; the peer gets a reset."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


def be_rude(port: int, kind: str, stream: bytes) -> None:
    """One connection of the kind, from its beginning to its reset."""
    with contextlib.suppress(ConnectionError):  # the server may be the first to close
        opened = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        try:
            KINDS[kind](opened, stream)
        finally:
            reset(opened)
