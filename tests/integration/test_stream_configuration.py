"""Stream configuration over HTTP, followed by two server processes: live everywhere, and the last good one stays."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streams.core.positions import TopicPartition
from tests.support.around.config_server import Answer, ConfigServer, document, large, silence, status
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE
from tests.support.kafka.writing import Writer, writer
from tests.support.site import Site

STREAMS = "abcdefgh"
SECONDS = 3.0


class World(NamedTuple):
    """Two processes with one database, the server that describes their streams, and a writer."""

    sites: tuple[Site, Site]
    source: ConfigServer
    topics: dict[str, str]
    to: Writer

    def described(self, names: str = STREAMS, **others: list[str]) -> dict[str, Any]:
        return {name: {"topics": others.get(name) or [self.topics[name]]} for name in names}


@asynccontextmanager
async def world(bootstrap: str, make_topic: Callable[..., str], folder: Path) -> AsyncIterator[World]:
    topic, other = make_topic(), make_topic()
    topics = {name: other if name == "b" else topic for name in STREAMS}
    async with AsyncExitStack() as stack:
        source = stack.enter_context(ConfigServer())
        source.answer = document({name: {"topics": [topics[name]]} for name in STREAMS})
        settings = {
            "stream_config_uri": source.url,
            "stream_config_ttl": 0.5,
            "stream_config_uri_options": {"headers": {"X-Token": "a secret of ours"}},
        }
        one = Site(folder, bootstrap, {}, **settings)
        two = Site(folder, bootstrap, {}, database=one.database, **settings)
        for site in (one, two):
            stack.push_async_callback(asyncio.to_thread, site.close)
            await asyncio.to_thread(site.start)
        to = await stack.enter_async_context(writer(bootstrap))
        yield World((one, two), source, topics, to)


async def end_of(client: StreamClient) -> list[Any]:
    """The events up to the end of the stream, which has to come soon and cleanly."""
    async with asyncio.timeout(SECONDS):
        events = [event async for event in client.events()]
    assert client.ended_cleanly
    return events


async def eventually(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.1)


async def test_a_stream_that_is_withdrawn_or_moved_ends_its_clients_in_every_process_and_no_others(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    async with world(kafka.bootstrap, make_topic, tmp_path) as made:
        for site in made.sites:
            assert made.source.requests[-1][1]["x-token"] == "a secret of ours"
            assert "a secret" not in site.log.read_text()
        others = [await StreamClient.connect(site.port, "/v2/stream/a,c", SSE) for site in made.sites]
        of_b = [await StreamClient.connect(site.port, "/v2/stream/a,b", SSE) for site in made.sites]
        lines = await StreamClient.connect(made.sites[0].port, "/v2/stream/b", NDJSON)
        made.source.answer = document(made.described(STREAMS.replace("b", "")))
        for client in of_b:
            (event,) = await end_of(client)
            assert (event.event, event.id) == ("error", "")
            assert event.json["detail"] == "No longer exposed: b"
            assert client.retry == 10_000
        assert [chunk.strip() async for chunk in lines.chunks()] == [b""]
        assert lines.ended_cleanly
        for site in made.sites:
            await eventually(lambda site=site: site.get("/v2/stream/b", NDJSON)[0] == 404)

        # Given another topic, a stream ends its clients without an error: they return, and their ids say from where.
        tp = TopicPartition(made.topics["a"], 0)
        moved = await StreamClient.connect(made.sites[1].port, "/v2/stream/d", SSE)
        await made.to.write(tp, [None])
        (seen,) = await moved.take(1)
        made.source.answer = document(made.described("acdefgh", d=[made.topics["b"]]))
        assert await end_of(moved) == []
        async with asyncio.timeout(30):  # a process whose earlier answer was under way may set it back for a moment
            while True:
                path, headers = "/v2/stream/d", {**SSE, "Last-Event-ID": seen.id}
                resumed = await StreamClient.connect(made.sites[1].port, path, headers)
                if "eventstreams-gap" in resumed.headers:
                    break
                await resumed.close()
        (gap,) = json.loads(resumed.headers["eventstreams-gap"])
        assert (gap["topic"], gap["served"]) == (made.topics["a"], None)

        await made.to.write(tp, [None, None])
        for client in others:
            assert [event.json["n"] for event in await client.take(3)] == [0, 1, 2]
        for client in (*others, *of_b, lines, moved, resumed):
            await client.close()


BAD: dict[str, tuple[Answer | None, str, str]] = {
    "an error": (status(500), "failed", "500"),
    "garbage": (status(200, b"<html>\x00 oops"), "failed", "neither JSON"),
    "an empty list": (status(200, b"[]"), "failed", "list"),
    "an empty mapping": (status(200, b"{}"), "failed", "no stream"),
    "most of the streams": (None, "held", "5 of 8"),
    "100 MB": (large(100_000_000, announced=False), "failed", "larger than"),
    "nothing at all": (silence, "failed", "no answer within"),
}


@pytest.mark.slow
async def test_the_last_good_configuration_stays_what_happened_is_said_and_a_good_answer_heals_it(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    async with world(kafka.bootstrap, make_topic, tmp_path) as made:
        site = made.sites[0]
        client = await StreamClient.connect(site.port, "/v2/stream/h", SSE)
        asked: dict[str, int] = {}
        for what, (answer, outcome, said) in BAD.items():
            metric = f'eventstreams_stream_config_syncs_total{{outcome="{outcome}"}}'
            before, asked_before = count(site, metric), len(made.source.requests)
            made.source.answer = answer or document(made.described("abc"))
            await eventually(lambda metric=metric, before=before: count(site, metric) > before, 25)
            ready = site.json("/readyz")
            assert ready["status"] == "degraded", what
            assert str(made.source.port) not in json.dumps(ready), "where our configuration is, is nobody's business"
            assert site.metric("eventstreams_stream_config_held") == (outcome == "held")
            # In the log, failures that follow each other soon have one line; the history has each.
            await eventually(lambda said=said: said in last_run(site))
            assert site.metric("eventstreams_catalogue_streams") == len(STREAMS)
            asked[what] = len(made.source.requests) - asked_before
            made.source.answer = document(made.described())
            await eventually(lambda: site.json("/readyz")["status"] == "ready")
        made.source.answer = document(made.described(STREAMS + "i", i=["new"]))
        await eventually(lambda: site.metric("eventstreams_catalogue_streams") == len(STREAMS) + 1)
        await made.to.write(TopicPartition(made.topics["h"], 0), [None])
        assert len(await client.take(1)) == 1, "who followed a stream all the while noticed nothing"
        most = 30_000_000 * asked["100 MB"]
        assert made.source.sent < most, "each time, a process takes 16 MB and what is under way"
        await client.close()


def last_run(site: Site) -> str:
    """What the newest synchronisation that both processes have recorded says."""
    with closing(sqlite3.connect(site.database)) as database:
        return str(database.execute("SELECT error FROM streams_syncrun ORDER BY id DESC LIMIT 1").fetchone()[0])


def count(site: Site, sample: str) -> float:
    """One sample of a metric, 0 where it is not there yet."""
    for line in site.metrics_text().splitlines():
        if line.startswith(f"{sample} "):
            return float(line.rpartition(" ")[2])
    return 0.0
