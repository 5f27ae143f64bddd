"""What a row of the benchmarks is: a name, a measurement, and goals that its figures are compared with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from benchmarks.rig import Rig

Figures = dict[str, float]
"""What one round of a row has measured, by name."""


class Goal(NamedTuple):
    """A bound of one figure. Without `figure` in the figures (a peer that is not installed) it is not judged."""

    figure: str
    relation: Literal["≤", "≥"]
    bound: float
    label: str
    """What the figure is, with its unit, for the table."""
    noise: float = 0.0
    """How much it differs from run to run, however small it is."""

    def met(self, figures: Mapping[str, float]) -> bool | None:
        """Return whether the figure meets the goal, None if it was not measured."""
        if self.figure not in figures:
            return None
        value = figures[self.figure]
        return value <= self.bound if self.relation == "≤" else value >= self.bound

    def worse(self, before: float, now: float, share: float) -> bool:
        """Return whether the figure got worse by more than this share of what it was."""
        step = max(share * abs(before), self.noise)
        return now > before + step if self.relation == "≤" else now < before - step


class Options(NamedTuple):
    """How long and how much: a row may take less of it, never more."""

    seconds: int = 5
    """Of each window."""
    events: int = 100_000
    """Of history."""
    churn_seconds: int = 30
    peers: tuple[str, ...] = ()
    """Names of peers that are measured in the same round."""


class Bench(NamedTuple):
    """What a row is run with."""

    rig: Rig
    options: Options


class Row(NamedTuple):
    """One row of the table of goals, which is one command: ``python -m benchmarks.run NAME``."""

    name: str
    what: str
    run: Callable[[Bench], Awaitable[Figures]]
    goals: tuple[Goal, ...] = ()
    watches: str = ""
    """The regression that it is there for."""


def shown(value: float | None) -> str:
    """Return a figure as tables show it."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


HEAD = ("row", "what", "figure", "measured", "goal", "")
VERDICTS = {True: "met", False: "NOT MET", None: "not measured"}


def lines(row: Row, figures: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return the row's lines of the table, one for each goal."""
    return [
        (
            row.name,
            row.what,
            goal.label,
            shown(figures.get(goal.figure)),
            f"{goal.relation} {shown(goal.bound)}",
            VERDICTS[goal.met(figures)],
        )
        for goal in row.goals
    ]


def aligned(table: Sequence[Sequence[str]]) -> str:
    """Return a table as text, with figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in (3, 4) else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )
