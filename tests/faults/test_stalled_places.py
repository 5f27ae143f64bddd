"""A server that is full takes the places of clients that read nothing, and says so; a client that reads keeps its."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, Crowd
from tests.support.kafka.writing import writer
from tests.support.site.serving import PATH, serving

STALLED = 'eventstreams_connection_ends_total{reason="stalled"}'


async def test_a_full_server_gives_newcomers_the_places_of_clients_that_read_nothing(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    settings = {"max_connections": 3, "stall_seconds": 2, "keepalive_seconds": 0.5}
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], **settings) as site,
        writer(kafka.bootstrap) as to,
        Crowd(may_cut=True) as crowd,
    ):
        reading = await crowd.connect(site.port, PATH, NDJSON)
        for _ in "ab":
            await crowd.connect(site.port, PATH, NDJSON, read=False, receive_buffer=4096)

        async def newcomer() -> StreamClient:
            return await StreamClient.connect(site.port, PATH, NDJSON)

        refused = await newcomer()
        assert refused.status == 503
        refused.abort()
        await to.write(TopicPartition(topic, 0), [None] * 40, "x" * 100_000)
        async with asyncio.timeout(90):
            while (client := await newcomer()).status != 200:
                client.abort()
                await asyncio.sleep(0.2)
        async with asyncio.timeout(60):
            while STALLED not in site.metrics_text():
                await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            while "reason=stalled" not in site.log.read_text():
                await asyncio.sleep(0.1)
        await reading.has({TopicPartition(topic, 0): to.held[TopicPartition(topic, 0)][-1][0]}, 20)
        client.abort()
