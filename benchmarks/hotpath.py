"""CPU microseconds that each step costs one 1.4 kB event, without Kafka and sockets: prints JSON.

Watches the path that every event takes: `encode` (decode, redact, encode; once in the process), `redact` (the same for
an event of a listed page), `id` (once for each subscription), `frame` (Track.extend: once for each subscription, live)
and `merge` (once for each client that is behind, out of memory). Only the thread's own CPU time counts, of the fastest
round; "yardsticks" is that time by the time which the standard library needs just before to take an event apart and put
it together again, the median of the rounds: a slow or busy machine changes it little.

Run from the repository: ``python -m benchmarks.hotpath``; ``--check`` names what has more than 15 % more of these than
in benchmarks/results/hotpath.json, which ``--save`` writes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks import results
from benchmarks.events import value
from benchmarks.results import WORSE
from redaction.redactor import Redactor
from streams.core.events import Event, Record, encode
from streams.core.positions import IdWriter, Mark, Scope, TopicPartition
from streams.engine.encoder import Encoder
from streams.engine.faults import Faults
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.replay.history import History
from streams.engine.subscription import Subscription
from streams.engine.tail.fanout import Rounds
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.hub import Hub
from streams.engine.tail.track import Run, Track
from streams.engine.tuning import Tuning

ROUNDS = 40
EVENTS = 1_000
YARDSTICK_EVENTS = 100
PARTITIONS = 2
BATCH = 5
"""Live events come few at a time."""
FILE = results.FILE.with_name("hotpath.json")

TOPICS = [TopicPartition(f"{datacentre}.mediawiki.recentchange", 0) for datacentre in ("eqiad", "codfw")]
SELECTION = Selection(frozenset(tp.topic for tp in TOPICS), frozenset(), Scope.STREAMS)
NOTHING_LISTED = Redactor({})
LISTED = Redactor({"commons.wikimedia.org": ["Category:Пример of a page — with text"]})

T = TypeVar("T")


class Stopwatch:
    """CPU time of some rounds, each with a round of the yardstick just before it."""

    def __init__(self) -> None:
        self._rounds: list[tuple[float, float]] = []
        self._start = self._yardstick = 0.0

    def __enter__(self) -> None:
        start = time.thread_time()
        for number in range(YARDSTICK_EVENTS):
            json.dumps(json.loads(value(number, 1.7e9)))
        self._start = time.thread_time()
        self._yardstick = (self._start - start) / YARDSTICK_EVENTS

    def __exit__(self, *error: object) -> None:
        self._rounds.append(((time.thread_time() - self._start) / EVENTS, self._yardstick))

    @property
    def us(self) -> float:
        """Microseconds for an event, of the fastest round."""
        return min(took for took, _ in self._rounds) * 1e6

    @property
    def yardsticks(self) -> float:
        """The median of the rounds."""
        return statistics.median(took / yardstick for took, yardstick in self._rounds)


def timed(step: Callable[[], T]) -> tuple[Stopwatch, T]:
    """Return how long a step takes for all events, and what it made."""
    watch = Stopwatch()
    for _ in range(ROUNDS):
        with watch:
            made = step()
    return watch, made


def records() -> list[Record]:
    """Return records as Kafka has them, of all partitions in turn."""
    return [
        Record(TOPICS[number % PARTITIONS].topic, 0, number // PARTITIONS, number, None, value(number, 1.7e9))
        for number in range(EVENTS)
    ]


def encoded(some: Sequence[Record], redactor: Redactor) -> list[Event]:
    """Return the events of the records."""
    return [encode(record, redactor) for record in some]


def ids(events: Sequence[Event]) -> list[bytes]:
    """Return the id after each event."""
    writer = IdWriter("benchmark", Scope.STREAMS)
    writer.reset(dict.fromkeys(TOPICS, Mark(0, 0, 0)))
    written = []
    for number, event in enumerate(events):
        writer.set(TOPICS[number % PARTITIONS], event.offset + 1, event.timestamp + 1)
        written.append(writer.ids())
    return written


FEED_BYTES = 64 << 20
"""None of the blocks has to go."""


def framed(events: Sequence[Event]) -> Feed:
    """Return a feed that has had all events, few at a time."""
    metrics = Metrics()
    tuning = Tuning(gather_seconds=0.0)
    track = Track(SELECTION, "benchmark", Faults(metrics, tuning), tuning)
    feed = Feed(SELECTION, track, 0.0, Rounds(tuning, metrics), tuning)
    track.add(feed)
    feed.max_bytes = FEED_BYTES
    for tp in TOPICS:
        track.place(tp, Mark(0, 0, 0))
    for number, tp in enumerate(TOPICS):
        own = events[number::PARTITIONS]
        for first in range(0, len(own), BATCH):
            some = own[first : first + BATCH]
            track.extend(Run(tp, some, Mark(0, some[-1].offset + 1, some[-1].timestamp + 1), 0.0), set())
            track.settle()
    return feed


async def merged(some: Sequence[Record], *, is_sse: bool) -> tuple[Stopwatch, bytes]:
    """Return the same as `timed` for a client far behind, with everything in the hub's rings: its body."""
    source, metrics = MemorySource(), Metrics()
    for tp in TOPICS:
        source.create(tp.topic)
    encoder = Encoder(NOTHING_LISTED, metrics)
    hub = Hub(source, encoder, metrics, Tuning(ring_bytes=64 << 20))
    hub.set_topics(SELECTION.topics)
    hub.start()
    try:
        await hub.refresh()
        async with hub.feed(SELECTION) as feed:
            start = dict(feed.vector)
            for record in some:
                source.append(record.topic, record.value, record.timestamp)
            while sum(mark.offset for mark in feed.vector.values()) < EVENTS:
                await asyncio.sleep(0.01)
            watch = Stopwatch()
            body: list[bytes] = []
            for _ in range(ROUNDS):
                history = History(source, encoder, metrics, Tuning(history_readers=1, history_cache_bytes=0))
                client = Subscription(
                    hub, history, feed, dict(start), is_sse=is_sse, keepalive_seconds=0, metrics=metrics
                )
                body, got = [], 0
                async with contextlib.aclosing(client.chunks()) as chunks:
                    with watch:
                        async for chunk in chunks:
                            body += chunk.parts
                            got += chunk.events
                            if got == EVENTS:
                                break
            return watch, b"".join(body)
    finally:
        await hub.close()


