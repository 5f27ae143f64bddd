"""The table of bounds in docs/operations.md has the numbers that the code and the settings have."""

from __future__ import annotations

import importlib
import re
from typing import Any

from eventstreams_site.config.settings import SETTINGS
from streams.engine.tuning import Tuning
from tests.support.site import ROOT

TEXT = (ROOT / "docs/operations.md").read_text()
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| `([\w.]+)` \| `(\w+)` \|$",
    TEXT.partition("## Bounds\n")[2].partition("\n## ")[0],
    re.MULTILINE,
)
UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024**2}
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def value_of(where: str) -> Any:
    """The number in the code: a setting's default, the engine's tuning, or a constant of a module."""
    if where in DEFAULTS:
        return DEFAULTS[where]
    holder, _, name = where.rpartition(".")
    return getattr(Tuning() if holder == "Tuning" else importlib.import_module(holder), name)


def number(said: str) -> float:
    """What a cell says; a default of 0 is no bound."""
    if said == "any":
        return 0
    amount, _, unit = said.partition(" ")
    return float(amount.replace(",", "")) * UNITS[unit]


def test_each_row_has_the_number_of_the_code() -> None:
    assert len(ROWS) > 40
    wrong = [(what, said, value_of(where)) for what, said, where, _ in ROWS if number(said) != value_of(where)]
    assert not wrong


def test_each_row_has_a_metric_that_is_explained() -> None:
    metrics = TEXT.partition("## Metrics")[2].partition("\n## ")[0]
    assert [metric for *_, metric in ROWS if f"`{metric}`" not in metrics] == []


def test_each_setting_that_bounds_something_has_a_row() -> None:
    bounds = {name for name in DEFAULTS if re.search(r"^max_|_bytes|_limit$|_readers$|^stall_|^drain_", name)}
    assert len(bounds) >= 12
    assert bounds - {where for _, _, where, _ in ROWS} == set()


def test_no_row_is_there_twice() -> None:
    assert len({what for what, *_ in ROWS}) == len({where for _, _, where, _ in ROWS}) == len(ROWS)
