"""Limits how many clients read history at once, because each holds blocks in memory.

A slot is lent to a client while it is writable, and for a turn only where others wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from streams.engine.metrics import Metrics
from streams.engine.tuning import Tuning


class ReaderSlots:
    """First come, first served; a turn is `turn_bytes` long where others wait."""

    def __init__(self, turn_bytes: int, metrics: Metrics, tuning: Tuning) -> None:
        self.turn_bytes = turn_bytes
        self.turn_seconds = tuning.turn_seconds
        self._count = self._free = tuning.history_readers
        self._queue: deque[asyncio.Future[None]] = deque()
        self._metrics = metrics

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a slot."""
        return bool(self._queue)

    @property
    def limit(self) -> int:
        """How many slots there are."""
        return self._count

    @property
    def taken(self) -> int:
        """How many slots are lent."""
        return self._count - self._free

    async def take(self) -> ReaderSlot:
        """Wait for a slot, first come, first served."""
        if self._free and not self._queue:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            self._metrics.reader_queue.inc()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on()
                elif turn in self._queue:  # else its turn has just been skipped
                    self._queue.remove(turn)
                raise
            finally:
                self._metrics.reader_queue.dec()
        self._metrics.readers.inc()
        return ReaderSlot(self)

    def give_back(self) -> None:
        """Return a slot, to the next client that waits."""
        self._metrics.readers.dec()
        self._pass_on()

    def _pass_on(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class ReaderSlot:
    """Leave it as soon as the client is not writable, and when `is_over`."""

    def __init__(self, slots: ReaderSlots) -> None:
        self._slots = slots
        self._until = time.monotonic() + slots.turn_seconds
        self._left = slots.turn_bytes

    @property
    def is_over(self) -> bool:
        """Whether it is the next one's turn."""
        return self._slots.is_wanted and (self._left <= 0 or time.monotonic() > self._until)

    def account(self, nbytes: int) -> None:
        """Count bytes that were sent from this slot."""
        self._left -= nbytes

    def leave(self) -> None:
        """Give the slot back."""
        self._slots.give_back()
