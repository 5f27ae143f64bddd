"""A server that describes the streams over HTTP, well or in any of the ways in which servers fail."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

PIECE = b"x" * 64 * 1024


class _Handler(BaseHTTPRequestHandler):
    """One request; `server.answer` writes the answer."""

    protocol_version = "HTTP/1.1"
    server: ConfigServer

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        with contextlib.suppress(ConnectionError):
            self.server.answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at `requests`."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; the underscores in the names of headers are hyphens."""
        self.begin(status, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


Answer: TypeAlias = Callable[[_Handler], None]


class ConfigServer(ThreadingHTTPServer):
    """`answer` is what it does with each request, one of the functions below; it can be changed at any time.

    `requests` are paths and headers (lower-case names); `sent` counts the bytes that a large answer got rid of.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Answer = status(404)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/streams"

    def __enter__(self) -> ConfigServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that leave are what is tested."""


def document(streams: Mapping[str, Any], **headers: str) -> Answer:
    """A good answer: JSON with an ETag, and 304 to a client that has it."""
    body = json.dumps(streams).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    def answer(request: _Handler) -> None:
        if request.headers.get("If-None-Match") == etag:
            request.reply(304, ETag=etag)
        else:
            request.reply(200, body, Content_Type="application/json", ETag=etag, **headers)

    return answer


def dated(streams: Mapping[str, Any], last_modified: str) -> Answer:
    """A good answer with no ETag but a Last-Modified, and 304 to a client that has it."""

    def answer(request: _Handler) -> None:
        if request.headers.get("If-Modified-Since") == last_modified:
            request.reply(304)
        else:
            request.reply(200, json.dumps(streams).encode(), Last_Modified=last_modified)

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """The same short answer to everybody: 500, garbage, an empty list …"""
    return lambda request: request.reply(code, body, **headers)


def redirect(location: str, code: int = 302) -> Answer:
    return status(code, Location=location)


def only_at(path: str, there: Answer, elsewhere: Answer) -> Answer:
    return lambda request: (there if request.path == path else elsewhere)(request)


def large(size: int, *, announced: bool) -> Answer:
    """`size` bytes, with a Content-Length or until the connection ends."""

    def answer(request: _Handler) -> None:
        request.begin(200, **({"Content_Length": str(size)} if announced else {}))
        for _ in range(0, size, len(PIECE)):
            request.wfile.write(PIECE)
            request.server.sent += len(PIECE)

    return answer


def in_pieces(body: bytes, at_a_time: int, **headers: str) -> Answer:
    """A good answer whose body comes a few bytes at a time, without its length."""

    def answer(request: _Handler) -> None:
        request.begin(200, **headers)
        for start in range(0, len(body), at_a_time):
            request.wfile.write(body[start : start + at_a_time])

    return answer


def followed_by(body: bytes, tail: bytes, size: int, **headers: str) -> Answer:
    """A good body, and then `size` bytes made of `tail`."""
    piece = tail * (len(PIECE) // len(tail))

    def answer(request: _Handler) -> None:
        request.begin(200, **headers)
        request.wfile.write(body)
        for _ in range(0, size, len(piece)):
            request.wfile.write(piece)
            request.server.sent += len(piece)

    return answer


def bomb(size: int) -> Answer:
    """`size` zeros, as gzip a thousandth of it."""
    return status(200, gzip.compress(bytes(size), 9), Content_Encoding="gzip")


def cut_off(body: bytes, missing: int, **headers: str) -> Answer:
    """An answer that ends `missing` bytes before it should."""

    def answer(request: _Handler) -> None:
        request.begin(200, Content_Length=str(len(body)), **headers)
        request.wfile.write(body[: len(body) - missing])

    return answer


def silence(request: _Handler) -> None:
    """Accepts, and says nothing until the client goes or the server is closed."""
    request.server.closing.wait(60)


def dripping(*, headers: bool) -> Answer:
    """A byte of the headers, or of the body, every 20 ms, forever: no single reading takes long."""

    def drops() -> Iterator[bytes]:
        if headers:
            yield b"HTTP/1.1 200 OK\r\nX-Long: "
        else:
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        while True:
            yield b" "

    def answer(request: _Handler) -> None:
        for drop in drops():
            request.wfile.write(drop)
            time.sleep(0.02)
            if request.server.closing.is_set():
                return

    return answer
