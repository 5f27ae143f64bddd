"""What each signal does to a server process; and how a process ends, which nothing can stall.

SIGTERM, SIGINT and SIGQUIT drain; a second one ends the process at once. SIGUSR1 writes the stacks of all threads to
stderr. Signals that would otherwise kill silently (SIGHUP, SIGUSR2, SIGALRM …) are logged and change nothing. This
module imports the standard library only: `manage.py` calls `at_start` in its first line.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    import asyncio

STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
STACKS = signal.SIGUSR1
RELOAD = signal.SIGHUP
"""For a supervisor; other processes ignore it."""
IGNORED = frozenset(
    {signal.SIGHUP, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO}
    | {signal.SIGPWR, signal.SIGSTKFLT, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)}
)
"""By default these would end the process, and nobody sends them for that. (Python ignores SIGPIPE.)"""
FLUSH_SECONDS = 0.3
"""Maximum seconds for writing the last lines of the log: its reader may have stalled."""
ALARM_SECONDS = 0.3
"""Seconds for writing the stacks of a process that does not end."""

log = logging.getLogger(__name__)

_SS_DISABLE = 2


class _Stack(ctypes.Structure):
    """sigaltstack(2)."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def at_start() -> None:
    """Handle signals from now on: the first process of a container receives only those that it has handlers for."""
    for number in STOP:
        signal.signal(number, lambda *_: os._exit(0))
    for number in (*IGNORED, STACKS):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP | IGNORED)  # a supervisor's process starts with them blocked


def dump_stacks_on_signal(*, chain: bool = False) -> None:
    """Write the stacks on SIGUSR1 and on faults such as a segmentation fault, even if the interpreter hangs.

    With `chain`, the existing handler of SIGUSR1 is called as well.
    """
    faulthandler.enable(_stderr())
    faulthandler.unregister(STACKS)  # inherited by a fork
    faulthandler.register(STACKS, _stderr(), all_threads=True, chain=chain)
    # faulthandler gave this thread a stack of some kilobytes for all signals, which several at once overflow.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)


def handle(loop: asyncio.AbstractEventLoop, stop: Callable[[], None], *, ignoring: Collection[int] = ()) -> None:
    """Call `stop` at the first signal to stop, end at once at the second one."""
    received: list[int] = []

    def stop_or_end(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            log.warning("%s again: ending at once", signal.Signals(number).name)
            end(1)
        stop()

    dump_stacks_on_signal()
    for number in STOP - set(ignoring):
        loop.add_signal_handler(number, stop_or_end, number)
    for other in ignoring:
        signal.signal(other, signal.SIG_IGN)
    for other in IGNORED:
        loop.add_signal_handler(other, ignore, other)


def ignore(number: int) -> None:
    """Log that a signal changes nothing."""
    name = signal.Signals(number).name if number < signal.SIGRTMIN else f"signal {number}"
    log.warning("%s is ignored: restart to load a new configuration, SIGTERM stops", name)


def end_within(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """End the process after `seconds`, even if something hangs: with its stacks in the log, if possible."""
    faulthandler.dump_traceback_later(max(0.1, seconds - ALARM_SECONDS), file=_stderr(), exit=True)
    with contextlib.suppress(RuntimeError, ValueError):
        loop.remove_signal_handler(signal.SIGALRM)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def end(status: int) -> NoReturn:
    """End the process now, without waiting for threads."""
    flush = threading.Thread(target=logging.shutdown, daemon=True)
    flush.start()
    flush.join(FLUSH_SECONDS)
    os._exit(status)


@functools.cache
def _stderr() -> TextIO:
    """Return stderr; if it is a pipe, one whose writes never block: the log's reader may have stalled."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(2).st_mode):
            return open(os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK), "w")
    return sys.stderr
