"""The log: what its lines look like, and that no line waits for whoever reads stderr (`backlog.py`).

A line is made, with its traceback, where it is logged: no record crosses threads.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import OrderedDict

from eventstreams_site.logs.backlog import Backlog, now

LONGEST_LINE = 8_000
"""Characters of a message: what strangers send, up to 64 kB, may be a part of it."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LineFormatter(logging.Formatter):
    """One line for each record (a traceback follows on its own): a text from outside cannot forge a second one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        text = super().formatMessage(record)
        if len(text) > LONGEST_LINE:
            text = f"{text[:LONGEST_LINE]} ({len(text)} characters in all)"
        return text.replace("\r", "\\r").replace("\n", "\\n")


class BriefFormatter(LineFormatter):
    """Without the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return self.formatMessage(record)


# A process that was started without them may have a client's socket under their numbers.
stderr = Backlog(2 if sys.__stderr__ is not None else None)
"""Where all of the log goes."""
stdout = Backlog(1 if sys.__stdout__ is not None else None)
"""Nothing of ours, but what print() writes."""


class Handler(logging.StreamHandler[Backlog]):
    """Writes to the backlog of stderr."""

    def __init__(self) -> None:
        super().__init__(stderr)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A message that cannot be formatted must not be printed to the true stderr, which may block."""
        stderr.write(f"{now()} ERROR {record.name}: a line of the log could not be made of {record.msg!r:.200}\n")

    def close(self) -> None:
        stderr.drain()
        super().close()


class RepeatLimit(logging.Filter):
    """At most `burst` lines of a kind in SECONDS; the next one says how many were left out.

    A kind is a logger, a level and a text without its arguments; a text that has none may be made of what somebody
    sent, and is none. With `demote` an ERROR becomes a WARNING: strangers cause it.
    """

    SECONDS = 10.0
    MAX_KINDS = 500
    suppressed = 0
    """Lines that were left out in this process, by all filters."""

    def __init__(self, burst: int = 1, demote: bool = False) -> None:
        super().__init__()
        self._burst = burst
        self._demote = demote
        self._lock = threading.RLock()
        self._kinds: OrderedDict[tuple[object, ...], list[float]] = OrderedDict()
        """Kind → when its window began (time.monotonic), lines in it, lines left out."""
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
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
            record.msg = f"{record.getMessage()} ({suppressed:.0f} more of this kind were left out)"
            record.args = None
        return True


def take_standard_streams() -> None:
    """From now on, nothing that prints to stderr or stdout waits either: warnings, excepthooks, print()."""
    take_warnings()
    for stream in (sys.stderr, sys.stdout):
        if stream is not None:
            stream.flush()
    sys.stderr, sys.stdout = stderr, stdout


def take_warnings() -> None:
    """Log warnings, from now on; Twisted would take them for a log that nobody reads."""
    logging.captureWarnings(False)
    logging.captureWarnings(True)


atexit.register(stdout.drain)
atexit.register(stderr.drain)
