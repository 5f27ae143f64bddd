"""What the service costs and how fast it is, against a real Kafka and real sockets: a table, then JSON.

Watches deliveries per CPU second of the server (live, with 50 and with 500 clients) and events per CPU second of one
client that reads history. Run from the repository: ``make bench`` or ``python -m benchmarks.run`` (needs Java, Go and
Linux; takes about two minutes). All is on loopback, in a temporary folder; nothing is left behind. Figures are per
second of the server's own CPU time, so that a busy machine disturbs them less; the median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.events import produce_history, produce_steadily
from benchmarks.rig import STREAM, BenchmarkError, Rig, rig
from streams.local_kafka import LocalKafkaError

PATH = f"/v2/stream/{STREAM}"
HISTORY_RATE = 30.0
TIME_LIMIT_SECONDS = 230.0
"""All of it; a round that would last longer is cut off with an error."""

OLD_SERVICE = {"live_50": "4,100", "live_200": "cannot keep up", "history": "8,600"}
"""The service that this one replaces, with the same events and load generator on a machine with 2 cores."""


class Row(NamedTuple):
    """One line of the table: `figures` of one case, over its rounds."""

    case: str
    old: str
    figures: dict[str, float]
    rounds: list[dict[str, float]]


async def live(rig: Rig, clients: int, rate: float, seconds: int) -> dict[str, float]:
    """Clients that follow a stream of `rate` events per second."""
    topic = await rig.topic(f"live-{clients}-{os.urandom(4).hex()}")
    async with rig.server(topic) as server:
        producing = asyncio.ensure_future(produce_steadily(rig.bootstrap, topic, rate))
        try:
            await rig.clients(server, PATH, n=1, warm="500ms", window="1s")  # what only the first client costs
            report = await rig.clients(server, PATH, n=clients, warm="2s", window=f"{seconds}s")
        finally:
            producing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await producing
        if report["clients_with_events"] != clients or "errors" in report:
            raise BenchmarkError(f"Not all of {clients} clients got events: {report}")
    return {
        "per_cpu_s": report["deliveries_per_cpu_s"],
        "cpu_percent": report["server_cpu_cores"] * 100,
        "events_per_client_per_s": report["events_per_client_per_s"],
        "latency_ms_p50": report["latency_ms_p50"],
        "latency_ms_p99": report["latency_ms_p99"],
        "kb_per_client": report["rss_kb_per_client"],
    }


async def history(rig: Rig, topic: str, events: int, accept: str) -> dict[str, float]:
    """One client that reads `events` old events, none of them in the server's memory."""
    async with rig.server(topic) as server:
        path = f"{PATH}?since=0"
        report = await rig.clients(server, path, n=1, accept=accept, until=events, window="60s")
        if report["finished"] != 1:
            raise BenchmarkError(f"{events} events of history did not arrive within a minute: {report}")
    return {
        "per_cpu_s": report["events_per_cpu_s"],
        "events_per_s": report["events_per_s"],
        "first_event_ms": report["first_event_ms_p50"],
        "rss_mb": report["rss_mb"],
    }


async def run(rig: Rig, options: argparse.Namespace) -> list[Row]:
    rows = []
    for clients in options.clients:
        rounds = [await live(rig, clients, options.rate, options.seconds) for _ in range(options.rounds)]
        old = OLD_SERVICE["live_50" if clients <= 50 else "live_200"]
        rows.append(Row(f"live, {clients} clients, {options.rate:g}/s", old, medians(rounds), rounds))
    topic = await rig.topic("history")
    await produce_history(rig.bootstrap, topic, options.events, HISTORY_RATE)
    for name, accept in (("SSE", "text/event-stream"), ("NDJSON", "application/json")):
        rounds = [await history(rig, topic, options.events, accept) for _ in range(options.rounds)]
        case = f"history, 1 client, {options.events:,} events, {name}"
        rows.append(Row(case, OLD_SERVICE["history"], medians(rounds), rounds))
    return rows


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def table(rows: Sequence[Row]) -> str:
    head = ("", "events out / CPU s", "old service", "p50 ms", "p99 ms", "kB / client", "events / s")
    lines = [head]
    for row in rows:
        figure = row.figures
        lines.append(
            (
                row.case,
                f"{figure['per_cpu_s']:,.0f}",
                row.old,
                *(_shown(figure, name, ".1f") for name in ("latency_ms_p50", "latency_ms_p99", "kb_per_client")),
                _shown(figure, "events_per_s", ",.0f"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _shown(figures: dict[str, float], name: str, form: str) -> str:
    return format(figures[name], form) if name in figures else ""


async def _within_time(rig: Rig, options: argparse.Namespace) -> list[Row]:
    try:
        async with asyncio.timeout(TIME_LIMIT_SECONDS):
            return await run(rig, options)
    except TimeoutError:
        raise BenchmarkError(f"Not done after {TIME_LIMIT_SECONDS:g} s; ask for fewer rounds or events") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each case (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="*", default=[50, 500], help="live cases (default: 50 500)")
    parser.add_argument("--rate", type=float, default=30.0, help="live events per second (default: %(default)g)")
    parser.add_argument("--seconds", type=int, default=10, help="measured, of each live round (default: %(default)s)")
    parser.add_argument("--events", type=int, default=100_000, help="of history (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # that what was started is ended, and the folder removed
    try:
        with rig() as started:
            rows = asyncio.run(_within_time(started, options))
    except (BenchmarkError, LocalKafkaError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    print(table(rows), end="\n\n")
    results: list[dict[str, Any]] = [row._asdict() for row in rows]
    print(json.dumps({"benchmark": "run", "cores": os.cpu_count(), "results": results}))


if __name__ == "__main__":
    main()
