"""Batches that cannot be read: tried twice, then skipped, so that one does not stop everybody (wire contract)."""

from __future__ import annotations

import logging
from collections import OrderedDict

from streams.core.positions import TopicPartition
from streams.engine.kafka.batches import Damage
from streams.engine.metrics import Metrics

log = logging.getLogger(__name__)

FAILURES = 2
"""Number of times that a batch must fail to be read before it is skipped."""
MAX_DAMAGED = 1_000
"""Maximum number of such batches that are kept."""


class Damaged:
    """How often each batch could not be read, by its first offset."""

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics
        self._failures: OrderedDict[tuple[TopicPartition, int], int] = OrderedDict()

    def is_given_up(self, tp: TopicPartition, damage: Damage, following: int) -> bool:
        """Count one more failure; return whether to continue at offset `following` from now on."""
        key = tp, damage.first
        failures = self._failures[key] = self._failures.pop(key, 0) + 1
        if failures == 1:
            log.warning("A batch of %s partition %s, offset %s, cannot be read: %r", *tp, damage.first, damage.error)
        elif failures == FAILURES:
            log.error("The offsets %s to %s of %s partition %s are skipped", damage.first, following - 1, *tp)
            if self._metrics is not None:
                self._metrics.skipped.labels("damaged").inc(following - damage.first)
        while len(self._failures) > MAX_DAMAGED:
            self._failures.popitem(last=False)
        return failures >= FAILURES
