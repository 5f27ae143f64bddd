"""Rows of the limits: what the least that a server can do costs, and as many clients as one process may have.

The floor is a loop of system calls (benchmarks/ssebench/floor.go): the same bytes in as many writes, as often, to as
many sockets with the same options, read by the same clients. All CPU time of both processes counts. Ours has besides:
Kafka (15 to 30 fetches a second), decoding, redaction, ids, the event loop, and the looks of each second.

Both have the same neighbours: the same events are produced to Kafka while the floor is measured, although it reads none
of them. Producer and Kafka take turns with the writer on the same cores, and push what it needs out of their caches.

Two things were wrong with it. It wrote by `syscall.Write`, so that Go's scheduler took an eighth of its CPU time and
moved it between threads: it cost more than the same loop in Python. And it was told how many events share a *read*:
where clients are late, a read takes several writes, so it wrote less often than the server. Now chunks are counted.
"""

from __future__ import annotations

import resource
from functools import partial
from statistics import fmean

from benchmarks.events import producing, to_kafka
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.live import KEEPS_UP, follow
from benchmarks.rig import BenchmarkError
from benchmarks.subjects import ours

RATES = (30, 200)
CLIENTS = (500, 1_000)
MANY, MANY_RATE = 10_000, 10
RAMP = "4ms"
"""Time between two connections: 1,000 a second would take a whole core."""
FILES = MANY + 1_000
"""Open files that the load generator and the server need each."""


async def _times_floor(clients: int, rate: int, bench: Bench) -> Figures:
    """CPU per delivery of ours, and of what writes the same bytes to the same number of sockets, as often.

    They take turns, ours first and last, since a machine's speed changes.
    """
    first = await follow(bench, ours, clients, rate)
    together = max(1.0, first["events_per_write"])
    floors = [await _floor_per_cpu_s(bench, clients, rate, first["bytes_per_delivery"], together) for _ in range(2)]
    last = await follow(bench, ours, clients, rate)
    our, least = fmean(1e6 / each["per_cpu_s"] for each in (first, last)), fmean(1e6 / each for each in floors)
    return {"times_floor": our / least, "floor_us": least, "our_us": our, "events_per_write": together}


async def _floor_per_cpu_s(bench: Bench, clients: int, rate: int, nbytes: float, together: float) -> float:
    """Deliveries per CPU second of the least writer: `nbytes` for each of them, `together` in a write."""
    rig, topics = bench.rig, await bench.rig.topics(prefix="beside")
    async with (
        to_kafka(rig.bootstrap, topics) as send,
        producing(send, rate),
        rig.floor(rate, nbytes, together) as floor,
    ):
        report = await rig.load(
            floor.url, floor.pid, n=clients, ramp="1ms", warm="2s", window=f"{bench.options.seconds}s"
        )
    if "errors" in report or report["client_events_min"] < 1:
        raise BenchmarkError(f"The floor has not served all of {clients} clients: {report}")
    per_cpu: float = report["deliveries_per_cpu_s"]
    return per_cpu


async def _many(bench: Bench) -> Figures:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise BenchmarkError(f"{MANY:,} clients need {FILES:,} open files; `ulimit -Hn` says {hard:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))  # what is started here inherits it
    return await follow(bench, ours, MANY, MANY_RATE, ramp=RAMP, warm="5s")


ROWS = [
    *[
        Row(
            f"floor-{clients}-{rate}",
            f"live, beside the least that a server can do: {clients:,} clients, {rate} events/s",
            partial(_times_floor, clients, rate),
            (Goal("times_floor", "≤", 1.3, "CPU per delivery ÷ CPU per delivery"),),
            "what is done for each write besides the system call",
        )
        for rate in RATES
        for clients in CLIENTS
    ],
    Row(
        f"live-{MANY}-{MANY_RATE}",
        f"live, {MANY:,} clients, {MANY_RATE} events/s, one process",
        _many,
        (
            Goal("keeps_up", "≥", KEEPS_UP, "slowest client has had, of all events"),
            Goal("latency_ms_p99", "≤", 250, "latency p99, ms", noise=2),
            Goal("kb_per_client", "≤", 20, "kB per client"),
        ),
        "what grows with the number of clients: rounds, memory, housekeeping",
    ),
]
