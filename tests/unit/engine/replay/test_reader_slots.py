"""Who may read history now: first come, first served, for a turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from streams.engine.metrics import Metrics
from streams.engine.replay import reader_slots as slots_module
from streams.engine.replay.reader_slots import ReaderSlots
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine import cancel, eventually


def slots(count: int) -> tuple[ReaderSlots, Metrics]:
    metrics = Metrics()
    return ReaderSlots(1000, metrics, Tuning(history_readers=count)), metrics


def waiting(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("eventstreams_history_waiting")


def taken(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("eventstreams_history_readers")


async def test_slots_are_taken_first_come_first_served() -> None:
    of, metrics = slots(2)
    held = [await of.take(), await of.take()]
    order: list[int] = []

    async def client(number: int) -> None:
        slot = await of.take()
        order.append(number)
        await asyncio.sleep(0)
        slot.leave()

    clients = [asyncio.ensure_future(client(number)) for number in range(10)]
    await asyncio.sleep(0)
    assert (of.is_wanted, waiting(metrics), taken(metrics)) == (True, 10, 2)
    held.pop().leave()
    late = asyncio.ensure_future(client(99))
    await asyncio.gather(*clients, late)
    assert order == [*range(10), 99]
    held.pop().leave()
    assert (of.is_wanted, waiting(metrics), taken(metrics)) == (False, 0, 0)


async def test_a_slot_is_over_only_after_a_while_and_only_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(slots_module, "time", SimpleNamespace(monotonic=lambda: now))
    of, _ = slots(1)
    slot = await of.take()
    now += DEFAULT.turn_seconds + 1
    assert not slot.is_over
    other = asyncio.ensure_future(of.take())
    await asyncio.sleep(0)
    assert slot.is_over
    slot.leave()
    following = await other
    third = asyncio.ensure_future(of.take())
    await asyncio.sleep(0)
    assert not following.is_over, "its turn has just begun"
    following.account(999)
    assert not following.is_over
    following.account(1)
    assert following.is_over, "it has been sent its share"
    await cancel(third)
    assert not following.is_over


async def free(of: ReaderSlots, count: int) -> bool:
    """Whether exactly `count` slots are free."""
    held = [await asyncio.wait_for(of.take(), 5) for _ in range(count)]
    more = asyncio.ensure_future(of.take())
    for _ in range(5):
        await asyncio.sleep(0)
    is_full = not more.done()
    await cancel(more)
    for slot in held:
        slot.leave()
    return is_full


async def test_a_waiter_that_is_cancelled_loses_no_slot_whenever_that_is() -> None:
    of, metrics = slots(1)
    for moment in ("before", "with", "after"):
        slot = await of.take()
        first, second = (asyncio.ensure_future(of.take()) for _ in range(2))
        await asyncio.sleep(0)
        if moment == "before":
            first.cancel()
            await asyncio.sleep(0)
            slot.leave()
        elif moment == "with":
            first.cancel()
            slot.leave()
        else:
            slot.leave()
            first.cancel()
        following = await asyncio.wait_for(second, 5)
        (gone,) = await asyncio.gather(first, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError)
        following.leave()
        assert (waiting(metrics), taken(metrics)) == (0, 0)
        assert await free(of, 1)


async def test_no_slot_is_lost_or_gained_by_any_order_of_coming_and_going() -> None:
    chance = random.Random(3)
    of, metrics = slots(3)
    inside = 0

    async def client() -> None:
        nonlocal inside
        slot = await of.take()
        try:
            inside += 1
            assert inside <= 3
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            slot.leave()

    clients: list[asyncio.Task[None]] = []
    for _ in range(3000):
        if chance.random() < 0.5:
            clients.append(asyncio.ensure_future(client()))
        if clients and chance.random() < 0.3:
            chance.choice(clients).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    results: Sequence[object] = await asyncio.gather(*clients, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    await eventually(lambda: (waiting(metrics), taken(metrics)) == (0, 0))
    assert await free(of, 3)
