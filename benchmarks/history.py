"""Rows of history: what it costs to read old events, none of them in the server's memory at first."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.events import Make, produce_history, value
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.rig import STREAM, BenchmarkError, Rig, Server, stream_path

RATE = 30.0
"""Events per second of the past."""
READERS = 10
LIMIT = "60s"
ENDING_CLIENTS, ENDING_EVENTS = 500, 200
ENDS = "eventstreams_stream_ends_total"
ACCEPT = {"sse": "text/event-stream", "ndjson": "application/json"}


async def past(rig: Rig, times: Sequence[float], make: Make = value) -> str:
    """Make a topic that has an event of each of the times."""
    [topic] = await rig.topics(prefix="history")
    await produce_history(rig.bootstrap, topic, times, make)
    return topic


async def read(
    rig: Rig, server: Server, paths: Sequence[str], events: int, *, clients: int = 1, accept: str = ACCEPT["sse"]
) -> Figures:
    """Let clients read `events` events each. Raises BenchmarkError unless each gets all of them, each once."""
    options = {"n": clients, "until": events, "accept": accept, "ramp": "1ms", "window": LIMIT}
    await rig.warm_up(server.stream(), server.pid)
    report = await rig.load(server.url, server.pid, paths, mode="replay", **options)
    if report["finished"] != clients or report["lost"] or report["repeated"]:
        raise BenchmarkError(f"{clients} clients did not get {events} events each within {LIMIT}: {report}")
    return {
        "per_cpu_s": report["events_per_cpu_s"],
        "per_s": report["events_per_s"],
        "first_event_ms": report["first_event_ms_p50"],
    }


async def _topic(bench: Bench) -> tuple[str, list[float]]:
    """The topic that all rows here read, and the times of its events, which end a minute before the first row."""
    shared = bench.rig.shared
    end = float(shared.setdefault("history ends", str(time.time() - 60)))
    times = [end - number / RATE for number in range(bench.options.events, 0, -1)]
    if "history" not in shared:
        shared["history"] = await past(bench.rig, times)
    return shared["history"], times


def _one_range(clients: int, form: str) -> Row:
    async def run(bench: Bench) -> Figures:
        topic, times = await _topic(bench)
        async with bench.rig.server({STREAM: topic}) as server:
            path = stream_path(STREAM, query="?since=0")
            return await read(bench.rig, server, [path], len(times), clients=clients, accept=ACCEPT[form])

    one = clients == 1
    return Row(
        f"history-{clients}-{form}",
        f"history, {'one client' if one else f'{clients} clients of one range'}, {form.upper()}",
        run,
        (Goal("per_cpu_s", "≥", 100_000 if one else 400_000, "events out per CPU s"),),
        "fetching, decoding, encoding and framing old events" if one else "that readers of one range share its events",
    )


async def _ranges(bench: Bench) -> Figures:
    """Each reader has a tenth of the topic to itself, so that nothing is shared."""
    topic, times = await _topic(bench)
    each = len(times) // READERS
    starts = [int(times[number * each] * 1000) for number in range(READERS)]
    paths = [stream_path(STREAM, query=f"?since={start}") for start in starts]
    async with bench.rig.server({STREAM: topic}) as server:
        return await read(bench.rig, server, paths, each, clients=READERS)


async def _ends(bench: Bench) -> Figures:
    """Each client has its own part of the topic, by `until` or by `limit`: all of it comes, then the stream ends."""
    topic, times = await _topic(bench)
    step = (len(times) - ENDING_EVENTS) // ENDING_CLIENTS
    paths = []
    for number in range(ENDING_CLIENTS):
        first = number * step
        until = (
            int(times[first + ENDING_EVENTS] * 1000) if first + ENDING_EVENTS < len(times) else int(time.time() * 1000)
        )
        end = f"until={until}" if number % 2 else f"limit={ENDING_EVENTS}"
        paths.append(stream_path(STREAM, query=f"?since={int(times[first] * 1000)}&{end}"))
    async with bench.rig.server({STREAM: topic}) as server:
        await bench.rig.warm_up(server.stream(), server.pid)
        # One event more than there is to come: the clients wait for it, and the service ends their streams.
        options = {"n": ENDING_CLIENTS, "until": ENDING_EVENTS + 1, "ramp": "1ms", "window": LIMIT}
        report = await bench.rig.load(server.url, server.pid, paths, mode="replay", **options)
        ended = sum(server.metric(f'{ENDS}{{reason="{reason}"}}') for reason in ("until", "limit"))
    wrong = abs(report["events"] - ENDING_CLIENTS * ENDING_EVENTS) + report["lost"] + report["repeated"]
    if ended != ENDING_CLIENTS:
        raise BenchmarkError(f"{ended:g} of {ENDING_CLIENTS} streams ended as asked: {report}")
    return {"per_cpu_s": report["events_per_cpu_s"], "wrong": wrong}


ROWS = [
    _one_range(1, "sse"),
    _one_range(1, "ndjson"),
    _one_range(READERS, "sse"),
    Row(
        "history-ranges",
        f"history, {READERS} clients of different ranges, SSE",
        _ranges,
        (Goal("per_cpu_s", "≥", 80_000, "events out per CPU s"),),
        "that readers of different ranges do not evict each other's events or take turns too often",
    ),
    Row(
        "history-ends",
        f"history, {ENDING_CLIENTS} clients that each read {ENDING_EVENTS} events up to an `until` or a `limit`, SSE",
        _ends,
        (
            Goal("per_cpu_s", "≥", 15_000, "events out per CPU s"),
            Goal("wrong", "≤", 0, "events too many, too few or repeated"),
        ),
        "what an end costs: lookups, and reading to an exact record without the others' steps",
    ),
]
