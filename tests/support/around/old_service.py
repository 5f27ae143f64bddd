"""What a mirror meets at Wikimedia's service: ids of timestamps alone, the same millisecond sent again, streams cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit


class OldService:
    """Serves `records` of one partition: (offset, timestamp in ms, members). Cuts each stream after `cut_after`."""

    def __init__(self, topic: str, records: list[tuple[int, int, dict[str, Any]]], cut_after: int) -> None:
        self.refusals: list[bytes] = []
        """Sent, one for each of the next requests, in place of a stream."""
        self.refused_ids = 0
        """The number of ids that are refused from now on, as if a topic in them was no longer served."""
        self.agents: set[str] = set()
        self.requests: list[tuple[float, str]] = []
        """When each request came (the loop's time), and its Last-Event-ID."""
        self.open = self.most_open = 0
        self.port = 0
        self.records = records
        self._topic, self._cut_after = topic, cut_after

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except (asyncio.IncompleteReadError, OSError):  # the mirror was stopped meanwhile
            writer.close()
            return
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        target = urlsplit(head[0].split()[1])
        self.agents.add(headers["user-agent"])
        self.requests.append((asyncio.get_running_loop().time(), headers.get("last-event-id", "")))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self.refusals:
                writer.write(self.refusals.pop(0))
            elif self.refused_ids and headers.get("last-event-id"):
                self.refused_ids -= 1
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 13\r\n\r\nno such topic")
            else:
                await self._stream(headers.get("last-event-id", ""), parse_qs(target.query), writer)
            await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _stream(self, identifier: str, query: dict[str, list[str]], writer: asyncio.StreamWriter) -> None:
        start = int(query["since"][0]) if "since" in query else 0
        if identifier:
            (start,) = (each["timestamp"] for each in json.loads(identifier) if each["topic"] == self._topic)
        first = next((n for n, (_, ms, _) in enumerate(self.records) if ms >= start), len(self.records))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:ok\n\n")
        for offset, ms, members in self.records[first : first + self._cut_after]:
            meta = {**members["meta"], "topic": self._topic, "partition": 0, "offset": offset, "key": [107, 101, 121]}
            entry = json.dumps([{"topic": self._topic, "partition": 0, "timestamp": ms + 1}])
            data = json.dumps({**members, "meta": meta})
            writer.write(f"event: message\nid: {entry}\ndata: {data}\n\n".encode())
        await writer.drain()
        if first + self._cut_after < len(self.records):
            writer.write(b'event: message\nid: [{"topic":')  # it is cut in the middle of an event
        else:
            await asyncio.sleep(0.5)


@asynccontextmanager
async def old_service(
    topic: str, records: list[tuple[int, int, dict[str, Any]]], cut_after: int
) -> AsyncIterator[OldService]:
    """An OldService that listens on `port`."""
    service = OldService(topic, records, cut_after)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
