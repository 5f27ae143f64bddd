"""Plots of the results as SVG: a curve for each server against the number of clients, a panel for each rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#777777")
"""Told apart by who is colour-blind (Okabe and Ito)."""
MARKERS = ("o", "s", "^")


class Point(NamedTuple):
    """One measured point of a plot."""

    server: str
    rate: int
    clients: int
    value: float


def draw(file: Path, label: str, rates: Sequence[int], points: Iterable[Point]) -> None:
    """Draw points with logarithmic axes: what is twice as good is as far apart everywhere."""
    every = list(points)
    servers = list(dict.fromkeys(point.server for point in every))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "eventstreams", "font.size": 9}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
        for panel, rate in zip(panels, rates, strict=True):
            panel.set_title(f"{rate} events/s")
            for server, colour, marker in zip(servers, COLOURS, MARKERS, strict=False):
                own = [point for point in every if (point.server, point.rate) == (server, rate)]
                xs, ys = [point.clients for point in own], [point.value for point in own]
                panel.plot(xs, ys, color=colour, marker=marker, label=server)
            _finish(panel, sorted({point.clients for point in every if point.rate == rate}))
        panels[0].set_ylabel(label)
        panels[0].legend(frameon=False)
        figure.savefig(file, metadata={"Date": None})


def _finish(panel: Axes, clients: Sequence[int]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("clients")
    panel.set_xticks(clients, [f"{number:,}" for number in clients])
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.grid(axis="y", color="#dddddd")
    panel.spines[["top", "right"]].set_visible(False)
