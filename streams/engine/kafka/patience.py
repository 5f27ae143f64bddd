"""How long a broker holds back a first record, so that one fetch brings two of them.

A fetch costs the service as much as some hundred writes, and live clients get two events in a write anyway (see
`Rounds`). Kafka counts bytes, not records: those that the last fetch brought say how many a record takes.
"""

from __future__ import annotations

from streams.engine.kafka.options import KafkaOptions

SECOND_RECORD = 1.5
"""Bytes that a fetch waits for, as a multiple of those of a record: sizes differ, and one must not be enough."""


class Patience:
    """What the fetches of the tail ask of each leader. `seconds` is how long it may wait for a second record."""

    def __init__(self, options: KafkaOptions) -> None:
        self.seconds = 0.0
        self._options = options
        self._record_bytes: dict[int, float] = {}
        """By leader, the bytes of a record in its last fetch that brought any, as Kafka holds them."""

    def bounds(self, leader: int) -> tuple[int, int]:
        """Return how many milliseconds the leader may wait, and for how many bytes."""
        options = self._options
        record = self._record_bytes.get(leader)
        if not self.seconds or record is None:
            return options.fetch_max_wait_ms, options.fetch_min_bytes
        wait_ms = min(options.fetch_max_wait_ms, round(self.seconds * 1000))
        return wait_ms, max(options.fetch_min_bytes, round(SECOND_RECORD * record))

    def learn(self, leader: int, nbytes: int, records: int) -> None:
        """Note what a fetch has brought."""
        if records:
            self._record_bytes[leader] = nbytes / records
