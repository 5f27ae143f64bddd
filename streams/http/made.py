"""What takes long to make and is the same for everyone: made once for one state, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Made(Generic[T]):
    """The newest of it. Everyone who asks while it is being made waits for the same one, without a thread each."""

    def __init__(self) -> None:
        self._state: Any = None
        self._making: asyncio.Future[T] | None = None

    async def of(self, state: Any, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` gives for this state: made before, being made, or begun now. One that fails is forgotten,
        so that the next caller tries again; raises what `make` raises.
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
    """Return a `make` that calls `work` in a thread."""
    return lambda: asyncio.to_thread(work, *arguments)
