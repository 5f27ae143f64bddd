"""`manage.py serve` that says much more than it should, in every way there is: log lines with and without a traceback,
print(), warnings, and faults that nobody catches, on the event loop and in a thread.

Run by test_stalled_log: ``python -m tests.support.broken.talkative --port N``
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from typing import Any

import django
from django.core.management import execute_from_command_line

log = logging.getLogger("talkative")


class Broken:
    def __del__(self) -> None:
        raise RuntimeError("a finaliser that fails")


def fail() -> None:
    raise RuntimeError("a thread that fails")


async def talk(scope: Any, service: Any) -> Any:
    """`/robots.txt?3000`: 3000 lines at once."""
    for number in range(int(scope["query_string"])):
        log.info("line %s %s", number, "x" * 1000)
        print(f"printed {number}")
    for number in range(20):
        warnings.warn(f"warning {number}", stacklevel=1)
        Broken()
        threading.Thread(target=fail).start()
        asyncio.get_running_loop().call_soon(fail)
        log.info("not %s", "enough", "arguments that fit")
        try:
            fail()
        except RuntimeError:
            log.exception("failed %s", number)
    return redirect(301, "/")


if __name__ == "__main__":
    django.setup()

    from streams.http import views
    from streams.http.answers import redirect

    views.robots = talk
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
