"""Server-Sent Events, out of the chunks of a response.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, as far as this
service and the one before it make use of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One event of a stream: its type, the newest id, and its data."""

    kind: str
    id: str
    data: bytes


class SseParser:
    """Makes messages of chunks, which may end anywhere."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._kind = self._id = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that a chunk completes."""
        self._unfinished.append(chunk)
        if b"\n" not in chunk:
            return
        *lines, rest = b"".join(self._unfinished).split(b"\n")
        self._unfinished = [rest]
        for line in lines:
            if line.strip():
                self._take(line.rstrip(b"\r"))
            elif self._data or self._kind:
                message = Message(self._kind, self._id, b"\n".join(self._data))
                self._kind, self._data = "", []
                yield message

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode("latin-1")
        elif name == b"id":
            self._id = value.decode("latin-1")
