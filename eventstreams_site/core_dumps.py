"""Switches core dumps off: the memory of a server holds records that are not yet redacted."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import sys

log = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Keep the kernel and other users' debuggers from writing down the memory of this process and those it forks.

    The limit alone is not enough: the kernel ignores it if core dumps are piped to a program (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        log.warning("Core dumps cannot be switched off (prctl): %s", os.strerror(ctypes.get_errno()))
