"""Connections counted over all hosts in Redis: exactly while it answers, by each host while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventstreams_site.server import redis_counts
from eventstreams_site.server.redis_counts import RedisCounts, check_url
from eventstreams_site.server.refusals import FULL, TOO_MANY
from eventstreams_site.server.shared_counts import SharedCounts
from tests.support.around.redis import RedisServer


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment has no Redis that is away."""
    monkeypatch.setattr(redis_counts, "ANSWER_SECONDS", 10.0)


class Host:
    """One host's counts."""

    def __init__(self, url: str, of_all: int, of_one: int) -> None:
        self.counts = RedisCounts(url, lambda: (of_all, of_one))
        self.task = asyncio.ensure_future(self.counts.run())

    async def take(self, ip: str = "a") -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.counts.take(ip, answer.set_result)
        return await answer

    async def take_many(self, count: int, ip: str = "a") -> list[str]:
        return list(await asyncio.gather(*(self.take(ip) for _ in range(count))))

    def leave(self, ip: str = "a") -> None:
        self.counts.add(ip, -1)

    def crash(self) -> None:
        """It ends without a word: its lease stays."""
        self.counts._end = self.counts._disconnect  # type: ignore[method-assign]
        self.task.cancel()


@asynccontextmanager
async def hosts(redis: RedisServer, of_all: int = 0, of_one: int = 0) -> AsyncIterator[tuple[Host, Host]]:
    two = Host(redis.url, of_all, of_one), Host(redis.url, of_all, of_one)
    try:
        yield two
    finally:
        for each in two:
            each.task.cancel()
        await asyncio.wait([each.task for each in two])


async def until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_two_hosts_let_in_exactly_the_limit_and_one_more_for_each_that_leaves(redis: RedisServer) -> None:
    async with hosts(redis, of_one=10) as (first, second):
        answers = [*await asyncio.gather(first.take_many(300), second.take_many(300))]
        granted = [each.count("") for each in answers]
        assert sum(granted) == 10
        assert set(answers[0] + answers[1]) == {"", TOO_MANY}
        assert redis.counts() == {"a": 10}
        assert await first.take("b") == ""  # the others have their own
        leaver, other = (first, second) if granted[0] else (second, first)
        leaver.leave()
        async with asyncio.timeout(10):
            while await other.take() != "":
                await asyncio.sleep(0.01)
        assert await leaver.take() == TOO_MANY
        assert redis.counts() == {"a": 10, "b": 1}


async def test_all_hosts_together_have_the_maximum_of_all_connections(redis: RedisServer) -> None:
    async with hosts(redis, of_all=3) as (first, second):
        assert [await first.take("a"), await second.take("b"), await second.take("c")] == [""] * 3
        assert [await first.take("d"), await second.take("e")] == [FULL] * 2
        assert first.counts.everywhere == 3


async def test_the_share_of_a_host_that_crashed_is_free_within_its_lease(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counts, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(redis_counts, "RENEW_SECONDS", 0.3)
    async with hosts(redis, of_one=2) as (first, second):
        assert await first.take_many(2) == ["", ""]
        await asyncio.sleep(2.5)  # beyond the lease: it is renewed
        assert await second.take() == TOO_MANY
        first.crash()
        async with asyncio.timeout(20):
            while await second.take() != "":
                await asyncio.sleep(0.05)
        assert redis.counts() == {"a": 1}


async def test_a_host_that_stops_frees_its_share_at_once(redis: RedisServer) -> None:
    async with hosts(redis, of_one=2) as (first, second):
        assert await first.take_many(2) == ["", ""]
        first.task.cancel()
        await asyncio.wait([first.task])
        assert await second.take() == ""


async def test_what_redis_lost_is_written_anew(redis: RedisServer) -> None:
    async with hosts(redis, of_one=2) as (first, second):
        assert await first.take_many(2) == ["", ""]
        redis.client.flushall()
        first.counts._wake.set()  # as a renewal does
        await until(lambda: redis.counts() == {"a": 2})
        assert await second.take() == TOO_MANY
        first.leave()
        await until(lambda: redis.counts() == {"a": 1})
        assert await second.take() == ""


async def test_a_lease_that_expired_while_the_host_stood_still_is_written_anew(redis: RedisServer) -> None:
    async with hosts(redis, of_one=2) as (first, second):
        assert await first.take_many(2) == ["", ""]
        redis.client.delete(first.counts._own)
        assert await first.take() == TOO_MANY
        assert await second.take() == TOO_MANY


async def test_while_redis_is_silent_nobody_waits_long_and_later_its_counts_are_right(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_counts, "MAX_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(redis_counts, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(redis_counts, "ANSWER_SECONDS", 0.4)
    caplog.set_level(logging.WARNING, redis_counts.__name__)
    async with hosts(redis, of_one=2) as (first, second):
        assert await first.take() == ""
        redis.pause()
        try:
            async with asyncio.timeout(2 * redis_counts.ANSWER_SECONDS + 2):  # the rest is for a busy machine
                assert await first.take_many(3) == [""] * 3  # each host's own limits have decided before
            assert "no answer within" in first.counts.reason
            first.leave()
            async with asyncio.timeout(redis_counts.CONNECT_SECONDS / 2):
                assert await first.take("b") == ""  # nobody waits any more
            assert first.counts.failures
        finally:
            redis.resume()
        await until(lambda: not first.counts.reason and not second.counts.reason)
        await until(lambda: redis.counts() == {"a": 3, "b": 1})
        assert await second.take() == TOO_MANY
        told = [each.getMessage() for each in caplog.records]
        assert sum("Redis cannot be asked" in each for each in told) <= 2  # one for each host
        assert any("Redis answers again" in each for each in told)


async def test_a_redis_that_is_not_there_is_named_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with hosts(RedisServer(tmp_path), of_one=1) as (first, _):
        async with asyncio.timeout(5):
            assert await first.take_many(5) == [""] * 5
        assert "connecting to" in first.counts.reason


async def test_what_is_no_redis_keeps_nobody_waiting() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with web:
        host = Host(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}/0", 0, 1)
        async with asyncio.timeout(5):
            assert await host.take_many(5) == [""] * 5
        assert host.counts.reason
        host.task.cancel()
        await asyncio.wait([host.task])


async def test_who_asks_while_the_lease_ends_or_later_is_let_in_at_once(tmp_path: Path) -> None:
    counts = RedisCounts(f"unix://{tmp_path}/nothing", lambda: (0, 0))
    task = asyncio.ensure_future(counts.run())
    await asyncio.sleep(0)
    said: list[str] = []

    async def hangs() -> None:
        counts.take("a", said.append)

    counts._disconnect = hangs  # type: ignore[method-assign]
    task.cancel()
    await asyncio.wait([task])
    assert said == [""]
    shared = SharedCounts(f"unix://{tmp_path}/nothing", lambda: (0, 0))
    shared.close()
    shared.wait_until_closed()
    await until(lambda: shared.is_closed)
    shared.take("a", said.append)
    await until(lambda: said == ["", ""])


@pytest.mark.parametrize("option", ["ssl_cert_reqs=sometimes", "socket_timeout=long", "protocol=9"])
def test_an_option_that_redis_does_not_take_is_refused_in_one_sentence(option: str) -> None:
    with pytest.raises(ValueError, match="redis_url"):
        check_url(f"rediss://:secret@h?{option}")
