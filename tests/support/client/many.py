"""Many SSE clients of one stream, in their own process that has little work for each."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import selectors
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import pytest

BESIDE = [pytest.param(0, id="alone"), pytest.param(500, id="beside-500-live-clients", marks=pytest.mark.slow)]
"""For a parameter: how many others follow the stream meanwhile."""
SECONDS = 60.0
"""Maximum seconds until all have begun, and then until all have got what they wait for."""
NUMBER_BYTES = 24
RECEIVE_BYTES = 1 << 18
STALLED_BUFFER = 4096
_NUMBER = re.compile(rb'"n":(\d+),')


class Asked(NamedTuple):
    """What one client asks for: events whose number, divided by `types`, leaves one of the `wanted`. One that `stalls`
    reads nothing before the first report.
    """

    path: str
    types: int = 1
    wanted: tuple[int, ...] = (0,)
    stalls: bool = False

    def right(self, total: int) -> bytes:
        """How often each of `total` numbers is to come, up to the last that does."""
        return bytes(number % self.types in self.wanted for number in range(total)).rstrip(b"\0")


class Report(NamedTuple):
    """How many clients the server has ended; how many lack an event, or have had one twice."""

    ended: int
    wrong: int


class Many:
    """The clients, as the test sees them."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def stayed(self) -> bool:
        """Whether the server has ended none of them."""
        return not (await self.report(0)).ended

    async def report(self, total: int) -> Report:
        """Wait until all have the events of a `Writer` that are numbered below `total`, or have had time enough."""
        self._pipe.send(total)
        answer: Report = await asyncio.to_thread(self._pipe.recv)
        return answer


@asynccontextmanager
async def many(port: int, path: str, count: int) -> AsyncIterator[Many]:
    """`count` clients that are live, for the time of a block; perhaps none."""
    async with many_of(port, [Asked(path)] * count) as clients:
        yield clients


@asynccontextmanager
async def many_of(port: int, asked: Sequence[Asked]) -> AsyncIterator[Many]:
    """Clients that are live, each of which may ask for something else, for the time of a block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, port, asked), daemon=True)
    process.start()
    theirs.close()
    try:
        assert await asyncio.to_thread(ours.recv), f"{len(asked)} clients were to connect"
        yield Many(ours)
    finally:
        ours.close()
        await asyncio.to_thread(process.join)


class _Client:
    def __init__(self, port: int, asked: Asked) -> None:
        self.asked = asked
        self.socket = socket.socket()
        if asked.stalls:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {asked.path} HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.begun = self.ended = False
        self.seen = bytearray()
        """How often each number has come."""
        self._rest = b""

    def read(self) -> None:
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        self.begun = True
        self.ended = not data
        data = self._rest + data
        end = 0
        for match in _NUMBER.finditer(data):
            end = match.end()
            number = int(match[1])
            self.seen.extend(bytes(max(0, number + 1 - len(self.seen))))
            self.seen[number] = min(2, self.seen[number] + 1)
        self._rest = data[max(end, len(data) - NUMBER_BYTES) :]


def _run(pipe: Connection, port: int, asked: Sequence[Asked]) -> None:
    """The other process: until the test has left."""
    selector = selectors.DefaultSelector()
    clients: list[_Client] = []
    is_reported = False

    def read(until: float) -> None:
        for key, _ in selector.select(max(0.0, min(0.1, until - time.monotonic()))):
            client: _Client = key.data
            client.read()
            if client.ended or (client.asked.stalls and not is_reported):
                selector.unregister(client.socket)

    deadline = time.monotonic() + SECONDS
    for each in asked:
        client = _Client(port, each)
        selector.register(client.socket, selectors.EVENT_READ, client)
        clients.append(client)
        read(0.0)
    while not all(client.begun for client in clients) and time.monotonic() < deadline:
        read(deadline)
    pipe.send(all(client.begun for client in clients))
    try:
        while True:
            while not pipe.poll():
                read(time.monotonic() + 0.1)
            total = int(pipe.recv())
            right = [client.asked.right(total) for client in clients]
            for client in clients:
                if client.asked.stalls and not is_reported:
                    selector.register(client.socket, selectors.EVENT_READ, client)
            is_reported = True
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and any(
                len(client.seen) < len(its) for client, its in zip(clients, right, strict=True)
            ):
                read(deadline)
            read(time.monotonic() + 0.1)  # what must no longer come
            wrong = sum(client.seen != its for client, its in zip(clients, right, strict=True))
            pipe.send(Report(sum(client.ended for client in clients), wrong))
    except EOFError:
        pass
