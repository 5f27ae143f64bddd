"""Clients that take nothing lose their places only where others need them, and only if they really take nothing."""

from __future__ import annotations

import asyncio

import pytest

from streams.http import stalls
from streams.http.stalls import CUT_SECONDS, CUT_SLACK_SECONDS, LOOK_SECONDS, QUIET_LOOK_SECONDS, Stalls


class Client:
    def __init__(self, taken: int | None) -> None:
        self.taken = taken
        self.has_place = True

    def give_place_back(self) -> None:
        self.has_place = False


class World:
    def __init__(self, *clients: Client, seconds: float = 30.0) -> None:
        self.time, self.is_scarce = 100.0, False
        self.clients = clients
        self.stalls = Stalls(seconds, lambda: clients, lambda: self.is_scarce, lambda: self.time)

    def pass_(self, seconds: float) -> list[bool]:
        for _ in range(int(seconds)):
            self.time += 1
            self.stalls.look()
        return [client.has_place for client in self.clients]


def test_a_client_that_takes_nothing_keeps_its_place_until_places_are_scarce() -> None:
    world = World(Client(5000), Client(None))
    assert world.pass_(50) == [True, True]
    world.is_scarce = True
    assert world.pass_(1) == [False, True]


def test_where_places_are_scarce_it_has_the_whole_time() -> None:
    world = World(Client(5000))
    world.is_scarce = True
    assert world.pass_(30) == [True]
    assert world.pass_(1) == [False]


def test_a_slow_client_keeps_its_place() -> None:
    slow = Client(0)
    world = World(slow)
    world.is_scarce = True
    for _ in range(20):
        assert slow.taken is not None
        slow.taken += 1
        assert world.pass_(25) == [True]
    slow.taken = None  # it has caught up
    world.pass_(100)
    slow.taken = 20
    assert world.pass_(30) == [True]


def test_without_the_setting_nobody_loses_a_place() -> None:
    world = World(Client(5000), seconds=0)
    world.is_scarce = True
    assert world.pass_(50) == [True]


def test_what_the_kernel_closes_counts_as_stalled_and_what_a_client_closes_does_not() -> None:
    client, other = Client(5000), Client(None)
    world = World(client, other)
    world.pass_(10)
    assert not world.stalls.was_cut(client)
    world.pass_(CUT_SECONDS - 10 - CUT_SLACK_SECONDS)
    assert not world.stalls.was_cut(client)
    world.pass_(10)
    assert world.stalls.was_cut(client)
    assert not world.stalls.was_cut(other)


async def test_all_clients_are_looked_at_often_only_while_places_are_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Client(5000))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.is_scarce = not world.is_scarce
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(stalls.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await world.stalls.run()
    assert slept == [QUIET_LOOK_SECONDS, LOOK_SECONDS, QUIET_LOOK_SECONDS]
