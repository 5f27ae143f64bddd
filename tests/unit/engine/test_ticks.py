"""Regular looks are together: each waits for the next whole multiple of its seconds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from streams.engine import ticks


@pytest.mark.parametrize(
    ("seconds", "now", "left"),
    [
        (1.0, 7.25, 0.75),
        (0.5, 7.25, 0.25),
        (1.0, 8.0, 1.0),
        (1.0, 7.999, 1.001),  # its timer was early
        (0.05, 7.26, 0.04),
    ],
)
def test_a_look_waits_for_the_next_multiple_of_its_seconds(
    seconds: float, now: float, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "time", SimpleNamespace(monotonic=lambda: now))
    assert ticks.until_next(seconds) == pytest.approx(left)
