"""`manage.py serve` with a fault of our own in every stream: it raises after its third event.

Run by test_exception_after_headers: ``python -m tests.support.sabotaged --port N``
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from django.core.management import execute_from_command_line

from streams.engine.fanout import Chunk
from streams.engine.subscription import Subscription

EVENTS = 3
SECRET = "only for the log"

_chunks = Subscription.chunks


async def _sabotaged(self: Subscription) -> AsyncIterator[Chunk]:
    sent = 0
    async with aclosing(_chunks(self)) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            yield chunk
            sent += chunk.events
            if sent >= EVENTS:
                raise RuntimeError(SECRET)


if __name__ == "__main__":
    import sys

    Subscription.chunks = _sabotaged  # type: ignore[method-assign]
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
