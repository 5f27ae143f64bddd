"""Values that take long to make and are the same for all clients: made once for each state, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Made(Generic[T]):
    """The newest value. Callers that come while it is being made wait for the same one."""

    def __init__(self) -> None:
        self._state: Any = None
        self._making: asyncio.Future[T] | None = None

    async def of(self, state: Any, make: Callable[[], Awaitable[T]]) -> T:
        """Return the value for this state, making it if it is not there.

        A failure is raised to all callers that wait, and forgotten, so that the next caller tries again.
        """
        if self._making is None or self._state != state:
            self._state = state
            self._making = asyncio.ensure_future(make())
        making = self._making
        try:
            return await asyncio.shield(making)
        except Exception:
            if self._making is making:
                self._making = None
            raise


def in_thread(work: Callable[..., T], *arguments: Any) -> Callable[[], Awaitable[T]]:
    """Return a `make` for `Made.of` that calls `work` in a thread."""
    return lambda: asyncio.to_thread(work, *arguments)
