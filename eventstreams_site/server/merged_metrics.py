"""The metrics of all workers as one: counters and gauges are summed, and no counter goes back when a worker ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, type, help, and samples: name, labels, value. JSON makes lists of the tuples."""

BY_WORKER = "process_"
"""Metrics with this prefix (memory, files, CPU) are those of a process: they get the label `worker` instead."""

_AGREED: Mapping[str, Callable[[Iterable[float]], float]] = {
    "eventstreams_kafka_up": min,
    "eventstreams_max_connections": min,
    "eventstreams_hub_lag_records": max,
    "eventstreams_hub_lag_seconds": max,
    "eventstreams_hub_oldest_read_seconds": max,
    "eventstreams_partition_read_age_seconds": max,
    "eventstreams_partition_leaderless": max,
    "eventstreams_partition_lag_records": max,
    "eventstreams_partition_lag_seconds": max,
    "eventstreams_partition_held_records": max,
    "eventstreams_kafka_partitions_leaderless": max,
    "eventstreams_event_loop_lag_seconds": max,
    "eventstreams_database_seconds": max,
    "eventstreams_database_age_seconds": max,
    "eventstreams_hub_partitions_unread": max,
    "eventstreams_hub_partitions": max,
    "eventstreams_kafka_held_records": max,
    "eventstreams_kafka_held_seconds": max,
    "eventstreams_catalogue_streams": min,
    "eventstreams_schemas": min,
    "eventstreams_redacted_pages": min,
    "eventstreams_redaction_held_pages": max,
    "eventstreams_redaction_holds": max,
    "eventstreams_redaction_missing_pages": max,
    "eventstreams_redaction_list_version": min,
    "eventstreams_redaction_list_read_timestamp_seconds": min,
    "eventstreams_stream_config_differs": max,
    "eventstreams_stream_config_held": max,
    "eventstreams_stream_config_last_good_timestamp_seconds": min,
}
"""Gauges that describe what all workers share, such as Kafka: a sum would mean nothing, so the worst value counts."""


def families_of(registry: CollectorRegistry) -> list[Family]:
    """Return all metrics of a process, as they are sent to the supervisor."""
    return [
        (each.name, each.type, each.documentation, [(s.name, dict(s.labels), s.value) for s in each.samples])
        for each in registry.collect()
    ]


class MergedMetrics:
    """The metrics of the workers; a worker is known by its pid, and labelled with its slot."""

    def __init__(self) -> None:
        self._live: dict[int, tuple[str, list[Family]]] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        """Of the workers that have ended: the name of each family of counters → that family, as `_Merged` is made."""

    def update(self, pid: int, slot: int | str, families: Iterable[Family]) -> None:
        """Replace the metrics of a worker."""
        self._live[pid] = (str(slot), list(families))

    def end(self, pid: int) -> None:
        """Keep the counters of a worker that has ended, and drop its gauges."""
        slot, families = self._live.pop(pid, ("", []))
        for family in families:
            name, kind, text, _ = family
            if kind not in ("gauge", "unknown"):
                kept = self._ended.setdefault(name, {"kind": kind, "text": text, "samples": {}})
                _add(kept["samples"], family, slot, sum)

    def collect(self) -> list[Metric]:
        """Return the metrics of all workers, as a registry does."""
        merged: dict[str, dict[str, Any]] = {
            name: {**each, "samples": {key: list(values) for key, values in each["samples"].items()}}
            for name, each in self._ended.items()
        }
        for slot, families in self._live.values():
            for family in families:
                name, kind, text, _ = family
                into = merged.setdefault(name, {"kind": kind, "text": text, "samples": {}})
                _add(into["samples"], family, slot, None)
        found = []
        for name, each in sorted(merged.items()):
            metric = Metric(name, each["text"], each["kind"])
            total = _AGREED.get(name, sum)
            for (sample, labels), values in each["samples"].items():
                is_unknown = any(math.isnan(value) for value in values)
                metric.add_sample(sample, dict(labels), math.nan if is_unknown else total(values))
            found.append(metric)
        return found


def _add(
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]],
    family: Family,
    slot: str,
    total: Callable[[Iterable[float]], float] | None,
) -> None:
    """Add the samples of one worker; with `total`, what is there already becomes one value with them."""
    for name, labels, value in family[3]:
        if name.endswith("_created"):
            continue
        named = {**labels, "worker": slot} if family[0].startswith(BY_WORKER) else labels
        values = samples.setdefault((name, tuple(sorted(named.items()))), [])
        values.append(value)
        if total is not None:
            values[:] = [total(values)]
