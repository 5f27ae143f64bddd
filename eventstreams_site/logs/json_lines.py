"""One record of the log as a JSON object, by structlog: time, level, logger, worker, pid, event, and its fields."""

from __future__ import annotations

import functools
import json
import logging

import structlog
from structlog.typing import EventDict, WrappedLogger

from eventstreams_site.logs.shortened import shortened

LONGEST_TRACEBACK = 32_000
"""Maximum characters of a traceback; its end is kept."""


def _of_record(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["event"] = shortened(str(event["event"]))
    event["pid"] = record.process
    worker = getattr(record, "worker", "")
    if worker:
        event["worker"] = worker
    for name, value in getattr(record, "fields", {}).items():
        event.setdefault(name, value)
    return event


def _bounded_traceback(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    if "exception" in event:
        event["exception"] = event["exception"][-LONGEST_TRACEBACK:]
    return event


def _without_traceback(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event.pop("exc_info", None)
    event.pop("stack_info", None)
    return event


@functools.cache
def formatter(has_traceback: bool) -> structlog.stdlib.ProcessorFormatter:
    """Return a formatter for the standard library's handlers."""
    traceback = [structlog.processors.format_exc_info, _bounded_traceback] if has_traceback else [_without_traceback]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
        ],
        processors=[
            _of_record,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *traceback,
            _ordered,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )


def _ordered(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    first = ("timestamp", "level", "logger", "worker", "pid", "event")
    return {name: event[name] for name in (*first, *sorted(set(event) - set(first))) if name in event}


def _dumps(value: object, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
