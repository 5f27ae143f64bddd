"""`manage.py serve` where Kafka takes its time to say where a stream starts, so that clients are being connected.

Run by test_drain: ``python -m tests.support.broken.slow_to_open --port N``
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management import execute_from_command_line

from streams.engine import resume

SECONDS = 2.0

_resolve = resume.resolve


async def _slowly(*arguments: Any) -> Any:
    await asyncio.sleep(SECONDS)
    return await _resolve(*arguments)


if __name__ == "__main__":
    import sys

    resume.resolve = _slowly
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
