"""A transaction that ends under the mirror: aiokafka says so in its own ways, the mirror in one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from streams.mirror.event import MirroredEvent
from streams.mirror.own_kafka import OwnKafka

EVENT = MirroredEvent("t", 0, 1, 1000, None, b"{}", is_canary=False)


class EndedProducer:
    """A producer whose transaction has failed: with a task that ended by that, or before it ends."""

    def __init__(self, task: asyncio.Task[Any], fault: Exception) -> None:
        self._sender = SimpleNamespace(sender_task=task)
        self._fault = fault

    async def begin_transaction(self) -> None:
        """The transaction fails after it has begun."""

    async def send(self, *_: Any, **__: Any) -> Any:
        raise self._fault


async def fenced() -> None:
    raise ProducerFenced


@pytest.mark.parametrize("fault", [IllegalOperation("not in transaction"), AssertionError("a state")])
@pytest.mark.parametrize("has_ended", [True, False])
async def test_a_write_into_a_transaction_that_has_failed_says_why(fault: Exception, has_ended: bool) -> None:
    kafka = OwnKafka({"bootstrap_servers": "127.0.0.1:1"}, ["s"])
    kafka._partitions["t"] = 1
    kafka._committing = asyncio.create_task(asyncio.sleep(60))
    task = asyncio.create_task(fenced() if has_ended else asyncio.sleep(60))
    kafka._producer = EndedProducer(task, fault)  # type: ignore[assignment]
    checks = iter([lambda: None])  # at the start of the write nothing is known yet
    check = kafka._check
    kafka._check = lambda: next(checks, check)()  # type: ignore[method-assign]
    if has_ended:
        await asyncio.wait({task})
    try:
        with pytest.raises(ProducerFenced if has_ended else KafkaError):
            await kafka.write(EVENT, "[]", 1000)
    finally:
        kafka._committing.cancel()
        task.cancel()