async def measured() -> dict[str, Stopwatch]:
    """Return the time of each step."""
    some = records()
    encoding, events = timed(lambda: encoded(some, NOTHING_LISTED))
    return {
        "encode": encoding,
        "redact": timed(lambda: encoded(some, LISTED))[0],
        "id": timed(lambda: ids(events))[0],
        "frame": timed(lambda: framed(events))[0],
        "merge_sse": (await merged(some, is_sse=True))[0],
        "merge_ndjson": (await merged(some, is_sse=False))[0],
    }


def report(watches: Mapping[str, Stopwatch]) -> dict[str, dict[str, float]]:
    """Print the table of all steps."""
    return {
        "us_per_event": {step: round(watch.us, 2) for step, watch in watches.items()},
        "yardsticks": {step: round(watch.yardsticks, 3) for step, watch in watches.items()},
    }


def dearer(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return sentences about steps that cost more yardsticks than they did."""
    return [
        f"{step} was {before[step]:g} yardsticks and is {cost:g}"
        for step, cost in now.items()
        if step in before and cost > before[step] * (1 + WORSE)
    ]


def main() -> None:
    """Measure, print, and compare with the last results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hotpath", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="exit status 1 where a step is over 15 %% dearer")
    parser.add_argument("--save", action="store_true", help="keep this run for --check")
    options = parser.parse_args()
    before = results.load(FILE)
    result: dict[str, Any] = {"benchmark": "hotpath", "partitions": PARTITIONS, **report(asyncio.run(measured()))}
    print(json.dumps(result))
    if options.save:
        results.save({**result, "machine": results.machine()}, FILE)
    if options.check:
        said = dearer(before.get("yardsticks", {}), result["yardsticks"])
        sys.exit("\n".join(said) if said else 0)


if __name__ == "__main__":
    main()
