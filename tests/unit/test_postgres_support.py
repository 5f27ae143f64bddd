"""The tests' own PostgreSQL and the proxy in front of it do what tests of outages build on."""

from __future__ import annotations

import time

import psycopg
import pytest

from tests.support.around.postgres import Postgres
from tests.support.around.tcp_proxy import tcp_proxy


def test_each_database_is_migrated_and_apart_from_the_others(postgres: Postgres) -> None:
    one, other = postgres.create_database(), postgres.create_database()
    postgres.execute("INSERT INTO streams_version (name, number) VALUES ('x', 7)", one)
    count = "SELECT count(*) FROM streams_version WHERE name = 'x'"
    assert (postgres.execute(count, one), postgres.execute(count, other)) == ([(1,)], [(0,)])
    assert postgres.connections(one) == 0


def test_a_paused_server_answers_nobody_and_a_resumed_one_does(postgres: Postgres) -> None:
    database = postgres.create_database(migrated=False)
    postgres.pause()
    try:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(database, connect_timeout=2).close()
    finally:
        postgres.resume()
    assert postgres.execute("SELECT 1", database) == [(1,)]


def test_the_proxy_delays_swallows_and_refuses(postgres: Postgres) -> None:
    with tcp_proxy(postgres.port) as proxy:
        database = postgres.create_database(migrated=False, port=proxy.port)
        with psycopg.connect(database, autocommit=True) as connection:
            proxy.delay = 0.2
            began = time.monotonic()
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            assert time.monotonic() - began >= 0.4
            proxy.delay, proxy.swallows = 0.0, True
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(database, connect_timeout=2).close()
            proxy.swallows, proxy.refuses = False, True
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(database, connect_timeout=10).close()
            assert connection.execute("SELECT 2").fetchall() == [(2,)], "connections that were there stay"
