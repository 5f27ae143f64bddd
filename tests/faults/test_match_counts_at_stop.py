"""When a server stops, it writes which redacted pages matched events; a database that hangs does not hold it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.around.postgres import Postgres
from tests.support.client.reading import NDJSON, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

DOMAIN = "ru.wikipedia.org"
EVENTS = 7
DRAIN_SECONDS = 0.5
STOP_SECONDS = DRAIN_SECONDS + 3.0


@asynccontextmanager
async def matched(url: str, folder: Path, bootstrap: str, topic: str) -> AsyncIterator[Site]:
    """A server that has just served events of a listed page."""
    async with writer(bootstrap) as to:
        to.members = b',"meta":{"domain":"%s"},"title":"A","user":"somebody"' % DOMAIN.encode()
        await to.write(TopicPartition(topic, 0), [None] * EVENTS)
    listed = {DOMAIN: ["A"]}
    async with (
        serving(
            folder,
            bootstrap,
            [topic],
            database=url,
            drain_seconds=DRAIN_SECONDS,
            mediawiki_redacted_pages=listed,
        ) as site,
        Crowd() as crowd,
    ):
        await asyncio.sleep(1.5)  # a process writes a second after its start, then after half a minute
        reader = await crowd.connect(site.port, f"{PATH}?since=0", NDJSON)
        await reader.has({TopicPartition(topic, 0): EVENTS - 1})
        yield site


async def test_what_matched_since_the_last_writing_is_written_before_the_end(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    url = postgres.create_database()
    async with matched(url, tmp_path, kafka.bootstrap, topic) as site:
        assert await asyncio.to_thread(site.stop) == 0
    (row,) = postgres.execute("SELECT domain, key, events FROM redaction_pagematch", url)
    assert row[:2] == (DOMAIN, "a")
    assert row[2] >= EVENTS


async def test_a_database_that_hangs_costs_the_count_and_not_the_stop(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    url = postgres.create_database()
    async with matched(url, tmp_path, kafka.bootstrap, topic) as site:
        await asyncio.to_thread(postgres.pause)
        try:
            began = time.monotonic()
            assert await asyncio.to_thread(site.stop) == 0
            assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS
        finally:
            await asyncio.to_thread(postgres.resume)
        assert "Cannot write which redacted pages matched events lately: TimeoutError" in site.log.read_text()
