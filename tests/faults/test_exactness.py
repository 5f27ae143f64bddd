"""A reader that is cut off at any byte and resumes by its last id gets every event once, and each partition in order.

Wire contract, "Resuming": many events within a millisecond and timestamps out of order are what the old service loses.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.many import BESIDE, many
from tests.support.client.reading import NDJSON, SSE, Crowd, CutReader, by_partition, from_the_beginning, resume_at
from tests.support.kafka.writing import Writer, meanwhile, partitions_of, writer
from tests.support.site.serving import PATH, freeze, serving

PARTITIONS = 3
TYPES = 7
WANTED = (0, 3)
PLAIN = [pytest.param("", id="all"), pytest.param("?type=t0,t3", id="filtered")]
COMPRESSED = [pytest.param("?compress=zstd", id="zstd"), pytest.param("?type=t0,t3&compress=gzip", id="filtered-gzip")]
"""For a parameter: the query of the reader."""
SMALLER = 5
"""By what bytes are divided where they are compressed."""
SEED = 2026


async def write_unevenly(
    to: Writer, partitions: Sequence[TopicPartition], count: int, seconds: float, chance: random.Random
) -> None:
    """At least `count` events in bursts at random moments: many of one millisecond, some older or newer than others."""
    start = time.monotonic()
    while to.count < count:
        now = int(time.time() * 1000)
        moved = chance.random() < 0.2
        timestamps = [
            now + (chance.randint(-30_000, 3_000) if moved else chance.randint(0, 1))
            for _ in range(chance.randint(1, 60))
        ]
        await to.write(chance.choice(partitions), timestamps, "x" * chance.randint(0, 1200))
        ahead = to.count / count * seconds - (time.monotonic() - start)
        await asyncio.sleep(chance.uniform(0, 2 * max(0.0, ahead)))


def wanted(to: Writer, query: str) -> dict[TopicPartition, list[tuple[int, int]]]:
    """What a reader is to get of what has been written."""
    is_filtered = "type=" in query
    return {
        tp: [(offset, n) for offset, n in events if not is_filtered or n % TYPES in WANTED]
        for tp, events in to.held.items()
    }


def cut_reader(query: str, partitions: Sequence[TopicPartition]) -> CutReader:
    """Return a reader with this query."""
    return CutReader(PATH + query, from_the_beginning(partitions), query.partition("compress=")[2])


def some_bytes(chance: random.Random) -> int:
    """Where to cut: in the headers, within the first events, or anywhere later."""
    return chance.choice([chance.randint(1, 600), chance.randint(300, 6_000), chance.randint(5_000, 300_000)])


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("query", PLAIN)
async def test_a_reader_cut_at_random_bytes_gets_every_event_once_across_a_restart_and_two_processes(
    query: str, beside: int, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    await cut_at_random(query, beside, kafka, make_topic, tmp_path)


@pytest.mark.parametrize("query", COMPRESSED)
async def test_a_compressed_reader_cut_at_random_bytes_gets_the_same(
    query: str, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    await cut_at_random(query, 0, kafka, make_topic, tmp_path)


async def cut_at_random(query: str, beside: int, kafka: Any, make_topic: Callable[..., str], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    smaller = SMALLER if "compress=" in query else 1
    cuts = 50 if query else 80
    topics = [make_topic(PARTITIONS) for _ in range(2)]
    partitions = partitions_of(topics, PARTITIONS)
    async with (
        serving(tmp_path, kafka.bootstrap, topics, drain_seconds=0.2) as first,
        serving(tmp_path, kafka.bootstrap, topics) as second,
        writer(kafka.bootstrap) as to,
        many(second.port, PATH, beside) as others,
        Crowd() as crowd,
    ):
        to.types = TYPES
        watchers = [await crowd.connect(site.port, PATH, SSE) for site in (first, second)]
        reader = cut_reader(query, partitions)
        async with meanwhile(write_unevenly(to, partitions, 5_000, 9.0, chance)):
            for cut in range(cuts):
                if cut == cuts // 2:
                    await asyncio.to_thread(first.stop)
                    await asyncio.to_thread(first.start)
                elif cut % 10 == 5:
                    # Meanwhile the feed of the second falls behind; then it takes one partition after the other.
                    freeze(second, 0.3)
                cut_at = some_bytes(chance) // smaller
                await reader.read(chance.choice([first, second]).port, cut_at, 0.4 if query else 1.0)
                await asyncio.sleep(chance.choice([0, 0, chance.uniform(0, 0.3)]))
        right = wanted(to, query)
        await reader.read(second.port, 1 << 30, 20.0, sum(map(len, right.values())))
        assert await others.stayed()
    assert by_partition(reader.seen) == right
    assert not any(comment.startswith(b":gap") for comment in reader.comments)
    assert not reader.errors
    both = min(len(watcher.order) for watcher in watchers)
    orders = [watcher.order[:both] for watcher in watchers]
    assert orders[0] != orders[1], "the feeds of the two processes were to be interleaved otherwise"


@pytest.mark.parametrize("query", [*PLAIN, *COMPRESSED])
async def test_a_reader_cut_within_the_first_events_every_time_gets_every_event_once(
    query: str, kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    topics = [make_topic(PARTITIONS) for _ in range(2)]
    partitions = partitions_of(topics, PARTITIONS)
    async with serving(tmp_path, kafka.bootstrap, topics) as site, writer(kafka.bootstrap) as to:
        to.types = TYPES
        reader, is_compressed = cut_reader(query, partitions), "compress=" in query
        cuts = 0
        async with meanwhile(write_unevenly(to, partitions, 400, 4.0, chance)) as writing:
            while not writing.done() or len(reader.seen) < sum(map(len, wanted(to, query).values())):
                smallest, largest = (900, 1_800) if is_compressed else (1_500, 5_000)
                await reader.read(site.port, chance.randint(smallest, largest))
                cuts += 1
                assert cuts < 2_000, "no progress"
    assert cuts >= (5 if is_compressed else 50)
    assert by_partition(reader.seen) == wanted(to, query)
    assert not reader.errors


async def test_an_ndjson_reader_that_makes_its_own_ids_gets_every_event_once(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    topics = [make_topic(PARTITIONS) for _ in range(2)]
    partitions = partitions_of(topics, PARTITIONS)
    held: dict[TopicPartition, list[tuple[int, int]]] = {tp: [] for tp in partitions}
    async with (
        serving(tmp_path, kafka.bootstrap, topics) as site,
        writer(kafka.bootstrap) as to,
        meanwhile(write_unevenly(to, partitions, 1_500, 4.0, chance)) as writing,
    ):
        while not writing.done() or sum(map(len, held.values())) < to.count:
            missing = to.count - sum(map(len, held.values()))
            last_id = resume_at({tp: events[-1][0] + 1 if events else 0 for tp, events in held.items()})
            client = await StreamClient.connect(site.port, PATH, {**NDJSON, "Last-Event-ID": last_id})
            try:
                for event in await client.take_lines(chance.randint(1, min(60, missing + 1)), 0.4):
                    meta = event["meta"]
                    held[TopicPartition(meta["topic"], meta["partition"])].append((meta["offset"], event["n"]))
            except TimeoutError:
                pass  # what had come is asked for again
            finally:
                client.abort()
    assert held == to.held


async def test_a_reader_that_fails_over_to_another_cluster_loses_nothing(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    """There the cursors mean nothing, and the timestamps decide: events may be repeated."""
    chance = random.Random(SEED)
    topics = [make_topic(PARTITIONS) for _ in range(2)]
    partitions = partitions_of(topics, PARTITIONS)
    async with serving(tmp_path, kafka.bootstrap, topics) as site, writer(kafka.bootstrap) as to:
        reader = CutReader(PATH, from_the_beginning(partitions))
        starts = [0]
        async with meanwhile(write_unevenly(to, partitions, 2_000, 5.0, chance)):
            for _ in range(30):
                await reader.read(site.port, chance.randint(2_000, 400_000), 0.5)
                starts.append(len(reader.seen))
                elsewhere = re.sub(r'"cursor":"[^:]+:', '"cursor":"mirrored:', reader.last_id)
                assert elsewhere != reader.last_id or not reader.seen
                reader.last_id = elsewhere
        # What is missing now comes by the last of these ids.
        async with Crowd() as crowd:
            last = await crowd.connect(site.port, PATH, {**SSE, "Last-Event-ID": reader.last_id})
            await last.has({tp: events[-1][0] for tp, events in to.held.items()})
    for start, end in pairwise(starts):
        for events in by_partition(reader.seen[start:end]).values():
            assert events == sorted(set(events)), "within one connection nothing is repeated"
    seen = {(tp, offset) for tp, offset, _ in reader.seen}
    seen |= {(tp, offset) for tp, offsets in last.offsets.items() for offset in offsets}
    assert seen == {(tp, offset) for tp, events in to.held.items() for offset, _ in events}
