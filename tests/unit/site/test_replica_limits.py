"""A process without a supervisor counts its connections beside those of all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from eventstreams_site.server import replica_limits
from eventstreams_site.server.refusals import FULL
from eventstreams_site.server.replica_limits import ReplicaLimits


class Shared:
    """What all replicas count; it answers when the test says so."""

    is_full = False

    def __init__(self, *_: object) -> None:
        self.count = 0
        self._asked: list[Callable[[str], None]] = []

    def take(self, _ip: str, answered: Callable[[str], None]) -> None:
        self._asked.append(answered)

    def add(self, _ip: str, count: int) -> None:
        self.count += count

    def answer(self, refused: str = "") -> None:
        self.count += not refused
        self._asked.pop(0)(refused)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> ReplicaLimits:
    monkeypatch.setattr(replica_limits, "SharedCounts", Shared)
    return ReplicaLimits(per_ip=0, total=0, everywhere=5, url="redis://")


@pytest.mark.parametrize("refused", ["", FULL])
@pytest.mark.parametrize("turns", range(4))
async def test_a_client_that_leaves_while_it_is_let_in_takes_no_place(
    limits: ReplicaLimits, turns: int, refused: str
) -> None:
    """Whether it leaves before the answer, at the same moment, or once it is in."""
    shared = limits.shared
    assert isinstance(shared, Shared)
    admitting = asyncio.ensure_future(limits.admit("a"))
    await asyncio.sleep(0)
    if turns:
        shared.answer(refused)
    for _ in range(turns - 1):
        await asyncio.sleep(0)
    admitting.cancel()
    if not turns:
        await asyncio.sleep(0)
        shared.answer(refused)
    (outcome,) = await asyncio.gather(admitting, return_exceptions=True)
    await asyncio.sleep(0)
    if callable(outcome):
        outcome()
    assert (shared.count, limits.connections) == (0, 0)
