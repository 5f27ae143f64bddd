"""Several workers are one service: one port answers for all, a new configuration cuts nobody, no counter goes back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.core.positions import TopicPartition
from tests.support.client.reading import SSE, Crowd, CutReader, from_the_beginning
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving, workers_of
from tests.support.site.supervised import supervised


def change(site: Site, **settings: Any) -> None:
    """Change the configuration file."""
    path = Path(site.django_env["EVENTSTREAMS_CONFIG"])
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))


def counters(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if re.match(r"eventstreams_\w+_total", name)}


async def test_one_port_answers_for_all_workers_and_no_counter_goes_back(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    tp = TopicPartition(topic, 0)
    async with (
        supervised(tmp_path, kafka.bootstrap, topic) as (site, ops),
        writer(kafka.bootstrap) as to,
        Crowd(may_cut=True) as crowd,
    ):
        assert (await ops.get("/healthz")).json() == {"status": "ok"}
        assert (await ops.get("/elsewhere")).status_code == 404
        followers = [await crowd.connect(site.port, PATH, SSE) for _ in range(6)]
        await to.write(tp, [None] * 5)
        for follower in followers:
            await follower.has({tp: 4})
        before = await ops.metrics()
        assert before['eventstreams_connected_clients{stream="test"}'] == 6, "gauges are summed"
        assert before['eventstreams_events_sent_total{format="sse"}'] == 30
        for name, value in (("events_sent", 30), ("events_read", 10)):  # each worker has read all of them
            label = "streams" if name == "events_sent" else "stream"
            assert before[f'eventstreams_stream_{name}_total{{{label}="test"}}'] == value
        assert before[f'eventstreams_partition_lag_records{{partition="0",topic="{topic}"}}'] == 0
        assert before["eventstreams_event_loop_lag_seconds"] < 60
        by_worker = [before[f'eventstreams_worker_connections{{worker="{slot}"}}'] for slot in range(2)]
        assert by_worker == [3, 3]
        assert all(before[f'process_resident_memory_bytes{{worker="{each}"}}'] > 1e7 for each in (0, 1, "supervisor"))
        assert before["eventstreams_kafka_up"] == 1

        killed, other = workers_of(site)
        os.kill(killed, signal.SIGKILL)
        said = await ops.becomes(lambda said: said["status"] == "degraded", 20)
        assert any(re.match(r"worker \d is not ready: it ", each) for each in said["degraded"]), said
        for _ in range(5):
            after = await ops.metrics()
            assert {name: after[name] for name in counters(before) if after[name] < before[name]} == {}
            before = after
        await ops.becomes(lambda said: said["status"] == "ready")
        after = await ops.metrics()
        assert {name: after[name] for name in counters(before) if after[name] < before[name]} == {}
        assert after['eventstreams_connected_clients{stream="test"}'] == 3
        restarts = [after[f'eventstreams_worker_restarts_total{{worker="{slot}"}}'] for slot in range(2)]
        assert sorted(restarts) == [0, 1]
        newcomers = [await crowd.connect(site.port, PATH, SSE) for _ in range(3)]
        await ops.becomes(lambda said: [worker["connections"] for worker in said["workers"]] == [3, 3], 20)
        await to.write(tp, [None])
        for follower in newcomers:
            await follower.has({tp: 5})
        assert other in workers_of(site)


async def test_a_new_configuration_cuts_nobody_and_a_wrong_one_changes_nothing(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    tp = TopicPartition(topic, 0)
    total = 60
    async with (
        supervised(tmp_path, kafka.bootstrap, topic, drain_seconds=1) as (site, ops),
        writer(kafka.bootstrap) as to,
    ):
        readers = [CutReader(PATH, from_the_beginning([tp])) for _ in range(20)]

        async def read_all(reader: CutReader) -> None:
            async with asyncio.timeout(120):
                while len(reader.seen) < total:
                    await reader.read(site.port, 1 << 30, 5.0, total)

        reading = [asyncio.ensure_future(read_all(reader)) for reader in readers]
        first = workers_of(site)
        assert site.get("/v2/ui")[0] == 404

        change(site, max_streams="many")
        os.kill(site.pid, signal.SIGHUP)
        said = await ops.becomes(lambda said: said["status"] == "degraded")
        assert "max_streams: 'many' is not accepted" in said["degraded"][0]
        refused = await asyncio.to_thread(site.manage, "reload", "--ops-port", str(ops.port))
        assert refused.returncode == 1
        assert "Nothing has changed: max_streams: 'many' is not accepted" in refused.stderr
        assert workers_of(site) == first

        change(site, max_streams=7, stream_ui_enabled=True)
        done = await asyncio.to_thread(site.manage, "reload", "--ops-port", str(ops.port))
        assert "Replacing 2 workers, one at a time" in done.stdout, done.stderr
        for number in range(total):
            await to.write(tp, [None])
            await asyncio.sleep(0.05)
            assert (await asyncio.to_thread(site.get, "/healthz"))[0] == 200, number
        pids = {worker["pid"] for worker in (await ops.state())["workers"]}
        async with asyncio.timeout(60):
            while pids & set(first) or len(pids) != 2:
                pids = {worker["pid"] for worker in (await ops.state())["workers"]}
                await asyncio.sleep(0.1)
        await ops.becomes(lambda said: said["status"] == "ready")
        assert site.get("/v2/ui")[0] == 200
        await asyncio.gather(*reading)
        for reader in readers:
            assert [seen.offset for seen in reader.seen] == list(range(total)), "nothing lost, nothing repeated"
            # One that comes in the very moment in which a worker begins to drain is sent to another one.
            assert all(b'"draining"' in error for error in reader.errors)
        assert "Traceback" not in site.log.read_text()


async def test_a_successor_that_does_not_become_ready_leaves_all_as_it_was(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with (
        supervised(tmp_path, kafka.bootstrap, topic) as (site, ops),
        Crowd() as crowd,
    ):
        follower = await crowd.connect(site.port, PATH, SSE)
        first = workers_of(site)
        change(site, redacted_pages_min=10_000_000)  # well formed, and no database will ever have that many
        os.kill(site.pid, signal.SIGHUP)
        await ops.becomes(lambda said: len(said["workers"]) == 3)
        successor = next(worker["pid"] for worker in (await ops.state())["workers"] if worker["pid"] not in first)
        os.kill(successor, signal.SIGKILL)
        said = await ops.becomes(lambda said: said["status"] == "degraded")
        assert re.search(r"the last reload failed: worker \d could not be replaced", json.dumps(said)), said
        assert sorted(workers_of(site)) == sorted(first)
        assert follower.comments == [":ok"]
        site.get("/readyz")


async def test_workers_that_keep_exiting_are_restarted_ever_later_and_make_unready(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with supervised(tmp_path, kafka.bootstrap, topic, workers=1) as (site, ops):
        killed = set()
        async with asyncio.timeout(100):
            while not any("keeps exiting" in each for each in (await ops.state()).get("reasons", ())):
                for pid in set(workers_of(site)) - killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                await asyncio.sleep(0.05)
        assert (await ops.get("/readyz")).status_code == 503
        assert (await ops.get("/healthz")).status_code == 200
        metrics = await ops.metrics()
        assert metrics['eventstreams_worker_crash_loop{worker="0"}'] == 1
        assert metrics['eventstreams_worker_restarts_total{worker="0"}'] == len(killed) >= 3
        waits = [int(each) for each in re.findall(r"exited with -9; restarting in (\d+) s", site.log.read_text())]
        assert waits[-3:] == [1, 2, 4]


@pytest.mark.parametrize("setting", [{"max_worker_bytes": 64 << 20}, {"max_worker_seconds": 4}], ids=["memory", "age"])
async def test_a_worker_over_its_bounds_is_replaced_in_the_same_way(
    setting: Mapping[str, int], kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with (
        supervised(tmp_path, kafka.bootstrap, topic, workers=1, drain_seconds=0.5, **setting) as (site, ops),
        Crowd() as crowd,
    ):
        follower = await crowd.connect(site.port, PATH, SSE)
        first = set(workers_of(site))
        await follower.ended()
        assert follower.client.ended_cleanly
        await ops.becomes(lambda said: not first & {worker["pid"] for worker in said["workers"]})
        assert (await crowd.connect(site.port, PATH, SSE)).client.status == 200


async def raw_stream(port: int) -> bytes:
    """All that a client of SSE is sent, until the server ends the stream."""
    reader, to = await asyncio.open_connection("127.0.0.1", port)
    to.write(f"GET {PATH} HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n".encode())
    async with asyncio.timeout(20):
        said = await reader.readuntil(b"\r\n0\r\n\r\n")
    to.close()
    return said


async def test_a_stream_ends_after_max_connection_seconds_and_says_when_to_come_back(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, kafka.bootstrap, [topic], max_connection_seconds=2) as site, Crowd() as crowd:
        loop = asyncio.get_running_loop()
        began = loop.time()
        follower = await crowd.connect(site.port, PATH, SSE)
        await follower.ended()
        assert loop.time() - began >= 1.7
        assert follower.client.ended_cleanly
        assert b"retry: " in await raw_stream(site.port)
