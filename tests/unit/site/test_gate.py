"""What reaches Django, in which thread, and what is refused before."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.gate import address_throttle as throttle_module
from eventstreams_site.gate import lanes as lanes_module
from eventstreams_site.gate.address_throttle import FAILURES, WINDOW_SECONDS, LoginThrottle
from eventstreams_site.gate.gate import LOGIN, Gate
from eventstreams_site.gate.lanes import LANES, PER_ADDRESS, STRANGERS_WAITING, WAITING, Lanes
from streams.core.errors import AdminOverloaded
from streams.engine.metrics import Metrics
from streams.http.service import SCOPE_KEY


class Django:
    """Answers when it is let; notes the threads in which sync code would run."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Any) -> None:
        self.asked += 1
        assert (await receive())["type"] == "http.request"
        await self.go.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Client:
    """One request; it can leave."""

    def __init__(self, gate: Gate, service: Any, address: str = "192.0.2.1", **of: Any) -> None:
        headers = [(b"cookie", b"sessionid=x")] if of.pop("session", False) else []
        scope = {
            **{"type": "http", "method": "GET", "path": "/admin/", "query_string": b"", "raw_path": b"/admin/"},
            **{"headers": headers, "client": [address, 1], SCOPE_KEY: service, **of},
        }
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.sent: list[Any] = []
        self.done = asyncio.ensure_future(gate(scope, self._inbox.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None


@pytest.fixture
def service() -> Any:
    settings = SimpleNamespace(client_ip_header="X-Client-IP", trusted_proxies=[])
    return SimpleNamespace(settings=settings, metrics=Metrics())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_strangers_share_one_lane_and_few_wait_while_those_with_a_session_have_the_others(service: Any) -> None:
    django = Django()
    gate = Gate(django)
    strangers = [Client(gate, service, f"192.0.2.{n}") for n in range(STRANGERS_WAITING + 10)]
    await settle()
    assert django.asked == 1
    assert [client.status for client in strangers].count(503) == 10 - 1
    staff = [Client(gate, service, f"198.51.100.{n}", session=True) for n in range(WAITING + LANES + 2)]
    await settle()
    assert django.asked == LANES
    assert [client.status for client in staff].count(503) == 3
    refused = next(client for client in staff if client.status == 503)
    assert (b"Retry-After", b"10") in refused.sent[0]["headers"]
    assert json.loads(refused.sent[1]["body"])["type"] == "overloaded"
    django.go.set()
    await asyncio.gather(*(client.done for client in (*strangers, *staff)))
    assert django.asked == len(strangers) + len(staff) - 9 - 3


async def test_one_address_has_a_bounded_share(service: Any) -> None:
    gate = Gate(django := Django())
    clients = [Client(gate, service, session=True) for _ in range(PER_ADDRESS + 3)]
    other = Client(gate, service, "198.51.100.1", session=True)
    await settle()
    assert [client.status for client in clients].count(503) == 3
    assert other.status is None
    django.go.set()
    await asyncio.gather(other.done, *(client.done for client in clients))
    assert Client(gate, service, session=True).status is None


async def test_who_leaves_while_waiting_is_not_worked_off(service: Any) -> None:
    gate = Gate(django := Django())
    clients = [Client(gate, service, f"192.0.2.{n}") for n in range(5)]
    await settle()
    for client in clients[1:]:
        client.leave()
    await asyncio.wait_for(asyncio.gather(*(client.done for client in clients[1:])), 5)
    django.go.set()
    await clients[0].done
    assert django.asked == 1


@pytest.mark.parametrize(("status", "is_locked"), [(200, True), (302, False), (403, False)])
async def test_failed_logins_of_an_address_lock_it_before_django_sees_more(
    status: int, is_locked: bool, service: Any
) -> None:
    gate = Gate(django := Django(status))
    django.go.set()
    for _ in range(FAILURES):
        await Client(gate, service, method="POST", path=LOGIN).done
    another = Client(gate, service, method="POST", path=LOGIN)
    await another.done
    assert another.status == (429 if is_locked else status)
    elsewhere = Client(gate, service, "192.0.2.2", method="POST", path=LOGIN)
    page = Client(gate, service, path=LOGIN)
    await asyncio.gather(elsewhere.done, page.done)
    assert (elsewhere.status, page.status) == (status, status)
    assert django.asked == FAILURES + 2 + (not is_locked)


async def test_a_login_that_left_while_it_was_tried_counts(service: Any) -> None:
    class Leaves(Django):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.asked += 1

    gate = Gate(django := Leaves())
    for _ in range(FAILURES + 5):
        await Client(gate, service, method="POST", path=LOGIN).done
    assert django.asked == FAILURES


def test_the_lock_ends_with_the_window_and_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(throttle_module.time, "monotonic", lambda: now[0])
    throttle = LoginThrottle()
    for _ in range(FAILURES):
        assert not throttle.seconds_locked("a")
        throttle.begin("a")
    assert throttle.seconds_locked("a") == WINDOW_SECONDS
    now[0] += WINDOW_SECONDS + 1
    assert not throttle.seconds_locked("a")
    monkeypatch.setattr(throttle_module, "MAX_ADDRESSES", 3)
    for address in "abcde":
        throttle.begin(address)
    assert list(throttle._tries) == ["c", "d", "e"]


async def test_a_lane_is_one_thread_that_does_not_hold_up_the_end() -> None:
    lanes = Lanes()
    turn = lanes.ask("a", is_stranger=True)
    lane = await turn.begun
    loop = asyncio.get_running_loop()
    threads = {await loop.run_in_executor(lane, threading.current_thread) for _ in range(3)}
    assert [thread.daemon for thread in threads] == [True]
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(lane, lambda: 1 // 0)
    lanes.end(turn)
    assert lanes.running == lanes.waiting == 0


async def test_turns_come_in_order_and_ending_one_that_waits_takes_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "STRANGERS_WAITING", 3)
    lanes = Lanes()
    turns = [lanes.ask(str(n), is_stranger=True) for n in range(4)]
    with pytest.raises(AdminOverloaded):
        lanes.ask("5", is_stranger=True)
    lanes.end(turns[1])
    lanes.end(turns[0])
    assert [turn.begun.done() for turn in turns[2:]] == [True, False]
    lanes.end(turns[2])
    lanes.end(turns[3])
