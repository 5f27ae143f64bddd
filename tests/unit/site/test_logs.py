"""Lines of the log: how many there are of a kind, how long they are, and that writing them never waits."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError

from eventstreams_site.config.config import load_config
from eventstreams_site.logs import lines
from eventstreams_site.logs.backlog import Backlog
from eventstreams_site.logs.configuration import configuration
from eventstreams_site.logs.lines import FORMAT, LineFormatter, NotTheDatabase, RepeatLimit
from eventstreams_site.logs.shortened import LONGEST_LINE
from eventstreams_site.process import Process
from streams.http.public import PublicRoutes
from streams.http.service import SCOPE_KEY


def record(text: str, *arguments: object, level: int = logging.WARNING, name: str = "a") -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, arguments, None)


def test_of_a_kind_there_is_one_line_in_a_while_and_the_next_says_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    seldom = RepeatLimit()
    assert [seldom.filter(record("by %s", n)) for n in range(5)] == [True, False, False, False, False]
    assert seldom.filter(record("another %s", 1))
    # A text without arguments may be made of what was sent: it is no separate kind.
    assert [seldom.filter(record(f"Invalid Host {n}", name="b")) for n in range(3)] == [True, False, False]
    now[0] = RepeatLimit.SECONDS
    line = record("by %s", 5)
    assert seldom.filter(line)
    assert line.getMessage() == "by 5 (4 more of this kind were suppressed)"
    assert all(seldom.filter(record("by %s", n, level=logging.INFO)) for n in range(5))


def test_what_strangers_cause_is_no_error() -> None:
    line = record("x", level=logging.ERROR)
    assert RepeatLimit(demote=True).filter(line)
    assert (line.levelno, line.levelname) == (logging.WARNING, "WARNING")


def test_a_request_that_fails_for_the_database_has_no_line_besides_those_of_the_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NotTheDatabase, "is_away", lambda: True)

    def failed(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("django.request", logging.ERROR, "", 0, "x", (), (type(error), error, None))

    logs = configuration("INFO")
    assert logs["loggers"]["django.request"]["filters"] == ["not_the_database"]
    passes = NotTheDatabase().filter
    assert not passes(failed(OperationalError("connection refused")))
    assert not passes(failed(InterfaceError("connection already closed")))
    assert passes(failed(ProgrammingError("no such column")))
    assert passes(failed(ValueError("a fault")))
    assert passes(record("x", level=logging.ERROR))


def test_what_the_database_refuses_to_requests_alone_has_a_line_a_minute_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(NotTheDatabase, "is_away", lambda: False)
    error = OperationalError("too many clients already")

    def failed() -> logging.LogRecord:
        info = (OperationalError, error, None)
        return logging.LogRecord("django.request", logging.ERROR, "", 0, "Failed: %s", ("/admin/",), info)

    passes = NotTheDatabase().filter
    lines = [line for line in [failed() for _ in range(3)] if passes(line)]
    assert [line.getMessage() for line in lines] == [
        "Failed: /admin/: the database failed: OperationalError: too many clients already"
    ]
    assert lines[0].exc_info is None
    now[0] = NotTheDatabase.SECONDS
    assert passes(failed())


async def test_a_probe_that_finds_the_process_unready_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    process = Process(load_config({}))
    caplog.clear()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    for path, status in (("/readyz", 503), ("/healthz", 200), ("/metrics", 200), ("/nothing", 404)):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        await PublicRoutes()({**scope, SCOPE_KEY: process.service, "root_path": ""}, receive, send)
        assert next(each["status"] for each in sent if "status" in each) == status, path
        sent.clear()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO] == []


def test_no_number_of_kinds_costs_more_than_so_much() -> None:
    seldom = RepeatLimit()
    for number in range(3 * RepeatLimit.MAX_KINDS):
        seldom.filter(record(f"kind {number} %s", 1))
    assert len(seldom._kinds) <= RepeatLimit.MAX_KINDS


def test_a_line_is_one_line_and_not_endless() -> None:
    text = LineFormatter(FORMAT).format(record("a\nb%s", "x" * 100_000))
    assert "a\\nb" in text
    assert "\n" not in text
    assert len(text) < LONGEST_LINE + 100


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_nothing_waits_for_a_reader_and_what_is_lost_is_said(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    backlog = Backlog(writing, max_lines=100)
    line = "x" * 9_999 + "\n"
    for _ in range(200):
        backlog.write(line)
    assert not backlog.drain(0.05)
    assert backlog.drain(60) is False, "only the first one waits"
    assert backlog.dropped >= 200 - 100 - 7
    seen = b""
    deadline = time.monotonic() + 20
    while b"lines of the log were dropped" not in seen:
        assert time.monotonic() < deadline
        seen += os.read(reading, 1 << 16)
    assert seen.count(b"x" * 9_999) == 200 - backlog.dropped
    assert f" {backlog.dropped} lines of the log were dropped".encode() in seen


def test_bytes_are_bounded_as_well(pipe: tuple[int, int]) -> None:
    backlog = Backlog(pipe[1], max_bytes=1000)
    backlog.write("x" * 1001)
    assert backlog.dropped == 1


def test_where_there_is_no_stderr_nothing_is_written_and_nothing_fails() -> None:
    backlog = Backlog(None)
    print("nowhere", file=backlog)
    assert not backlog.isatty()
    assert backlog.drain()
