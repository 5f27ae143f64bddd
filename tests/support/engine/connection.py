"""A client of the engine, without HTTP: a subscription that is opened and read as the edge does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from streams.core.catalogue import Stream
from streams.core.filters import NO_FILTER, Filter
from streams.core.plan import plan
from streams.core.positions import Gap, Mark, TopicPartition, parse_last_event_id
from streams.engine.resume import resolve
from streams.engine.subscription import Subscription
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Send, Share, Sink
from streams.engine.tail.feed import Feed, Selection
from streams.engine.terms.checkpoints import Checkpoints
from streams.engine.terms.end import End
from streams.engine.terms.terms import Terms
from tests.support.engine import PATIENCE_SECONDS, Engine, Received, cancel
from tests.support.engine.joint import TextShare

STREAM = Stream("s", ("a", "b"), (), (), "", None, None, False, {})
TP = TopicPartition("a", 0)


class QuickEngine(Engine):
    """An engine whose times are short."""

    TUNED: ClassVar[dict[str, float]] = {
        "watch_seconds": 0.02,
        "checkpoint_look_seconds": 0.02,
        "feed_poll_seconds": 0.001,
        "retry_seconds": 0.01,
        "refresh_seconds": 0.05,
        "ping_seconds": 0.02,
    }


class Connection(Sink):
    """One open stream, and what it has been sent.

    `takes` makes it a client with a socket, which is written to directly while it is live: it says, for each chunk,
    whether the socket takes it.
    """

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        position: dict[TopicPartition, Mark],
        gaps: list[Gap],
        *,
        is_sse: bool,
        keepalive_seconds: float = 0,
        takes: Callable[[], bool] | None = None,
        end: End | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        terms = Terms(engine.hub, feed, end, checkpoints, is_sse=is_sse, metrics=engine.metrics)
        self.subscription = Subscription(
            engine.hub,
            engine.history,
            feed,
            position,
            is_sse=is_sse,
            keepalive_seconds=keepalive_seconds,
            metrics=engine.metrics,
            sink=self if takes else None,
            terms=terms if end is not None or checkpoints is not None else None,
        )
        self.feed = feed
        self.gaps = gaps
        self.start = {tp: mark.offset for tp, mark in position.items()}
        self.received = Received()
        self.has_ended = False
        self.versions: list[int] = []
        """Of the redaction list, when each event came."""
        self._engine = engine
        self._is_sse = is_sse
        self._takes = takes
        self._chunks = self.subscription.chunks()
        self._pulling: asyncio.Task[None] | None = None
        self._has_come = asyncio.Event()

    async def chunk(self) -> None:
        """Wait for the next chunk, whichever way it comes, and read it."""
        if self._takes is None:
            await self._pull()
            return
        self._has_come.clear()
        if self._pulling is None or self._pulling.done():
            self._pulling = asyncio.ensure_future(self._pull())
        coming = asyncio.ensure_future(self._has_come.wait())
        try:
            await asyncio.wait({self._pulling, coming}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()
        if self._pulling.done():
            self._pulling.result()

    def try_write(self, chunk: Chunk) -> bool:
        assert self._takes is not None
        if not self._takes():
            return False
        self._take(chunk)
        return True

    def share(self) -> Share | None:
        return TextShare()

    def join(self, _share: Share) -> Send:
        return self._send

    def part(self) -> None:
        pass

    def _send(self, data: bytes) -> int:
        assert self._takes is not None
        if not self._takes():
            raise BlockingIOError
        self._take_text(data)
        return len(data)

    async def _pull(self) -> None:
        try:
            self._take(await anext(self._chunks))
        except StopAsyncIteration:
            self.has_ended = True

    def _take(self, chunk: Chunk) -> None:
        assert self._take_text(b"".join(chunk.parts)) == chunk.events

    def _take_text(self, text: bytes) -> int:
        before = len(self.received.events)
        if self._is_sse:
            self.received.take(text)
        else:
            for line in text.splitlines():
                self.received.take(b"event: message\nid: []\ndata: %s\n\n" % line if line else b":\n")
        events = len(self.received.events) - before
        self.versions += [self._engine.encoder.version] * events
        self._has_come.set()
        return events

    async def until(self, condition: Callable[[Received], object]) -> Received:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.received):
                await self.chunk()
        return self.received

    async def to_the_end(self) -> Received:
        return await self.until(lambda got: self.has_ended)

    async def close(self) -> None:
        if self._pulling is not None:
            await cancel(self._pulling)
        await self._chunks.aclose()


@asynccontextmanager
async def connected(
    engine: Engine,
    stream: Stream = STREAM,
    *,
    since: int | None = None,
    last_event_id: str = "",
    is_sse: bool = True,
    keepalive_seconds: float = 0,
    takes: Callable[[], bool] | None = None,
    wanted: Filter = NO_FILTER,
    until: int | None = None,
    limit: int | None = None,
    checkpoint_seconds: float | None = None,
) -> AsyncIterator[Connection]:
    """Open a stream as the edge does (see StreamConsumer)."""
    hub = engine.hub
    last = parse_last_event_id(last_event_id)
    needed = [TopicPartition(entry.topic, entry.partition or 0) for entry in last.entries] if last else []
    planned = plan([stream], since, last, await hub.topics(stream.topics, needed))
    others = frozenset(tp for tp in planned.starts if tp.topic not in planned.topics)
    async with hub.feed(Selection(planned.topics, others, planned.scope, wanted), needed) as feed:
        position, gaps = await resolve(hub, planned.starts)
        end = End(hub, until, limit) if until is not None or limit is not None else None
        if end is not None:
            await end.look_up(end.unknown(feed.vector))
        look_seconds = engine.tuning.checkpoint_look_seconds
        checkpoints = Checkpoints(checkpoint_seconds, position, look_seconds) if checkpoint_seconds else None
        connection = Connection(
            engine,
            feed,
            position,
            [*planned.gaps, *gaps],
            is_sse=is_sse,
            keepalive_seconds=keepalive_seconds,
            takes=takes,
            end=end,
            checkpoints=checkpoints,
        )
        try:
            yield connection
        finally:
            await connection.close()


def id_of(offsets: Mapping[TopicPartition, int]) -> str:
    return json.dumps([{"topic": t, "partition": p, "offset": offset} for (t, p), offset in offsets.items()])
