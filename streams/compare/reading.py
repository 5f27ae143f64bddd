"""Reads two services at the same time, from the same moment, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from streams.compare.comparison import MAX_EVENTS, Side, differences
from streams.compare.shape import Shape
from streams.core.sse_parser import Message
from streams.mirror.upstream import Pauses, Unavailable, Upstream

GRACE_SECONDS = 5.0
"""Seconds that a service may be behind the other at the end; at most a third of the whole."""
REPORT_SECONDS = 10.0

Report = Callable[[str], None]


class Reading:
    """Reads both services. `report` is given lines about the progress."""

    def __init__(self, upstreams: tuple[Upstream, Upstream], seconds: float, report: Report) -> None:
        """`seconds` is how long to read."""
        self._upstreams = upstreams
        self._seconds = seconds
        self._report = report
        self._sides = (Side(), Side())
        self._shapes: dict[Shape, Shape] = {}

    async def run(self) -> dict[str, Any]:
        """Return the differences.

        Raises UpstreamError where a service refuses what is asked of it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        running = [
            asyncio.ensure_future(self._tell(end)),
            *(
                asyncio.ensure_future(self._follow(upstream, side, since))
                for upstream, side in zip(self._upstreams, self._sides, strict=True)
            ),
        ]
        try:
            ended, _ = await asyncio.wait(running, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            now = loop.time()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for task in ended:
            task.result()  # raises why it ended, unless a service has sent as much as is kept
        return differences(self._sides, now - min(GRACE_SECONDS, self._seconds / 3))

    async def _follow(self, upstream: Upstream, side: Side, since: str) -> None:
        loop, pauses, last_id = asyncio.get_running_loop(), Pauses(), ""
        while True:
            pause: float | None = None
            try:
                async for items in upstream.read(last_id, since):
                    pauses.succeeded()
                    side.opened = side.opened or loop.time()
                    for item in items:
                        if isinstance(item, Message) and item.kind == "message":
                            last_id = item.id or last_id
                            side.took(item.data, loop.time(), self._shapes)
                    if side.is_full:
                        self._report(f"Ending early: {upstream.site} has sent {MAX_EVENTS} events")
                        return
            except Unavailable as error:
                pause = error.seconds
                self._report(f"Reconnecting: {error}")
            side.reconnects += 1
            await asyncio.sleep(pauses.seconds(pause))

    async def _tell(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            a, b = (len(side.arrivals) for side in self._sides)
            self._report(f"{a} events of A, {b} of B; {max(0.0, end - loop.time()):.0f} s to go")
