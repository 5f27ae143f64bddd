"""The list of redacted pages changes while clients read: 3 seconds later not one name, and no event lost or repeated.

Invariant 5, in two server processes on one Kafka and one database.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from streams.core.positions import TopicPartition
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE, Crowd, Follower, resume_at
from tests.support.kafka.writing import Writer, meanwhile, partitions_of, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

DOMAIN, TITLE = "ru.wikipedia.org", "Участник:Проба"
NAME = "Тот, кто правил".encode()
MEMBERS = b',"meta":{"domain":"%s"},"title":"%s","user":"%s"' % (DOMAIN.encode(), TITLE.encode(), NAME)
HISTORY = 6_000
READERS = 50
SECONDS = 3.0
"""Maximum seconds until a change works everywhere (wire contract, "Redaction")."""
COMPRESSIONS = ("", "?compress=zstd", "?compress=gzip")
"""Of live clients; these events compress so well that the sockets of readers of history would hold all of it."""
PACED = {"receive_buffer": 65_536, "limit": 65_536}
"""What a client's side holds has been sent and cannot be taken back: these let it hold little."""


class Witness(Follower):
    """A client that knows when it last read the name.

    `pace`: seconds that it waits after each chunk. `connect` makes a new connection with an id: the server may abort
    one that still has bytes unsent which were made with the old list, and the client then resumes. Its id names all
    `partitions`, also one of which nothing has come yet.
    """

    def __init__(self, client: StreamClient) -> None:
        super().__init__(client)
        self.pace = 0.0
        self.connect: Callable[[str], Awaitable[StreamClient]] | None = None
        self.partitions: list[TopicPartition] = []
        self.named = 0
        self.last_named_at = 0.0

    async def _read(self) -> None:
        while True:
            try:
                async for chunk in self._chunks:
                    self._take(chunk)
                    if self.pace:
                        await asyncio.sleep(self.pace)
                return
            except (OSError, asyncio.IncompleteReadError):
                if self.connect is None:
                    raise
            next_offsets = {tp: self.offsets[tp][-1] + 1 if self.offsets[tp] else 0 for tp in self.partitions}
            self.client = await self.connect(resume_at(next_offsets))
            self._chunks = self.client.chunks()

    def _take(self, chunk: bytes) -> None:
        super()._take(chunk)
        if NAME in chunk:
            self.named += chunk.count(NAME)
            self.last_named_at = time.time()

    @property
    def count(self) -> int:
        return sum(map(len, self.offsets.values()))


async def again(port: int, accept: Mapping[str, str], last_id: str) -> StreamClient:
    """A connection that resumes, as slow as those that `PACED` makes."""
    return await StreamClient.connect(port, PATH, {**accept, "Last-Event-ID": last_id}, **PACED)


