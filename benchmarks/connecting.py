"""Rows of connecting: how long the first byte takes, how many connect in a second, and all of them reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.events import producing, to_kafka
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.proc import cpu_seconds
from benchmarks.rig import STREAM, BenchmarkError, Rig, Server, stream_path
from streams.local.processes import free_port

COLD_STREAMS = 15
WARM_RATE, STORM_RATE = 30, 30
CROWD = 1_000
STORM_CLIENTS = 2_000
READS = "eventstreams_history_reads_total"


@contextlib.asynccontextmanager
async def _holding(rig: Rig, url: str, pid: int, clients: int, seconds: int) -> AsyncIterator[None]:
    """Run `clients` clients that follow the stream meanwhile, on another load generator."""
    holding = asyncio.ensure_future(rig.load(url, pid, n=clients, ramp="1ms", warm="0s", window=f"{seconds}s"))
    try:
        await asyncio.sleep(clients / 1000 + 2)
        yield
    finally:
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding


async def _connects(rig: Rig, server: Server, rate: float, seconds: float) -> dict[str, Any]:
    """Clients that leave at their first byte, at that rate."""
    report = await rig.load(server.stream(), server.pid, mode="churn", rate=rate, window=f"{seconds}s", source_ips=50)
    if set(report["statuses"]) != {"HTTP/1.1 200 OK"}:
        raise BenchmarkError(f"Clients got other answers than 200: {report}")
    return report


async def _cold(bench: Bench) -> Figures:
    """Every client is the first one of its stream since the server's start."""
    topics = await bench.rig.topics(COLD_STREAMS + 1, "cold")
    streams = {f"cold-{number}": topic for number, topic in enumerate(topics)}
    took = []
    async with bench.rig.server(streams) as server:
        for name in streams:
            url = server.url + stream_path(name)
            report = await bench.rig.load(url, server.pid, n=1, warm="0s", window="10ms")
            took.append(report["first_byte_ms_p50"])
    return {"first_byte_ms_p50": statistics.median(took[1:])}  # the first one pays for imports


def _warm(crowd: int) -> Row:
    async def run(bench: Bench) -> Figures:
        rig, topics = bench.rig, await bench.rig.topics()
        async with (
            rig.server({STREAM: topics[0]}) as server,
            to_kafka(rig.bootstrap, topics) as send,
            producing(send, WARM_RATE),
            _holding(rig, server.stream(), server.pid, max(1, crowd), 60),
        ):
            report = await _connects(rig, server, 50, bench.options.seconds)
        return {name: report[name] for name in ("first_byte_ms_p50", "first_byte_ms_p99", "server_cpu_ms_per_connect")}

    return Row(
        f"connect-warm-{crowd}" if crowd else "connect-warm",
        "connecting to a stream that has clients" + (f", {crowd:,} of them" if crowd else ""),
        run,
        (Goal("first_byte_ms_p50", "≤", 2, "first byte p50, ms", noise=0.3),),
        "the way from accept to the first byte: database, Kafka or a slow step in it",
    )


async def _connect_rate(bench: Bench) -> Figures:
    """They leave again at their first byte: what is measured is coming and going."""
    rig, topics = bench.rig, await bench.rig.topics()
    async with (
        rig.server({STREAM: topics[0]}) as server,
        to_kafka(rig.bootstrap, topics) as send,
        producing(send, WARM_RATE),
        _holding(rig, server.stream(), server.pid, 1, 60),
    ):
        report = await _connects(rig, server, 1050, bench.options.seconds)
    names = ("connects_per_s", "first_byte_ms_p50", "first_byte_ms_p99", "server_cpu_ms_per_connect")
    return {name: report[name] for name in names}


def _storm(*, restart: bool) -> Row:
    async def run(bench: Bench) -> Figures:
        rig, port, left = bench.rig, free_port(), bench.rig.file("left.json")
        [topic] = topics = await rig.topics()
        async with to_kafka(rig.bootstrap, topics) as send, producing(send, STORM_RATE):
            async with contextlib.AsyncExitStack() as first:
                server = await first.enter_async_context(rig.server({STREAM: topic}, port=port))
                before = await rig.load(
                    server.stream(), server.pid, n=STORM_CLIENTS, ramp="1ms", warm="1s", window="2s", save=left
                )
                if before["clients_with_events"] < STORM_CLIENTS:
                    raise BenchmarkError(f"Not all of {STORM_CLIENTS} clients got events: {before}")
                if not restart:
                    reads = server.metric(READS)
                    return await _resume(rig, server, left, before["server_cpu_s_total"], reads)
            async with rig.server({STREAM: topic}, port=port) as server:
                return await _resume(rig, server, left, cpu_seconds(server.pid), 0)

    after = "onto a server just started" if restart else "from memory"
    return Row(
        "storm-restart" if restart else "storm",
        f"{STORM_CLIENTS:,} clients resume within a second, {after}",
        run,
        (
            Goal("server_cpu_s", "≤", 10 if restart else 3, "server's CPU s until all are up to date"),
            Goal("wrong", "≤", 0, "events lost or repeated, clients left behind"),
            Goal("kafka_reads", "≤", 19, "fetches from Kafka for history", noise=3),
        ),
        "that resuming clients share what they read; that no id loses or repeats an event",
    )


async def _resume(rig: Rig, server: Server, left: object, cpu_before: float, reads_before: float) -> Figures:
    """The clients whose places are in the file `left` reconnect, one every half millisecond."""
    report = await rig.load(
        server.stream(), server.pid, mode="resume", resume=left, ramp="500us", warm="2s", window="60s"
    )
    return {
        "server_cpu_s": report["server_cpu_s_total"] - cpu_before,
        "seconds": report["seconds"],
        "wrong": report["lost"] + report["repeated"] + report["behind"],
        "kafka_reads": server.metric(READS) - reads_before,
        "first_event_ms_p99": report["first_event_ms_p99"],
        **{f"told {error}": float(clients) for error, clients in report.get("told", {}).items()},
    }


ROWS = [
    _warm(0),
    _warm(CROWD),
    Row(
        "connect-cold",
        "connecting to a stream that has no clients yet",
        _cold,
        (Goal("first_byte_ms_p50", "≤", 30, "first byte p50, ms"),),
        "how long the hub takes to watch a topic: a lookup more, or waiting for a fetch that is under way",
    ),
    Row(
        "connect-rate",
        "1,000 connects a second at one process",
        _connect_rate,
        (Goal("connects_per_s", "≥", 1000, "connects served a second"),),
        "CPU time of a connection from accept to close",
    ),
    _storm(restart=False),
    _storm(restart=True),
]
