from __future__ import annotations

import contextlib

import pytest

from streams.core.errors import Overloaded, TooManyRequests
from streams.http.limits import ConnectionLimits


def test_one_client_ip_has_only_so_many_connections() -> None:
    limits = ConnectionLimits(per_ip=2, total=0)
    with limits.connection("a"), limits.connection("a"):
        with pytest.raises(TooManyRequests, match="At most 2 ") as caught, limits.connection("a"):
            pytest.fail("a third connection was let in")
        assert caught.value.status == 429
        with limits.connection("b"):
            assert limits.connections == 3


def test_a_connection_that_ends_makes_room() -> None:
    limits = ConnectionLimits(per_ip=1, total=1)
    for _ in range(3):
        with limits.connection("a"):
            assert limits.connections == 1
    assert limits.connections == 0


def test_one_that_ends_by_an_error_makes_room_too() -> None:
    limits = ConnectionLimits(per_ip=1, total=1)
    with pytest.raises(OSError, match="gone"), limits.connection("a"):
        raise OSError("gone")
    with limits.connection("a"):
        assert limits.connections == 1


def test_one_that_was_refused_takes_no_place() -> None:
    limits = ConnectionLimits(per_ip=1, total=2)
    with limits.connection("a"):
        for _ in range(5):
            with pytest.raises(TooManyRequests), limits.connection("a"):
                pytest.fail("it was let in")
        with limits.connection("b"):
            assert limits.connections == 2
    with limits.connection("a"):
        assert limits.connections == 1


def test_a_full_server_says_so_whoever_asks() -> None:
    limits = ConnectionLimits(per_ip=1, total=2)
    with limits.connection("a"), limits.connection("b"):
        for ip in ("c", "a"):
            with pytest.raises(Overloaded, match="all the 2 connections") as caught, limits.connection(ip):
                pytest.fail("it was let in")
            assert caught.value.status == 503
        assert limits.connections == 2


def test_a_limit_of_0_is_none() -> None:
    limits = ConnectionLimits(per_ip=0, total=0)
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(limits.connection("a"))
        assert limits.connections == 500
    assert limits.connections == 0


def test_addresses_that_have_gone_cost_no_memory() -> None:
    limits = ConnectionLimits(per_ip=1, total=0)
    for number in range(100):
        with limits.connection(f"192.0.2.{number}"):
            pass
    assert not limits._by_ip
