"""Messages between the supervisor and a worker besides connections: JSON in frames, over one Unix stream socket.

Up: the state of the worker, and its metrics when asked for. Down: questions. Connections and the heartbeat have their
own socket (`handover.py`), so that a large message delays neither.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

Message = Mapping[str, Any]

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Maximum bytes that wait for a worker; further messages to it are dropped: it hangs, and is replaced."""
_READ_BYTES = 256 * 1024
_LENGTH = struct.Struct("!I")


def frame(message: Message) -> bytes:
    """Return a message as it is sent."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Takes messages out of the bytes of a stream."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with these bytes."""
        self._data += data
        messages = []
        while len(self._data) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._data)[0]
            if len(self._data) < end:
                break
            messages.append(json.loads(self._data[_LENGTH.size : end]))
            del self._data[:end]
        return messages


def receive_first(connection: socket.socket) -> Message:
    """Wait for the first message of a socket, and read no further. Raises EOFError."""
    connection.setblocking(True)
    with connection.makefile("rb", buffering=0) as stream:
        body = _exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])
    connection.setblocking(False)
    message: Message = json.loads(body)
    return message


def _exactly(stream: io.RawIOBase, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.read(count - len(data)) or b""
        if not part:
            raise EOFError
        data += part
    return data


class SupervisorEnd:
    """The supervisor's end of one worker's socket; it never blocks."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._frames = Frames()
        self._waiting = bytearray()

    def send(self, message: Message) -> None:
        """Send a message, now or with a later `flush`."""
        if len(self._waiting) < MAX_WAITING_BYTES:
            self._waiting += frame(message)
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes of the messages that wait."""
        with contextlib.suppress(OSError):  # it is full, or the worker has ended
            while self._waiting:
                del self._waiting[: self.socket.send(self._waiting)]

    def receive(self) -> list[Message]:
        """Return the messages that have arrived. Raises EOFError if the worker has closed its end."""
        messages: list[Message] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self.socket.recv(_READ_BYTES)
                except ConnectionError:
                    data = b""
                if not data:
                    if messages:
                        break
                    raise EOFError
                messages += self._frames.feed(data)
        return messages
