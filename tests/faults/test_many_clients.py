"""A thousand live clients, all of them written to by one loop: each gets every event that it asks for once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client.many import Asked, Report, many, many_of
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


TYPES = 200
LARGE = "x" * 8_000
"""With events like that, a client that does not read has more coming than its socket holds."""


def asked(stalled: int) -> list[Asked]:
    """A thousand clients with a filter each: every event is wanted by ten of them."""
    return [
        Asked(f"{PATH}?type=t{first},t{second}", TYPES, (first, second), stalls=number < stalled)
        for number in range(CLIENTS)
        for first, second in [(number % TYPES, (number % TYPES + 1 + number // TYPES) % TYPES)]
    ]


@pytest.mark.parametrize(("stalled", "events", "pad"), [(0, 1_000, "x" * 1_200), (100, 4_000, LARGE)])
async def test_each_of_a_thousand_clients_with_a_filter_each_gets_its_events_once_also_when_some_stall(
    stalled: int, events: int, pad: str, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(2026)
    topic = make_topic(PARTITIONS)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic]) as site,
        writer(kafka.bootstrap) as to,
        many_of(site.port, asked(stalled)) as clients,
    ):
        to.types = TYPES
        while to.count < events:
            some = min(events - to.count, chance.choice([1, 2, 5, 60]))
            await to.write(chance.choice(partitions_of([topic], PARTITIONS)), [None] * some, pad)
            await asyncio.sleep(chance.choice([0.0, 0.01, 0.03]))
        assert await clients.report(events) == Report(ended=0, wrong=0)
        assert site.metric("eventstreams_filters") == CLIENTS
        assert site.metric("eventstreams_filter_events_matched_total") >= 10 * events
        assert (site.metric("eventstreams_history_reads_total") > 0) is (stalled > 0), "who stalled fell behind"
