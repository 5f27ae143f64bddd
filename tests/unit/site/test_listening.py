"""No error of accept(2) or of a start ends the service, and none makes it spin."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.server import handover, listening, supervisor
from eventstreams_site.server.check import Checked
from eventstreams_site.server.listening import MAX_ACCEPTED, Acceptor, ListenError, listen
from eventstreams_site.server.slot import MAX_RESTART_SECONDS
from eventstreams_site.server.supervisor import Supervisor
from eventstreams_site.server.worker import Worker

OF_ONE_CONNECTION = ("ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "ENETUNREACH", "EPERM", "EOPNOTSUPP")
CHECKED = Checked(
    text=None,
    drain_seconds=1.0,
    max_worker_bytes=0,
    max_worker_seconds=0.0,
    max_connections=0,
    max_replicas_connections=0,
    client_ip_connection_limit=0,
    log_format="text",
    redis_url=None,
)
OF_THE_SYSTEM = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EINVAL", "EIO")


class Listener:
    """A listening socket whose accept gives these errors first, then connections."""

    def __init__(self, *errors: str, connections: int = 1) -> None:
        self._errors = list(errors)
        self._left = connections
        self.tries = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if self._errors:
            raise OSError(getattr(errno, self._errors.pop(0)), "said by the system")
        if not self._left:
            raise BlockingIOError
        self._left -= 1
        return socket.socket(), None


def accepted(acceptor: Acceptor) -> int:
    count = 0
    for connection in acceptor.accept():
        connection.close()
        count += 1
    return count


@pytest.mark.parametrize("error", OF_ONE_CONNECTION)
def test_what_befell_one_connection_does_not_keep_the_next_one_out(error: str) -> None:
    listener: Any = Listener(error, error, connections=3)
    acceptor = Acceptor(listener, lambda _: None)
    assert accepted(acceptor) == 3
    assert acceptor.paused_until < time.monotonic()


@pytest.mark.parametrize("error", OF_THE_SYSTEM)
def test_after_an_error_of_the_system_it_rests_and_says_why_once(
    error: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(listening.time, "monotonic", lambda: clock.now)
    listener: Any = Listener(*[error] * 4, connections=2)
    acceptor = Acceptor(listener, lambda _: None)
    rests = []
    for _ in range(4):
        assert accepted(acceptor) == 0
        rests.append(acceptor.paused_until - clock.now)
        assert accepted(acceptor) == 0, "it tries nothing while it rests"
        clock.now = acceptor.paused_until
    assert listener.tries == 4
    assert rests == pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert accepted(acceptor) == 2
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"Cannot accept connections, retrying: {os.strerror(getattr(errno, error))}"]


def test_nothing_but_errors_of_connections_is_no_reason_to_spin() -> None:
    listener: Any = Listener(*["EPERM"] * 1_000)
    acceptor = Acceptor(listener, lambda _: None)
    assert accepted(acceptor) == 0
    assert listener.tries == MAX_ACCEPTED
    assert acceptor.paused_until > time.monotonic()


def test_an_address_that_is_taken_or_none_is_an_error_with_a_sentence() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        for host, number in (("127.0.0.1", port), ("127.0.0.1", 70_000), ("no.such.host.invalid", 0)):
            with pytest.raises(ListenError, match=f"Cannot listen on {host} port {number}: "):
                listen(host, number)


def test_the_unspecified_ipv6_address_is_both_families() -> None:
    with listen("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass


@pytest.fixture
def first() -> Any:
    with listen("127.0.0.1", 0) as listener:
        process = Supervisor(CHECKED, listener, 2)
        process.fleet._has_gathered = True  # long after the start
        yield process
        process._selector.close()
        for each in (process._wake, process._waker, *process.fleet.workers.values()):
            each.close()


def test_a_start_that_fails_is_tried_again_ever_more_seldom(
    first: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", fails)
    before = len(os.listdir("/proc/self/fd"))
    now, waits = 1_000.0, []
    for _ in range(8):
        first.fleet.look(now)
        due = first.fleet.next_due()
        waits.append(min(due) - now)
        now = max(due)
    assert len(due) == 2
    assert waits == sorted(waits)
    assert waits[-1] == MAX_RESTART_SECONDS == 60
    assert "Cannot start a worker: [Errno 11] Resource temporarily unavailable; retrying in 1 s" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_worker_nothing_is_accepted_and_nothing_spins(first: Any) -> None:
    with socket.create_connection(first._listener.getsockname()):
        first._accept_or_not(time.monotonic())
        first._selector.register(first._wake, 1)
        began = time.monotonic()
        assert first._selector.select(first._seconds_to_wait(began)) == []
        assert time.monotonic() - began > supervisor.LOOK_SECONDS / 2


def test_a_connection_that_no_worker_takes_waits_until_one_does(first: Any) -> None:
    """The channel of a worker that is busy is full after some hundred connections (unix(7): EAGAIN, ETOOMANYREFS)."""
    ours, theirs = handover.channel()
    with theirs, socket.create_connection(first._listener.getsockname()) as client:
        worker = first.fleet.workers[0] = Worker(0, 0, ours, socket.socket(), 0.0, CHECKED)
        worker.heard_at = time.monotonic()
        worker.report = worker.report._replace(room=100_000)
        first._selector.register(first._wake, 1)
        first._selector.register(ours, 1)
        stuffing = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                stuffing += ours.send(b"+")
        assert stuffing > 50
        for _ in range(3):
            first._accept_or_not(time.monotonic())
            first._accept()
        assert client.getsockname() == first._accepted.getpeername(), "it is held, and nothing else is accepted"
        assert not first._is_accepting
        for _ in range(stuffing):
            theirs.recv(1)
        theirs.send(handover.REPORT.pack(handover.State.READY, 0, 0, 5))
        assert worker.hear(time.monotonic())
        first._accept_or_not(time.monotonic())
        message, descriptors, *_ = socket.recv_fds(theirs, 1, 1)
        assert (message, len(descriptors), first._accepted) == (b"+", 1, None)
        with socket.socket(fileno=descriptors[0]) as served:
            assert served.getpeername() == client.getsockname()


def test_a_connection_goes_to_the_worker_that_has_the_fewest(first: Any) -> None:
    busy, free, hanging, draining = (
        Worker(pid, pid, socket.socket(), socket.socket(), 0.0, CHECKED) for pid in range(4)
    )
    now = 100.0
    for worker, connections in ((busy, 7), (free, 5), (hanging, 0), (draining, 0)):
        worker.heard_at = now
        worker.report = worker.report._replace(connections=connections, room=100)
    hanging._sent_at.append(now - 1.0)  # it has not taken what it was given
    draining.report = draining.report._replace(state=supervisor.State.DRAINING)
    first.fleet.workers = {worker.pid: worker for worker in (busy, free, hanging, draining)}
    assert first._takers(now) == [free, busy, hanging]
    hanging.is_silent = True
    free._sent_at.extend([now] * 3)  # on their way count
    assert first._takers(now) == [busy, free]
