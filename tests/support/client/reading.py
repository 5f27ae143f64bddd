"""Readers that check what they get: one that is cut off at any byte, and a fast one that keeps only where it was."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.compressed import decoder
from tests.support.engine import cancel

SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/json"}

# As the service writes it; ids have a timestamp between partition and cursor, so they do not match.
_META = re.compile(rb'"topic":"([^"]+)","partition":(\d+),"offset":(\d+)')
_HEAD = b"\nevent: message\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_STOP = b"HTTP/1.1 204 "
_COMMENT = re.compile(rb"^:.*$", re.MULTILINE)


def resume_at(offsets: Mapping[TopicPartition, int]) -> str:
    """An id as a client makes it itself."""
    return json.dumps([{"topic": t, "partition": p, "offset": offset} for (t, p), offset in offsets.items()])


def from_the_beginning(partitions: Iterable[TopicPartition]) -> str:
    return resume_at(dict.fromkeys(partitions, 0))


class Seen(NamedTuple):
    """One event, as a client got it: from where in Kafka, and which."""

    tp: TopicPartition
    offset: int
    number: int


class CutReader:
    """An SSE client that is cut off again and again, and resumes by the id of the last event that it has whole.

    `coding` is that of the answer, if it asks for one.
    """

    ACCEPT = "text/event-stream"
    MAY_BE_REFUSED = False
    """Whether a server that starts or stops may tell it so by a status, rather than by an event."""

    def __init__(self, path: str, last_id: str, coding: str = "") -> None:
        self.seen: list[Seen] = []
        self.last_id = last_id
        self.comments: list[bytes] = []
        self.errors: list[bytes] = []
        self.ends: list[dict[str, Any]] = []
        """What the events said that ended its connections."""
        self.is_told_to_stop = False
        """Whether it got 204."""
        self._path = path
        self._coding = coding

    async def read(self, port: int, cut: int, seconds: float = 1.0, total: int | None = None) -> int:
        """Connect, and leave after `cut` bytes, or when nothing has come for `seconds`, or with `total` seen.

        Returns the number of whole events that came.
        """
        before = len(self.seen)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        raw = b""
        try:
            head = f"GET {self._path} HTTP/1.1\r\nHost: test\r\nAccept: {self.ACCEPT}\r\n"
            if self._coding:
                head += f"Accept-Encoding: {self._coding}\r\n"
            writer.write(f"{head}Last-Event-ID: {self.last_id}\r\n\r\n".encode())
            while len(raw) < cut:
                async with asyncio.timeout(seconds):
                    data = await reader.read(min(1 << 16, cut - len(raw)))
                raw += data
                if not data or raw.endswith(_LAST_CHUNK) or (raw.startswith(_STOP) and raw.endswith(b"\r\n\r\n")):
                    break
                if total is None:
                    continue
                come = self._body(raw.partition(b"\r\n\r\n")[2]) if self._coding else raw
                heads = come.count(_HEAD)
                if before + heads >= total and (not heads or b"\n\n" in come[come.rindex(_HEAD) :]):
                    break  # the last one is whole
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()
        self._take(raw)
        return len(self.seen) - before

    def _take(self, raw: bytes) -> None:
        head, _, rest = raw.partition(b"\r\n\r\n")
        self.is_told_to_stop = head.startswith(_STOP)
        if not rest or (self.MAY_BE_REFUSED and head.startswith(b"HTTP/1.1 503 ")):
            return
        assert head.startswith(b"HTTP/1.1 200 "), head
        self._take_body(self._body(rest))

    def _body(self, rest: bytes) -> bytes:
        """Return what can be read of an answer that may be cut off anywhere."""
        body = dechunk(rest)
        return decoder(self._coding).feed(body) if self._coding else body

    def _take_body(self, body: bytes) -> None:
        before, ends = len(self.seen), len(self.ends)
        *blocks, _unfinished = body.split(b"\n\n")
        for block in blocks:
            assert len(self.ends) == ends, "something comes after the end"
            kind = event_id = data = b""
            for line in block.split(b"\n"):
                field, _, value = line.partition(b": ")
                if line.startswith(b":"):
                    self.comments.append(line)
                elif field == b"id":
                    event_id = value
                elif field == b"data":
                    data = value
                elif field == b"event":
                    kind = value
                else:
                    assert field == b"retry", line
            if kind == b"error":
                self.errors.append(data)
            elif kind == b"end":
                self.ends.append(json.loads(data))
                self.last_id = event_id.decode()
                assert self.ends[-1]["events"] == len(self.seen) - before
            elif data:
                assert kind == b"message"
                event = json.loads(data)
                meta = event["meta"]
                self.seen.append(Seen(TopicPartition(meta["topic"], meta["partition"]), meta["offset"], event["n"]))
                self.last_id = event_id.decode()


class CutLinesReader(CutReader):
    """The same of NDJSON: it makes its ids itself, of the places of its events."""

    ACCEPT = "application/json"
    MAY_BE_REFUSED = True

    def _take_body(self, body: bytes) -> None:
        *lines, _unfinished = body.split(b"\n")
        for line in filter(None, lines):
            event = json.loads(line)
            meta = event["meta"]
            self.seen.append(Seen(TopicPartition(meta["topic"], meta["partition"]), meta["offset"], event["n"]))
        places = {TopicPartition(e["topic"], e["partition"]): e["offset"] for e in json.loads(self.last_id)}
        self.last_id = resume_at(places | {tp: offset + 1 for tp, offset, _ in self.seen})


def dechunk(raw: bytes) -> bytes:
    """The body of a chunked response that may be cut off anywhere (RFC 9112, 7.1)."""
    parts = []
    at = 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:end], 16)
        parts.append(raw[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
        assert b"\r\n".startswith(raw[at - 2 : at])
    return b"".join(parts)


def by_partition(seen: Iterable[Seen]) -> dict[TopicPartition, list[tuple[int, int]]]:
    """Offsets and numbers of each partition, in the order in which they came."""
    grouped: dict[TopicPartition, list[tuple[int, int]]] = defaultdict(list)
    for tp, offset, number in seen:
        grouped[tp].append((offset, number))
    return dict(grouped)


class Follower:
    """A client that reads in the background, and keeps the offsets that it got and the order of the partitions."""

    def __init__(self, client: StreamClient) -> None:
        self.client = client
        self.offsets: dict[TopicPartition, list[int]] = defaultdict(list)
        self.order: list[TopicPartition] = []
        self.comments: list[str] = []
        self._is_sse = client.headers.get("content-type", "").startswith("text/event-stream")
        self._chunks = client.chunks()
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Read the first chunk: `:ok`, or an empty line."""
        self._take(await anext(self._chunks))

    def read(self) -> None:
        """Read on in the background."""
        self.client.resume()
        self._reading = asyncio.create_task(self._read())

    def stall(self, seconds: float) -> None:
        """Take nothing for a while."""
        self.client.pause()
        asyncio.get_running_loop().call_later(seconds, self.client.resume)

    async def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until `done`, while reading continues."""
        assert self._reading is not None
        async with asyncio.timeout(seconds):
            while not done():
                if self._reading.done():
                    await self._reading
                    raise AssertionError("the server ended the stream")
                await asyncio.sleep(0.02)

    async def has(self, offsets: Mapping[TopicPartition, int], seconds: float = 60.0) -> None:
        """Wait until every partition has got to its offset."""
        await self.until(
            lambda: all(self.offsets[tp] and self.offsets[tp][-1] >= offset for tp, offset in offsets.items()), seconds
        )

    async def ended(self, seconds: float = 60.0) -> None:
        """Wait until the server has ended the stream."""
        assert self._reading is not None
        await asyncio.wait_for(self._reading, seconds)

    async def leave(self) -> None:
        """Leave. What was wrong with the stream until now is raised here, if the test did not wait for it."""
        try:
            if self._reading is not None:
                await cancel(self._reading)
        finally:
            self.client.abort()

    async def _read(self) -> None:
        async for chunk in self._chunks:
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        if self._is_sse:
            comments = _COMMENT.findall(chunk)
            last = chunk.rstrip(b"\n").rpartition(b"\n")[2]
            assert chunk.endswith(b"\n\n") or last.startswith((b":", b"retry:")), "a chunk ends inside an event"
            assert chunk.endswith(b"\n")
            self.comments += [comment.decode() for comment in comments]
        for topic, partition, offset in _META.findall(chunk):
            tp = TopicPartition(topic.decode(), int(partition))
            self.offsets[tp].append(int(offset))
            self.order.append(tp)


class Crowd:
    """Followers, who leave at the end of the block. Where the server `may_cut` them, only their tests look at it."""

    def __init__(self, kind: type[Follower] = Follower, *, may_cut: bool = False) -> None:
        self._kind = kind
        self._cuts = (OSError, asyncio.IncompleteReadError) if may_cut else ()
        self._leaving = AsyncExitStack()

    async def __aenter__(self) -> Crowd:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leaving.aclose()

    async def _let_go(self, follower: Follower) -> None:
        with contextlib.suppress(*self._cuts):
            await follower.leave()

    async def connect(
        self, port: int, path: str, headers: Mapping[str, str], *, read: bool = True, **options: Any
    ) -> Follower:
        """One more, as soon as its first chunk is there; it reads on, or (`read` False) stalls until `read()`."""
        follower = self._kind(await StreamClient.connect(port, path, headers, **options))
        self._leaving.push_async_callback(self._let_go, follower)
        assert follower.client.status == 200, follower.client.headers
        await follower.begin()
        if read:
            follower.read()
        else:
            follower.client.pause()
        return follower
