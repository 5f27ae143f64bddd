"""Records into events, in bulk: what cannot become one is counted, logged at a bounded rate, and skipped."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import msgspec
import pytest

from redaction.redactor import Redactor
from streams.core.events import Event, Fields, Record
from streams.engine import encoder as module
from streams.engine.encoder import Encoder
from streams.engine.metrics import Metrics
from streams.engine.tuning import DEFAULT


class Raising:
    """A redactor with a fault: it raises what holds a part of the event, the given number of times."""

    version = 1

    def __init__(self, times: int) -> None:
        self.times = times

    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        return False

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        if b"poison" in bytes(event.get("a", b"")) and self.times:
            self.times -= 1
            raise ZeroDivisionError(bytes(event["a"]))
        return False


def records(*values: bytes | None) -> list[Record]:
    return [Record("topic-1", 3, offset, 100, b"secret key", value) for offset, value in enumerate(values)]


def offsets(events: list[Event]) -> list[int]:
    return [event.offset for event in events]


def skipped(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("eventstreams_records_skipped_total", {"reason": reason}) or 0.0


def encoded(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("eventstreams_events_encoded_total") or 0.0


def test_records_that_are_no_events_are_counted_by_reason_and_the_others_pass() -> None:
    metrics = Metrics()
    events = Encoder(Redactor({}), metrics).events(records(b"{}", None, b"secret", None, b'{"a":1}', b'{"a":"\xff"}'))
    assert offsets(events) == [0, 4]
    assert encoded(metrics) == 2
    assert skipped(metrics, "tombstone") == 2
    assert skipped(metrics, "not_json") == 1
    assert skipped(metrics, "bad_utf8") == 1


def test_a_record_that_twice_makes_the_server_raise_is_skipped_and_counted() -> None:
    metrics = Metrics()
    events = Encoder(Raising(times=2), metrics).events(records(b'{"a":"before"}', b'{"a":"poison"}', b'{"a":"after"}'))
    assert offsets(events) == [0, 2]
    assert skipped(metrics, "error_ZeroDivisionError") == 1


def test_a_record_that_makes_the_server_raise_once_is_an_event() -> None:
    metrics = Metrics()
    assert offsets(Encoder(Raising(times=1), metrics).events(records(b'{"a":"poison"}'))) == [0]
    assert encoded(metrics) == 1


def test_the_log_says_where_a_skipped_record_is_and_no_part_of_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Encoder(Raising(times=2), Metrics()).events(records(b"{}", b'{"a":"poison, user: secret"}'))
    (line,) = caplog.records
    text = logging.Formatter().format(line)
    assert line.levelno == logging.WARNING
    assert "topic-1 partition 3 offset 1: error_ZeroDivisionError" in text
    assert "secret" not in text
    assert "poison" not in text
    assert line.exc_info is None


def test_skipped_records_are_logged_at_a_bounded_rate_and_all_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    metrics = Metrics()
    encoder = Encoder(Redactor({}), metrics)
    encoder.events(records(*[None] * 500))
    now += DEFAULT.skipped_log_seconds - 0.1
    encoder.events(records(None))
    assert len(caplog.records) == 1
    now += 0.2
    encoder.events(records(None))
    assert len(caplog.records) == 2
    assert skipped(metrics, "tombstone") == 502


def test_what_may_be_of_a_listed_page_is_not_held_as_a_record() -> None:
    values = [
        b'{"meta":{"domain":"%b"},"title":"Listed","user":"a name"}' % domain
        for domain in (b"ru.wikipedia.org", b"de.wikipedia.org", b"")
    ]
    held = Encoder(Redactor({"ru.wikipedia.org": ["Listed"]}), Metrics()).cacheable(records(*values, b"a name", None))
    assert [type(item) for item in held] == [Event, Record, Event, Event, Event]
    assert [item.offset for item in held] == [0, 1, 2, 3, 4]
    shown = [item.json for item in held if isinstance(item, Event)]
    assert all(b"a name" not in json for json in shown)
    assert [bool(json) for json in shown] == [True, True, False, False], "the last are no events"


def test_all_records_may_be_held_where_no_page_is_listed() -> None:
    given = records(b"{}", b"no event")
    assert Encoder(Redactor({}), Metrics()).cacheable(given) == given
