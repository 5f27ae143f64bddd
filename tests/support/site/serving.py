"""A server process for the time of a block."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.site import Site

PATH = "/v2/stream/test"


@asynccontextmanager
async def serving(
    folder: Path,
    bootstrap: str,
    topics: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    ready: bool = True,
    database: Path | str | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """A ready server with the stream `test` of `topics`, or with the streams that a mapping names."""
    streams = topics if isinstance(topics, Mapping) else {"test": topics}
    configured = {name: {"topics": list(of)} for name, of in streams.items()}
    site = Site(folder, bootstrap, configured, database=database, **settings)
    try:
        await asyncio.to_thread(site.start, wait_ready=ready)
        if ready and "--workers" in settings.get("command", ()):
            await all_workers_serve(site)
        yield site
    finally:
        await asyncio.to_thread(site.close)


def workers_of(site: Site) -> list[int]:
    """The process ids of the workers."""
    return [int(pid) for pid in Path(f"/proc/{site.pid}/task/{site.pid}/children").read_text().split()]


async def all_workers_serve(site: Site) -> None:
    """Wait until each worker has read the streams: `/readyz` is answered by one that is ready, if any is."""
    async with asyncio.timeout(60):
        while site.log.read_text().count(" streams are exposed, ") < max(1, len(workers_of(site))):
            await asyncio.sleep(0.1)


async def readyz_says(site: Site, text: str, *, expected: bool = True) -> None:
    """Wait until `/readyz` has a sentence, or no longer; it answers 200 all the time."""
    async with asyncio.timeout(30):
        while True:
            status, _, body = await asyncio.to_thread(site.get, "/readyz")
            assert status == 200
            if (text in body.decode()) is expected:
                return
            await asyncio.sleep(0.1)


def freeze(site: Site, seconds: float) -> None:
    """Stop the process (SIGSTOP), and let it continue a while later."""
    os.kill(site.pid, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(seconds, os.kill, site.pid, signal.SIGCONT)
