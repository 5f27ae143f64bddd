"""200 clients while workers are replaced, go back, are killed, hang and crash: each gets every event exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.core.positions import TopicPartition
from tests.support.client.exact import ExactReader, all_have
from tests.support.client.reading import from_the_beginning
from tests.support.engine import cancel
from tests.support.kafka.writing import Writer, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, workers_of
from tests.support.site.supervised import Ops, supervised

CLIENTS, TYPES = 200, 5
EVENT_SECONDS = 0.1
CATCH_UP_SECONDS = 60.0


class Running:
    """A service of two workers with 200 clients, half of them filtered, and events all the time."""

    def __init__(self, site: Site, ops: Ops, to: Writer, tp: TopicPartition) -> None:
        self.site, self.ops = site, ops
        self._to, self._tp = to, tp
        start = from_the_beginning([tp])
        self.readers = [ExactReader(site.port, PATH, 1, start) for _ in range(CLIENTS // 2)]
        self.readers += [ExactReader(site.port, f"{PATH}?type=t{n % TYPES}", TYPES, start) for n in range(CLIENTS // 2)]

    async def write(self) -> None:
        self._to.types = TYPES
        while True:
            await self._to.write(self._tp, [None])
            await asyncio.sleep(EVENT_SECONDS)

    async def all_is_exact(self) -> None:
        """Every client has everything that was written until now, once and in order."""
        count = max(self._to.count, 2 * TYPES)
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while not all(reader.last.get(self._tp, -1) >= count - TYPES for reader in self.readers):
                await asyncio.sleep(0.1)
        assert [each for reader in self.readers for each in reader.wrong] == []

    @property
    def connections(self) -> int:
        return sum(reader.connections for reader in self.readers)

    @property
    def cuts(self) -> int:
        return sum(reader.ends["cut"] for reader in self.readers)

    def configure(self, **settings: Any) -> None:
        path = Path(self.site.django_env["EVENTSTREAMS_CONFIG"])
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))

    async def reload(self) -> tuple[int, str]:
        done = await asyncio.to_thread(self.site.manage, "reload", "--ops-port", str(self.ops.port))
        return done.returncode, done.stdout + done.stderr

    async def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ops.state())["workers"]
        return found

    async def is_balanced(self) -> None:
        """Wait until both workers have clients: newcomers go to the one that has fewer."""
        async with asyncio.timeout(60):
            while True:
                counts = [worker["connections"] for worker in await self.workers()]
                if len(counts) == 2 and sum(counts) >= CLIENTS and min(counts) >= CLIENTS // 5:
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running(folder: Path, kafka: Any, topic: str) -> AsyncIterator[Running]:
    tp = TopicPartition(topic, 0)
    async with (
        supervised(folder, kafka.bootstrap, topic, drain_seconds=1) as (site, ops),
        writer(kafka.bootstrap) as to,
    ):
        it = Running(site, ops, to, tp)
        tasks = [asyncio.create_task(reader.read_forever()) for reader in it.readers]
        writing = asyncio.create_task(it.write())
        try:
            yield it
            await cancel(writing)
            assert await all_have(it.readers, {tp: to.held[tp][-1][1]}, CATCH_UP_SECONDS) == []
        finally:
            for task in (writing, *tasks):
                await cancel(task)


async def a_wrong_configuration_changes_nothing(it: Running) -> None:
    before, connections = await it.workers(), it.connections
    it.configure(max_streams="many")
    status, said = await it.reload()
    assert status == 1
    assert "Nothing has changed: max_streams: 'many' is not accepted" in said
    assert [each["pid"] for each in await it.workers()] == [each["pid"] for each in before]
    assert it.connections == connections, "nobody was disconnected"


async def a_good_configuration_replaces_all_workers(it: Running) -> None:
    before = set(workers_of(it.site))
    it.configure(max_streams=7)
    status, said = await it.reload()
    assert status == 0, said
    assert "All workers have the new configuration" in said
    assert not before & set(workers_of(it.site))
    assert {each["configuration"] for each in await it.workers()} == {2}
    assert it.cuts == 0, "every stream was ended whole"


async def a_reload_that_fails_half_way_goes_back(it: Running) -> None:
    """The second successor is killed before it is ready, when the first one serves already."""
    it.configure(max_streams=8)
    reloading = asyncio.create_task(it.reload())
    async with asyncio.timeout(60):
        while True:
            workers = await it.workers()
            new = [each for each in workers if each["configuration"] == 3]
            unready = [each for each in new if not each["ready"]]
            if len(new) == 2 and unready:
                os.kill(unready[0]["pid"], signal.SIGKILL)
                break
            await asyncio.sleep(0.02)
    status, said = await reloading
    assert status == 1
    assert "The workers have their old configuration: worker 1 could not be replaced" in said
    assert [each["configuration"] for each in await it.workers()] == [2, 2]
    metrics = await it.ops.metrics()
    assert [metrics[f'eventstreams_worker_configuration{{worker="{slot}"}}'] for slot in (0, 1)] == [2, 2]
    assert "the last reload failed: worker 1 could not be replaced" in json.dumps(await it.ops.state())
    assert "Going back to the previous configuration" in it.site.log.read_text()
    assert it.cuts == 0


async def a_killed_worker_is_replaced(it: Running) -> None:
    os.kill(workers_of(it.site)[0], signal.SIGKILL)
    await it.ops.becomes(lambda said: "it has exited and is restarted" in json.dumps(said), 20)
    await it.all_is_exact()
    assert it.cuts > 0


async def a_stopped_worker_is_replaced(it: Running) -> None:
    stopped = workers_of(it.site)[0]
    os.kill(stopped, signal.SIGSTOP)
    await it.ops.becomes(lambda said: "does not report; it gets no connections" in json.dumps(said), 20)
    async with asyncio.timeout(60):
        while Path(f"/proc/{stopped}").exists():
            await asyncio.sleep(0.1)


async def a_crash_loop_is_reported(it: Running) -> None:
    """One slot keeps crashing, the other one serves everybody."""
    slot = (await it.workers())[0]["worker"]
    async with asyncio.timeout(60):
        while "keeps exiting soon after its start" not in json.dumps(await it.ops.state()):
            for worker in await it.workers():
                if worker["worker"] == slot:
                    os.kill(worker["pid"], signal.SIGKILL)
            await asyncio.sleep(0.1)
    assert (await it.ops.get("/readyz")).status_code == 503
    await it.all_is_exact()


@pytest.mark.slow
async def test_each_of_200_clients_gets_every_event_once_whatever_becomes_of_the_workers(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with running(tmp_path, kafka, topic) as it:
        await it.is_balanced()
        await it.all_is_exact()
        for what in (
            a_wrong_configuration_changes_nothing,
            a_good_configuration_replaces_all_workers,
            a_reload_that_fails_half_way_goes_back,
            a_killed_worker_is_replaced,
            a_stopped_worker_is_replaced,
            a_crash_loop_is_reported,
        ):
            await what(it)
            await it.all_is_exact()
        it.configure(max_streams=9)
        await it.ops.becomes(lambda said: said["status"] != "unready", 90)
        status, said = await it.reload()
        assert status == 0, said
        await it.ops.becomes(lambda said: said["status"] == "ready")
        await it.is_balanced()
        await it.all_is_exact()
