"""What one process reports of itself for the status page: figures at regular times, and more when somebody looks.

Never with an address in clear, a filter's values, or a part of an event: names, numbers and the sentences of `/readyz`.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable
from typing import Any

from prometheus_client.metrics_core import Metric

from streams.http.service import OpenStream, Progress, Service
from streams.http.stream_log import filter_names

SLOWEST = 10
"""Maximum number of slow clients that are reported."""
MAX_STREAMS = 500
"""Maximum number of streams that are reported, those with the most clients."""
MAX_TOPICS = 20
"""Maximum number of partitions that are reported, those that lack most."""
BEHIND_SECONDS = 1.0
"""A client that is further behind, or takes nothing for longer, is slow."""


def figures(service: Service) -> dict[str, dict[str, float | None]]:
    """Return what `LastHour` takes."""
    metrics = service.metrics
    values = _values([*metrics.hub_lag_seconds.collect(), *metrics.readers.collect(), *metrics.reader_queue.collect()])
    counts: dict[str, float | None] = {
        "events_read": _total(metrics.events_in.collect()),
        "events_sent": sum(metrics.sent_counts(0)),
        "bytes_sent": sum(metrics.sent_counts(1)),
    }
    for kind, counter in (
        ("errors", metrics.errors),
        ("faults", metrics.faults),
        ("skipped", metrics.skipped),
        ("ends", metrics.connection_ends),
    ):
        for sample in _samples(counter.collect()):
            counts[f"{kind}.{next(iter(sample.labels.values()))}"] = sample.value
    gauges = {
        "clients": float(len(service.clients)),
        "lag_seconds": values["eventstreams_hub_lag_seconds"],
        "loop_lag_seconds": round(service.loop_lag(), 3),
        "readers": values["eventstreams_history_readers"],
        "waiting": values["eventstreams_history_waiting"],
    }
    return {"gauges": gauges, "counts": counts}


def report(service: Service) -> dict[str, Any]:
    """Return what the page shows of this process."""
    families = list(service.metrics.registry.collect())
    values = _values(families)
    last, read_at = service.refresh.last, service.redaction_read_at
    return {
        "clients": _clients_by_stream(service),
        "open": len(service.clients),
        "connections": len(service.connections),
        "seconds": round(time.monotonic() - service.started_at),
        "rss_bytes": values.get("process_resident_memory_bytes"),
        "loop_lag_seconds": round(service.loop_lag(), 3),
        "slowest": slowest(service.clients),
        "kafka": _kafka(service, values, families),
        "history": {
            "readers": values["eventstreams_history_readers"],
            "limit": service.history.slots.limit,
            "waiting": values["eventstreams_history_waiting"],
        },
        "list": {
            "age_seconds": None if read_at is None else round(time.monotonic() - read_at, 1),
            "pages": values["eventstreams_redacted_pages"],
            "held": values["eventstreams_redaction_held_pages"],
            "missing": values["eventstreams_redaction_missing_pages"],
        },
        "sync": {
            "outcome": None if last is None else last.outcome.value,
            "good_at": service.refresh.last_good_at,
            "streams": values["eventstreams_catalogue_streams"],
        },
        "schemas": _by_label(families, "eventstreams_schemas"),
        "database": {
            "seconds": _worst(families, "eventstreams_database_seconds"),
            "age_seconds": _worst(families, "eventstreams_database_age_seconds"),
        },
        "redactions": _by_label(families, "eventstreams_redactions"),
    }


def slowest(clients: Iterable[OpenStream]) -> list[dict[str, Any]]:
    """Return the clients that are furthest behind or have taken nothing for longest, the slowest first."""
    now = time.monotonic()
    all_ = [client.progress(now) for client in list(clients)]
    slow = [each for each in all_ if max(each.behind_seconds, each.stalled_seconds) >= BEHIND_SECONDS]
    worst = heapq.nlargest(SLOWEST, slow, key=lambda each: (each.behind_seconds, each.stalled_seconds))
    return [_client(each) for each in worst]


def _client(each: Progress) -> dict[str, Any]:
    return {
        "streams": sorted(each.stream.names),
        "filter": filter_names(each.stream.filter),
        "network": each.network,
        "behind_seconds": round(each.behind_seconds, 1),
        "stalled_seconds": round(each.stalled_seconds, 1),
        "open_seconds": round(each.open_seconds),
        "events": each.stream.sent.events if each.stream.sent is not None else None,
    }


def _clients_by_stream(service: Service) -> dict[str, int]:
    counts: dict[str, int] = {}
    for client in list(service.clients):
        for name in client.stream_names:
            counts[name] = counts.get(name, 0) + 1
    return dict(heapq.nlargest(MAX_STREAMS, counts.items(), key=lambda item: item[1]))


def _kafka(service: Service, values: dict[str, float | None], families: Iterable[Metric]) -> dict[str, Any]:
    hub = service.hub
    named = {each.name: each for each in families if each.name.startswith("eventstreams_partition_")}
    lags = {tuple(s.labels.values()): s.value for s in named["eventstreams_partition_lag_records"].samples}
    ages = {tuple(s.labels.values()): s.value for s in named["eventstreams_partition_read_age_seconds"].samples}
    worst = heapq.nlargest(MAX_TOPICS, (key for key in ages if lags[key] or ages[key] > BEHIND_SECONDS), key=ages.get)  # type: ignore[arg-type]
    return {
        "up": bool(values["eventstreams_kafka_up"]),
        "available": hub.available,
        "brokers": [broker._asdict() for broker in service.source.brokers()],
        "partitions": values["eventstreams_hub_partitions"],
        "unread": values["eventstreams_hub_partitions_unread"],
        "leaderless": values["eventstreams_kafka_partitions_leaderless"],
        "lag_records": values["eventstreams_hub_lag_records"],
        "lag_seconds": values["eventstreams_hub_lag_seconds"],
        "held_records": values["eventstreams_kafka_held_records"],
        "behind": [
            {"topic": key[0], "partition": int(key[1]), "lag_records": lags[key], "age_seconds": round(ages[key], 1)}
            for key in worst
        ],
    }


def _samples(families: Iterable[Metric]) -> list[Any]:
    return [sample for each in families for sample in each.samples if not sample.name.endswith("_created")]


def _total(families: Iterable[Metric]) -> float:
    return float(sum(sample.value for sample in _samples(families)))


def _values(families: Iterable[Metric]) -> dict[str, float | None]:
    """Return the values of what has no labels; None for what nobody knows (NaN)."""
    plain = [sample for sample in _samples(families) if not sample.labels]
    return {sample.name: None if math.isnan(sample.value) else sample.value for sample in plain}


def _by_label(families: Iterable[Metric], name: str) -> dict[str, float]:
    samples = _samples(each for each in families if each.name == name)
    return {next(iter(sample.labels.values())): sample.value for sample in samples}


def _worst(families: Iterable[Metric], name: str) -> float | None:
    return max((round(value, 3) for value in _by_label(families, name).values()), default=None)
