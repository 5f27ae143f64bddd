"""A server with workers and an operations port, for the time of a block."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from streams.local.processes import free_port
from tests.support.site import SERVE, Site
from tests.support.site.serving import serving

SAMPLE = re.compile(r"^(\w+?)(\{.*\})? (\S+)$", re.MULTILINE)


class Ops:
    """The operations port of a site."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15)

    async def get(self, path: str) -> httpx.Response:
        return await self._client.get(path)

    async def state(self) -> dict[str, Any]:
        """What `/readyz` says."""
        said: dict[str, Any] = (await self.get("/readyz")).json()
        return said

    async def metrics(self) -> dict[str, float]:
        """Every sample, by its name with its labels."""
        text = (await self.get("/metrics")).text
        return {f"{name}{labels}": float(value) for name, labels, value in SAMPLE.findall(text)}

    async def all_workers_are_up(self, count: int) -> None:
        """Wait until that many are ready: only they get connections."""
        async with asyncio.timeout(60):
            while (await self._up()) < count:
                await asyncio.sleep(0.1)

    async def _up(self) -> float:
        try:
            metrics = await self.metrics()
        except httpx.TransportError:
            return 0
        return sum(value for name, value in metrics.items() if name.startswith("eventstreams_worker_up{"))

    async def becomes(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Wait until `/readyz` is as it should be."""
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while not condition(said := await self.state()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"/readyz of the operations port still says {said}") from None
        return said


@asynccontextmanager
async def supervised(
    folder: Path, bootstrap: str, topic: str, workers: int = 2, **settings: Any
) -> AsyncIterator[tuple[Site, Ops]]:
    """A server all of whose workers are ready."""
    port = free_port()
    command = (*SERVE, "--workers", str(workers), "--ops-port", str(port))
    async with serving(folder, bootstrap, [topic], command=command, **settings) as site:
        ops = Ops(port)
        await ops.becomes(lambda said: said["status"] == "ready")
        yield site, ops
