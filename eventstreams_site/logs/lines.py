"""The format of the log's lines, and a limit for those that repeat. A reader of stderr that stalls delays none.

Each line is formatted, with its traceback, in the thread that logs it: no record crosses threads.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

from eventstreams_site.logs.backlog import Backlog
from eventstreams_site.logs.shortened import shortened

FORMAT = "%(asctime)s %(levelname)s %(origin)s %(name)s: %(message)s"
"""`origin` is the worker's slot and the pid, as `0:4711`; only the pid where there are no workers."""


class Style:
    """How this process writes its log."""

    is_json = False
    worker = ""
    """The slot of this worker, or `supervisor`; empty in a process that has no workers beside it."""

    @classmethod
    def use(cls, log_format: str) -> None:
        """Use `json` or `text`; `auto` is text for people: with DJANGO_DEBUG, and in a terminal."""
        is_debug = os.environ.get("DJANGO_DEBUG", "").strip().lower() in ("1", "true", "yes", "on")
        cls.is_json = log_format == "json" or (log_format == "auto" and not is_debug and not stderr.isatty())


class LineFormatter(logging.Formatter):
    """One line for each record, followed by its traceback: a client's text cannot forge a second line."""

    _has_traceback = True

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the JSON object."""
        record.worker = Style.worker
        if Style.is_json:
            from eventstreams_site.logs import json_lines  # noqa: PLC0415 (11 MB, which text does not need)

            return json_lines.formatter(self._has_traceback).format(record)
        record.origin = f"{Style.worker}:{record.process}" if Style.worker else str(record.process)
        return self.text(record)

    def text(self, record: logging.LogRecord) -> str:
        """Return the line in the format `text`, with the traceback."""
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line, with escaped line ends and at most LONGEST_LINE characters."""
        text = super().formatMessage(record)
        if fields := getattr(record, "fields", None):
            text += "".join(f" {name}={value}" for name, value in fields.items())
        return shortened(text).replace("\r", "\\r").replace("\n", "\\n")


class BriefFormatter(LineFormatter):
    """One line for each record, without its traceback."""

    _has_traceback = False

    def text(self, record: logging.LogRecord) -> str:
        """Return the line alone."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return self.formatMessage(record)


# In a process that was started without them, a client's socket may have their numbers.
stderr = Backlog(2 if sys.__stderr__ is not None else None)
"""All of the log goes here."""
stdout = Backlog(1 if sys.__stdout__ is not None else None)
"""Only print() writes here."""


def render(level: int, name: str, text: str) -> str:
    """Return a line that does not come from a logger."""
    record = logging.LogRecord(name, level, "", 0, "%s", (text,), None)
    return _FORMATTER.format(record)


_FORMATTER = LineFormatter(FORMAT)
stderr.render = stdout.render = render


class Handler(logging.StreamHandler[Backlog]):
    """Writes to the backlog of stderr."""

    def __init__(self) -> None:
        super().__init__(stderr)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Log that a line cannot be formatted; the true stderr, which may block, is not used."""
        stderr.write(
            render(logging.ERROR, record.name, f"this message cannot be formatted: {record.msg!r:.200}") + "\n"
        )

    def close(self) -> None:
        """Wait until the last lines are written, within bounds."""
        stderr.drain()
        super().close()


class RepeatLimit(logging.Filter):
    """Passes at most `burst` lines of a kind in SECONDS; the next one says how many were suppressed.

    A kind is a logger, a level and a text without its arguments. A text without arguments may quote a client, so it
    does not count as part of the kind. With `demote` an ERROR becomes a WARNING: clients can cause it.
    """

    SECONDS = 10.0
    MAX_KINDS = 500
    suppressed = 0
    """Lines that all filters of this process have suppressed."""

    def __init__(self, burst: int = 1, demote: bool = False) -> None:
        super().__init__()
        self._burst = burst
        self._demote = demote
        self._lock = threading.RLock()
        self._kinds: OrderedDict[tuple[object, ...], list[float]] = OrderedDict()
        """Kind → start of its window (time.monotonic), lines in it, lines suppressed."""
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if self._demote and record.levelno >= logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        if record.levelno < logging.WARNING:
            return True
        error = record.exc_info[0] if record.exc_info else None
        kind = (record.name, record.levelno, str(record.msg) if record.args else None, error)
        at = time.monotonic()
        with self._lock:
            window = self._kinds.setdefault(kind, [at, 0, 0])
            suppressed = 0.0
            if at - window[0] >= self.SECONDS:
                suppressed = window[2]
                window[:] = [at, 0, 0]
                self._kinds.move_to_end(kind)
            if window[1] >= self._burst:
                window[2] += 1
                RepeatLimit.suppressed += 1
                return False
            window[1] += 1
            if len(self._kinds) > self.MAX_KINDS:
                self._kinds.popitem(last=False)
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed:.0f} more of this kind were suppressed)"
            record.args = None
        return True


class NotTheDatabase(logging.Filter):
    """Drops failures of requests whose reason is an outage of the database, which has its own lines (`watch.py`).

    What fails for requests alone, such as too many connections or a table that is missing, has a line in SECONDS.
    """

    SECONDS = 60.0
    is_away: ClassVar[Callable[[], bool]] = lambda: False
    """Whether there is an outage that has its own lines."""

    def __init__(self) -> None:
        super().__init__()
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be written."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if type(error).__module__ != "django.db.utils" or type(error).__name__ not in _AWAY:
            return True
        now = time.monotonic()
        if NotTheDatabase.is_away() or now < self._next:
            return False
        self._next = now + self.SECONDS
        record.msg, record.args = "%s: the database failed: %s: %s", (record.getMessage(), type(error).__name__, error)
        record.exc_info = record.exc_text = None
        return True


_AWAY = ("OperationalError", "InterfaceError")


def take_standard_streams() -> None:
    """Send warnings, excepthooks and print() through the backlogs too, so that they never wait."""
    take_warnings()
    for stream in (sys.stderr, sys.stdout):
        if stream is not None:
            stream.flush()
    sys.stderr, sys.stdout = stderr, stdout


def take_warnings() -> None:
    """Log Python's warnings; Twisted would send them to a log that nobody reads."""
    logging.captureWarnings(False)
    logging.captureWarnings(True)


atexit.register(stdout.drain)
atexit.register(stderr.drain)
