"""Server-Sent Events as a client reads them: messages, and the comments in which gaps are reported.

For what reads services over HTTP: the check of a redaction and the mirror.

Source: HTML Standard, "Server-sent events", 9.2.6; wire contract, "The two formats". Pure: no clock, no network.
"""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One event of a stream; `id` is that of an earlier one where it has none itself."""

    kind: str
    id: str
    data: bytes


class Comment(NamedTuple):
    """A line that begins with a colon, without it."""

    text: bytes


class Retry(NamedTuple):
    """How long the server asks its clients to wait before they connect again, in ms."""

    ms: int


Item = Message | Comment | Retry


class SseParser:
    """Turns the bytes of one response into what it says, whatever pieces they come in."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._data: list[bytes] = []
        self._kind = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[Item]:
        """Return what `chunk` completes."""
        if b"\n" not in chunk:
            self._unfinished.append(chunk)
            return []
        *lines, rest = b"".join((*self._unfinished, chunk)).split(b"\n")
        self._unfinished = [rest]
        found: list[Item] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), found)
        return found

    def _take(self, line: bytes, found: list[Item]) -> None:
        if not line:
            if self._data:
                found.append(Message(self._kind or "message", self._id, b"\n".join(self._data)))
            self._kind, self._data = "", []
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not name:
            found.append(Comment(value))
        elif name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode("utf-8", "replace")
        elif name == b"id":
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            found.append(Retry(min(int(value), 3_600_000)))
