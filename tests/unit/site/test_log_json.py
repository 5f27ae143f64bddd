"""Lines of the log as JSON, and which process wrote a line."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from eventstreams_site.logs import json_lines, lines
from eventstreams_site.logs.lines import FORMAT, BriefFormatter, LineFormatter, Style
from eventstreams_site.logs.shortened import LONGEST_LINE


@pytest.fixture(autouse=True)
def style(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Style, "is_json", True)
    monkeypatch.setattr(Style, "worker", "1")


def record(text: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.WARNING, "", 0, text, arguments, None)
    made.__dict__.update(more)
    return made


def test_a_line_is_an_object_that_names_worker_and_pid() -> None:
    line = LineFormatter(FORMAT).format(record("a\nb %s", "\u2028é", fields={"events": 3, "pid": "forged"}))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "a.b",
        "worker": "1",
        "pid": os.getpid(),
        "event": "a\nb \u2028é",
        "events": 3,
    }


def test_a_process_without_workers_names_its_pid_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Style, "worker", "")
    found = json.loads(LineFormatter(FORMAT).format(record("x")))
    assert "worker" not in found
    assert found["pid"] == os.getpid()


def test_text_has_the_same_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Style, "is_json", False)
    line = LineFormatter(FORMAT).format(record("ended", fields={"events": 3, "filter": "wiki"}))
    assert line.endswith(f" WARNING 1:{os.getpid()} a.b: ended events=3 filter=wiki")


def test_a_field_cannot_forge_a_line_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Style, "is_json", False)
    assert "\n" not in LineFormatter(FORMAT).format(record("ended", fields={"streams": "a\nERROR b"}))


def test_messages_and_tracebacks_are_bounded_and_brief_lines_have_none() -> None:
    try:
        raise ValueError("y" * 100_000)
    except ValueError:
        made = record("x" * 100_000, exc_info=sys.exc_info())
    found = json.loads(LineFormatter(FORMAT).format(made))
    assert len(found["event"]) < LONGEST_LINE + 100
    assert 0 < len(found["exception"]) <= json_lines.LONGEST_TRACEBACK
    assert "exception" not in json.loads(BriefFormatter(FORMAT).format(made))


def test_a_line_that_no_logger_wrote_has_the_same_form() -> None:
    assert json.loads(lines.render(logging.ERROR, "c", "lost"))["event"] == "lost"
    assert lines.stderr.render is lines.render


@pytest.mark.parametrize(
    ("log_format", "debug", "is_json"),
    [("json", "true", True), ("text", "", False), ("auto", "true", False), ("auto", "", True)],
)
def test_production_writes_json(log_format: str, debug: str, is_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_DEBUG", debug)
    monkeypatch.setattr(type(lines.stderr), "isatty", lambda _: False)
    Style.use(log_format)
    assert Style.is_json is is_json
