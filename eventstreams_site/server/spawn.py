"""Starts the processes of a supervisor: each is the supervisor's own command line with one more option.

A new interpreter starts for each (no fork): the supervisor is small, and a worker inherits no lock, thread or module.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from eventstreams_site.server import signals
from eventstreams_site.server.options import PART


def spawn(part: str, descriptors: Sequence[int], *more: str) -> int:
    """Start a process that has these descriptors; return its pid. Raises OSError."""
    arguments = [sys.executable, *sys.orig_argv[1:], PART, f"{part}:{','.join(map(str, descriptors))}", *more]
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        # Signals wait until the new process handles them (signals.at_start): until then they would end it.
        blocked = signals.STOP | signals.IGNORED
        return os.posix_spawn(sys.executable, arguments, os.environ, setsigmask=blocked, setsigdef=[signal.SIGCHLD])
    finally:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
