"""What the tests of ends share."""

from __future__ import annotations

import pytest

from streams.engine.terms import end
from tests.support.engine.ends import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(end, "time", clock)
    return clock
