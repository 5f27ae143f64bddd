"""Counts failed logins of one address: after FAILURES of them, its logins are refused before a password is compared.

django-axes locks one name from one address, and learns of a failure after the password was compared. A client that
tries many names is stopped here, before its tries cost anything.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque

FAILURES = 20
"""Failed logins of one address in WINDOW_SECONDS after which its logins are refused: an office may share one."""
WINDOW_SECONDS = 900.0
MAX_ADDRESSES = 10_000
"""Addresses that are remembered at a time; the one that failed longest ago is forgotten first."""


class LoginThrottle:
    """Counts a login as failed while it is being tried: sending many at a time is no way around the limit."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        """Address → when each of its tries counted in the window began (time.monotonic, seconds), oldest first."""

    def seconds_locked(self, address: str) -> float:
        """Return how many seconds the address has to wait; 0 if it may try."""
        tries = self._tries.get(address)
        if not tries:
            return 0.0
        now = time.monotonic()
        while tries and now - tries[0] > WINDOW_SECONDS:
            tries.popleft()
        return WINDOW_SECONDS - (now - tries[0]) if len(tries) >= FAILURES else 0.0

    def begin(self, address: str) -> None:
        """Count a try."""
        self._tries.setdefault(address, deque()).append(time.monotonic())
        self._tries.move_to_end(address)
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Take back the newest try: it succeeded, or was not made."""
        tries = self._tries.get(address)
        if tries:
            tries.pop()
        if not tries:
            self._tries.pop(address, None)
