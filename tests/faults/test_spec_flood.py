"""Whatever is public can be asked for any number of times: probes and streams do not notice, and memory returns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import StreamClient
from tests.support.client.flood import Request
from tests.support.client.many import many
from tests.support.client.probing import probed
from tests.support.site.serving import serving

alone = pytest.mark.slow
"""Answers are timed: nothing else may run on the machine, as nothing does beside slow tests of faults."""

REQUESTS = 2_000
AT_ONCE = 100
"""Each costs a third of a millisecond, and a probe waits for those before it; the attacker has the same two cores."""
STREAMS = 242
GROWTH_MB = 40.0
PATHS = (
    "/?spec",
    "/?spec&format=yaml",
    "/?doc",
    "/v2/ui",
    "/v2/ui/streams.json",
    "/schema/",
    "/metrics",
    "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
    "/nothing",
)


@alone
@pytest.mark.parametrize("path", PATHS)
async def test_probes_and_streams_go_on(path: str, kafka: Any, topic: str, tmp_path: Path) -> None:
    streams = {f"stream{number}": [topic] for number in range(STREAMS)}
    async with serving(tmp_path, kafka.bootstrap, streams, stream_ui_enabled=True) as site:
        await asyncio.to_thread(site.get, path)
        before = site.rss_mb()
        aborted = [Request("GET", path)] * REQUESTS
        pages = [Request("GET", path, {"Accept": "text/html"})] * (REQUESTS // 10)
        async with many(site.port, "/v2/stream/stream1", 1) as client:
            await probed(site, aborted, AT_ONCE, abort=True, attempts=3)
            answers = await probed(site, pages, AT_ONCE // 10)
            assert await client.stayed()
        assert answers == {"404" if path == "/nothing" else "200": len(pages)}
        async with asyncio.timeout(20):
            while site.rss_mb() - before > GROWTH_MB:
                await asyncio.sleep(0.1)
        assert " ERROR " not in site.log.read_text()


@alone
async def test_whoever_asks_before_it_is_made_waits_and_holds_up_nobody(kafka: Any, topic: str, tmp_path: Path) -> None:
    streams = {f"stream{number}": [topic] for number in range(STREAMS)}
    async with serving(tmp_path, kafka.bootstrap, streams) as site:
        answers = await probed(site, [Request("GET", "/?spec")] * 300, AT_ONCE)
        assert answers == {"200": 300}


async def test_clients_that_read_nothing_cost_a_slice_of_the_document_each(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    streams = {f"stream{number}": [topic] for number in range(STREAMS)}
    async with serving(tmp_path, kafka.bootstrap, streams) as site:
        size = len((await asyncio.to_thread(site.get, "/?spec"))[2])
        before = site.rss_mb()
        clients = [await StreamClient.connect(site.port, "/?spec", receive_buffer=4096, limit=1024) for _ in range(100)]
        await asyncio.sleep(0.5)  # nothing to wait for: what must not happen is that more is held
        assert site.rss_mb() - before < 100 * size / 1e6 / 3
        for client in clients:
            client.abort()
            await client.close()
