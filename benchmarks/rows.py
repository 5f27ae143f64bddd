"""All rows of the benchmarks, in the order of the table of goals."""

from __future__ import annotations

from benchmarks import connecting, history, live, memory, scaling
from benchmarks.goals import Row

ROWS: dict[str, Row] = {row.name: row for module in (live, scaling, memory, history, connecting) for row in module.ROWS}
