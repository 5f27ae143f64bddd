"""Faults of ours in what runs for all clients: logged and counted, and they stop nothing but the step they arise in."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from streams.engine.metrics import Metrics
from streams.engine.tuning import Tuning

log = logging.getLogger(__name__)


class Faults:
    """Catches the faults of one part of the engine."""

    def __init__(self, metrics: Metrics, tuning: Tuning) -> None:
        self._metrics = metrics
        self._log_seconds = tuning.log_seconds
        self._logged_at: dict[str, float] = {}

    @contextlib.contextmanager
    def caught(self, doing: str) -> Iterator[None]:
        """Log and count an exception in the block, and continue after it; `doing` is one of a few texts."""
        try:
            yield
        except Exception:
            self._metrics.faults.labels(doing).inc()
            now = time.monotonic()
            if now >= self._logged_at.get(doing, float("-inf")) + self._log_seconds:
                self._logged_at[doing] = now
                log.exception("A fault while %s; retrying (eventstreams_faults_total counts them)", doing)
