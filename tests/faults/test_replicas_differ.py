"""Two servers, one database, two documents: one is stored, nobody is disconnected twice, and the other one says so."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from streams.catalogue.lease import LEASE_SECONDS, STAYS_SECONDS
from streams.core.positions import TopicPartition
from tests.support.around.postgres import Postgres
from tests.support.client import StreamClient
from tests.support.client.reading import SSE
from tests.support.kafka.writing import writer
from tests.support.site import Site

REFRESHES = 8
TTL = 0.5
DIFFERS = "eventstreams_stream_config_differs"
SYNCS = 'eventstreams_stream_config_syncs_total{{outcome="{}"}}'


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.1)


def count(site: Site, outcome: str) -> float:
    text = site.metrics_text()
    name = SYNCS.format(outcome)
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_differing_documents_are_stored_once_each_and_said(
    kind: str, kafka: Any, make_topic: Callable[..., str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    topic = make_topic()
    database: Path | str | None = None
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.create_database()
    async with AsyncExitStack() as stack:
        documents = {name: {each: {"topics": [topic]} for each in of} for name, of in (("old", "ab"), ("new", "abc"))}
        old = Site(tmp_path, kafka.bootstrap, documents["old"], stream_config_ttl=TTL, database=database)
        new = Site(tmp_path, kafka.bootstrap, documents["new"], stream_config_ttl=TTL, database=old.database)

        async def start(site: Site) -> None:
            stack.push_async_callback(asyncio.to_thread, site.close)
            await asyncio.to_thread(site.start)

        def exposed(site: Site) -> list[str]:
            return [name for name in "abc" if site.get(f"/v2/stream/{name}?since=x")[0] != 404]

        await start(old)
        client = await StreamClient.connect(old.port, "/v2/stream/a", SSE)
        await start(new)
        began = time.monotonic()
        await eventually(lambda: new.metric(DIFFERS) == 1)
        ready = new.json("/readyz")
        assert ready["status"] == "degraded"
        assert "this server started later, and soon stores its own" in json.dumps(ready)
        assert str(tmp_path) not in json.dumps(ready)
        assert "differs from the stored configuration" in new.log.read_text()
        assert exposed(new) == ["a", "b"], "it serves what is stored"
        assert old.json("/readyz")["status"] == "ready"

        # The newer one stays, so its document is stored; the older one says so from then on.
        await eventually(lambda: exposed(old) == exposed(new) == ["a", "b", "c"])
        assert time.monotonic() - began > STAYS_SECONDS - 5
        await eventually(lambda: old.metric(DIFFERS) == 1 and new.metric(DIFFERS) == 0)
        assert new.json("/readyz")["status"] == "ready"
        assert "started later stored it" in json.dumps(old.json("/readyz"))
        before = count(old, "differs"), count(new, "unchanged")
        await eventually(
            lambda: count(old, "differs") > before[0] + REFRESHES and count(new, "unchanged") > before[1] + REFRESHES
        )
        assert (count(old, "changed"), count(new, "changed")) == (1, 1)
        assert exposed(old) == exposed(new) == ["a", "b", "c"]
        assert old.log.read_text().count("differs from the stored configuration") == 1, "not at each refresh"

        # The newer one is killed: the older one's document is stored again, once its lease has ended.
        await asyncio.to_thread(new.stop, signal.SIGKILL)
        await eventually(lambda: exposed(old) == ["a", "b"], LEASE_SECONDS + 30)
        assert old.json("/readyz")["status"] == "ready"
        assert "is the stored one again" in old.log.read_text()
        async with writer(kafka.bootstrap) as to:
            await to.write(TopicPartition(topic, 0), [None])
        await client.take(1)  # a client of a stream that both have is never disconnected
        await client.close()
