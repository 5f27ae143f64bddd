"""A text stream whose writes never wait: a bounded queue leads to a thread that writes.

The reader of stderr may stop reading (a full pipe, a terminal on hold). Further lines are then dropped and counted;
once the reader continues, a line says how many. The first write in each process starts the thread, since threads do not
survive a fork.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

MAX_LINES = 10_000
MAX_BYTES = 2 * 1024 * 1024
"""Maximum number and bytes of the lines that wait to be written."""
FLUSH_SECONDS = 2.0
"""Maximum seconds that the end of a process waits for its last lines."""
STUCK_SECONDS = 5.0
"""Seconds of writing one line after which the log counts as stuck."""


class Backlog(io.TextIOBase):
    """A text stream whose writes never wait. `descriptor` is where the thread writes, None for nowhere."""

    def __init__(self, descriptor: int | None, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self.dropped = 0
        """Lines that were dropped since the start of the process."""
        self.render: Callable[[int, str, str], str] = _rendered
        """Makes a line of level, logger and text."""
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Start with an empty queue: the parent process writes what waits there."""
        self._changed = threading.Condition()  # a write may come while one is made, from a finaliser that warns
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._reported = self.dropped = 0
        self._thread: threading.Thread | None = None
        self._writing_since: float | None = None
        self._has_timed_out = self._is_closed = False

    # A text stream, as far as handlers, print() and warnings need one.

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that the thread writes to. Raises OSError if there is none."""
        if self._descriptor is None:
            raise OSError("there is no such stream")
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def flush(self) -> None:
        """Do nothing: only `drain` waits."""

    def close(self) -> None:
        """Do nothing: the stream is open as long as the process runs."""

    def write(self, text: str) -> int:
        """Queue a text, or drop and count it if the queue is full; return its length."""
        if self._descriptor is None:
            return len(text)
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if len(self._waiting) >= self._max_lines or self._bytes + len(data) > self._max_bytes:
                self.dropped += 1
                return len(text)
            self._waiting.append(data)
            self._bytes += len(data)
            self._changed.notify_all()
            if self._thread is None:
                self._start_thread(self._descriptor)
        return len(text)

    def _start_thread(self, descriptor: int) -> None:
        thread = threading.Thread(target=self._run, args=(descriptor, self._changed), name="log", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started now: the next write tries again
            thread.start()
            self._thread = thread

    def drain(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all is written, at most `seconds` and only the first time; return whether it is."""
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._waiting, 0 if self._has_timed_out else seconds)
            self._has_timed_out = not is_done
            return is_done

    @property
    def is_stuck(self) -> bool:
        """Return whether the reader has stalled or has closed the pipe."""
        since = self._writing_since
        return self._is_closed or (since is not None and time.monotonic() - since > STUCK_SECONDS)

    def _run(self, descriptor: int, changed: threading.Condition) -> None:
        while True:
            with changed:
                changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            self._writing_since = time.monotonic()
            is_written = _write(descriptor, data)
            self._writing_since, self._is_closed = None, not is_written
            with changed:
                self._waiting.popleft()
                self._bytes -= len(data)
                if not is_written:
                    self.dropped += 1
                if not self._waiting and self.dropped > self._reported and is_written:
                    lines, self._reported = self.dropped - self._reported, self.dropped
                    text = f"{lines} lines of the log were dropped: nobody read them"
                    self._waiting.append(self.render(logging.WARNING, __name__, text).encode() + b"\n")
                    self._bytes += len(self._waiting[0])
                changed.notify_all()


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it, however long that takes; return False if nobody can ever read it."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another process has made the pipe non-blocking
            select.select([], [descriptor], [], 1.0)
        except OSError:  # nobody will ever read it
            return False
    return True


def _rendered(level: int, name: str, text: str) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S") + f",{time.time() % 1 * 1000:03.0f}"
    return f"{at} {logging.getLevelName(level)} {name}: {text}"
