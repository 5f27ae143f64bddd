"""The reports of all processes that serve become one status, as the page and scripts get it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

SLOWEST = 10
"""Maximum number of slow clients that are shown."""

Report = Mapping[str, Any]


def whole(
    workers: Sequence[Report], hour: Mapping[str, Any], trouble: tuple[Sequence[str], Sequence[str]], note: str = ""
) -> dict[str, Any]:
    """Return the status.

    Args:
        workers: What is known of each process, with its `report` (streams/http/status.py), or None if it has not
            answered.
        hour: The figures of the last hour (`LastHour.as_json`).
        trouble: Why the service is not ready, and its other problems.
        note: A sentence on what is missing; empty if nothing is.
    """
    unready, degraded = trouble
    answered = [each for each in workers if each["report"] is not None]
    reports: list[Report] = [each["report"] for each in answered]
    counts = hour["counts"]
    return {
        "at": round(time.time(), 1),
        "state": "unready" if unready else "degraded" if degraded else "ready",
        "problems": [*unready, *degraded],
        "note": note,
        "workers": [_worker(each) for each in workers],
        "kafka": _kafka([each["kafka"] for each in reports]),
        "streams": _streams(answered),
        "slowest": _slowest(answered),
        "history": _sums([each["history"] for each in reports]),
        **{kind: _of_kind(counts, kind) for kind in ("errors", "faults", "skipped", "ends")},
        "list": _worst([each["list"] for each in reports], {"pages": min}),
        "sync": _worst([each["sync"] for each in reports], {"streams": min, "good_at": min, "outcome": _first}),
        "schemas": _worst([each["schemas"] for each in reports], {"found": min}),
        "database": _worst([each["database"] for each in reports]),
        "redactions": _sums([each["redactions"] for each in reports]),
        "hour": {"seconds": hour["seconds"], "points": hour["points"]},
    }


def _worker(each: Report) -> dict[str, Any]:
    report = each["report"] or {}
    names = ("open", "connections", "seconds", "rss_bytes", "loop_lag_seconds")
    return {**{k: v for k, v in each.items() if k != "report"}, **{name: report.get(name) for name in names}}


def _kafka(found: Sequence[Report]) -> dict[str, Any] | None:
    if not found:
        return None
    merged = _worst(
        [{name: value for name, value in each.items() if name not in ("brokers", "behind")} for each in found],
        {"up": min, "available": min},
    )
    brokers: dict[tuple[Any, Any], Any] = {}
    behind: dict[tuple[Any, Any], Any] = {}
    for each in found:
        for broker in each["brokers"]:
            key = broker["node"], broker["address"]
            if key not in brokers or broker["problem"]:
                brokers[key] = broker
        for partition in each["behind"]:
            key = partition["topic"], partition["partition"]
            if key not in behind or partition["age_seconds"] > behind[key]["age_seconds"]:
                behind[key] = partition
    worst = sorted(behind.values(), key=lambda each: -each["age_seconds"])
    return {**merged, "brokers": list(brokers.values()), "behind": worst[:20]}


def _streams(workers: Sequence[Report]) -> list[dict[str, Any]]:
    by_stream: dict[str, dict[str, int]] = {}
    for each in workers:
        for name, count in each["report"]["clients"].items():
            by_stream.setdefault(name, {})[str(each["worker"])] = count
    rows = [{"stream": n, "clients": sum(c.values()), "by_worker": c} for n, c in by_stream.items()]
    return sorted(rows, key=lambda row: (-row["clients"], row["stream"]))


def _slowest(workers: Sequence[Report]) -> list[dict[str, Any]]:
    clients = [{**client, "worker": each["worker"]} for each in workers for client in each["report"]["slowest"]]
    return sorted(clients, key=lambda each: (-each["behind_seconds"], -each["stalled_seconds"]))[:SLOWEST]


def _of_kind(counts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the counts with this prefix: in the last hour, and since the start."""
    return {name.partition(".")[2]: count for name, count in counts.items() if name.startswith(f"{kind}.")}


def _worst(
    found: Sequence[Report], others: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the highest value of each member, or what `others` returns of all; None where nobody knows."""
    merged: dict[str, Any] = {}
    for name in {name: None for each in found for name in each}:
        values = [each[name] for each in found if each.get(name) is not None]
        merged[name] = others.get(name, max)(values) if values else None
    return merged


def _first(values: Sequence[Any]) -> Any:
    bad = [value for value in values if value in ("failed", "held")]
    return (bad or values)[0]


def _sum(values: Any) -> float:
    return sum(value or 0 for value in values)


def _sums(found: Sequence[Report]) -> dict[str, float]:
    return {name: _sum(each.get(name) for each in found) for name in {name: None for each in found for name in each}}
