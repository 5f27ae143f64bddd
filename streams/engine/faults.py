"""Faults of ours in what runs for all clients: logged and counted, and they stop nothing but the step they arise in.

The log shows what kind a fault is of and where it arose, never its own text, which may quote a record.
"""

from __future__ import annotations

import logging
import time
import traceback

from streams.core.positions import TopicPartition
from streams.engine.metrics import Metrics
from streams.engine.tuning import Tuning

log = logging.getLogger(__name__)

_FILTERING = "applying filters to records"


def without_text(fault: BaseException) -> Exception:
    """Return an exception for the log: the fault's name, stack and causes, without their texts."""
    kind = type(fault)
    shown: Exception = type(kind.__name__, (Exception,), {"__module__": kind.__module__})()
    cause = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    shown.__cause__ = without_text(cause) if cause is not None else None
    return shown.with_traceback(fault.__traceback__)


class Faults:
    """Catches the faults of one part of the engine."""

    def __init__(self, metrics: Metrics, tuning: Tuning) -> None:
        self._metrics = metrics
        self._log_seconds = tuning.log_seconds
        self._skipped_log_seconds = tuning.skipped_log_seconds
        self._logged_at: dict[str, float] = {}
        self._caught: dict[str, Caught] = {}

    def caught(self, doing: str) -> Caught:
        """Log and count an exception in the block, and continue after it; `doing` is one of a few texts."""
        caught = self._caught.get(doing)
        if caught is None:
            caught = self._caught[doing] = Caught(self, doing)
        return caught

    def count(self, doing: str, fault: Exception) -> None:
        """Count a fault, and log it if none of its kind was logged lately."""
        self._metrics.faults.labels(doing).inc()
        now = time.monotonic()
        if now >= self._logged_at.get(doing, float("-inf")) + self._log_seconds:
            self._logged_at[doing] = now
            text = "A fault while %s; retrying (eventstreams_faults_total counts them)"
            log.error(text, doing, exc_info=without_text(fault))

    def skipped_by_filters(self, tp: TopicPartition, offset: int, fault: Exception) -> None:
        """Count a record that a filter could not be applied to: its clients do without it, others get it.

        The log has no part of the record: not the fault's own text, which may name one.
        """
        self._metrics.skipped.labels("filter_error").inc()
        self._metrics.faults.labels(_FILTERING).inc()
        now = time.monotonic()
        if now >= self._logged_at.get(_FILTERING, float("-inf")) + self._skipped_log_seconds:
            self._logged_at[_FILTERING] = now
            *_, place = traceback.walk_tb(fault.__traceback__)
            log.error(
                "Skipped %s partition %s offset %s for filters: %s in %s, line %s (further ones are only counted, as "
                'eventstreams_records_skipped_total{reason="filter_error"}, for %s s)',
                *tp,
                offset,
                type(fault).__name__,
                place[0].f_code.co_name,
                place[1],
                int(self._skipped_log_seconds),
            )


class Caught:
    """The block of `Faults.caught`. It is entered for each write, and costs a fifth of what a generator would."""

    __slots__ = ("_doing", "_faults")

    def __init__(self, faults: Faults, doing: str) -> None:
        self._faults = faults
        self._doing = doing

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, _kind: object, fault: BaseException | None, _traceback: object) -> bool:
        """End the block; an exception that is a fault does not leave it."""
        if not isinstance(fault, Exception):
            return False
        self._faults.count(self._doing, fault)
        return True
