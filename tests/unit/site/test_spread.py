"""Connections go to the worker with the fewest, whatever happens meanwhile.

The supervisor's loop is turned by hand; its workers are the real links, without a process behind them.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from eventstreams_site.server import handover
from eventstreams_site.server.fleet import TOGETHER_SECONDS
from eventstreams_site.server.handover import State
from eventstreams_site.server.listening import AcceptFailures, listen
from eventstreams_site.server.supervisor import Supervisor
from eventstreams_site.server.supervisor_link import SupervisorLink
from eventstreams_site.server.worker import Worker
from tests.unit.site.test_host_limits import CHECKED


class Running:
    """A worker with its link; its connections are those it has adopted and that have not left."""

    def __init__(self, slot: int) -> None:
        channel, its_channel = handover.channel()
        control, self.its_control = socket.socketpair()
        control.setblocking(False)
        self.connections: list[socket.socket] = []
        self.worker = Worker(-slot - 1, slot, channel, control, time.monotonic(), CHECKED)
        self.link = SupervisorLink(
            its_channel,
            self.connections.append,
            lambda: None,
            lambda: (State.READY, len(self.connections), 1_000),
            AcceptFailures(),
        )
        self.its_channel = its_channel

    def start(self) -> None:
        self.link.start()

    def say_ready(self) -> None:
        self.worker.unready = []

    def leave(self, count: int) -> None:
        for connection in self.connections[:count]:
            connection.close()
            self.link.connection_ended()
        del self.connections[:count]


class Service:
    """A supervisor with workers, and clients of it."""

    def __init__(self, count: int) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.supervisor: Any = Supervisor(CHECKED, self.listener, count)
        self.supervisor.fleet.look = lambda _now: None  # there are no processes
        self.clients: list[socket.socket] = []
        self.workers = [self.add(slot) for slot in range(count)]

    def add(self, slot: int) -> Running:
        running = Running(slot)
        self.supervisor.fleet.slots[slot].worker = running.worker
        self.supervisor.fleet.workers[running.worker.pid] = running.worker
        self.supervisor._watch(running.worker)
        return running

    def begin(self, *, ready: Sequence[bool]) -> None:
        for running, is_ready in zip(self.workers, ready, strict=True):
            running.start()
            if is_ready:
                running.say_ready()

    def connect(self, count: int) -> None:
        for _ in range(count):
            self.clients.append(socket.create_connection(self.listener.getsockname()[:2]))

    def kill(self, number: int) -> None:
        """End a worker: its channel and its connections close."""
        running = self.workers[number]
        running.link._is_closed = True
        asyncio.get_running_loop().remove_reader(running.its_channel)
        for each in (*running.connections, running.its_channel, running.its_control):
            each.close()
        del self.supervisor.fleet.workers[running.worker.pid]
        self.supervisor.fleet.slots[number].worker = None
        self.supervisor._unwatch(running.worker)
        running.worker.close()

    async def turns(self, until: Callable[[], bool]) -> None:
        """Turn the loops of all until a condition holds."""
        async with asyncio.timeout(20):
            while not until():
                self.supervisor._look(time.monotonic())
                for key, _ in self.supervisor._selector.select(0):
                    if self.supervisor._is_registered(key.fileobj):
                        self.supervisor._call(key.data)
                await asyncio.sleep(0.001)

    async def settle(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        await self.turns(lambda: time.monotonic() >= until)

    async def all_are_taken(self, total: int) -> None:
        await self.turns(lambda: sum(self.held) == total)

    @property
    def held(self) -> list[int]:
        return [len(running.connections) for running in self.workers]

    def close(self) -> None:
        for running in self.workers:
            running.link._is_closed = True
            for each in (*running.connections, running.its_channel, running.its_control):
                if each.fileno() >= 0:
                    asyncio.get_running_loop().remove_reader(each)
                each.close()
            running.worker.close()
        for client in self.clients:
            client.close()
        self.supervisor._selector.close()
        for each in (self.listener, self.supervisor._wake, self.supervisor._waker):
            each.close()


@pytest.fixture
async def service() -> Any:
    made: list[Service] = []

    def make(count: int) -> Service:
        made.append(Service(count))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("count", [2, 4])
async def test_a_burst_is_shared_evenly(service: Callable[[int], Service], count: int) -> None:
    it = service(count)
    it.begin(ready=[True] * count)
    it.connect(100)
    await it.all_are_taken(100)
    assert it.held == [100 // count] * count


@pytest.mark.parametrize("count", [2, 4])
async def test_at_the_start_a_crowd_does_not_go_to_the_worker_that_is_ready_first(
    service: Callable[[int], Service], count: int
) -> None:
    it = service(count)
    it.begin(ready=[True] + [False] * (count - 1))
    it.connect(100)
    await it.settle(0.1)
    for running in it.workers:
        running.say_ready()
    await it.all_are_taken(100)
    assert it.held == [100 // count] * count


async def test_a_worker_that_does_not_become_ready_keeps_the_others_from_nothing_for_long(
    service: Callable[[int], Service],
) -> None:
    it = service(2)
    it.begin(ready=[True, False])
    it.connect(10)
    await it.settle(0.1)
    assert it.held == [0, 0]
    began = time.monotonic()
    await it.all_are_taken(10)
    assert it.held == [10, 0]
    assert time.monotonic() - began > TOGETHER_SECONDS / 4
    it.workers[1].say_ready()
    it.connect(10)
    await it.all_are_taken(20)
    assert it.held == [10, 10]


async def test_clients_that_leave_make_room_for_newcomers_at_once(service: Callable[[int], Service]) -> None:
    """The supervisor learns of it long before the next heartbeat."""
    it = service(2)
    it.begin(ready=[True, True])
    it.connect(100)
    await it.all_are_taken(100)
    it.workers[0].leave(50)
    await it.settle(0.1)
    it.connect(50)
    await it.all_are_taken(100)
    assert it.held == [50, 50]


async def test_after_a_kill_newcomers_go_to_the_new_worker_until_it_has_as_many(
    service: Callable[[int], Service],
) -> None:
    it = service(2)
    it.begin(ready=[True, True])
    it.connect(60)
    await it.all_are_taken(60)
    it.kill(0)
    it.workers[0] = it.add(0)
    it.connect(10)  # the new one is not there yet
    await it.turns(lambda: it.held == [0, 40])
    it.workers[0].start()
    it.workers[0].say_ready()
    await it.settle(0.05)
    it.connect(60)
    await it.all_are_taken(100)
    assert it.held == [50, 50]


async def test_requests_that_are_answered_at_once_leave_the_balance_as_it_is(
    service: Callable[[int], Service],
) -> None:
    """Refusals and probes come and leave; what stays is spread."""
    it = service(2)
    it.begin(ready=[True, True])
    for round_ in range(10):
        it.connect(10)
        await it.all_are_taken(10 + 6 * round_)
        for running in it.workers:
            running.leave(2)
        await it.settle(0.05)
    assert it.held == [30, 30]
