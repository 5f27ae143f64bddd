"""`manage.py serve` whose process hangs at SIGUSR2: in a C call that keeps the interpreter's lock.

Run by tests of what becomes of it: ``python -m tests.support.broken.hanging --port N --workers 2``
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from django.core.management import execute_from_command_line

from eventstreams_site.server import signals

HANG = signal.SIGUSR2
SAID = b"It hangs\n"

_ignore = signals.ignore


def hang_in_c(number: int) -> None:
    """Take the place of `signals.ignore`, which is called in the event loop."""
    if number == HANG:
        os.write(2, SAID)
    while number == HANG:  # a signal ends one sleep
        ctypes.PyDLL(None).sleep(600)
    _ignore(number)


if __name__ == "__main__":
    signals.at_start()
    signals.ignore = hang_in_c
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
