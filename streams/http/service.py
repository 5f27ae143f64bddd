"""What the edge needs of the process: made and wired up by `eventstreams_site.process`, handed to every request."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.catalogue.refresh import Refresh
from streams.core.catalogue import Catalogue
from streams.engine.metrics import Metrics
from streams.engine.rates import Rates
from streams.engine.replay.history import History
from streams.engine.source import RecordSource
from streams.engine.tail.hub import Hub
from streams.http.limits import ConnectionLimits
from streams.http.openapi.documents import Documents
from streams.http.requests import Network
from streams.schemas.registry import Schemas

SCOPE_KEY = "eventstreams.service"
"""Under this key of the ASGI scope the service reaches every view."""

STARTING_SECONDS = 5.0
PATIENCE_SECONDS = 2.5
"""Less than the 3 within which a client is told that Kafka is away (wire contract, errors)."""
LIST_OLD_SECONDS = 10.0
LIST_TOO_OLD_SECONDS = 600.0
"""A redaction list that could not be read for so long is said, and then makes the server unready (wire contract)."""


class ClientGone(OSError):
    """The client has left; there is nobody to send to."""


class Client(Protocol):
    """An open stream, as the process sees it."""

    @property
    def stream_names(self) -> Collection[str]:
        """The canonical names of the streams that it follows."""

    def end(self) -> None:
        """End after the event that is being sent, with the final chunk."""

    def recheck(self, catalogue: Catalogue) -> None:
        """The streams have changed: end where one of the client's is no longer exposed, or has other topics."""


class Newcomer(Protocol):
    """A client that is being connected."""

    def turn_away(self) -> None:
        """Tell it that the server is draining, whatever it waits for."""


class Connection(Protocol):
    """A connection, as the process sees it, whether or not a stream is open on it now."""

    @property
    def is_clear(self) -> bool:
        """Whether nothing of a stream waits in this process to be sent."""

    @property
    def is_flushed(self) -> bool:
        """Whether nothing at all waits in this process to be sent."""

    def abort(self) -> None:
        """Close it at once; what is unsent is thrown away."""

    def forget(self) -> None:
        """The redaction list has changed: what is still unsent of streams a moment later must not be sent any more."""


@dataclass(frozen=True)
class EdgeSettings:
    """Times in seconds."""

    max_streams: int
    keepalive_seconds: float
    client_ip_header: str
    trusted_proxies: Sequence[Network]
    cors: str
    ui_enabled: bool


@dataclass
class Service:
    settings: EdgeSettings
    hub: Hub
    history: History
    source: RecordSource
    metrics: Metrics
    limits: ConnectionLimits
    start: Callable[[], Awaitable[None]]
    """Starts what runs in the background; called at each request, works once (plain ASGI servers have no lifespan)."""
    configured_pages: Mapping[str, Sequence[str]]
    """The redacted pages that the configuration file names: domain → titles."""
    refresh: Refresh
    """Of the stream configuration."""
    schemas: Schemas
    """Of the streams in `catalogue`, as far as they were found."""
    is_crowded: Callable[[], bool] = bool
    """Whether hardly any connection is left: who is told to come back is not held."""
    accept_problem: Callable[[], str] = str
    """A sentence on why connections cannot be accepted; empty if they can."""
    behind: Callable[[], Mapping[str, float]] = dict
    """What is read from the database → how old the news of it is (seconds), where that is too old."""
    catalogue: Catalogue | None = None
    redaction_read_at: float | None = None
    """When the redaction list was last seen (time.monotonic, seconds); None before one is in force."""
    redaction_lacks: str = ""
    """Why the list of redacted pages may not be whole, so that no stream may be opened; empty if all is well."""
    redacted_pages_min: int = 0
    """The pages that the list in the database must have."""
    redaction_held: Sequence[str] = ()
    """A sentence for each loss of the list that is held until an admin decides."""
    started_at: float = field(default_factory=time.monotonic)
    draining: bool = False
    answering: int = 0
    """Requests that are being answered now, streams among them."""
    log_is_stuck: Callable[[], bool] = lambda: False
    """Whether nobody reads the log, so that lines of it are lost."""
    connecting: set[Newcomer] = field(default_factory=set)
    clients: set[Client] = field(default_factory=set)
    connections: set[Connection] = field(default_factory=set)

    @functools.cached_property
    def documents(self) -> Documents:
        return Documents(self.settings.max_streams)

    @functools.cached_property
    def rates(self) -> Rates:
        return Rates(self.source, self.hub.lookups)

    async def starting(self) -> None:
        """Right after the start, wait a moment for what streams need: nobody has to be turned away for so little."""
        until = min(self.started_at + STARTING_SECONDS, time.monotonic() + PATIENCE_SECONDS)
        while self.catalogue is None or self.redaction_read_at is None or not self.hub.available:
            if self.draining or time.monotonic() > until:
                return
            await asyncio.sleep(0.02)

    @property
    def has_redaction_list(self) -> bool:
        """Whether a stream may be opened: a list is in force, with as many pages as it must have."""
        return self.redaction_read_at is not None and not self.redaction_lacks

    def unready(self) -> list[str]:
        """Why no traffic should come yet, or any more; empty when ready."""
        reasons = []
        if self.draining:
            reasons.append("draining")
        if self.catalogue is None:
            failed = self.refresh.last is not None and not self.refresh.last.is_good
            why = ": its source cannot be used; the log and the admin say why" if failed else ""
            reasons.append(f"no stream configuration yet{why}")
        if not self.hub.has_metadata:
            why = self.hub.health.reason
            reasons.append("no metadata from Kafka yet" + (f": {why}" if why else ""))
        if self.redaction_lacks:
            reasons.append(self.redaction_lacks)
        elif self.redaction_read_at is None:
            reasons.append("the redaction list has not been read yet")
        elif time.monotonic() - self.redaction_read_at > LIST_TOO_OLD_SECONDS:
            reasons.append(f"the redaction list could not be read for {int(LIST_TOO_OLD_SECONDS / 60)} minutes")
        return reasons

    def degraded(self) -> list[str]:
        """What is amiss though traffic can come."""
        reasons = self.hub.health.problems()
        if self.redaction_read_at is not None and time.monotonic() - self.redaction_read_at > LIST_OLD_SECONDS:
            reasons.append("the redaction list cannot be read from the database; the last one is in force")
        reasons += [
            f"the redaction list is held: {why}; in the admin, somebody must decide" for why in self.redaction_held
        ]
        if self.limits.is_full:
            reasons.append(f"all {self.limits.total} places for streams are taken: newcomers are told to come back")
        if self.hub.feeds.are_full:
            reasons.append(
                f"all {self.hub.feeds.limit} different subscriptions that a process keeps are in use: filters that "
                "nobody uses yet are refused; if there is memory for more, raise max_feeds"
            )
        if problem := self.accept_problem():
            reasons.append(problem)
        if behind := self.behind():
            what = ", ".join(f"{name} as it was {age:.0f} s ago" for name, age in behind.items())
            reasons.append(f"the database is slow or does not answer, so changes by admins are late: {what}")
        last = self.refresh.last
        if last is not None and last.is_held:
            reasons.append("a new stream configuration is held until somebody applies it in the admin")
        elif last is not None and not last.is_good:
            reasons.append("the stream configuration could not be refreshed; the last good one is in force")
        if self.log_is_stuck():
            reasons.append("nobody reads the log (stderr), so lines of it are lost; see to what collects it")
        return reasons

    def soft_retry_ms(self) -> int:
        """When a client that was turned away by an event comes back: spread, so that not all come at once."""
        return random.randint(5_000, 15_000)
