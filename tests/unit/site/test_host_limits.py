"""Connections counted over all workers of a host."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from eventstreams_site.config.settings import Config
from eventstreams_site.server import host_limits, worker_limits
from eventstreams_site.server.check import Checked
from eventstreams_site.server.host_limits import HostLimits
from eventstreams_site.server.refusals import TOO_MANY
from eventstreams_site.server.worker_limits import WorkerLimits
from streams.core.errors import Overloaded, TooManyRequests

CONFIG = Config(client_ip_connection_limit=2, max_connections=3)
CHECKED = Checked(
    text=None,
    drain_seconds=1.0,
    max_worker_bytes=0,
    max_worker_seconds=0.0,
    max_connections=3,
    max_replicas_connections=0,
    client_ip_connection_limit=2,
    log_format="text",
    redis_url=None,
)


class Host:
    """A supervisor and its workers, without processes between them."""

    def __init__(self, checked: Checked = CHECKED) -> None:
        self.checked = checked
        self.limits = HostLimits(lambda: self.checked)
        self.is_silent = False

    def worker(self, pid: int, places: int = 100) -> WorkerLimits:
        def send(message: Mapping[str, Any]) -> None:
            answer = None if self.is_silent else self.limits.answer(pid, message)
            if answer is not None:
                asyncio.get_running_loop().call_soon(worker.receive, answer)

        worker = WorkerLimits(CONFIG, places, send)
        return worker


async def test_an_address_and_the_host_have_as_many_as_they_may_over_all_workers() -> None:
    host = Host()
    first, second = host.worker(1), host.worker(2)
    release = await first.admit("a")
    await second.admit("a")
    for worker in (first, second):
        with pytest.raises(TooManyRequests):
            await worker.admit("a")
    await second.admit("b")
    for worker in (first, second):
        with pytest.raises(Overloaded):
            await worker.admit("c")
    assert (first.connections, second.connections, host.limits.connections) == (1, 2, 3)
    release()
    await second.admit("a")
    assert (first.connections, second.connections, host.limits.connections) == (0, 3, 3)


async def test_a_worker_that_ends_frees_its_own_and_no_other_counts() -> None:
    host = Host()
    first, second = host.worker(1), host.worker(2)
    await first.admit("a")
    await first.admit("b")
    release = await second.admit("b")
    host.limits.end(1)
    assert host.limits.connections == 1
    host.limits.end(1)
    release()
    assert host.limits.connections == 0
    host.limits.answer(1, {"type": "release", "number": 0})  # it was still on its way
    assert host.limits.connections == 0


async def test_a_client_that_leaves_before_the_answer_takes_no_place() -> None:
    host = Host()
    worker = host.worker(1)
    waiting = asyncio.ensure_future(worker.admit("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    await asyncio.sleep(0)
    assert (worker.connections, host.limits.connections) == (0, 0)


async def test_without_an_answer_the_worker_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_limits, "ANSWER_SECONDS", 0.01)
    host = Host()
    host.is_silent = True
    worker = host.worker(1, places=3)
    for _ in range(2):
        await worker.admit("a")
    with pytest.raises(TooManyRequests):
        await worker.admit("a")
    await worker.admit("b")
    with pytest.raises(Overloaded):
        await worker.admit("c")
    assert worker.connections == 3


async def test_a_new_configuration_counts_for_all() -> None:
    host = Host()
    await host.worker(1).admit("a")
    host.checked = dataclasses.replace(CHECKED, client_ip_connection_limit=1)
    with pytest.raises(TooManyRequests):
        await host.worker(2).admit("a")


class Redis:
    """Takes questions, and answers when it is told to."""

    problem, is_full = "", False

    def __init__(self, *_: object) -> None:
        self.asked: list[Callable[[str], None]] = []
        self.counts: Counter[str] = Counter()

    def take(self, ip: str, answered: Callable[[str], None]) -> None:
        self.asked.append(answered)

    def add(self, ip: str, count: int) -> None:
        self.counts[ip] += count

    def close(self) -> None:
        pass


@pytest.mark.parametrize("has_another", [True, False])
@pytest.mark.parametrize("refused", ["", TOO_MANY])
def test_connections_that_wait_while_another_redis_is_configured_are_counted_once_there(
    monkeypatch: pytest.MonkeyPatch, refused: str, has_another: bool
) -> None:
    monkeypatch.setattr(host_limits, "SharedCounts", Redis)
    host = Host(dataclasses.replace(CHECKED, redis_url="redis://one"))
    limits, before = host.limits, host.limits.shared
    assert isinstance(before, Redis)
    for number in (1, 2):  # one that stays, and one that leaves before it is answered
        assert limits.answer(1, {"type": "take", "number": number, "ip": "a"}) is None
    host.checked = dataclasses.replace(CHECKED, redis_url="redis://two" if has_another else None)
    limits.look()
    after = limits.shared
    limits.answer(1, {"type": "release", "number": 2})
    for answered in before.asked:
        answered(refused)
    if isinstance(after, Redis):
        assert list(limits.answers()) == [], "the Redis before has no say"
        for answered in after.asked:
            after.counts["a"] += 1
            answered("")
    assert [(pid, said["number"], said["refused"]) for pid, said in limits.answers()] == [(1, 1, "")]
    assert limits.connections == 1
    if isinstance(after, Redis):
        assert after.counts == {"a": 1}
    limits.answer(1, {"type": "release", "number": 1})
    assert limits.connections == 0
    if isinstance(after, Redis):
        assert after.counts == {"a": 0}


def test_a_redis_that_cannot_be_asked_for_want_of_a_thread_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()

    def fails(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    host.checked = dataclasses.replace(CHECKED, redis_url="redis://one")
    monkeypatch.setattr(host_limits, "SharedCounts", fails)
    with pytest.raises(RuntimeError):
        host.limits.look()
    monkeypatch.setattr(host_limits, "SharedCounts", Redis)
    host.limits.look()
    assert isinstance(host.limits.shared, Redis)
