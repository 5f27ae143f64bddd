"""`/metrics` for who asks often: others wait for a few texts at most, and nobody gets an old one unknowingly."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from streams.http import views as module


@pytest.mark.parametrize(("takes", "in_a_row"), [(0.006, 5), (0.0005, 56)])
async def test_a_flood_has_a_tenth_of_the_time_spent_on_texts(
    takes: float, in_a_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, made = 100.0, []

    def text() -> bytes:
        nonlocal now
        now += takes
        made.append(now)
        return b"%f" % now

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, thread_time=lambda: now))
    service: Any = SimpleNamespace(metrics=SimpleNamespace(text=text))
    asked = module.MetricsText()
    while now < 102:
        now += 0.0001
        before = len(made)
        answer = await asked({}, service)
        assert isinstance(answer.content, bytes)
        assert ("Age", "0") not in answer.headers if len(made) > before else ("Age", "0") in answer.headers
        assert now - float(answer.content) <= 11 * takes
    assert len(made) * takes < 0.1 * 2 + 0.025 + 2 * takes
    pauses = [after - before > 2 * takes for before, after in pairwise(made)]
    assert pauses.index(True) + 1 == pytest.approx(in_a_row, abs=3), "seconds in a row"
