"""What each signal does to a server process, and the end of a process: nothing stalls it.

SIGTERM, SIGINT and SIGQUIT drain; a second one ends at once. SIGUSR1 writes the stacks of all threads to stderr. What
would otherwise kill without a word (SIGHUP, SIGUSR2, SIGALRM …) is logged and changes nothing. Only the standard
library is imported: `manage.py` calls `at_start` in its first line.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection
from typing import NoReturn, TextIO

STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
STACKS = signal.SIGUSR1
IGNORED = frozenset(
    {signal.SIGHUP, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO}
    | {signal.SIGPWR, signal.SIGSTKFLT, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)}
)
"""Their default is to end the process, and nobody sends them to a server for that. (Python ignores SIGPIPE.)"""
FLUSH_SECONDS = 0.3
"""What is still to be logged has this time; whoever reads it may have stalled."""
ALARM_SECONDS = 0.3
"""The stacks of a process that does not end are written within this time."""

log = logging.getLogger(__name__)

_stacks: TextIO | None = None
_SS_DISABLE = 2


class _Stack(ctypes.Structure):
    """sigaltstack(2)."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def at_start() -> None:
    """Heed signals from now on: the first process of a container gets none that it has no handler for."""
    for number in STOP:
        signal.signal(number, lambda *_: os._exit(0))
    for number in (*IGNORED, STACKS):
        signal.signal(number, signal.SIG_IGN)


def dump_stacks_on_signal(*, chain: bool = False) -> None:
    """On SIGUSR1, and on a fault such as a segmentation fault: also where the interpreter itself hangs.

    With `chain`, the handler that SIGUSR1 has already is called as well.
    """
    faulthandler.enable(_stderr())
    faulthandler.unregister(STACKS)  # what a fork has inherited
    faulthandler.register(STACKS, _stderr(), all_threads=True, chain=chain)
    # faulthandler gave this thread a stack of some kilobytes for all signals, which a few that come together overflow.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)


def handle(stop: Callable[[], None], *, ignoring: Collection[int] = ()) -> None:
    """In an event loop: call `stop` at the first signal to stop, end at once at the second one."""
    loop = asyncio.get_running_loop()
    heeded: list[int] = []

    def stop_or_end(number: int) -> None:
        heeded.append(number)
        if len(heeded) > 1:
            log.warning("%s again: ending at once", signal.Signals(number).name)
            end(1)
        stop()

    dump_stacks_on_signal()
    for number in STOP - set(ignoring):
        loop.add_signal_handler(number, stop_or_end, number)
    for number in ignoring:
        signal.signal(number, signal.SIG_IGN)
    for number in IGNORED:
        loop.add_signal_handler(number, ignore, number)


def ignore(number: int) -> None:
    """Log that a signal changes nothing."""
    name = signal.Signals(number).name if number < signal.SIGRTMIN else f"signal {number}"
    log.warning("%s is ignored: restart to read a new configuration, SIGTERM stops", name)


def end_within(seconds: float) -> None:
    """See to it that the process has ended by then, whatever hangs: with its stacks in the log, or without a word."""
    faulthandler.dump_traceback_later(max(0.1, seconds - ALARM_SECONDS), file=_stderr(), exit=True)
    with contextlib.suppress(RuntimeError, ValueError):
        asyncio.get_running_loop().remove_signal_handler(signal.SIGALRM)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def end(status: int) -> NoReturn:
    """End the process now. Threads that still wait for something are not waited for."""
    flush = threading.Thread(target=logging.shutdown, daemon=True)
    flush.start()
    flush.join(FLUSH_SECONDS)
    os._exit(status)


def _stderr() -> TextIO:
    """Return stderr; where it is a pipe, so that writing never blocks: the log's reader may have stalled."""
    global _stacks
    if _stacks is None:
        _stacks = sys.stderr
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(2).st_mode):
                _stacks = open(os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK), "w")  # noqa: SIM115
    return _stacks
