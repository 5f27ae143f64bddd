"""How long brokers hold records back, so that one fetch brings all that one round of writing sends.

A fetch costs the service as much as some hundred writes, and a timer before it nearly as much: it is waking up that
costs. Live clients get events together anyway (see `Rounds`), so the brokers gather them, and their answer begins the
round. Kafka counts bytes, not records: those that the last fetch brought say how many a record takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from streams.engine.kafka.options import KafkaOptions

ROUND = 1.2
"""How many records a fetch is to bring: those of `gathering` seconds, times this. With 1, they would often come before
the next round is due, and wait for a timer."""
LATE = 1.5
"""After how long it is answered with fewer of them, as a multiple of `gathering`."""
ENOUGH = 0.5
"""Records fewer than it expects end a fetch: Kafka counts bytes, and records differ in size."""
FULL = 0.5
"""Share of the bytes of an answer that ends any wait: more might not fit."""


class _Answer(NamedTuple):
    """The last answer of a leader that brought records: when (time.monotonic), the bytes of one, how many a second."""

    at: float
    record_bytes: float
    per_second: float


class Patience:
    """What the fetches of the tail ask of each leader.

    `seconds` is how long a first record may be held back, `gathering` for how long a fetch gathers if many come.
    """

    def __init__(self, options: KafkaOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = self.gathering = 0.0
        self._clock = clock
        self._options = options
        self._max_bytes = FULL * min(options.max_partition_fetch_bytes, options.fetch_max_bytes)
        self._answers: dict[int, _Answer] = {}
        self._answered_at = -math.inf

    def pause(self, leaders: int) -> float:
        """Return the seconds before the next fetches, given the number of leaders: several are asked together."""
        if not self.seconds or leaders < 2:
            return 0.0
        return max(0.0, self._answered_at + self.gathering - self._clock())

    def bounds(self, leader: int, leaders: int) -> tuple[int, int]:
        """Return how many milliseconds a leader, one of `leaders`, may wait, and for how many bytes."""
        options, answer = self._options, self._answers.get(leader)
        if not self.seconds or answer is None:
            return options.fetch_max_wait_ms, options.fetch_min_bytes
        seconds, records = self.seconds, 2
        if leaders > 1:  # after the pause
            seconds = max(0.0, seconds - self.gathering)
        elif (expected := answer.per_second * ROUND * self.gathering) > 2 + ENOUGH:
            seconds, records = min(seconds, LATE * self.gathering), round(expected)
        wait_ms = min(options.fetch_max_wait_ms, round(seconds * 1000))
        nbytes = min((records - ENOUGH) * answer.record_bytes, self._max_bytes)
        return wait_ms, max(options.fetch_min_bytes, round(nbytes))

    def learn(self, leader: int, nbytes: int, records: int) -> None:
        """Note what a fetch has brought."""
        now = self._answered_at = self._clock()
        if records:
            last = self._answers.get(leader)
            took = now - last.at if last is not None else math.inf
            per_second = records / max(took, 0.001)
            if last is not None:  # else it would bring too many and too few in turn
                per_second = (per_second + last.per_second) / 2
            self._answers[leader] = _Answer(now, nbytes / records, per_second)
