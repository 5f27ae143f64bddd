"""Memory that a crowd of large answers has left behind is given back to the system."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import Iterator

QUIET_SECONDS = 1.0
"""Seconds without a large answer after which memory is given back."""

_sending = 0
_due: asyncio.TimerHandle | None = None


@contextlib.contextmanager
def large_answer() -> Iterator[None]:
    """Hold while a large answer is sent; a while after the last one, the allocator gives back what it keeps."""
    global _sending, _due
    _sending += 1
    try:
        yield
    finally:
        _sending -= 1
        if _due is not None:
            _due.cancel()
        _due = asyncio.get_running_loop().call_later(QUIET_SECONDS, _give_back)


def _give_back() -> None:
    if not _sending:
        with contextlib.suppress(AttributeError, OSError):  # not the GNU C library
            ctypes.CDLL(None).malloc_trim(0)
