"""What one client asks for besides events, as the pull loop needs it.

Before its end is near, a client shares its feed's steps with all others. Then it reads on alone, to the exact record.
Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

from streams.core import formats
from streams.core.positions import IdWriter, Mark, Position, TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.feed import Feed
from streams.engine.tail.hub import Hub
from streams.engine.terms.checkpoints import Checkpoints
from streams.engine.terms.end import End, now_ms


class Terms:
    """The terms of one client that reads a feed: an end, or checkpoints, or both."""

    def __init__(
        self, hub: Hub, feed: Feed, end: End | None, checkpoints: Checkpoints | None, *, is_sse: bool, metrics: Metrics
    ) -> None:
        self._hub = hub
        self._tuning = hub.tuning
        self._feed = feed
        self._end = end
        self._checkpoints = checkpoints
        self._writer = IdWriter(hub.cluster_id, feed.selection.scope)
        self._is_sse = is_sse
        self._metrics = metrics
        self._passed: dict[TopicPartition, Mark] = {}

    def sent(self, events: int) -> None:
        """Count events that are being sent, at least one."""
        if self._end is not None:
            self._end.events += events
        if self._checkpoints is not None:
            self._checkpoints.sent()

    def told(self, position: Position) -> None:
        """Note that the id of the last event that was sent says this position; an empty one: less than the client's."""
        if self._checkpoints is not None:
            self._checkpoints.told(position)

    @property
    def seconds_to_look(self) -> float:
        """Seconds after which a live client's end may be near, or a checkpoint due; the clock may also be set."""
        until = self._end.seconds_left if self._end is not None else None
        return min(self._tuning.clock_seconds, self.seconds_left, math.inf if until is None else until)

    # An end.

    @property
    def left(self) -> int | None:
        """How many events may still be sent; None for any number."""
        return self._end.left if self._end is not None else None

    @property
    def is_near_end(self) -> bool:
        """Whether the end may lie within what the feed has."""
        return self._end is not None and self._end.is_near(self._feed.vector)

    def admits(self, events: int) -> bool:
        """Return whether a step of `events` events does not lead beyond the end."""
        return self._end is None or self._end.admits(events)

    async def look_for_end(self) -> None:
        """Ask Kafka where partitions end, those of which that has to be known by now."""
        if self._end is not None:
            await self._end.look_up(self._end.unknown(self._feed.vector))

    def at_tip(self, position: dict[TopicPartition, Mark]) -> dict[TopicPartition, Mark]:
        """Return the position of a client that has had all that its feed has: moved over what was no event.

        It stays where the end may lie in that: once the end is known, `passed` moves it.
        """
        vector = dict(self._feed.vector)
        if not self.is_near_end:
            return vector
        self._passed = vector
        return position

    def passed(self, position: dict[TopicPartition, Mark]) -> dict[TopicPartition, Mark]:
        """Return a position, moved over what the client has had since, but not beyond its end: it reads that only once.

        Where the end is not known yet, it stays.
        """
        over, self._passed = self._passed, {}
        return self._end.moved(position, over) if over and self._end is not None else position

    def watch(self, look: Callable[[], None]) -> None:
        """Call `look` each second until `unwatch`, if a record that the client is not sent may end its stream."""
        if self._end is not None and self._end.until is not None:
            self._hub.looks.add(look)

    def unwatch(self, look: Callable[[], None]) -> None:
        """Undo `watch`."""
        self._hub.looks.discard(look)

    @property
    def is_at_until(self) -> bool:
        """Whether a record at or after `until` has come, of any partition that the hub reads."""
        return self._end is not None and self._end.until is not None and self._hub.latest >= self._end.until

    def target(self, position: Position) -> dict[TopicPartition, Mark]:
        """Return how far the client may read of what the feed has."""
        return self._end.target(position, self._feed.vector) if self._end is not None else dict(self._feed.vector)

    async def feed_to_move(self) -> None:
        """Wait until there may be more to read before the end, or something to say."""
        is_unknown = self._end is not None and self._end.unknown(self._feed.vector)
        longest = self._tuning.watch_seconds
        seconds = (self._end.seconds_left if self._end is not None else None) or longest
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, longest)):
                # What Kafka did not tell is not asked for again at each event.
                await (asyncio.sleep(longest) if is_unknown else self._feed.changed())

    def ending(self, position: Position) -> tuple[Chunk, ...] | None:
        """Return what the client is told at its end; None before that."""
        reason = self._end.reason(position, self._feed.vector) if self._end is not None else None
        if self._end is None or reason is None:
            return None
        self._metrics.ends.labels(reason).inc()
        if not self._is_sse:
            return ()
        return (Chunk((formats.sse_end(self._ids(position), reason, self._end.events),), 0),)

    # Checkpoints.

    @property
    def seconds_left(self) -> float:
        """Seconds until a checkpoint may be due, infinite without checkpoints."""
        return self._checkpoints.seconds_left if self._checkpoints is not None else math.inf

    def is_checkpoint_due(self, position: Position) -> bool:
        """Return whether a client at `position` is to get a checkpoint now."""
        return self._checkpoints is not None and self._checkpoints.is_due(position)

    def checkpoint(self, position: Position) -> tuple[Chunk, ...]:
        """Return a checkpoint, if one is due."""
        if self._checkpoints is None or not self._checkpoints.is_due(position):
            return ()
        self._checkpoints.sent()
        self._checkpoints.told(position)
        self._metrics.checkpoints.inc()
        made = formats.sse_checkpoint if self._is_sse else formats.ndjson_checkpoint
        return (Chunk((made(self._ids(position), now_ms()),), 0),)

    def _ids(self, position: Position) -> bytes:
        self._writer.reset(position)
        return self._writer.ids()
