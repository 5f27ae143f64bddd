"""The one pull loop of every client: catch up to the feed, follow it, fall behind, catch up again.

A client owns a position and nothing else (invariant 3). Start at the end, `since`, resume and falling behind are the
same: with P the client's position and T the feed's, it waits until T ≥ P everywhere, reads every partition to exactly
T, and then follows the feed after T (invariant 4).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from typing import Any

from streams.core import formats
from streams.core.positions import Gap, IdWriter, Mark, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.replay.catch_up import CatchUp
from streams.engine.replay.history import History
from streams.engine.replay.merge import Merge
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Follower, Sink
from streams.engine.tail.feed import Feed, ahead, behind
from streams.engine.tail.hub import Hub
from streams.engine.terms.sink import follow_on_terms
from streams.engine.terms.terms import Terms


class Subscription:
    """One client's position and its way forward. Iterate over `chunks`; `park` where the client cannot be written to.

    While the client is live and its `sink` takes what is new, that goes there and is not among the chunks.

    `position` has a mark for each partition of the feed. One that is missing has been added meanwhile, and begins where
    the hub began it; or the hub watches it and Kafka no longer has it: then it continues from where the feed stands.
    """

    __slots__ = (
        "_behind",
        "_comment",
        "_feed",
        "_history",
        "_hub",
        "_is_sse",
        "_keepalive",
        "_last_chunk_at",
        "_metrics",
        "_sink",
        "_terms",
        "_tuning",
        "is_live",
        "position",
        "sent",
    )

    def __init__(
        self,
        hub: Hub,
        history: History,
        feed: Feed,
        position: dict[TopicPartition, Mark],
        *,
        is_sse: bool,
        keepalive_seconds: float,
        metrics: Metrics,
        sink: Sink | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.position = position
        self.is_live = False
        """Whether its sink is written to as soon as there is something new; `position` is older then."""
        self.sent = metrics.sent((), is_sse=is_sse)
        """Counts of events and bytes, to which all is added that the sink takes."""
        self._sink = sink
        self._hub = hub
        self._history = history
        self._feed = feed
        self._is_sse = is_sse
        self._keepalive = keepalive_seconds or None
        self._comment = formats.SSE_KEEPALIVE if is_sse else formats.NDJSON_KEEPALIVE
        self._metrics = metrics
        self._tuning = hub.tuning
        self._behind: CatchUp | None = None
        self._last_chunk_at = 0.0
        self._terms = terms

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield all that the client is to be sent; without end, unless it has asked for one."""
        self._last_chunk_at = time.monotonic()
        try:
            async for chunk in self._chunks():
                if self._terms is not None and chunk.events:
                    self._terms.sent(chunk.events)
                    is_beyond = self._behind is not None and self._behind.merge.is_beyond
                    self._terms.told({} if is_beyond else self.position)
                yield chunk
                self._last_chunk_at = time.monotonic()
        finally:
            self.park()
            self._behind = None

    def park(self) -> None:
        """Release all that is held besides the position."""
        if self._behind is not None:
            self._behind.park()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        terms = self._terms
        while True:
            async for chunk in self._take_over():
                yield chunk
            if terms is not None and (ending := terms.ending(self.position)) is not None:
                for chunk in ending:
                    yield chunk
                return
            number, target = self._entry()
            if ahead(self.position, target) or behind(self.position, target):
                async for chunk in self._approach(target):
                    yield chunk
                if number is None:
                    continue  # it may be at its end
            if not ahead(self.position, target) and not behind(self.position, target):
                async for chunk in self._stay(number, target):
                    yield chunk

    async def _take_over(self) -> AsyncIterator[Chunk]:
        """Take over what has changed, which may take a while: where the end is, and which partitions there are."""
        while True:
            if self._terms is not None:
                async for chunk in self._while_it_works(self._terms.look_for_end()):
                    yield chunk
                self.position = self._terms.passed(self.position)
            gaps = self.gap_chunks(self._adopt(self._feed.vector))
            if not gaps:
                return
            for chunk in gaps:
                yield chunk  # meanwhile the feed may move

    async def _approach(self, target: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Wait for the feed, or read what it has had: the client is at the target afterwards, or has to look again."""
        if ahead(self.position, target):
            coming = self._while_it_works(self._feed_to_come())
        else:
            coming = self._catch_up().read_to(self.position, target)
        async for chunk in coming:
            yield chunk

    async def _stay(self, number: int | None, target: dict[TopicPartition, Mark]) -> AsyncIterator[Chunk]:
        """Be at the target: live after block `number`, or waiting where the client reads without its feed."""
        self.position = target
        self._metrics.found_in["feed"] += 1
        self.park()
        self._behind = None  # a live client needs none
        if self._terms is not None and number is None:
            live = self.patiently(self._terms.feed_to_move())
        else:
            live = self._follow(number or 0)
        async for chunk in live:
            yield chunk

    def _entry(self) -> tuple[int | None, dict[TopicPartition, Mark]]:
        """Where the client is to join its feed (see `Feed.entry`), or, near its end, how far it may read without it."""
        number, target = self._feed.entry(self.position)
        terms = self._terms
        if terms is None:
            return number, target
        if not terms.is_near_end:
            step = self._feed.next_step(number, self._is_sse)
            if step is None or terms.admits(step.events):
                return number, target
        return None, terms.target(self.position)

    # Live.

    async def _follow(self, number: int) -> AsyncIterator[Chunk]:
        """What the feed has after block `number`, until the client is too slow for it."""
        feed, terms = self._feed, self._terms
        try:
            while True:
                if terms is not None:
                    if terms.left == 0:
                        return  # where its last event is
                    if number == feed.tip:
                        self.position = terms.at_tip(self.position)
                    for chunk in terms.checkpoint(self.position):
                        yield chunk
                    if terms.is_near_end:
                        return
                step = feed.next_step(number, self._is_sse)
                if step is not None:
                    if terms is not None and not terms.admits(step.events):
                        return
                    number, self.position = step.number, step.after
                    if step.parts:
                        yield step
                elif self._sink is None:
                    await (feed.changed() if terms is None else terms.feed_to_move())
                else:
                    follower = Follower(self._sink, number, self.position, is_sse=self._is_sse, sent=self.sent)
                    self.is_live = True
                    await (feed.fanout.follow(follower) if terms is None else follow_on_terms(feed, follower, terms))
                    self.is_live = False
                    number, self.position = follower.number, follower.position
                    self._last_chunk_at = time.monotonic()
        except LookupError:
            return

    # Behind.

    def _catch_up(self) -> CatchUp:
        if self._behind is None:
            selection = self._feed.selection
            writer = IdWriter(self._hub.cluster_id, selection.scope)
            merge = Merge(self._history, writer, selection.filter, is_sse=self._is_sse)
            self._behind = CatchUp(self._hub, self._history, merge, self, self._terms)
        return self._behind

    def _adopt(self, target: dict[TopicPartition, Mark]) -> list[Gap]:
        """Take over partitions that are new, and those that were recreated; the latter are gaps."""
        gaps = []
        position = dict(self.position)
        for tp, its_target in target.items():
            partition = self._hub.partitions[tp]
            begin = partition.begin
            mark = position.get(tp)
            if mark is not None and mark.offset < 0 <= its_target.offset:
                position[tp] = begin  # the client waits since before it was known where that is
            elif mark is None:
                position[tp] = begin if partition.from_beginning and self._hub.exists(tp) else its_target
            elif mark.incarnation < begin.incarnation and mark.incarnation < its_target.incarnation:
                position[tp] = begin
                gaps.append(Gap(tp.topic, tp.partition, mark.offset, begin.offset))
        self.position = position
        return gaps

    async def _feed_to_come(self) -> None:
        """Wait for a feed that is behind (an id from another worker, a hub that lags)."""
        while any(self.position[tp][:2] > m[:2] for tp, m in self._feed.vector.items() if tp in self.position):
            await asyncio.sleep(self._tuning.feed_poll_seconds)

    def gap_chunks(self, gaps: Iterable[Gap]) -> list[Chunk]:
        """Count gaps, and return what tells the client of them."""
        gaps = list(gaps)
        self._metrics.gaps.inc(len(gaps))
        return [Chunk((formats.sse_gap(gaps),), 0)] if gaps and self._is_sse else []

    async def patiently(self, work: Coroutine[Any, Any, object] | asyncio.Future[Any]) -> AsyncIterator[Chunk]:
        """Wait for `work`, whatever becomes of it, with keep-alive comments to the client meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                seconds = math.inf if self._terms is None else self._terms.seconds_left
                if self._keepalive:
                    seconds = min(seconds, self._last_chunk_at + self._keepalive - time.monotonic())
                await asyncio.wait({task}, timeout=None if seconds == math.inf else max(0.0, seconds))
                for chunk in () if task.done() else self.signs_of_life():
                    yield chunk
        finally:
            task.cancel()

    def signs_of_life(self) -> list[Chunk]:
        """Return what the client is to be told by now, although there is no event."""
        signs = list(self._terms.checkpoint(self.position)) if self._terms is not None else []
        if not signs and self._keepalive and time.monotonic() - self._last_chunk_at >= self._keepalive:
            signs.append(Chunk((self._comment,), 0))
        return signs

    async def _while_it_works(self, work: Coroutine[Any, Any, object]) -> AsyncIterator[Chunk]:
        """Wait for `work`, as `patiently` does. Raises what it raises: a fault must not be retried forever."""
        task = asyncio.ensure_future(work)
        async for chunk in self.patiently(task):
            yield chunk
        task.result()
