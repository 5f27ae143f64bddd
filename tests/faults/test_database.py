"""A database that is slow, hangs or has gone: changes arrive in time, or the service says that they do not.

The streams continue all the while, and a stop waits for nothing of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.around.postgres import Postgres
from tests.support.around.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.client.reading import SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, readyz_says, serving

CHANGE_SECONDS = 5.0
DRAIN_SECONDS = 0.5
STOP_SECONDS = DRAIN_SECONDS + 3.0
ROUND_TRIP_SECONDS = 2.0
LONGEST_WAIT = """SELECT max(extract(epoch FROM clock_timestamp() - query_start)) FROM pg_stat_activity
    WHERE state = 'active' AND wait_event_type = 'Lock'"""


@asynccontextmanager
async def with_database(
    postgres: Postgres, folder: Path, bootstrap: str, topic: str
) -> AsyncIterator[tuple[Site, TcpProxy, str]]:
    """A server whose database is behind a proxy; the database's own URL."""
    with tcp_proxy(postgres.port) as proxy:
        url = postgres.create_database(port=proxy.port)
        async with serving(folder, bootstrap, [topic], database=url, drain_seconds=DRAIN_SECONDS) as site:
            yield site, proxy, url


def raise_version(postgres: Postgres, url: str) -> int:
    """Change the redaction list, as an admin's form does, past the proxy; its new version."""
    sql = "INSERT INTO streams_version VALUES ('redacted pages', 1) ON CONFLICT (name) DO UPDATE SET number = "
    rows = postgres.execute(sql + "streams_version.number + 1 RETURNING number", url)
    number = rows[0][0]
    assert isinstance(number, int)
    return number


async def arrives(site: Site, version: int) -> float:
    """Wait until the process has this list; how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while await asyncio.to_thread(site.metric, "eventstreams_redaction_list_version") < version:
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_a_database_at_two_seconds_a_round_trip_gives_a_change_within_five(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with with_database(postgres, tmp_path, kafka.bootstrap, topic) as (site, proxy, url):
        await arrives(site, await asyncio.to_thread(raise_version, postgres, url))
        proxy.delay = ROUND_TRIP_SECONDS / 2
        await asyncio.sleep(ROUND_TRIP_SECONDS)  # questions of before are over
        for _ in range(2):
            took = await arrives(site, await asyncio.to_thread(raise_version, postgres, url))
            assert took < CHANGE_SECONDS
        await readyz_says(site, "the database", expected=False)


async def test_a_database_that_no_longer_answers_is_reported_and_a_new_connection_is_made(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    tp = TopicPartition(topic, 0)
    async with (
        with_database(postgres, tmp_path, kafka.bootstrap, topic) as (site, proxy, url),
        writer(kafka.bootstrap) as to,
        Crowd() as crowd,
    ):
        follower = await crowd.connect(site.port, PATH, SSE)
        proxy.swallows = True
        await readyz_says(
            site, "the database is slow or does not answer, so changes by admins are late: the redaction list"
        )
        await to.write(tp, [None] * 5)
        await follower.has({tp: 4})
        version = await asyncio.to_thread(raise_version, postgres, url)
        proxy.drop()  # what was swallowed never arrives: only new connections work
        proxy.swallows = False
        await arrives(site, version)
        await readyz_says(site, "the database", expected=False)
        log = site.log.read_text()
        assert "no answer from the database for" in log
        assert "The database can be used again" in log
        assert "Traceback" not in log


async def test_a_question_that_waits_for_a_lock_is_given_up_in_the_server_too(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with with_database(postgres, tmp_path, kafka.bootstrap, topic) as (site, _, url):
        with psycopg.connect(url) as blocker:
            blocker.execute("LOCK TABLE streams_version IN ACCESS EXCLUSIVE MODE")
            await readyz_says(site, "the database is slow or does not answer")
            for _ in range(30):
                ((longest,),) = blocker.execute(LONGEST_WAIT).fetchall()
                assert longest is None or longest < 3.0
                await asyncio.sleep(0.1)
            assert "canceling statement due to" in site.log.read_text()
        await arrives(site, await asyncio.to_thread(raise_version, postgres, url))
        await readyz_says(site, "the database", expected=False)


@pytest.mark.parametrize("hangs", ["in between", "the server"])
async def test_a_stop_does_not_wait_for_a_database_that_hangs(
    hangs: str, postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with (
        with_database(postgres, tmp_path, kafka.bootstrap, topic) as (site, proxy, _),
        Crowd() as crowd,
    ):
        follower = await crowd.connect(site.port, PATH, SSE)
        pause: Callable[[], None] = postgres.pause if hangs == "the server" else lambda: None
        await asyncio.to_thread(pause)
        try:
            proxy.swallows = True
            await readyz_says(site, "the database is slow or does not answer")
            began = time.monotonic()
            assert await asyncio.to_thread(site.stop) == 0
            assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS
        finally:
            await asyncio.to_thread(postgres.resume)
        await follower.ended(10)
        assert follower.client.ended_cleanly
