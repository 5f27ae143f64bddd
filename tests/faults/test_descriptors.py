"""256 open files and 400 clients: Kafka, probes and those who are connected never lack a descriptor."""

from __future__ import annotations

import asyncio
import http.client
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support.client.reading import SSE, Crowd, Follower
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving, workers_of

FILES, CLIENTS, IDLE = 256, 400, 300
LIMITED = (
    "-c",
    f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES // 2}, {FILES})); "
    "sys.argv[:1] = ['manage.py', 'serve']; runpy.run_path('manage.py', run_name='__main__')",
)
"""`manage.py serve`, with that hard limit and half of it as the soft one."""
PLACES = 138
STREAM = f"GET {PATH} HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n".encode()


async def first_words(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    """The answer that a newcomer gets, and its connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(STREAM)
    said = b""
    async with asyncio.timeout(60):
        while b":ok" not in said or (b"retry:" in said and b"\r\n0\r\n" not in said):
            data = await reader.read(65536)
            if not data:
                break
            said += data
    return said, writer


async def says(site: Site, text: str, *, expected: bool = True) -> None:
    async with asyncio.timeout(30):
        while (text in (await asyncio.to_thread(site.get, "/readyz"))[2].decode()) is not expected:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_at_the_bound_newcomers_are_told_so_and_nothing_else_notices(
    workers: Sequence[str], kafka: Any, topic: str, tmp_path: Path
) -> None:
    tp = TopicPartition(topic, 0)
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], command=(*LIMITED, *workers), drain_seconds=0.2) as site,
        writer(kafka.bootstrap) as to,
        Crowd() as crowd,
    ):
        where = f"{2 * PLACES} streams in 2 processes" if workers else f"{PLACES} streams in a process"
        assert f"At most {where}, although max_connections is 10000" in site.log.read_text()
        assert site.metric("process_max_fds") == FILES
        followers: list[Follower] = [await crowd.connect(site.port, PATH, SSE) for _ in range(10)]
        newcomers = await asyncio.gather(*(first_words(site.port) for _ in range(CLIENTS)))
        told = [said for said, _ in newcomers if b'"type":"overloaded"' in said.replace(b" ", b"")]
        served = [said for said, _ in newcomers if b":ok" in said and b"retry:" not in said]
        neither = [said for said, _ in newcomers if said not in told and said not in served]
        assert not any(neither), "nobody gets half an answer"
        assert not neither, "everybody gets an answer"
        assert len(served) <= 2 * PLACES
        assert told
        if not workers:
            assert len(served) == PLACES - len(followers)
            await says(site, f"all {PLACES} connections for streams are in use")
            assert 0 < site.metric("process_open_fds") < FILES

        # Some connect and say nothing.
        idle = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(IDLE)]
        for _ in range(5):
            assert (await asyncio.to_thread(site.get, "/healthz"))[0] == 200
        await to.write(tp, [None] * 5)
        for follower in followers:
            await follower.has({tp: 4})
        past = await asyncio.to_thread(site.get, f"{PATH}?since=1", {"Accept": "application/json"})
        assert past[0] in (200, 503)
        assert site.metric("eventstreams_kafka_up") == 1

        for _, connection in (*idle, *newcomers):
            connection.transport.abort()
        await says(site, "connections for streams are in use", expected=False)
        late = await crowd.connect(site.port, PATH, SSE)
        await to.write(tp, [None])
        await late.has({tp: 5})
        log = site.log.read_text()
        assert "Traceback" not in log
        assert "Too many open files" not in log


def limit(pids: Sequence[int], files: int) -> None:
    """Bound the files that running processes may have open; those that are open stay so."""
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, FILES))


@pytest.mark.parametrize("lacking", ["one process", "supervisor", "workers"])
async def test_without_a_free_descriptor_clients_wait_and_probes_say_why(
    lacking: str, kafka: Any, topic: str, tmp_path: Path
) -> None:
    command = LIMITED if lacking == "one process" else (*LIMITED, "--workers", "2")
    async with serving(tmp_path, kafka.bootstrap, [topic], command=command, drain_seconds=0.2) as site:
        pids = workers_of(site) if lacking == "workers" else [site.pid]
        probe = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)

        def ask(path: str) -> str:
            probe.request("GET", path)
            return probe.getresponse().read().decode()

        async def says_so(*, expected: bool) -> None:
            async with asyncio.timeout(30):
                while ("Too many open files" in await asyncio.to_thread(ask, "/readyz")) is not expected:
                    await asyncio.sleep(0.1)

        assert "degraded" not in await asyncio.to_thread(ask, "/readyz")
        limit(pids, 5)
        newcomers = [asyncio.ensure_future(first_words(site.port)) for _ in range(20)]
        await says_so(expected=True)
        if lacking != "supervisor":  # its failures are counted on the operations port
            assert "\neventstreams_accept_failures_total 0.0\n" not in await asyncio.to_thread(ask, "/metrics")
        assert not any(newcomer.done() for newcomer in newcomers)
        limit(pids, FILES)
        for said, connection in await asyncio.gather(*newcomers):
            assert b":ok" in said
            connection.transport.abort()
        await says_so(expected=False)
        probe.close()
        assert "Traceback" not in site.log.read_text()
