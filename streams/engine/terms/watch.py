"""A live client with an end or checkpoints: it leaves its feed's followers as soon as there is something to say to it.

Others are written to as if it were not there, and it costs them nothing.
"""

from __future__ import annotations

import asyncio

from streams.core.positions import Position
from streams.engine.tail.fanout import Chunk, Follower, Sink
from streams.engine.tail.feed import Feed
from streams.engine.terms.checkpoints import Checkpoints
from streams.engine.terms.end import End
from streams.engine.tuning import Tuning


class Watch:
    """The sink of one follower, in front of its real one."""

    def __init__(
        self,
        sink: Sink,
        feed: Feed,
        follower: Follower,
        end: End | None,
        checkpoints: Checkpoints | None,
        tuning: Tuning,
    ) -> None:
        self._tuning = tuning
        self._sink = sink
        self._feed = feed
        self._follower = follower
        self._end = end
        self._checkpoints = checkpoints
        self._was_event = False
        """Whether what was written last had events: then the follower's position is what their last id says."""
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer()

    def try_write(self, chunk: Chunk) -> bool:
        """Write the chunk, unless it may lead beyond the end; see Sink."""
        if self._end is not None and (self._end.is_near(self._feed.vector) or not self._end.admits(chunk.events)):
            return False
        if not self._sink.try_write(chunk):
            return False
        self._settle()
        if chunk.events:
            self._was_event = True
            if self._checkpoints is not None:
                self._checkpoints.sent()
            if self._end is not None:
                self._end.events += chunk.events
                if self._end.left == 0:
                    self._leave()
        return True

    def close(self) -> None:
        """Stop watching: the follower has left."""
        if self._timer is not None:
            self._timer.cancel()
        self._settle()

    def _settle(self) -> None:
        """Note the position of the last id."""
        if self._was_event and self._checkpoints is not None:
            self._checkpoints.told(self._follower.position)
        self._was_event = False

    @property
    def _position(self) -> Position:
        """Where the follower is: with its feed, over what was no event for it."""
        return self._feed.vector if self._follower.number == self._feed.tip else self._follower.position

    def _leave(self) -> None:
        if not self._follower.left.done():
            self._follower.left.set_result(None)

    def _set_timer(self) -> None:
        waits = [self._tuning.clock_seconds]
        if self._end is not None and self._end.seconds_left is not None:
            waits.append(self._end.seconds_left)
        if self._checkpoints is not None:
            waits.append(self._checkpoints.seconds_left)
        self._timer = asyncio.get_running_loop().call_later(min(waits), self._look)

    def _look(self) -> None:
        self._settle()
        is_near = self._end is not None and self._end.is_near(self._feed.vector)
        if is_near or (self._checkpoints is not None and self._checkpoints.is_due(self._position)):
            self._leave()
        else:
            self._set_timer()
