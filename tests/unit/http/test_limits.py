from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from streams.core.errors import Overloaded, TooManyRequests
from streams.http.limits import ConnectionLimits


@contextlib.contextmanager
def connection(limits: ConnectionLimits, ip: str) -> Iterator[None]:
    limits.take(ip)
    try:
        yield
    finally:
        limits.give_back(ip)


def test_one_client_ip_has_only_so_many_connections() -> None:
    limits = ConnectionLimits(per_ip=2, total=0)
    with connection(limits, "a"), connection(limits, "a"):
        with pytest.raises(TooManyRequests, match="At most 2 ") as caught, connection(limits, "a"):
            pytest.fail("a third connection was let in")
        assert caught.value.status == 429
        with connection(limits, "b"):
            assert limits.connections == 3


def test_a_connection_that_ends_makes_room() -> None:
    limits = ConnectionLimits(per_ip=1, total=1)
    for _ in range(3):
        with connection(limits, "a"):
            assert limits.connections == 1
    assert limits.connections == 0


def test_one_that_ends_by_an_error_makes_room_too() -> None:
    limits = ConnectionLimits(per_ip=1, total=1)
    with pytest.raises(OSError, match="gone"), connection(limits, "a"):
        raise OSError("gone")
    with connection(limits, "a"):
        assert limits.connections == 1


def test_one_that_was_refused_takes_no_place() -> None:
    limits = ConnectionLimits(per_ip=1, total=2)
    with connection(limits, "a"):
        for _ in range(5):
            with pytest.raises(TooManyRequests), connection(limits, "a"):
                pytest.fail("it was let in")
        with connection(limits, "b"):
            assert limits.connections == 2
    with connection(limits, "a"):
        assert limits.connections == 1


def test_a_full_server_says_so_whoever_asks() -> None:
    limits = ConnectionLimits(per_ip=1, total=2)
    with connection(limits, "a"), connection(limits, "b"):
        for ip in ("c", "a"):
            with pytest.raises(Overloaded, match="limit of 2 connections") as caught, connection(limits, ip):
                pytest.fail("it was let in")
            assert caught.value.status == 503
        assert limits.connections == 2


def test_a_limit_of_0_is_none() -> None:
    limits = ConnectionLimits(per_ip=0, total=0)
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connection(limits, "a"))
        assert limits.connections == 500
    assert limits.connections == 0


def test_addresses_that_have_gone_cost_no_memory() -> None:
    limits = ConnectionLimits(per_ip=1, total=0)
    for number in range(100):
        with connection(limits, f"192.0.2.{number}"):
            pass
    assert not limits._by_ip
