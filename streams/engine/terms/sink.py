"""A live client with an end or checkpoints: it leaves its feed's followers as soon as there is something to say to it.

Others are written to as if it were not there, and it costs them nothing.
"""

from __future__ import annotations

import asyncio

from streams.core.positions import Position
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.cohort import Follower, Sink
from streams.engine.tail.feed import Feed
from streams.engine.terms.terms import Terms


async def follow_on_terms(feed: Feed, follower: Follower, terms: Terms) -> None:
    """Have a live client written to until its sink does not take a chunk, or there is something else to send."""
    sink = follower.sink = TermsSink(feed, follower, terms)
    try:
        await feed.fanout.follow(follower)
    finally:
        sink.close()


class TermsSink(Sink):
    """The sink of one follower, in front of its real one. It is in no cohort.

    It counts in the client's `Terms`, as the pull loop does, but notes a position later: the follower has that of a
    chunk only after the chunk was written.
    """

    def __init__(self, feed: Feed, follower: Follower, terms: Terms) -> None:
        self._feed = feed
        self._follower = follower
        self._sink = follower.sink
        self._terms = terms
        self._was_event = False
        """Whether what was written last had events: then the follower's position is what their last id says."""
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer()
        terms.watch(self.look)

    def try_write(self, chunk: Chunk) -> bool:
        """Write the chunk, unless it may lead beyond the end; see Sink."""
        if self._terms.is_near_end or not self._terms.admits(chunk.events):
            return False
        if not self._sink.try_write(chunk):
            return False
        self._settle()
        if chunk.events:
            self._was_event = True
            self._terms.sent(chunk.events)
            if self._terms.left == 0:
                self._leave()
        return True

    def close(self) -> None:
        """Stop: the follower has left."""
        self._terms.unwatch(self.look)
        if self._timer is not None:
            self._timer.cancel()
        self._settle()

    def look(self) -> None:
        """Leave if a record may be at or after `until`: the filter may not want it, so that it is not written."""
        if self._terms.is_at_until and self._terms.is_near_end:
            self._leave()

    def _settle(self) -> None:
        """Note the position of the last id."""
        if self._was_event:
            self._terms.told(self._follower.position)
        self._was_event = False

    @property
    def _position(self) -> Position:
        """Where the follower is: with its feed, over what was no event for it."""
        return self._feed.vector if self._follower.number == self._feed.tip else self._follower.position

    def _leave(self) -> None:
        if not self._follower.left.done():
            self._follower.left.set_result(None)

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._terms.seconds_to_look, self._look)

    def _look(self) -> None:
        self._settle()
        if self._terms.is_near_end or self._terms.is_checkpoint_due(self._position):
            self._leave()
        else:
            self._set_timer()
