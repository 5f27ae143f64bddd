"""A strict streaming client on a bare socket: it checks the framing that real clients depend on while it reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from tests.support.client.compressed import Decoder, decoder


class SseEvent(NamedTuple):
    """One dispatched event; `retry` and comments are not events."""

    event: str
    id: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class StreamClient:
    """An open response. Use `connect`; `chunks` gives the HTTP chunks as they come, `events` what they hold."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments: list[str] = []
        self.retry: int | None = None
        self.last_id = ""
        self.ended_cleanly = False
        self.sent_bytes = 0
        """Of the body, as it is on its way."""
        self._decoder: Decoder | None = None

    @classmethod
    async def connect(
        cls,
        port: int,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        version: str = "1.1",
        target: str = "",
        host: str = "",
        body: bytes = b"",
        receive_buffer: int | None = None,
        limit: int = 64 << 20,
    ) -> StreamClient:
        """`receive_buffer` bytes are taken in by the kernel, and up to twice `limit` by this process, unasked."""
        if receive_buffer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        else:
            import socket

            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
        client = cls(reader, writer)
        lines = [f"{method} {target or path} HTTP/{version}", f"Host: {host or f'127.0.0.1:{port}'}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except BaseException:
            writer.transport.abort()
            raise
        client.status = int(head[0].split()[1])
        for line in head[1:]:
            if line:
                name, _, value = line.partition(": ")
                key = name.lower()
                client.headers[key] = f"{client.headers[key]}, {value}" if key in client.headers else value
        if "content-encoding" in client.headers:
            client._decoder = decoder(client.headers["content-encoding"])
        return client

    async def chunks(self) -> AsyncIterator[bytes]:
        """The HTTP chunks, each decoded at once; without chunking, what each read gives."""
        if self.headers.get("transfer-encoding") != "chunked":
            if "content-length" in self.headers:
                yield await self._reader.readexactly(int(self.headers["content-length"]))
                return
            while data := await self._reader.read(1 << 16):
                yield data
            self.ended_cleanly = True
            return
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size)
            assert await self._reader.readexactly(2) == b"\r\n"
            self.sent_bytes += size
            if not size:
                assert self._decoder is None or self._decoder.is_whole
                self.ended_cleanly = True
                return
            if self._decoder is not None:
                data = self._decoder.feed(data)
                if not data:
                    continue  # the end of the coding
            assert data.endswith(b"\n"), "a chunk ends inside a line"
            yield data

    async def body(self, seconds: float = 10.0) -> bytes:
        """The whole body of an answer that ends."""
        async with asyncio.timeout(seconds):
            return b"".join([chunk async for chunk in self.chunks()])

    async def events(self) -> AsyncIterator[SseEvent]:
        """SSE events, by the WHATWG rules."""
        kind, data, buffer = "", [], b""
        async for chunk in self.chunks():
            *lines, buffer = (buffer + chunk).split(b"\n")
            for raw in lines:
                assert b"\r" not in raw
                line = raw.decode()
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    if data:
                        yield SseEvent(kind or "message", self.last_id, "\n".join(data))
                    kind, data = "", []
                elif not field:
                    self.comments.append(value)
                elif field == "event":
                    kind = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    self.last_id = value
                elif field == "retry":
                    self.retry = int(value)

    async def take(self, count: int, seconds: float = 20.0) -> list[SseEvent]:
        """The next `count` SSE events. Call it once per client."""
        taken: list[SseEvent] = []
        async with asyncio.timeout(seconds):
            async for event in self.events():
                taken.append(event)
                if len(taken) >= count:
                    return taken
        raise AssertionError(f"the stream ended after {len(taken)} of {count} events")

    async def take_lines(self, count: int, seconds: float = 20.0) -> list[Any]:
        """The next `count` objects of an NDJSON stream. Call it once per client."""
        taken: list[Any] = []
        async with asyncio.timeout(seconds):
            async for chunk in self.chunks():
                taken += [json.loads(line) for line in chunk.split(b"\n") if line]
                if len(taken) >= count:
                    return taken[:count]
        raise AssertionError(f"the stream ended after {len(taken)} of {count} events")

    def pause(self) -> None:
        """Take nothing more from the kernel, whose buffer then fills."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    def abort(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
