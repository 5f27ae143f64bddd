"""`/metrics` for who asks often: others wait for a few texts at most, and nobody gets an old one."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from streams.http import views as module


async def test_a_flood_has_few_texts_made_in_a_row_and_then_twenty_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, made = 100.0, []

    def text() -> bytes:
        made.append(now)
        return b"%f" % now

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    service: Any = SimpleNamespace(metrics=SimpleNamespace(text=text))
    asked = module.MetricsText()
    for _ in range(1_000):
        now += 0.001
        answer = await asked({}, service)
        assert isinstance(answer.content, bytes)
        assert now - float(answer.content) <= 0.051
    assert len(made) == pytest.approx(20, abs=5)
    assert made[3] < 100.05 < made[4], "four in a row"
    assert min(after - before for before, after in pairwise(made[4:])) > 0.045
