"""Rows of growth: what a delivery costs with more clients, more different subscriptions, more processes."""

from __future__ import annotations

import asyncio
import os
from itertools import combinations
from statistics import fmean
from typing import Any

from benchmarks.events import producing, to_kafka
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.live import follow
from benchmarks.proc import connections
from benchmarks.rig import STREAM, BenchmarkError, stream_path
from benchmarks.subjects import ours

STREAMS = 7
SUBSCRIPTIONS = 100
SUBSCRIPTION_RATE = 70
WORKER_CLIENTS = 1_000
WORKERS = 2
BUSY_RATE = 1_000
"""More than one worker can deliver to all clients."""


def subscriptions() -> list[tuple[int, ...]]:
    """Return 100 different combinations of seven streams, four of them on average."""
    return [(0,), *(some for size in range(3, STREAMS + 1) for some in combinations(range(STREAMS), size))]


async def _own_subscriptions(bench: Bench) -> Figures:
    """The same number of deliveries, to clients of one subscription and to clients that share none."""
    names = [f"stream-{number}" for number in range(STREAMS)]
    own = [stream_path(*(names[number] for number in some)) for some in subscriptions()]
    shared = [stream_path(*names[:4])]
    topics = await bench.rig.topics(STREAMS)
    per_cpu = []
    async with (
        bench.rig.server(dict(zip(names, topics, strict=True))) as server,
        to_kafka(bench.rig.bootstrap, topics) as send,
        producing(send, SUBSCRIPTION_RATE),
    ):
        for paths in (shared, own):
            report = await bench.rig.load(
                server.url, server.pid, paths, n=SUBSCRIPTIONS, warm="2s", window=f"{bench.options.seconds}s"
            )
            per_cpu.append(report["deliveries_per_cpu_s"])
    return {"times_cost": per_cpu[0] / per_cpu[1], "per_cpu_s_shared": per_cpu[0], "per_cpu_s_own": per_cpu[1]}


async def _growth(bench: Bench) -> Figures:
    few, many = [await follow(bench, ours, clients, 30) for clients in (100, 1000)]
    return {
        "times_cost": few["per_cpu_s"] / many["per_cpu_s"],
        "per_cpu_s_100": few["per_cpu_s"],
        "per_cpu_s_1000": many["per_cpu_s"],
    }


async def _served_by(bench: Bench, workers: int, clients: int, rate: float) -> tuple[dict[str, Any], list[int]]:
    """What clients report of `workers` workers, and how many of them each worker has."""
    rig, topics = bench.rig, await bench.rig.topics()
    async with (
        rig.server({STREAM: topics[0]}, workers=workers) as server,
        to_kafka(rig.bootstrap, topics) as send,
        producing(send, rate),
    ):
        loading = asyncio.ensure_future(
            rig.load(server.stream(), server.pid, n=clients, ramp="1ms", warm="2s", window=f"{bench.options.seconds}s")
        )
        held: dict[int, int] = {}
        while sum(held.values()) < clients and not loading.done():
            await asyncio.sleep(0.5)
            held = await asyncio.to_thread(connections, server.pid, server.port)
        report = await loading
    if "errors" in report or sum(held.values()) < clients:
        raise BenchmarkError(f"{sum(held.values())} of {clients} clients are connected: {report}")
    return report, list(held.values()) + [0] * (workers - len(held))


async def _workers(bench: Bench) -> Figures:
    """Each worker has as many clients as the one process; taking turns, since a machine's speed changes.

    If the load generator has its own cores, also what they deliver when they are busy.
    """
    roomy = (os.cpu_count() or 1) >= 2 * WORKERS
    rate = BUSY_RATE if roomy else 30
    reports: dict[int, list[dict[str, Any]]] = {1: [], WORKERS: []}
    furthest = 0
    for workers in (1, WORKERS, WORKERS, 1):
        report, held = await _served_by(bench, workers, workers * WORKER_CLIENTS, rate)
        reports[workers].append(report)
        furthest = max(furthest, *(abs(count - WORKER_CLIENTS) for count in held))
    divided, _ = await _served_by(bench, WORKERS, WORKER_CLIENTS, rate)
    one, both = (fmean(1 / each["deliveries_per_cpu_s"] for each in reports[workers]) for workers in reports)
    figures = {
        "spread_percent": furthest / WORKER_CLIENTS * 100,
        "times_per_cpu_s": one / both,
        "times_per_cpu_s_divided": one * divided["deliveries_per_cpu_s"],
        "latency_ms_p99": max(each["latency_ms_p99"] for each in reports[WORKERS]),
    }
    if roomy:
        alone, together = (fmean(each["deliveries_per_s"] for each in reports[workers]) for workers in reports)
        figures["times_deliveries"] = together / alone
    return figures


ROWS = [
    Row(
        "own-subscriptions",
        f"{SUBSCRIPTIONS} clients with a subscription each, against one that they share",
        _own_subscriptions,
        (Goal("times_cost", "≤", 1.5, "CPU per delivery ÷ CPU per delivery"),),
        "work that is done once for each subscription: ids, framing, waking",
    ),
    Row(
        "cost-growth",
        "1,000 clients against 100, 30 events/s",
        _growth,
        (Goal("times_cost", "≤", 1, "CPU per delivery ÷ CPU per delivery"),),
        "work that grows faster than the number of clients",
    ),
    Row(
        "workers",
        f"serve --workers {WORKERS} against one, {WORKER_CLIENTS:,} clients for each worker",
        _workers,
        (
            Goal("spread_percent", "≤", 20, "% that a worker is off its share of clients", noise=10),
            Goal("times_deliveries", "≥", 1.8, "deliveries ÷ deliveries, with 4 cores or more"),
            Goal("times_per_cpu_s", "≥", 0.95, "deliveries per CPU s ÷ deliveries per CPU s"),
        ),
        "that workers share the connections evenly and get in each other's way nowhere",
    ),
]
