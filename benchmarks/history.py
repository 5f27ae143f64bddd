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
]
