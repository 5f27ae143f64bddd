"""The background tasks of a process last: a fault in one is seen, and the task begins again."""

from __future__ import annotations

import asyncio

import pytest

from eventstreams_site import process as module
from eventstreams_site.config.config import load_config
from eventstreams_site.process import Process


async def test_a_background_task_that_fails_is_logged_and_counted_and_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    process = Process(load_config({}))
    looked, secret = 0, "a name"

    async def looks() -> None:
        nonlocal looked
        looked += 1
        if looked <= 2:
            raise KeyError(secret)

    async with asyncio.timeout(20):
        await process._lasting("looking for something", looks)
    assert looked == 3
    assert "A fault while looking for something; retrying" in caplog.text
    assert secret not in caplog.text
    assert 'eventstreams_faults_total{place="looking for something"} 2.0' in process.service.metrics.text().decode()
