"""That the benchmarks' instruments tell what happened: the load generator, /proc, and publishers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import rig
from benchmarks.events import producing, value
from benchmarks.proc import busy_percent, connections, cpu_seconds, peak_rss_kb
from benchmarks.subjects import posting

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:ok\n\n"


@pytest.fixture(scope="module")
def ssebench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("the load generator is built with Go, which is not installed")
    return rig.build_ssebench(tmp_path_factory.mktemp("ssebench"))


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """A server whose answer to a request, of which it is given the head, is up to the test; its port."""

    connected: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(asyncio.current_task())
        try:
            await answer((await reader.readuntil(b"\r\n\r\n")).decode(), writer)
            await reader.read()  # until the client leaves
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait(connected)


async def load(ssebench: Path, port: int, **options: object) -> dict[str, Any]:
    flags = [f"-{name.replace('_', '-')}={text}" for name, text in options.items()]
    command = [str(ssebench), f"-url=http://127.0.0.1:{port}/stream", f"-pids={os.getpid()}", *flags]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    report: dict[str, Any] = json.loads(output)
    return report


def sse(sequence: int) -> bytes:
    return b"event: message\nid: [%d]\ndata: %b\n\n" % (sequence + 1, value(sequence, time.time()))


def sending(sequence: Sequence[int]) -> Answer:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"".join(map(sse, sequence)))
        await writer.drain()

    return answer


async def test_events_that_are_lost_or_repeated_are_counted(ssebench: Path) -> None:
    async with answering(sending([5, 6, 9, 9, 10, 7, 11])) as port:
        report = await load(ssebench, port, mode="replay", n=3, until=7, window="20s")
    assert report["events"] == 3 * 7
    assert report["finished"] == 3
    assert (report["lost"], report["repeated"]) == (3 * 2, 3 * 2)
    assert report["statuses"] == {"HTTP/1.1 200 OK": 3}


async def test_an_event_that_comes_in_pieces_is_one(ssebench: Path) -> None:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        whole = OK + sse(0) + sse(1)
        for start in range(0, len(whole), 700):
            writer.write(whole[start : start + 700])
            await writer.drain()
            await asyncio.sleep(0.01)

    async with answering(answer) as port:
        report = await load(ssebench, port, mode="replay", n=1, until=2, window="20s")
    assert (report["events"], report["lost"], report["repeated"]) == (2, 0, 0)


async def test_clients_resume_by_their_own_last_ids(ssebench: Path, tmp_path: Path) -> None:
    connected: list[str] = []
    asked: list[int] = []

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        _, _, last_id = head.partition("Last-Event-ID: ")
        if not last_id:
            connected.append(head)
            await sending(range(1 + len(connected)))(head, writer)  # two events, then three
            return
        [next_event] = json.loads(last_id.split("\r\n")[0])
        asked.append(next_event)
        await sending([next_event + (next_event == 2)])(head, writer)  # one of them loses an event

    left = tmp_path / "left.json"
    async with answering(answer) as port:
        await load(ssebench, port, n=2, ramp="50ms", warm="200ms", window="200ms", save=left)
        report = await load(ssebench, port, mode="resume", resume=left, warm="0s", window="20s")
    assert sorted(asked) == [2, 3]
    assert (report["lost"], report["repeated"], report["behind"]) == (1, 0, 0)


async def test_an_error_that_is_told_by_an_event_is_reported(ssebench: Path) -> None:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + sse(0) + b'event: error\nretry: 10000\ndata: {"type":"draining","title":"Draining"}\n\n')
        writer.write_eof()

    async with answering(answer) as port:
        report = await load(ssebench, port, mode="replay", n=2, until=5, window="20s")
    assert report["told"] == {"draining": 2}
    assert (report["events"], report["finished"], report["errors"]) == (2, 0, {"EOF": 2})


async def test_the_window_has_the_slowest_client_and_latency(ssebench: Path, tmp_path: Path) -> None:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        every = 0.01 if "/fast" in head else 0.05
        for sequence in range(2000):
            writer.write(sse(sequence))
            await writer.drain()
            await asyncio.sleep(every)

    paths = tmp_path / "paths"
    paths.write_text("/fast\n/slow\n")
    async with answering(answer) as port:
        report = await load(ssebench, port, n=2, warm="100ms", window="1s", paths=paths)
    assert 0 < report["client_events_min"] < report["client_events_max"]
    assert report["latency_samples"] > 0
    assert 0 <= report["latency_ms_p50"] <= report["latency_ms_p99"]


async def test_clients_come_and_go(ssebench: Path) -> None:
    async with answering(sending([0])) as port:
        report = await load(ssebench, port, mode="churn", rate=100, window="500ms", stay="50ms")
    assert report["served"] == report["clients"] == 50
    assert len(report["rss_kb"]) > 20
    assert "errors" not in report


def test_connections_are_counted_for_the_side_that_serves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        port = listening.getsockname()[1]
        for _ in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            stack.enter_context(listening.accept()[0])
        assert connections(os.getpid(), port) == {os.getpid(): 3}
    assert connections(os.getpid(), port) == {}


async def test_proc_is_read_right() -> None:
    assert 0 <= await busy_percent(0.05) <= 100
    assert peak_rss_kb(os.getpid()) > 10_000
    assert cpu_seconds(os.getpid()) > 0


async def test_a_peer_gets_the_events_over_one_connection_and_its_refusal_is_told() -> None:
    posted: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(posted) < 20:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            posted.append(await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0])))
            status = b"201 Created" if len(posted) < 20 else b"500 Broken"
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok" % status)
        writer.close()

    async def publish(port: int) -> None:
        async with posting(port) as send, producing(send, 500) as steady:
            while len(posted) < 20:
                await asyncio.sleep(0.01)
            assert steady.between(0, time.time()) >= 20
            await asyncio.sleep(0.1)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with pytest.raises(OSError, match=r"http/1\.1 500"):
            await publish(server.sockets[0].getsockname()[1])
    assert [json.loads(event)["seq"] for event in posted] == list(range(20))


async def test_the_floor_writes_events_of_a_size_at_a_rate_to_every_client(ssebench: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = [f"-listen=127.0.0.1:{port}", "-rate=100", "-size=1500", "-together=2.5"]
    floor = await asyncio.create_subprocess_exec(str(ssebench), "-mode=floor", *flags)
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                await asyncio.sleep(0.05)
        report = await load(ssebench, port, n=10, warm="200ms", window="1s")
    finally:
        floor.kill()
        await floor.wait()
    assert (report["lost"], report["repeated"], report["clients_with_events"]) == (0, 0, 10)
    assert 50 < report["client_events_min"] <= report["client_events_max"] < 150
    assert 1450 < report["bytes_per_delivery"] < 1550
