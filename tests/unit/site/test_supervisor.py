"""The supervisor lasts: what fails in it ends neither it nor the workers."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from eventstreams_site.server.supervisor import Supervisor
from tests.unit.site.test_host_limits import CHECKED


def test_a_fault_in_one_part_keeps_no_other_from_its_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked: list[str] = []

    def fails(_now: float) -> None:
        raise RuntimeError("can't start new thread")

    with socket.socket() as listener:
        supervisor: Any = Supervisor(CHECKED, listener, 0)
        monkeypatch.setattr(supervisor._operations, "look", fails)
        monkeypatch.setattr(supervisor._reloading, "look", lambda _now: looked.append("reloading"))
        supervisor._look(time.monotonic())
        for each in (supervisor._wake, supervisor._waker):
            each.close()
        supervisor._selector.close()
    assert looked == ["reloading"]
    assert "The supervisor failed at something" in caplog.text
