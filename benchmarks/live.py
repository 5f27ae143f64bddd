"""Rows of live streams: what it costs to follow one, and how late events are."""

from __future__ import annotations

from benchmarks.events import producing
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.rig import BenchmarkError
from benchmarks.subjects import PEERS, Serving, ours

KEEPS_UP = 0.95
"""Minimum share of the events of the window that the slowest client has had: the last are still on their way."""
TOO_FEW = 0.9
"""Of what was to be published in the window; with less, the row would not be what it says."""

POINTS = {30: (50, 100, 500, 1000, 2000), 200: (50, 500, 1000), 1000: (50,)}
"""Events per second: numbers of clients."""


async def follow(
    bench: Bench, serving: Serving, clients: int, rate: float, *, ramp: str = "1ms", warm: str = "2s"
) -> Figures:
    """Measure clients that follow a stream of `rate` events per second, at a server that is started for them.

    They connect one each `ramp`; the window begins `warm` after the last.
    """
    rig = bench.rig
    async with serving(rig) as subject, producing(subject.send, rate) as produced:
        await rig.warm_up(subject.url, subject.pid)
        report = await rig.load(
            subject.url, subject.pid, n=clients, ramp=ramp, warm=warm, window=f"{bench.options.seconds}s"
        )
    if "errors" in report:
        raise BenchmarkError(f"Not all of {clients} clients were served: {report['errors']} {report['statuses']}")
    start, end = (us / 1e6 for us in report["window_us"])
    sent = produced.between(start, end)
    if sent < TOO_FEW * rate * (end - start):
        raise BenchmarkError(f"The machine is too busy: of {rate} events/s, {sent / (end - start):.0f} were published")
    publishing = produced.publishing_ms(start, end)
    return {
        "per_cpu_s": report["deliveries_per_cpu_s"],
        "cpu_percent": report["server_cpu_percent"],
        **{name: report[name] for name in ("latency_ms_p50", "latency_ms_p99") if name in report},
        **({} if publishing is None else {"publishing_ms_p99": publishing}),
        "kb_per_client": report["rss_kb_per_client"],
        "keeps_up": report["client_events_min"] / sent,
        "bytes_per_delivery": report["bytes_per_delivery"],
        "events_per_write": report["events_per_chunk"],
    }


def goals(clients: int, rate: int) -> tuple[Goal, ...]:
    """Return the goals for this number of clients and events per second."""
    per_cpu = {30: 1.3, 200: 2.0}.get(rate) if clients in (500, 1000) else None
    latency = 10 if clients <= 50 else 250 if clients >= 2000 else 75
    return (
        *([Goal("times nchan", "≥", per_cpu, "deliveries per CPU s ÷ nchan's")] if per_cpu else ()),
        Goal("latency_ms_p99", "≤", latency, "latency p99, ms", noise=2),
        Goal("keeps_up", "≥", KEEPS_UP, "slowest client has had, of all events"),
    )


def _row(clients: int, rate: int) -> Row:
    async def run(bench: Bench) -> Figures:
        figures = await follow(bench, ours, clients, rate)
        for name in bench.options.peers:
            if clients * rate > PEERS[name].most:
                continue
            peer = await follow(bench, PEERS[name].serving, clients, rate)
            figures |= {f"{name} {figure}": value for figure, value in peer.items()}
            figures[f"times {name}"] = figures["per_cpu_s"] / max(1.0, peer["per_cpu_s"])
        return figures

    what = f"live, {clients:,} clients, {rate:,} events/s"
    watches = "what one delivery costs, and how late it is: more work or more system calls for each client and event"
    return Row(f"live-{clients}-{rate}", what, run, goals(clients, rate), watches)


ROWS = [_row(clients, rate) for rate, points in POINTS.items() for clients in points]
