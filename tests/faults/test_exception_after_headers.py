"""What fails after the headers: the client gets an error event, the stream ends cleanly, and the server continues.

Invariant 8. Stock Daphne's reaper ends, for the life of the process, with the first exception after a response began.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.integration.kit import error_of
from tests.integration.test_headers import is_protected
from tests.support.broken.sabotaged import EVENTS, FAULTS, SECRET
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

GAUGE = "eventstreams_connected_clients"
DAPHNE = ("-m", "daphne", "eventstreams_site.asgi:application")


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.1)


async def test_an_exception_inside_a_stream_is_told_by_an_event_and_the_stream_ends_cleanly(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    command = ("-m", "tests.support.broken.sabotaged")
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic], command=command) as site,
        writer(kafka.bootstrap) as to,
    ):
        await to.write(tp, [None] * EVENTS)
        descriptors: list[int] = []
        for _ in range(2 * len(FAULTS)):
            client = await StreamClient.connect(site.port, f"{PATH}?since=0", SSE)
            *events, error = [event async for event in client.events()]
            assert client.ended_cleanly
            assert [event.event for event in events] == ["message"] * EVENTS
            assert error.event == "error"
            assert error.id == events[-1].id, "it has no id: the client resumes where it was"
            assert client.retry == 10_000
            assert error.json["type"] == "internal_error"
            assert error.json["status"] == 500
            assert SECRET not in error.data
            await client.close()

            client = await StreamClient.connect(site.port, f"{PATH}?since=0", NDJSON)
            lines = [line for line in (await client.body()).splitlines() if line]
            assert len(lines) == EVENTS
            assert client.ended_cleanly
            await client.close()
            await becomes(lambda: site.metric(GAUGE) == 0)
            descriptors.append(site.descriptors())
        # Connections to Kafka come as they are needed, and stay; one of each stream would be many more.
        await becomes(lambda: site.descriptors() < min(descriptors) + len(FAULTS))
        log = site.log.read_text()
        for fault in FAULTS:
            assert re.search(rf"^(\w+\.)*{fault.__name__}$", log, re.MULTILINE)
        assert f": {SECRET}" not in log, "its text may quote an event"


async def test_the_server_lives_with_applications_that_fail_in_the_middle_of_an_answer(
    kafka: Any, tmp_path: Path
) -> None:
    site = Site(tmp_path, kafka.bootstrap, {}, command=("-m", "tests.support.broken.careless"))
    try:
        await asyncio.to_thread(site.start, wait_ready=False)
        await asyncio.to_thread(site.wait_for, 200, "/")
        for path in ("/fail", "/give-up") * 2:
            client = await StreamClient.connect(site.port, path)
            assert client.status == 500
            is_protected(client)
            assert (await error_of(client))["type"] == "internal_error"
            await client.close()
        for path in ("/raise", "/forget") * 2:
            client = await StreamClient.connect(site.port, path)
            # What was not ended is not made to look so.
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.body()
            client.abort()
        for _ in range(5):
            client = await StreamClient.connect(site.port, "/wait")
            client.abort()
        await becomes(lambda: site.get("/")[2] == b"1")
        assert site.get("/twisted")[0] == 200
        seen = (
            "before an answer",
            "in the middle of an answer",
            "ended before its answer was complete",
            "in a callback of Twisted's",
        )
        await becomes(lambda: all(text in site.log.read_text() for text in seen))
        assert await asyncio.to_thread(site.stop) == 0
    finally:
        site.close()


async def test_plain_daphne_serves_streams_and_says_that_it_has_no_backpressure(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    tp = TopicPartition(make_topic(), 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [tp.topic], command=DAPHNE) as site,
        writer(kafka.bootstrap) as to,
    ):
        async with Crowd() as crowd:
            followers = [await crowd.connect(site.port, PATH, headers) for headers in (SSE, NDJSON)]
            await to.write(tp, [None] * 100)
            for follower in followers:
                await follower.has({tp: 99})
                assert follower.offsets[tp] == [*range(100)]
        assert "gives no backpressure" in site.log.read_text()
        await becomes(lambda: site.metric(GAUGE) == 0)
        await asyncio.to_thread(site.stop, signal.SIGTERM)
