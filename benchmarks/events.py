"""Events for the benchmarks: like those of recentchange, 1.4 kB, each with the time at which it was produced."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from aiokafka import AIOKafkaProducer

_EVENT = {
    "$schema": "/mediawiki/recentchange/1.0.0",
    "meta": {
        "uri": "https://commons.wikimedia.org/wiki/File:Example_%D0%A4.jpg",
        "request_id": "b5b1a5c1-7f6a-4d28-9d27-0a9b3d2a5a3f",
        "id": "5d3e2f1a-6b4c-4e8d-9f10-aabbccddeeff",
        "domain": "commons.wikimedia.org",
        "stream": "mediawiki.recentchange",
        "dt": "2026-08-01T12:00:00Z",
    },
    "id": 2345678901,
    "type": "categorize",
    "namespace": 14,
    "title": "Category:Пример of a page — with text",
    "title_url": "https://commons.wikimedia.org/wiki/Category:Example",
    "comment": "[[:File:Example.jpg]] added to category, [[Special:WhatLinksHere/File:Example.jpg|this page is "
    "included within other pages]] " * 2,
    "timestamp": 1785585600,
    "user": "ExampleBot",
    "bot": True,
    "notify_url": "https://commons.wikimedia.org/w/index.php?diff=900000001&oldid=800000001&rcid=2345678901",
    "server_url": "https://commons.wikimedia.org",
    "server_name": "commons.wikimedia.org",
    "server_script_path": "/w",
    "wiki": "commonswiki",
    "parsedcomment": '<a href="/wiki/File:Example.jpg" title="File:Example.jpg">File:Example.jpg</a> added to '
    'category, <a href="/wiki/Special:WhatLinksHere/File:Example.jpg" title="Special:WhatLinksHere/File:Example.jpg">'
    "this page is included within other pages</a>",
}
_HEAD = json.dumps(_EVENT, ensure_ascii=False, separators=(",", ":"))[:-1].encode()


def value(sequence: int, now: float) -> bytes:
    """Return the value of a record; "sent_us" is `now` (seconds since the epoch) in µs, as ssebench reads it."""
    return _HEAD + b',"sent_us":%d,"seq":%d}' % (int(now * 1e6), sequence)


WIKIS, TITLES, RANKS = 300, 250, 1_000
_VARIED_HEAD = json.dumps(
    {name: member for name, member in _EVENT.items() if name not in ("wiki", "title")},
    ensure_ascii=False,
    separators=(",", ":"),
)[:-1].encode()


def varied(sequence: int, now: float) -> bytes:
    """Return the value of a record of one of 300 wikis, 250 titles and 1,000 ranks, else as `value` has it.

    Events that follow each other differ in all of them.
    """
    step = 7 * sequence
    place = b',"wiki":"w%d","title":"Page %d","rank":%d' % (step % WIKIS, step % TITLES, step % RANKS)
    return _VARIED_HEAD + place + b',"sent_us":%d,"seq":%d}' % (int(now * 1e6), sequence)


Make = Callable[[int, float], bytes]
"""Makes the value of a record of its sequence number and time (seconds since the epoch)."""

Send = Callable[[int, bytes], Awaitable[object]]
"""Publishes an event, of which the sequence number is given as well; may return a future of when it is published."""


class Steady:
    """One event every 1/rate seconds; remembers when each was sent."""

    def __init__(self, send: Send, rate: float, make: Make = value) -> None:
        self._send = send
        self._make = make
        self._rate = rate
        self._sent: list[float] = []
        self._took: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Send events at a steady rate, until cancelled."""
        start = time.time()
        while True:
            sequence = len(self._sent)
            now = time.time()
            published = await self._send(sequence, self._make(sequence, now))
            if isinstance(published, asyncio.Future):
                published.add_done_callback(functools.partial(self._note, now))
            self._sent.append(now)
            await asyncio.sleep(max(0.0, start + len(self._sent) / self._rate - time.time()))

    def _note(self, sent_at: float, _published: asyncio.Future[object]) -> None:
        self._took.append((sent_at, time.time() - sent_at))

    def between(self, start: float, end: float) -> int:
        """Return the number of events sent in that time (seconds since the epoch)."""
        return bisect.bisect(self._sent, end) - bisect.bisect(self._sent, start)

    def publishing_ms(self, start: float, end: float) -> float | None:
        """Return the 99th percentile of how long publishing took, of the events sent in that time; None if unknown."""
        took = sorted(seconds for at, seconds in self._took if start <= at < end)
        return took[len(took) * 99 // 100] * 1000 if took else None


@contextlib.asynccontextmanager
async def producing(send: Send, rate: float, make: Make = value) -> AsyncIterator[Steady]:
    """Produce events until the context ends. Raises what `send` raised, at the end."""
    steady = Steady(send, rate, make)
    task = asyncio.ensure_future(steady.run())
    try:
        yield steady
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def to_kafka(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[Send]:
    """Yield what publishes to partition 0 of the topics, in turn."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:

        async def send(sequence: int, event: bytes) -> object:
            return await producer.send(topics[sequence % len(topics)], event, partition=0)

        yield send


async def produce_history(bootstrap: str, topic: str, times: Sequence[float], make: Make = value) -> None:
    """Produce one event to partition 0 for each of the times (seconds since the epoch), all of them now."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=256 * 1024) as producer:
        sent = None
        for sequence, at in enumerate(times):
            sent = await producer.send(topic, make(sequence, at), partition=0, timestamp_ms=int(at * 1000))
        await producer.flush()
        if sent is not None:
            await sent
