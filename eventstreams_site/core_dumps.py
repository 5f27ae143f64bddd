"""No core dumps: the memory of a server holds records that are not yet redacted, and what was freed of them."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import sys

log = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Let neither the kernel nor another user's debugger write down this process's memory; forked ones inherit that.

    The limit alone does not do: the kernel ignores it where core dumps are piped to a program (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        log.warning("Core dumps cannot be switched off (prctl): %s", os.strerror(ctypes.get_errno()))
