"""All rows of the benchmarks, in the order of the table of goals."""

from __future__ import annotations

from benchmarks import compression, connecting, filters, floor, history, live, memory, scaling
from benchmarks.goals import Row

MODULES = (live, floor, filters, scaling, memory, history, compression, connecting)
ROWS: dict[str, Row] = {row.name: row for module in MODULES for row in module.ROWS}
