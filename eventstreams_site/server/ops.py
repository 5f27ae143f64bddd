"""The operations port: a small HTTP server in the supervisor's loop, for probes, metrics and reloading.

It answers a few fixed paths, with `Connection: close`. It is not for the public, and has neither TLS nor CORS.
"""

from __future__ import annotations

import json
import logging
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

log = logging.getLogger(__name__)

MAX_CLIENTS = 64
"""Maximum number of connections at a time; further ones are closed."""
MAX_REQUEST_BYTES = 16 * 1024
CLIENT_SECONDS = 30.0
"""Maximum seconds from the connection of a client to the end of its answer."""

Reply = Callable[[int, str, bytes], None]
"""Takes the answer: status, content type, body."""
Route = Callable[[Reply], None]

JSON = "application/json"


def send_json(reply: Reply, value: object, status: int = HTTPStatus.OK) -> None:
    """Answer with JSON."""
    reply(status, JSON, json.dumps(value).encode() + b"\n")


class OpsServer:
    """Serves `routes` (method and path) on a listening socket, by a selector whose data are callables."""

    def __init__(
        self, selector: selectors.BaseSelector, listener: socket.socket, routes: Mapping[tuple[str, str], Route]
    ) -> None:
        self.selector = selector
        self.routes = routes
        self._listener = listener
        self._clients: set[_Client] = set()
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def close_late(self, now: float) -> None:
        """Close connections that take longer than CLIENT_SECONDS."""
        for client in [each for each in self._clients if now > each.deadline]:
            client.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client has left, or there is no descriptor: it may try again
            return
        if len(self._clients) >= MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._clients.add(_Client(self, connection))

    def forget(self, client: _Client) -> None:
        """Remove a connection that is closed."""
        self._clients.discard(client)


class _Client:
    def __init__(self, server: OpsServer, connection: socket.socket) -> None:
        self.deadline = time.monotonic() + CLIENT_SECONDS
        self._server = server
        self._connection: socket.socket | None = connection
        self._received = b""
        self._to_send = b""
        server.selector.register(connection, selectors.EVENT_READ, self._read)

    def close(self) -> None:
        if self._connection is not None:
            self._server.selector.unregister(self._connection)
            self._connection.close()
            self._connection = None
            self._server.forget(self)

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > MAX_REQUEST_BYTES:
            self.close()
        elif b"\r\n\r\n" in self._received:
            self._answer(*self._received.partition(b"\r\n")[0].decode("latin-1").split(" "))

    def _answer(self, method: str = "", target: str = "", *_: str) -> None:
        assert self._connection is not None
        self._server.selector.modify(self._connection, selectors.EVENT_READ, self._leave)
        path = target.partition("?")[0]
        route = self._server.routes.get((method, path))
        try:
            if route is not None:
                route(self._reply)
            elif any(path == known for _, known in self._server.routes):
                send_json(self._reply, {"detail": f"{method} is not allowed here"}, HTTPStatus.METHOD_NOT_ALLOWED)
            else:
                paths = ", ".join(sorted({known for _, known in self._server.routes}))
                send_json(self._reply, {"detail": f"There are only {paths}"}, HTTPStatus.NOT_FOUND)
        except Exception:  # the supervisor outlives whatever is asked of it
            log.exception("A request to the operations port failed")
            send_json(self._reply, {"detail": "Internal error (logged)"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _leave(self) -> None:
        """Close, if the client has left while its answer is prepared; it has nothing more to say."""
        assert self._connection is not None
        try:
            if self._connection.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        if self._connection is None:
            return
        head = (
            f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self._to_send = head.encode() + body
        self._server.selector.modify(self._connection, selectors.EVENT_WRITE, self._write)
        self._write()

    def _write(self) -> None:
        if self._connection is None:
            return
        try:
            self._to_send = self._to_send[self._connection.send(self._to_send) :]
        except BlockingIOError:
            return
        except OSError:
            self._to_send = b""
        if not self._to_send:
            self.close()
