"""Writes the results into the documentation: tables in docs/performance.md and README.md, and plots beside them.

Run after ``python -m benchmarks.run --save``: ``python -m benchmarks.report``. What it writes stands between two
comments, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``; a unit test sees to it that it is of the results file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.goals import Figures, lines, shown
from benchmarks.live import POINTS
from benchmarks.plots import Point, draw
from benchmarks.results import BUSY_PERCENT, Results
from benchmarks.rig import ROOT
from benchmarks.rows import ROWS
from benchmarks.subjects import PEERS

DOCS = ROOT / "docs"
PAGES = (DOCS / "performance.md", ROOT / "README.md")
OURS = "EventStreams"
SUBJECTS = (OURS, *PEERS)

README_ROWS = {
    "live-50-30": "4,100",
    "live-500-30": "cannot keep up with 200",
    "live-500-200": "",
    "live-1000-30": "",
    "history-1-sse": "8,600",
    "history-1-ndjson": "8,600",
}
"""With the service before this one, which was measured once, by the same load on a machine with 2 cores."""


def machine(known: Results) -> str:
    """Return what was measured, on what, and when."""
    rows = known["rows"].values()
    dates = sorted(row["date"][:10] for row in rows)
    busy = [row["busy_percent"] for row in rows]
    facts = {
        "measured": " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        "commits": ", ".join(sorted({row["commit"] for row in rows})),
        "rounds of a row": " or ".join(sorted({str(len(row["rounds"])) for row in rows})),
        **known["machine"],
        "other work on it": f"{min(busy)} to {max(busy)} % of its cores, measured before each row",
    }
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())


def goals(figures: Mapping[str, Figures]) -> str:
    """Return every goal with what was measured."""
    body = [line for name, measured in figures.items() for line in lines(ROWS[name], measured)]
    return _table(("row", "what", "figure", "measured", "goal", ""), [(f"`{name}`", *rest) for name, *rest in body])


def beside_peers(figures: Mapping[str, Figures]) -> str:
    """Return the live rows: deliveries per CPU second and latency, ours and each peer's."""
    wanted = {"per_cpu_s": "per CPU s", "latency_ms_p99": "p99, ms", "kb_per_client": "kB per client"}
    head = ["clients", "events/s", *(f"{subject}: {label}" for label in wanted.values() for subject in SUBJECTS)]
    head.append("until Kafka has an event: p99, ms")
    body = [
        [
            f"{clients:,}",
            f"{rate:,}",
            *(shown(_of(figures[name], subject, figure)) for figure in wanted for subject in SUBJECTS),
            shown(figures[name].get("publishing_ms_p99")),
        ]
        for rate, points in POINTS.items()
        for clients in points
        if (name := f"live-{clients}-{rate}") in figures
    ]
    return _table(head, body)


def speed(figures: Mapping[str, Figures]) -> str:
    """Return what the README shows."""
    head = ("", "events out per CPU second", "the service before", "latency p50, p99", "memory per client")
    body = []
    for name, before in README_ROWS.items():
        if row := figures.get(name):
            p50, p99, kb = (row.get(figure) for figure in ("latency_ms_p50", "latency_ms_p99", "kb_per_client"))
            latency = f"{shown(p50)} ms, {shown(p99)} ms" if p50 and p99 else ""
            memory = f"{shown(kb)} kB" if kb else ""
            body.append((ROWS[name].what, shown(row["per_cpu_s"]), before, latency, memory))
    return _table(head, body)


def caveat(known: Results) -> str:
    """Return a remark about figures that were taken on a busy machine."""
    busiest = max(row["busy_percent"] for row in known["rows"].values())
    if busiest <= BUSY_PERCENT:
        return ""
    return (
        f"\n\n**Preliminary**: other work took up to {busiest} % of the machine meanwhile, so these figures say little."
    )


def blocks(known: Results) -> dict[str, str]:
    """Return what stands between the comments, by name."""
    figures = {name: results.medians(row["rounds"]) for name, row in known["rows"].items()}
    return {
        "machine": machine(known),
        "goals": goals(figures) + caveat(known),
        "peers": beside_peers(figures),
        "speed": speed(figures) + caveat(known),
    }


def written(page: str, texts: Mapping[str, str]) -> str:
    """Return the page with the texts in the places that it has for them."""

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name}: begin -->\n\n{texts[name]}\n\n<!-- {name}: end -->"

    return re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", filled, page, flags=re.DOTALL)


def points(known: Results, figure: str) -> Iterable[Point]:
    """Return what plots show of live rows."""
    for rate, numbers in POINTS.items():
        for clients in numbers:
            row = known["rows"].get(f"live-{clients}-{rate}")
            for subject in SUBJECTS if row else ():
                value = _of(results.medians(row["rounds"]), subject, figure)
                if value:
                    yield Point(subject, rate, clients, value)


def _of(row: Figures, subject: str, figure: str) -> float | None:
    return row.get(figure if subject == OURS else f"{subject} {figure}")


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plot(known: Results, folder: Path = DOCS) -> None:
    """Write the plots."""
    rates = [30, 200]
    draw(folder / "performance-cpu.svg", "deliveries per CPU second", rates, points(known, "per_cpu_s"))
    draw(folder / "performance-latency.svg", "latency p99, ms", rates, points(known, "latency_ms_p99"))


def main() -> None:
    """Write the results into the pages, and draw the plots."""
    known = results.load()
    texts = blocks(known)
    for page in PAGES:
        page.write_text(written(page.read_text(), texts))
    plot(known)


if __name__ == "__main__":
    main()
