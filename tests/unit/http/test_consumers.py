"""What a stream holds while its client takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from streams.engine.metrics import Metrics
from streams.engine.tail.chunk import Chunk
from streams.http import consumers
from streams.http.consumers import StreamConsumer
from tests.support.engine import eventually


class Subscription:
    """A stream of one large event."""

    def __init__(self) -> None:
        self.sent = [0, 0]
        self.parked = 0

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        yield Chunk((b"x" * 1_000_000,), 1)

    def park(self) -> None:
        self.parked += 1


class Flow:
    """A socket that takes the first slice of an event, and the rest when the test lets it."""

    paused = False
    events = 0

    def __init__(self) -> None:
        self.room = asyncio.Event()

    def try_write(self, _chunk: Chunk) -> bool:
        return False

    async def write(self, _parts: tuple[bytes, ...], events: int = 0) -> None:
        await self.room.wait()
        self.events += events


def consumer(flow: Flow) -> Any:
    made: Any = StreamConsumer()
    made._flow, made._body, made._ending, made._writing = flow, None, False, False
    made._service = type("Service", (), {"metrics": Metrics()})
    return made


async def test_a_client_that_stalls_within_a_large_event_holds_nothing_for_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "PARK_SECONDS", 0.01)
    flow, subscription = Flow(), Subscription()
    pumping = asyncio.ensure_future(consumer(flow)._pump(subscription))
    await eventually(lambda: subscription.parked == 1)
    flow.room.set()
    await pumping
    assert (flow.events, subscription.sent) == (1, [1, 1_000_000])


async def test_a_client_that_takes_a_large_event_at_once_keeps_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "PARK_SECONDS", 0.05)
    flow, subscription = Flow(), Subscription()
    flow.room.set()
    await consumer(flow)._pump(subscription)
    await asyncio.sleep(0.2)
    assert subscription.parked == 0
