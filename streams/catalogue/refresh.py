"""Refreshes the stream configuration in the background, so that no client waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

from django.db import DatabaseError

from streams.catalogue.database import StreamConfigSource
from streams.catalogue.fetched import Fetched, fetch_source
from streams.catalogue.lease import LEASE_SECONDS, Replica
from streams.catalogue.synchronise import SyncResult, keep_lease, store
from streams.engine.metrics import Metrics
from streams.engine.outage import Outage
from streams.models import SyncRun

log = logging.getLogger(__name__)

SYNC_RETRY_SECONDS = 10.0
"""Maximum seconds until the next refresh after a failure."""
STORE_SECONDS = 10.0
"""Maximum seconds for which a refresh waits for the database; until that answers, the source alone is asked."""
KEEP_SECONDS = LEASE_SECONDS / 4
"""Seconds between two looks at the lease of a configuration that is fetched once."""
TELL_SECONDS = 60.0
"""Seconds between two lines of the log while the document differs from the stored one."""


class RefreshingSource(StreamConfigSource, Protocol):
    """The part of the service's configuration that says when to refresh, too."""

    @property
    def stream_config_ttl(self) -> float:
        """Seconds between refreshes; 0: refresh once."""


class Refresh:
    """The refreshes of one process.

    `last` is the latest result, `last_good_at` the time of the last good one (Unix time, seconds). `written` is called
    after a refresh that wrote something. Every process refreshes; all but the first find nothing to do. `replica` is
    this process among those that share the database.
    """

    def __init__(
        self,
        config: RefreshingSource,
        metrics: Metrics,
        written: Callable[[], None],
        synced: Callable[[float, str], None] = lambda _began, _outcome: None,
    ) -> None:
        """`synced` is called after each refresh with when it began (Unix time, seconds) and its outcome."""
        self.config = config
        self.replica = Replica(config.stream_config_ttl)
        self.last: SyncResult | None = None
        self.last_good_at: float | None = None
        self.source_problem = ""
        """Why the source could not be used when it was last asked; empty if it could."""
        self._metrics = metrics
        self._written = written
        self._synced = synced
        self._one_at_a_time = asyncio.Lock()
        self._told_at = float("-inf")
        self._outage, self._hold = (Outage(log, "The stream configuration was not refreshed") for _ in range(2))
        self._again: asyncio.Future[SyncResult] | None = None
        self._storing: asyncio.Future[SyncResult] | None = None

    async def run(self, *, force: bool = False, by: str = "") -> SyncResult:
        """Refresh now; `by` is the user who asked for it.

        Raises:
            django.db.Error: The database failed.
            TimeoutError: It does not answer.
        """
        async with self._one_at_a_time:
            known = self.last.document if self.last is not None else None
            began, outcome = time.time(), SyncRun.Outcome.FAILED.value
            try:
                fetched = await asyncio.to_thread(fetch_source, self.config, known)
                self.source_problem = fetched.error
                result = await self._store(fetched, force, by)
                outcome = result.outcome.value
            finally:
                self._synced(began, outcome)
            self._tell_difference(result)
            self._tell_failure(result)
            self.last = result
            self._metrics.syncs.labels(result.outcome.value).inc()
            self._metrics.config_held.set(result.is_held)
            if result.is_good:
                self.last_good_at = time.time()
                self._metrics.last_good_sync.set(self.last_good_at)
        if result.recorded:
            self._written()
        return result

    async def _store(self, fetched: Fetched, force: bool, by: str) -> SyncResult:
        """Store what was fetched; a database that hangs does not keep the source from being asked again."""
        if self._storing is None or self._storing.done():
            storing = asyncio.to_thread(store, self.config, fetched, replica=self.replica, force=force, by=by)
            self._storing = asyncio.ensure_future(storing)
            self._storing.add_done_callback(lambda done: done.cancelled() or done.exception())
            if (await asyncio.wait({self._storing}, timeout=STORE_SECONDS))[0]:
                return self._storing.result()
        raise TimeoutError("the database does not answer")

    def _tell_difference(self, result: SyncResult) -> None:
        """Log at once, and every minute, that another replica's document is in force, and when that is over."""
        self._metrics.config_differs.set(result.differs)
        if result.differs:
            if time.monotonic() >= self._told_at + TELL_SECONDS:
                log.warning("The stream configuration: %s", result.error)
                self._told_at = time.monotonic()
        elif self._told_at > 0 and result.is_good:
            log.warning("The stream configuration of %s is the stored one again", result.source)
            self._told_at = float("-inf")

    def _tell_failure(self, result: SyncResult) -> None:
        """Log at once, and every minute, that the source cannot be used or its document is held, and the end."""
        if result.outcome is SyncRun.Outcome.FAILED:
            self._outage.continues(result.error)
        elif result.is_held:
            self._outage.is_over("The source of the stream configuration can be used again")
            self._hold.continues(result.error)  # its own line at once: the next refresh may be hours away
        else:
            self._outage.is_over("The stream configuration is refreshed again")
            self._hold.is_over("The stream configuration is no longer held")

    def reconsider(self) -> None:
        """Refresh again if a configuration is held: the database has changed, so it may have been applied."""
        if self.last is not None and self.last.outcome is SyncRun.Outcome.HELD:
            self._again = asyncio.ensure_future(self.run())
            self._again.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def run_forever(self) -> None:
        """Refresh now, retry until it succeeds, then every `stream_config_ttl` seconds (±10 %).

        0: never again, but keep the lease of what was fetched.
        """
        ttl = self.config.stream_config_ttl
        while True:
            result = None
            try:
                result = await self.run()
            except Exception as error:
                source = f"{self.source_problem}; " if self.source_problem else ""
                self._outage.continues(f"{source}{type(error).__name__}: {error}")
            if result is None or result.outcome is SyncRun.Outcome.FAILED:
                wait = min(ttl or SYNC_RETRY_SECONDS, SYNC_RETRY_SECONDS)
            elif result.wait:  # until this replica's document takes the place of another's
                wait = min(ttl or result.wait, result.wait)
            elif ttl:
                wait = ttl * random.uniform(0.9, 1.1)
            else:
                return await self._keep_lease()
            await asyncio.sleep(wait)

    async def _keep_lease(self) -> None:
        """Renew the lease from time to time: else a replica with another document would store that."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            document = self.last.document if self.last is not None else None
            if document is None or self._one_at_a_time.locked():
                continue
            with contextlib.suppress(DatabaseError):  # those who follow the database say so
                await asyncio.to_thread(keep_lease, self.config, document, self.replica)
