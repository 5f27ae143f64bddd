"""What a load balancer sees: probes at a steady pace, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

from tests.support.client.flood import Request, flood
from tests.support.engine import cancel
from tests.support.site import Site

PATHS = ("/healthz", "/readyz", "/metrics", "/_info")
EVERY_SECONDS = 0.025
AFTER_SECONDS = 1.0
BOUND_SECONDS = 0.1
"""For 99 of 100 answers."""


class Probes:
    """`took` is the seconds of each answer, from connecting until all of it was there, less those for which the machine
    had no processor for the server or for this process: others work on it as well.
    """

    def __init__(self, site: Site, status: str = "ready") -> None:
        self._site = site
        self._status = status
        self.took: list[float] = []

    async def run(self) -> None:
        """Ask at a steady pace, also where earlier answers are late, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for path, method in itertools.cycle(itertools.product(PATHS, ("GET", "HEAD"))):
                group.create_task(self._ask(path, method))
                await asyncio.sleep(EVERY_SECONDS)

    async def _ask(self, path: str, method: str) -> None:
        began, waited = time.monotonic(), self._waited()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._site.port)
        try:
            writer.write(Request(method, path).head)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        self.took.append(max(0.0, time.monotonic() - began - (self._waited() - waited)))
        assert head.startswith(b"HTTP/1.1 200 "), (path, head[:40])
        if path == "/readyz" and body:
            assert json.loads(body)["status"] == self._status, body

    def _waited(self) -> float:
        """Seconds in which the event loop of the server, or of this process, could run and was not let."""
        return _waited(self._site.pid) + _waited(os.getpid())

    def p99(self) -> float:
        assert len(self.took) >= 30, "too few probes came through"
        return sorted(self.took)[int((len(self.took) - 1) * 0.99)]  # of fewer than 100, one may be late


async def probed(
    site: Site, requests: Sequence[Request], at_once: int, *, abort: bool = False, attempts: int = 1
) -> Counter[str]:
    """Send the requests, `at_once` at a time; meanwhile, and shortly after, probes get the truth, and in time.

    An attack of a second has few probes, and a virtual machine may stand still for a moment: what is slow because of
    the server is so in each of `attempts` attacks.
    """

    async def attack() -> Counter[str]:
        answers = await flood(site.port, requests, at_once, abort=abort)
        await asyncio.sleep(AFTER_SECONDS)
        return answers

    p99s = []
    while not p99s or (p99s[-1] > BOUND_SECONDS and len(p99s) < attempts):
        probes = Probes(site)
        answers = await _for(probes, attack())
        p99s.append(probes.p99())
        print(f"p99 {p99s[-1] * 1000:.0f} ms of {len(probes.took)}")
    assert p99s[-1] <= BOUND_SECONDS, p99s
    return answers


def _waited(pid: int) -> float:
    """Of the main thread (proc(5): schedstat has nanoseconds)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


async def _for(probes: Probes, work: Awaitable[Any]) -> Any:
    probing = asyncio.ensure_future(probes.run())
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({probing, working}, return_when=asyncio.FIRST_COMPLETED)
        if probing.done():
            probing.result()  # raises: probes end only by failing
        return await working
    finally:
        await cancel(probing, working)
