"""A thousand clients that are live: each gets every event once. They are all written to by one loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.client.many import Report, many
from tests.support.kafka.writing import partitions_of, writer
from tests.support.site.serving import PATH, serving

CLIENTS = 1_000
EVENTS = 500
PARTITIONS = 3


async def test_each_of_a_thousand_live_clients_gets_every_event_once(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(2026)
    topic = make_topic(PARTITIONS)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic]) as site,
        writer(kafka.bootstrap) as to,
        many(site.port, PATH, CLIENTS) as clients,
    ):
        while to.count < EVENTS:
            # One alone, some that share a write, and more than leaves in one.
            some = min(EVENTS - to.count, chance.choice([1, 1, 1, 2, 5, 60]))
            await to.write(chance.choice(partitions_of([topic], PARTITIONS)), [None] * some, "x" * 1_200)
            await asyncio.sleep(chance.choice([0.0, 0.01, 0.03, 0.1]))
        assert await clients.report(EVENTS) == Report(ended=0, wrong=0)
        assert site.metric("eventstreams_history_reads_total") == 0, "all of it was to be live"
