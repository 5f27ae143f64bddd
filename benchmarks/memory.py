"""Rows of what stays: memory of clients, live, idle, stalled, coming and going; CPU time while nothing happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.events import producing, to_kafka
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.history import past, read
from benchmarks.proc import peak_rss_kb
from benchmarks.rig import STREAM, BenchmarkError, Rig, Server, stream_path

CLIENTS = 1_000
RATE = 30
FILL_RATE = 1_000
SMALL_RING = 1 << 20
"""So that it is full, and stays as it is, after a second of FILL_RATE."""
KEEPALIVE_SECONDS = 15
READERS_BESIDE = 50
STALL_RATE = 200
CHURN_RATE = 50
DAY_RATE = 200
MINUTE, DAY = 60, 24 * 60 * 60


@contextlib.asynccontextmanager
async def _filled(rig: Rig, rate: float) -> AsyncIterator[Server]:
    """A server whose ring and feed are full, with a stream that continues at that rate."""
    topics = await rig.topics()
    async with (
        rig.server({STREAM: topics[0]}, ring_bytes=SMALL_RING) as server,
        to_kafka(rig.bootstrap, topics) as send,
    ):
        async with producing(send, FILL_RATE):
            await rig.load(server.stream(), server.pid, n=20, warm="1s", window="2s")
        async with producing(send, rate):
            yield server


async def _live(bench: Bench) -> Figures:
    async with _filled(bench.rig, RATE) as server:
        report = await bench.rig.load(
            server.stream(), server.pid, n=CLIENTS, ramp="1ms", warm="2s", window=f"{2 * bench.options.seconds}s"
        )
    return {"kb_per_client": report["rss_kb_per_client"], "drift_kb_per_client": report["rss_drift_kb"] / CLIENTS}


async def _idle(bench: Bench) -> Figures:
    """Nothing but keep-alive comments are sent; the window has a whole round of them."""
    [topic] = await bench.rig.topics()
    async with bench.rig.server({STREAM: topic}) as server:
        await bench.rig.load(server.stream(), server.pid, n=20, warm="0s", window="500ms")
        report = await bench.rig.load(
            server.stream(), server.pid, n=CLIENTS, ramp="1ms", warm="1s", window=f"{KEEPALIVE_SECONDS + 1}s"
        )
    return {
        "cpu_percent": report["server_cpu_percent"],
        "kb_per_client": report["rss_kb_per_client"],
        "drift_kb_per_client": report["rss_drift_kb"] / CLIENTS,
    }


async def _stalled(bench: Bench) -> Figures:
    """The clients that never read join others that do, and have more on their way than sockets hold."""
    options: dict[str, Any] = {"n": READERS_BESIDE, "stalled": CLIENTS, "ramp": "1ms", "window": "12s"}
    async with _filled(bench.rig, STALL_RATE) as server:
        report = await bench.rig.load(server.stream(), server.pid, **options)
    if "errors" in report:
        raise BenchmarkError(f"Readers beside stalled clients were cut: {report['errors']}")
    return {
        "kb_per_stalled": report["rss_kb_per_stalled"],
        "socket_kb_per_stalled": report["socket_kb_per_stalled"],
        "latency_ms_p99": report["latency_ms_p99"],
        "keeps_up": report["client_events_min"] / report["client_events_max"],
    }


async def _churn(bench: Bench) -> Figures:
    """Flat means: in the second half, memory is no higher than in the second quarter."""
    seconds = bench.options.churn_seconds
    async with _filled(bench.rig, RATE) as server:
        report = await bench.rig.load(
            server.stream(), server.pid, mode="churn", rate=CHURN_RATE, stay="2s", window=f"{seconds}s"
        )
    rss = report["rss_kb"]
    early, late = max(rss[len(rss) // 4 : len(rss) // 2]), max(rss[len(rss) // 2 :])
    return {"growth_percent": (late / early - 1) * 100, "rss_mb": late / 1000, "clients": report["served"]}


async def _day(bench: Bench) -> Figures:
    """A minute has more events than the caches hold, so that neither of the two can get by with less."""
    end = time.time() - 1
    minute = [end - number / DAY_RATE for number in range(MINUTE * DAY_RATE, 0, -1)]
    before = bench.options.events
    day = [end - DAY + number * (DAY - MINUTE) / before for number in range(before)]
    topic = await past(bench.rig, [*day, *minute])
    peaks = []
    for times in (minute, [*day, *minute]):
        async with bench.rig.server({STREAM: topic}) as server:
            path = stream_path(STREAM, query=f"?since={int(times[0] * 1000)}")
            await read(bench.rig, server, [path], len(times))
            peaks.append(peak_rss_kb(server.pid))
    return {"times_memory": peaks[1] / peaks[0], "rss_mb_minute": peaks[0] / 1000, "rss_mb_day": peaks[1] / 1000}


_PER_CLIENT = (
    Goal("kb_per_client", "≤", 20, "kB of RSS per client"),
    Goal("drift_kb_per_client", "≤", 1, "kB per client that it grows afterwards", noise=0.5),
)

ROWS = [
    Row(
        "memory-live",
        f"memory, {CLIENTS:,} clients, {RATE} events/s",
        _live,
        _PER_CLIENT,
        "what a client holds: an object more for each, or a reference to events that others have passed",
    ),
    Row(
        "idle",
        f"{CLIENTS:,} clients of a silent stream",
        _idle,
        (Goal("cpu_percent", "≤", 0.5, "% of a core", noise=0.1), *_PER_CLIENT),
        "timers and polls: work that is done for each client although nothing happens",
    ),
    Row(
        "stalled",
        f"{CLIENTS:,} clients that never read, {STALL_RATE} events/s, beside {READERS_BESIDE} that do",
        _stalled,
        (
            Goal("kb_per_stalled", "≤", 64, "kB of RSS per stalled client"),
            Goal("socket_kb_per_stalled", "≤", 256, "kB of kernel memory per stalled client, both ends"),
            Goal("latency_ms_p99", "≤", 75, "latency p99 of the others, ms"),
            Goal("keeps_up", "≥", 0.95, "slowest of the others ÷ fastest"),
        ),
        "backpressure: that what is not read is not held",
    ),
    Row(
        "churn",
        f"clients that come and go, {CHURN_RATE} a second",
        _churn,
        (Goal("growth_percent", "≤", 2, "% that memory grows", noise=1),),
        "what a client leaves behind when it goes",
    ),
    Row(
        "memory-day",
        "memory, `since` 24 hours ago ÷ since a minute ago",
        _day,
        (Goal("times_memory", "≤", 1.05, "highest RSS ÷ highest RSS"),),
        "that history is read as fast as it is sent, and no further ahead",
    ),
]
