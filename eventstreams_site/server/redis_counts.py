"""The counts of connections of all replicas, in Redis. This host's are a lease: they expire if nobody renews them.

Each host has one hash (client address → connections; the empty address: all of them), which expires. One script, which
Redis runs as a whole, changes this host's hash, and lets in who finds room beside what all living hashes have.

One question is under way at a time and has all that has come meanwhile. So this host knows what its hash must have: if
Redis has anything else (it was restarted, the lease has expired, an answer was lost), the hash is written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from eventstreams_site.server.refusals import FULL, TOO_MANY, Answered
from streams.engine.outage import Outage

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.4
"""Maximum seconds of a question; a client that comes meanwhile waits at most twice as long."""
CONNECT_SECONDS = 2.0
"""The same while Redis is away, when nobody waits."""
LEASE_SECONDS = 15.0
"""Seconds after which the counts of a host that no longer renews them expire."""
RENEW_SECONDS = 4.0
"""Maximum seconds between two questions: each renews the lease."""
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 5.0
"""Seconds until Redis is asked again after a failure; they double up to the maximum."""
MAX_TAKES = 200
"""Maximum connections that one question asks for."""
BYE_SECONDS = 0.3
"""Maximum seconds for ending the lease at a stop."""

_PREFIX = "{eventstreams}"  # braces: all keys are in one slot
_HOSTS = f"{_PREFIX}:hosts"
_STALE = -1

_SCRIPT = """
local hosts, own = KEYS[1], KEYS[2]
local expected, lease, most, most_of_one, changes = unpack(ARGV, 1, 5)
if (redis.call('HGET', own, '') or '0') ~= expected then
  return {-1}
end
local function add(ip, count)
  if redis.call('HINCRBY', own, ip, count) == 0 then
    redis.call('HDEL', own, ip)
  end
  redis.call('HINCRBY', own, '', count)
end
local next = 6
for _ = 1, tonumber(changes) do
  add(ARGV[next], ARGV[next + 1])
  next = next + 2
