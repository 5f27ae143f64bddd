"""A client that reads nothing costs its socket's buffer and one block, whatever waits for it (invariant 3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client.many import BESIDE, many
from tests.support.client.reading import NDJSON, SSE, Crowd, Follower
from tests.support.kafka.writing import Writer, meanwhile, writer
from tests.support.site import Site
from tests.support.site.serving import serving

MEGABYTE = 1_000_000
GROWTH_MB = 20.0
READING_MB = 50.0
"""Growth while events are read: a 10 MB record is for a moment there as an answer (twice), a record and an event."""
SMALL, LARGE = 1_500, 10 * MEGABYTE
SLOW_PATH, OTHER_PATH = "/v2/stream/slow", "/v2/stream/other"
STALLED = {"read": False, "receive_buffer": 4096}


class Other:
    """A second stream, with an event every 50 ms, and its reader: what the slow client does must not touch it."""

    def __init__(self, to: Writer, topic: str, reader: Follower) -> None:
        self._to = to
        self._tp = TopicPartition(topic, 0)
        self._reader = reader
        self.enough = asyncio.Event()

    async def write(self) -> None:
        while not self.enough.is_set():
            await self._to.write(self._tp, [None], "x" * 500)
            await asyncio.sleep(0.05)

    async def keeps_up(self) -> None:
        """It gets what has just been written, at the latest in 5 s (on a machine that is very busy)."""
        if self._to.held[self._tp]:
            await self._reader.has({self._tp: self._to.held[self._tp][-1][0]}, 5.0)


async def fill(to: Writer, tp: TopicPartition, event_bytes: int, megabytes: int) -> None:
    at_once = max(1, MEGABYTE // event_bytes)
    for _ in range(0, megabytes * MEGABYTE, at_once * event_bytes):
        await to.write(tp, [None] * at_once, "x" * event_bytes)


async def is_settled(site: Site, limit_mb: float) -> None:
    """What was begun to be read has been read: memory stays as it is for half a second. It never exceeds the limit."""
    seen: list[float] = []
    while len(seen) < 10 or max(seen[-10:]) - min(seen[-10:]) > 1.0:
        seen.append(site.rss_mb())
        assert seen[-1] < limit_mb
        assert len(seen) < 400, f"memory goes up and down while nobody reads: {seen[-20:]}"
        await asyncio.sleep(0.05)


async def peak_mb(site: Site, seconds: float, other: Other) -> float:
    """The most memory that the server takes in that time, in MB."""
    peak = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peak = max(peak, site.rss_mb())
        await other.keeps_up()
        await asyncio.sleep(0.1)
    return peak


def offsets_held(to: Writer, tp: TopicPartition) -> list[int]:
    return [offset for offset, _ in to.held[tp]]


@pytest.mark.parametrize(
    ("event_bytes", "megabytes", "seconds"),
    [
        pytest.param(SMALL, 50, 3.0, id="small-events"),
        pytest.param(LARGE, 100, 3.0, id="10-MB-events", marks=pytest.mark.slow),
        pytest.param(SMALL, 200, 20.0, id="200-MB-of-small-events", marks=pytest.mark.slow),
        pytest.param(LARGE, 200, 20.0, id="200-MB-of-10-MB-events", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("beside", BESIDE)
async def test_a_client_that_stalls_in_history_costs_little_and_later_gets_all_of_it_once(
    beside: int,
    event_bytes: int,
    megabytes: int,
    seconds: float,
    kafka: Any,
    make_topic: Callable[..., str],
    tmp_path: Path,
) -> None:
    slow_topic, other_topic = make_topic(max_message_bytes=str(2 * LARGE)), make_topic()
    tp = TopicPartition(slow_topic, 0)
    async with (
        serving(tmp_path, kafka.bootstrap, {"slow": [slow_topic], "other": [other_topic]}) as site,
        writer(kafka.bootstrap, max_request_size=2 * LARGE) as to,
        Crowd() as crowd,
    ):
        await fill(to, tp, event_bytes, megabytes)
        other = Other(to, other_topic, await crowd.connect(site.port, OTHER_PATH, SSE))
        async with many(site.port, OTHER_PATH, beside) as others, meanwhile(other.write()):
            warming = await crowd.connect(site.port, f"{SLOW_PATH}?since=0", SSE)
            await warming.until(lambda: len(warming.order) >= 3)
            await warming.leave()
            await peak_mb(site, 1.0, other)
            before = site.rss_mb()
            slow = await crowd.connect(site.port, f"{SLOW_PATH}?since=0", NDJSON, **STALLED)
            await is_settled(site, before + READING_MB)
            assert await peak_mb(site, seconds, other) - before < GROWTH_MB
            assert len(slow.order) < len(to.held[tp]) // 2, "the client was to stall"
            slow.read()
            while len(slow.order) < len(to.held[tp]):
                assert await peak_mb(site, 0.1, other) - before < READING_MB
                await slow.until(lambda: True)
            other.enough.set()
            assert await others.stayed()
    assert slow.offsets[tp] == offsets_held(to, tp)


@pytest.mark.slow
async def test_a_client_that_stalls_while_much_is_written_costs_little_and_later_gets_all_of_it_once(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    slow_topic, other_topic = make_topic(), make_topic()
    tp = TopicPartition(slow_topic, 0)
    async with (
        serving(tmp_path, kafka.bootstrap, {"slow": [slow_topic], "other": [other_topic]}) as site,
        writer(kafka.bootstrap) as to,
        Crowd() as crowd,
    ):
        other = Other(to, other_topic, await crowd.connect(site.port, OTHER_PATH, SSE))
        async with meanwhile(other.write()):
            slow = await crowd.connect(site.port, SLOW_PATH, SSE, **STALLED)
            quick = await crowd.connect(site.port, SLOW_PATH, SSE)
            await fill(to, tp, SMALL, 20)  # the ring and the feed are full
            await quick.has({tp: to.held[tp][-1][0]})
            await peak_mb(site, 1.0, other)
            before = site.rss_mb()
            async with meanwhile(fill(to, tp, SMALL, 40)) as writing:
                while not writing.done():
                    assert await peak_mb(site, 0.1, other) - before < GROWTH_MB
            await quick.has({tp: to.held[tp][-1][0]})
            assert len(slow.order) < len(to.held[tp]) // 2, "the client was to stall"
            slow.read()
            await slow.has({tp: to.held[tp][-1][0]})
            other.enough.set()
    assert slow.offsets[tp] == quick.offsets[tp] == offsets_held(to, tp)