def list_page(site: Site) -> float:
    """Put the page on the list, in its own process; returns when it was done (Unix time)."""
    code = f"""
import time
from redaction.listed import changes
changes.add([changes.Page({DOMAIN!r}, {TITLE!r})], "a test", None)
print(time.time())
"""
    done = site.manage("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def edit_stream(site: Site, effect: dict[str, Any], serving: str) -> float:
    """Have an admin change the stream `test`; returns when it was done (Unix time)."""
    code = f"""
import json, time
from django.contrib.auth.models import User
from streams.catalogue.edits import Wanted, write
write({{"test": Wanted(json.loads({json.dumps(effect)!r}), {serving!r})}}, User.objects.create(username="admin"))
print(time.time())
"""
    done = site.manage("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


async def stall(site: Site, to: Writer, tp: TopicPartition, crowd: Crowd) -> None:
    """A client that reads nothing, with bytes of whole events unsent in the server."""
    await crowd.connect(site.port, PATH, SSE, read=False, receive_buffer=4096)
    for _ in range(60):
        await to.write(tp, [None], "x" * 40_000)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)


async def write_on(to: Writer, partitions: list[TopicPartition], enough: asyncio.Event) -> None:
    while not enough.is_set():
        for tp in partitions:
            await to.write(tp, [None])
        await asyncio.sleep(0.05)


async def test_three_seconds_after_a_page_is_listed_nobody_reads_a_name_and_no_event_is_lost_or_repeated(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic(2)
    partitions = partitions_of([topic], 2)
    enough = asyncio.Event()
    async with (
        serving(tmp_path, kafka.bootstrap, [topic]) as one,
        serving(tmp_path, kafka.bootstrap, [topic], database=one.database) as other,
        writer(kafka.bootstrap) as to,
        Crowd(Witness) as crowd,
    ):
        to.members = MEMBERS
        for tp in partitions:
            await to.write(tp, [None] * (HISTORY // 2), "x" * 400)
        async with meanwhile(write_on(to, partitions, enough)):
            live: list[Any] = []
            historical: list[Any] = []
            for number in range(READERS):
                port, accept = (one, other)[number % 2].port, (SSE, NDJSON)[number // 2 % 2]
                live.append(await crowd.connect(port, PATH + COMPRESSIONS[number % 3], accept))
                reader: Any = await crowd.connect(port, f"{PATH}?since=0", accept, read=False, **PACED)
                reader.pace = 0.1
                reader.connect, reader.partitions = partial(again, port, accept), partitions
                historical.append(reader)
            for reader in historical:
                reader.read()
            for reader in (*live, *historical):
                await reader.until(lambda reader=reader: reader.named > 10)
            listed_at = await asyncio.to_thread(list_page, one)
            historical[0].client.abort()  # as the server may do to any of them
            assert all(reader.count < HISTORY for reader in historical), "they were to be in the middle of history"
            await asyncio.sleep(max(0.0, listed_at + SECONDS + 1 - time.time()))
            enough.set()
        for reader in (*live, *historical):
            await reader.has({tp: to.held[tp][-1][0] for tp in partitions})
        for site in (one, other):
            late: Any = await crowd.connect(site.port, f"{PATH}?since=0", SSE)
            await late.has({tp: to.held[tp][-1][0] for tp in partitions})
            assert late.named == 0
            assert site.metric("eventstreams_redaction_list_version") == 1
    for reader in (*live, *historical):
        assert reader.last_named_at < listed_at + SECONDS
    for tp in partitions:
        held = [offset for offset, _ in to.held[tp]]
        for reader in historical:
            assert reader.offsets[tp] == held
        for reader in live:
            assert reader.offsets[tp] == held[held.index(reader.offsets[tp][0]) :]


async def test_a_client_with_old_bytes_unsent_is_cut_and_resumes_by_its_id_without_a_name(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic()
    tp = TopicPartition(topic, 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic]) as site,
        writer(kafka.bootstrap, max_request_size=4_000_000) as to,
        Crowd(Witness) as crowd,
    ):
        to.members = MEMBERS
        # As large as that the kernel does not take one: what is left of it is ours.
        await to.write(tp, [None] * 12, "x" * 900_000)
        idle: Any = await crowd.connect(site.port, PATH, SSE)
        stalled = await StreamClient.connect(site.port, f"{PATH}?since=0", SSE, receive_buffer=4096)
        events = stalled.events()
        first = await anext(events)
        stalled.pause()
        await asyncio.sleep(0.5)
        listed_at = await asyncio.to_thread(list_page, site)
        while not site.metric("eventstreams_clients_cut_total"):
            assert time.time() < listed_at + SECONDS
            await asyncio.sleep(0.05)
        stalled.resume()
        got = [first.id]
        try:
            async for event in events:
                got.append(event.id)
        except (OSError, asyncio.IncompleteReadError):
            pass
        else:
            raise AssertionError("the stream was to be broken off")
        assert len(got) < 12
        assert site.metric("eventstreams_clients_cut_total") == 1, "a client without unsent bytes stays"
        resumed: Any = await crowd.connect(site.port, PATH, {**SSE, "Last-Event-ID": got[-1]})
        await to.write(tp, [None])
        for reader in (idle, resumed):
            await reader.has({tp: to.held[tp][-1][0]})
            assert reader.named == 0
    seen: defaultdict[str, int] = defaultdict(int)
    for id_ in got:
        seen[id_] += 1
    assert set(seen.values()) == {1}
    assert [offset for offset, _ in to.held[tp]][len(got) :] == resumed.offsets[tp]


async def test_a_stream_that_had_ended_before_the_list_changed_is_cut_too_and_who_had_it_all_stays_connected(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp, others = TopicPartition(make_topic(), 0), [make_topic()]
    async with (
        # Admins may give `test` the topics of the other stream, so that it ends, and is not withdrawn: those are cut.
        serving(tmp_path, kafka.bootstrap, {"test": [tp.topic], "other": others}) as site,
        writer(kafka.bootstrap) as to,
        Crowd(Witness) as crowd,
        AsyncExitStack() as ends,
    ):
        to.members = MEMBERS
        reader, opened = await asyncio.open_connection("127.0.0.1", site.port, limit=64 << 20)
        ends.callback(opened.close)
        opened.write(f"GET {PATH} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        await reader.readuntil(b":ok\n\n\r\n")
        await stall(site, to, tp, crowd)
        with_stalled = site.descriptors()
        await asyncio.to_thread(edit_stream, site, {"topics": others}, "as configured")
        async with asyncio.timeout(20):
            ended = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert NAME in ended
            while site.metric("eventstreams_connected_clients"):
                await asyncio.sleep(0.05)
        assert not site.metric("eventstreams_clients_cut_total")
        listed_at = await asyncio.to_thread(list_page, site)
        while not site.metric("eventstreams_clients_cut_total"):
            assert time.time() < listed_at + SECONDS
            await asyncio.sleep(0.05)
        await asyncio.sleep(max(0.0, listed_at + SECONDS - time.time()))
        assert site.metric("eventstreams_clients_cut_total") == 1
        async with asyncio.timeout(5):
            while site.descriptors() >= with_stalled:  # one may still be that of the question for the metric
                await asyncio.sleep(0.05)
        opened.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_a_client_that_reads_nothing_is_cut_from_a_stream_that_is_withdrawn(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic]) as site,
        writer(kafka.bootstrap) as to,
        Crowd(Witness) as crowd,
    ):
        await stall(site, to, tp, crowd)
        with_stalled = site.descriptors()
        denied_at = await asyncio.to_thread(edit_stream, site, {}, "no")
        while site.descriptors() >= with_stalled:
            assert time.time() < denied_at + SECONDS + 1
            await asyncio.sleep(0.05)