end
redis.call('SADD', hosts, own)
redis.call('HINCRBY', own, '', 0)
redis.call('PEXPIRE', own, lease)
redis.call('PEXPIRE', hosts, lease * 10)
local living, all = {}, 0
for _, host in ipairs(redis.call('SMEMBERS', hosts)) do
  local count = redis.call('HGET', host, '')
  if count then
    living[#living + 1] = host
    all = all + count
  else
    redis.call('SREM', hosts, host)
  end
end
local answer = {0}
for index = next, #ARGV do
  local ip, count, refused = ARGV[index], 0, 0
  for _, host in ipairs(living) do
    count = count + (redis.call('HGET', host, ip) or 0)
  end
  if most ~= '0' and all >= tonumber(most) then
    refused = 1
  elseif most_of_one ~= '0' and count >= tonumber(most_of_one) then
    refused = 2
  else
    add(ip, 1)
    all = all + 1
  end
  answer[#answer + 1] = refused
end
answer[1] = all
return answer
"""
_REFUSED = ("", FULL, TOO_MANY)


def check_url(url: str) -> None:
    """Raise ValueError if Redis cannot be asked at such a URL."""
    try:
        pool: Any = Redis.from_url(url).connection_pool
        pool.make_connection()
    except (TypeError, ValueError, RedisError):  # their texts may quote a password
        raise ValueError(
            "redis_url: the value (not shown) cannot be used; expected redis://[user:password@]host:port/database, "
            "or the same with rediss:// or unix://"
        ) from None


class RedisCounts:
    """Counts this host's connections beside those of others. Use it in one event loop.

    `limits` returns the maximum of all connections and of those of one address; 0: any number.
    """

    def __init__(self, url: str, limits: Callable[[], tuple[int, int]]) -> None:
        self.reason = ""
        """Why Redis cannot be asked; empty if it can."""
        self.everywhere = 0
        """Connections of all hosts, as Redis said last."""
        self.failures = 0
        """Questions without an answer."""
        self.questions = 0
        self.seconds = 0.0
        """Seconds of all questions that were answered."""
        self._limits = limits
        self._redis: Any = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=CONNECT_SECONDS, client_name="eventstreams"
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._own = f"{_PREFIX}:host:{secrets.token_hex(8)}"
        self._held: Counter[str] = Counter()
        """What the hash of this host must have: the connections by address."""
        self._written: int | None = None
        """What the hash has in all, before `_changes`; None if that is not known."""
        self._changes: Counter[str] = Counter()
        self._takes: list[tuple[str, Answered]] = []
        self._wake = asyncio.Event()
        self._outage = Outage(log, "Redis cannot be asked, so limits of connections hold for each host separately")

    def take(self, ip: str, answered: Answered) -> None:
        """Ask for a connection of `ip`. While Redis is away it is let in: this host's own counts decide."""
        if self.reason:
            self.add(ip, 1)
            answered("")
        else:
            self._takes.append((ip, answered))
            self._wake.set()

    def add(self, ip: str, count: int) -> None:
        """Count connections that have come, or (below 0) gone, without asking."""
        self._held[ip] += count
        if not self._held[ip]:
            del self._held[ip]
        self._changes[ip] += count
        self._wake.set()

    async def run(self) -> None:
        """Ask and renew until it is cancelled; then end the lease."""
        retry = RETRY_SECONDS
        try:
            while True:
                self._wake.clear()
                try:
                    began = time.monotonic()
                    async with asyncio.timeout(CONNECT_SECONDS if self.reason else ANSWER_SECONDS):
                        await self._ask()
                except Exception as error:  # whatever it is, nobody may wait forever
                    await self._lost(error)
                    await asyncio.sleep(retry)
                    retry = min(2 * retry, MAX_RETRY_SECONDS)
                    continue
                self.questions += 1
                self.seconds += time.monotonic() - began
                retry, self.reason = RETRY_SECONDS, ""
                self._outage.is_over("Redis answers again: limits of connections hold over all replicas")
                if not self._takes:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(RENEW_SECONDS):
                            await self._wake.wait()
        finally:
            await self._end()

    async def _ask(self) -> None:
        takes, self._takes = self._takes[:MAX_TAKES], self._takes[MAX_TAKES:]
        try:
            answer = await self._question(takes)
            while answer[0] == _STALE:
                self._written = None
                answer = await self._question(takes)
        except BaseException:
            self._written = None
            self._takes = takes + self._takes
            raise
        self.everywhere = answer[0]
        for (ip, answered), refused in zip(takes, answer[1:], strict=True):
            if not refused:
                self._held[ip] += 1
                self._written += 1  # type: ignore[operator]  # `_question` has set it
            answered(_REFUSED[refused])

    async def _question(self, takes: list[tuple[str, Answered]]) -> list[int]:
        if self._written is None:
            await self._write()
        changes, self._changes = self._changes, Counter()
        most, most_of_one = self._limits()
        changed = [text for ip, count in changes.items() if count for text in (ip, count)]
        given = [self._written or 0, int(LEASE_SECONDS * 1000), most, most_of_one, len(changed) // 2, *changed]
        answer: list[int] = await self._script(keys=[_HOSTS, self._own], args=[*given, *(ip for ip, _ in takes)])
        self._written = (self._written or 0) + changes.total()
        return answer

    async def _write(self) -> None:
        """Write the hash of this host again."""
        held = self._held.copy()
        self._changes.clear()
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(self._own)
            pipeline.hset(self._own, mapping={"": held.total(), **held})
            pipeline.pexpire(self._own, int(LEASE_SECONDS * 1000))
            await pipeline.execute()
        self._written = held.total()

    async def _lost(self, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, TimeoutError) or not str(error):
            self.reason = f"no answer within {CONNECT_SECONDS if self.reason else ANSWER_SECONDS:.1f} s"
        else:
            self.reason = str(error).rstrip(".")
        self._outage.continues(f"{self.reason}. Check redis_url and Redis")
        self._let_in()
        await self._disconnect()

    def _let_in(self) -> None:
        takes, self._takes = self._takes, []
        for ip, answered in takes:
            self.add(ip, 1)
            answered("")

    async def _disconnect(self) -> None:
        with contextlib.suppress(Exception):  # whatever it is, nobody may wait forever
            async with asyncio.timeout(BYE_SECONDS):
                await self._redis.connection_pool.disconnect(inuse_connections=True)

    async def _end(self) -> None:
        self._let_in()
        is_there, self.reason = not self.reason, self.reason or "the lease has ended"  # nobody is asked any more
        if is_there:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(BYE_SECONDS):
                    await self._redis.delete(self._own)
        await self._disconnect()
