"""Why a connection is refused, as those say it who count connections."""

from __future__ import annotations

from collections.abc import Callable

FULL, TOO_MANY = "overloaded", "too_many"
"""There are too many connections; there are too many of one address."""
Answered = Callable[[str], None]
"""Takes why a connection is refused; empty if it is let in."""
