"""`manage.py serve` with a planted fault in every stream: it raises after its third event, one or the other.

Run by test_exception_after_headers: ``python -m tests.support.broken.sabotaged --port N``
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing

from django.core.management import execute_from_command_line

from streams.engine.subscription import Subscription
from streams.engine.tail.chunk import Chunk

EVENTS = 3
SECRET = "only for the log"

FAULTS = (RuntimeError, TimeoutError, ConnectionResetError, asyncio.CancelledError, OSError)
"""Some of them look like a client that leaves, and one like a stream that is ended."""

_chunks = Subscription.chunks
_faults = itertools.cycle(FAULTS)


async def _sabotaged(self: Subscription) -> AsyncIterator[Chunk]:
    sent = 0
    async with aclosing(_chunks(self)) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            yield chunk
            sent += chunk.events
            if sent >= EVENTS:
                raise next(_faults)(SECRET)


if __name__ == "__main__":
    import sys

    Subscription.chunks = _sabotaged  # type: ignore[method-assign]
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
