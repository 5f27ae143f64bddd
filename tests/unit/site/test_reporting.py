"""What a worker reports: a fault in one report costs that report, and not the socket to the supervisor."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from eventstreams_site.config.config import load_config
from eventstreams_site.process import Process
from eventstreams_site.server import reporting as module
from eventstreams_site.server.control import Frames, Message, frame
from eventstreams_site.server.reporting import Reporting


async def test_a_report_that_fails_is_logged_and_counted_and_the_next_ones_arrive(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise KeyError

    monkeypatch.setattr(module, "STATE_SECONDS", 0.01)
    monkeypatch.setattr(module, "report", fails)
    ours, its = socket.socketpair()
    ours.setblocking(False)
    service = Process(load_config({})).service
    unready, failed = service.unready, 0

    def fails_first() -> list[str]:
        nonlocal failed
        failed += 1
        return fails() if failed <= 2 else unready()  # type: ignore[func-returns-value, return-value]

    monkeypatch.setattr(service, "unready", fails_first)
    await Reporting(service, its).start()
    loop, frames = asyncio.get_running_loop(), Frames()

    async def until(kind: str) -> Message:
        while True:
            data = await loop.sock_recv(ours, 1 << 16)
            assert data, "the socket has been closed"
            if found := [each for each in frames.feed(data) if each["type"] == kind]:
                return found[0]

    async with asyncio.timeout(20):
        assert (await until("state"))["unready"]
        await loop.sock_sendall(ours, frame({"type": "report"}) + frame({"type": "collect"}))
        await until("metrics")
        await until("state")
    ours.close()
    assert "A fault while reporting to the supervisor" in caplog.text
    assert "A fault while answering the supervisor" in caplog.text
    assert 'eventstreams_faults_total{place="answering the supervisor"} 1.0' in service.metrics.text().decode()
