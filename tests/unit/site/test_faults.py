"""Messages of Twisted's log are in the service's log, at a bounded rate, and counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher

from eventstreams_site.server import faults as module
from eventstreams_site.server.faults import FaultLog


@pytest.fixture
def counted() -> list[None]:
    return []


@pytest.fixture
def twisted(counted: list[None]) -> Logger:
    """A log of Twisted's that is observed."""
    return Logger("there", observer=LogPublisher(FaultLog(lambda: counted.append(None)).observe))


def fail(twisted: Logger) -> None:
    try:
        raise ZeroDivisionError("in a callback")
    except ZeroDivisionError:
        twisted.failure("it failed")


def test_a_failure_is_logged_with_its_traceback(
    twisted: Logger, counted: list[None], caplog: pytest.LogCaptureFixture
) -> None:
    fail(twisted)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "ZeroDivisionError" in caplog.text
    assert "in fail" in caplog.text
    assert "ZeroDivisionError: in a callback" not in caplog.text, "a text may quote a record"
    assert len(counted) == 1


@pytest.mark.parametrize("level", ["warn", "error", "critical"])
def test_an_error_without_a_traceback_is_logged(
    level: str, twisted: Logger, counted: list[None], caplog: pytest.LogCaptureFixture
) -> None:
    getattr(twisted, level)("no more {what}", what="descriptors")
    twisted.info("Timing out client")
    assert "no more descriptors" in caplog.text
    assert len(caplog.records) == len(counted) == 1


def test_the_log_has_one_line_in_a_while_and_the_metric_all(
    twisted: Logger, counted: list[None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now)})
    monkeypatch.setattr(module, "time", clock)
    for _ in range(100):
        fail(twisted)
    assert len(caplog.records) == 1
    now += module.LOG_SECONDS
    fail(twisted)
    assert "(99 more were suppressed)" in caplog.text
    assert len(counted) == 101
