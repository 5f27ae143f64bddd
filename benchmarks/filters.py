"""Rows of filters: what it costs to find the clients that want an event, live, and to read past what a client skips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from benchmarks.events import RANKS, TITLES, WIKIS, producing, to_kafka, varied
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.history import LIMIT, past
from benchmarks.rig import STREAM, BenchmarkError, stream_path

CLIENTS = 1_000
RATE = 200
ONE_IN = 10
"""The filter that all clients share matches one event in ten."""
HISTORY_ONE_IN = 100


async def _follow(bench: Bench, queries: Sequence[str], rate: float) -> dict[str, Any]:
    """Return what a thousand clients report, with the queries in turn, of a stream at `rate` events per second."""
    rig = bench.rig
    [topic] = await rig.topics()
    async with (
        rig.server({STREAM: topic}) as server,
        to_kafka(rig.bootstrap, [topic]) as send,
        producing(send, rate, varied),
    ):
        await rig.warm_up(server.stream(), server.pid)
        paths = [stream_path(STREAM, query=query) for query in queries]
        report = await rig.load(
            server.url, server.pid, paths, n=CLIENTS, ramp="1ms", warm="2s", window=f"{bench.options.seconds}s"
        )
    if "errors" in report:
        raise BenchmarkError(f"Not all of {CLIENTS} clients were served: {report['errors']} {report['statuses']}")
    return report


async def _one_filter(bench: Bench) -> Figures:
    """A thousand clients with one filter, and a thousand without that get the same number of events."""
    wikis = ",".join(f"w{number}" for number in range(0, WIKIS, ONE_IN))
    filtered = await _follow(bench, [f"?wiki={wikis}"], RATE)
    plain = await _follow(bench, [""], RATE / ONE_IN)
    per_cpu = [report["deliveries_per_cpu_s"] for report in (filtered, plain)]
    return {
        "times_per_cpu_s": per_cpu[0] / per_cpu[1],
        "per_cpu_s": per_cpu[0],
        "per_cpu_s_unfiltered": per_cpu[1],
        "deliveries_per_s": filtered["deliveries_per_s"],
        "latency_ms_p99": filtered["latency_ms_p99"],
    }


def by_title_or_wiki() -> list[str]:
    """Return a thousand different filters; about five of them want each event, and all can be found by an index."""
    titles = [f"?title={quote(f'Page {n % TITLES}')}{'' if n < TITLES else '&bot=true'}" for n in range(2 * TITLES)]
    wikis = [f"?wiki=w{n % WIKIS},w{(n + 37) % WIKIS}&namespace=14,{100 + n}" for n in range(CLIENTS - len(titles))]
    return titles + wikis


def by_where() -> list[str]:
    """Return a thousand different filters of which no index helps with any; five of them want each event."""
    return [f"?where={quote('rank>=')}{n}&where={quote('rank<')}{n + 5}" for n in range(RANKS)]


async def _different(bench: Bench, queries: Sequence[str]) -> Figures:
    report = await _follow(bench, queries, RATE)
    return {
        "cpu_percent": report["server_cpu_percent"],
        "latency_ms_p99": report["latency_ms_p99"],
        "kb_per_client": report["rss_kb_per_client"],
        "wanted_by": report["deliveries_per_s"] / RATE,
    }


async def _history(bench: Bench) -> Figures:
    """One client that reads all of a topic, and one with a filter that skips nearly all of it."""
    events = bench.options.events // HISTORY_ONE_IN * HISTORY_ONE_IN
    end = time.time() - 60
    topic = await past(bench.rig, [end - number / 30 for number in range(events, 0, -1)], varied)
    few = ",".join(f"w{number}" for number in range(0, WIKIS, HISTORY_ONE_IN))
    examined = []
    for query, wanted in (("", events), (f"&wiki={few}", events // HISTORY_ONE_IN)):
        async with bench.rig.server({STREAM: topic}) as server:
            await bench.rig.warm_up(server.stream(), server.pid)
            report = await bench.rig.load(
                server.url,
                server.pid,
                [stream_path(STREAM, query=f"?since=0{query}")],
                mode="replay",
                n=1,
                until=wanted,
                ramp="1ms",
                window=LIMIT,
            )
        if report["finished"] != 1 or report["repeated"]:
            raise BenchmarkError(f"A client did not get {wanted} events within {LIMIT}: {report}")
        examined.append(report["events_per_cpu_s"] * events / wanted)
    return {
        "times_per_cpu_s": examined[1] / examined[0],
        "examined_per_cpu_s": examined[1],
        "per_cpu_s_unfiltered": examined[0],
    }


def _row_of_different(name: str, what: str, queries: Sequence[str], percent: float) -> Row:
    async def run(bench: Bench) -> Figures:
        return await _different(bench, queries)

    return Row(
        name,
        f"{CLIENTS:,} clients with a filter each, {what}, {RATE} events/s",
        run,
        (
            Goal("cpu_percent", "≤", percent, "% of a core", noise=2),
            Goal("latency_ms_p99", "≤", 75, "latency p99, ms", noise=2),
            Goal("kb_per_client", "≤", 30, "kB of RSS per client"),
        ),
        "that an event visits no filter that cannot want it, and is decoded once for all of them",
    )


ROWS = [
    Row(
        "filter-shared",
        f"{CLIENTS:,} clients with one filter for 1 in {ONE_IN} of {RATE} events/s, against as many unfiltered",
        _one_filter,
        (Goal("times_per_cpu_s", "≥", 0.8, "deliveries per CPU s ÷ deliveries per CPU s"),),
        "what an event costs that nobody wants",
    ),
    _row_of_different("filters-indexed", "by title or wiki", by_title_or_wiki(), 15),
    _row_of_different("filters-where", "by `where` alone", by_where(), 60),
    Row(
        "filter-history",
        f"history, one client, a filter for 1 event in {HISTORY_ONE_IN}, against one without",
        _history,
        (Goal("times_per_cpu_s", "≥", 1.5, "events examined per CPU s ÷ events out per CPU s"),),
        "that what a filter skips is neither made an event nor sent",
    ),
]
