"""A service that answers as a test says: what a check of redaction may meet besides our own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.support.engine import cancel


class Asked(NamedTuple):
    """One request."""

    target: str
    headers: dict[str, str]


Answer = bytes | Callable[[Asked], bytes]


def head(status: str = "200 OK", content_type: str = "text/event-stream", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def problem(status: str, detail: str) -> bytes:
    return head(status, "application/problem+json") + json.dumps({"detail": detail}).encode()


def block(event: Any, identifier: str = "", kind: str = "message") -> bytes:
    data = event if isinstance(event, bytes) else json.dumps(event, ensure_ascii=False).encode()
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), identifier.encode(), data)


class FakeService:
    """`answers` are given one after the other, the last of them again and again."""

    def __init__(self, answers: Sequence[Answer], *, holds: bool, drip: bytes) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._answers = list(answers)
        self._holds = holds
        self._drip = drip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            self.asked.append(Asked(lines[0].split()[1], headers))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            data = answer if isinstance(answer, bytes) else answer(self.asked[-1])
            for start in range(0, len(data), 700):  # never where a line ends, but by chance
                writer.write(data[start : start + 700])
                await writer.drain()
            while self._drip:
                writer.write(self._drip)
                await writer.drain()
                await asyncio.sleep(0.05)
            if self._holds and data.startswith(b"HTTP/1.1 200"):
                await reader.read()  # until the client leaves
        finally:
            writer.close()


@asynccontextmanager
async def fake_service(*answers: Answer, holds: bool = False, drip: bytes = b"") -> AsyncIterator[FakeService]:
    """`holds`: a stream stays open after what it has to give. `drip` comes after it, on and on."""
    service = FakeService(answers, holds=holds, drip=drip)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        # asyncio logs a handler that is cancelled as a failure.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await service.serve(reader, writer)
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    service.url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        await cancel(*serving)
