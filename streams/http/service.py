"""What the edge needs of the process: `eventstreams_site.process` makes it, and every request gets it."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streams.catalogue.refresh import Refresh
from streams.core.catalogue import Catalogue
from streams.engine.compress.compression import Compression
from streams.engine.metrics import Metrics
from streams.engine.rates import Rates
from streams.engine.replay.history import History
from streams.engine.source import RecordSource
from streams.engine.tail.hub import Hub
from streams.http.client_address import Network
from streams.http.headers import ASGIApp
from streams.http.limits import ConnectionLimits
from streams.http.openapi.documents import Documents
from streams.http.stalls import Stalls
from streams.http.stream_log import LoggedStream, StreamLog
from streams.schemas.registry import Schemas

SCOPE_KEY = "eventstreams.service"
"""The key of the ASGI scope that holds the service."""

STARTING_SECONDS = 5.0
"""Seconds after the start during which requests may wait for what streams need."""
PATIENCE_SECONDS = 2.5
"""Maximum seconds that one waits: less than the 3 within which an outage of Kafka must be reported (wire contract)."""
LIST_OLD_SECONDS = 10.0
"""Age of the redaction list from which on the process is degraded."""
LIST_TOO_OLD_SECONDS = 600.0
"""Age from which on it is unready (wire contract)."""


class ClientGone(OSError):
    """The client has disconnected."""


class Progress(NamedTuple):
    """How far a client is: seconds behind its feed, since it takes nothing, and since it was opened."""

    stream: LoggedStream
    network: str
    """Its address, anonymised."""
    behind_seconds: float
    stalled_seconds: float
    open_seconds: float


class OpenStream(Protocol):
    """An open stream, as the process sees it."""

    @property
    def stream_names(self) -> Collection[str]:
        """The canonical names of the streams that it reads."""

    @property
    def taken(self) -> int | None:
        """The bytes that the client has taken while more wait; None if none wait, or if nobody knows."""

    def give_place_back(self) -> None:
        """Close the connection: the client has stalled."""

    def progress(self, now: float) -> Progress:
        """Return how far it is; `now` is of time.monotonic."""

    def end(self) -> None:
        """End after the event that is being sent, with the final chunk."""

    def recheck(self, catalogue: Catalogue) -> None:
        """End if the new catalogue no longer exposes one of the client's streams, or gives it other topics."""


class Newcomer(Protocol):
    """A client that is being connected."""

    def turn_away(self) -> None:
        """Stop connecting it: the server is draining."""


class Connection(Protocol):
    """A connection, as the process sees it, with or without an open stream."""

    @property
    def is_clear(self) -> bool:
        """Whether this process holds no unsent bytes of streams."""

    @property
    def is_flushed(self) -> bool:
        """Whether this process holds no unsent bytes at all."""

    def abort(self) -> None:
        """Close it at once; unsent bytes are dropped."""

    def forget(self) -> None:
        """Drop, after a moment, what is unsent of streams: the redaction list has changed."""


@dataclass(frozen=True)
class EdgeSettings:
    """The part of the configuration that the edge needs."""

    max_streams: int
    """Maximum streams in one request."""
    keepalive_seconds: float
    """Seconds without an event after which a keep-alive is sent; 0: never."""
    client_ip_header: str
    trusted_proxies: Sequence[Network]
    cors: str
    """The value of Access-Control-Allow-Origin, "" for none."""
    ui_enabled: bool
    """Whether the demo page is served."""
    stall_seconds: float = 0.0
    """After this time without taking anything, a client gives its place back if places are scarce; 0: never."""
    max_connection_seconds: float = 0.0
    """After this time a stream is ended; 0: never."""
    url_prefix: str = ""
    """The path that a proxy puts before all others, such as `/events`; "" for none."""


@dataclass
class Service:
    """The parts of the process, and its state."""

    settings: EdgeSettings
    hub: Hub
    history: History
    source: RecordSource
    metrics: Metrics
    compression: Compression
    limits: ConnectionLimits
    start: Callable[[], Awaitable[None]]
    """Starts the background tasks; every request calls it, and it works once (plain ASGI servers have no lifespan)."""
    configured_pages: Mapping[str, Sequence[str]]
    """The redacted pages of the configuration file: domain → titles."""
    refresh: Refresh
    """Refreshes the stream configuration."""
    schemas: Schemas
    """The schemas of the streams in `catalogue`."""
    is_crowded: Callable[[], bool] = bool
    """Whether few connections are left: clients that are rejected are not held for a second then."""
    accept_problem: Callable[[], str] = str
    """A sentence on why connections cannot be accepted; empty if they can."""
    behind: Callable[[], Mapping[str, float]] = dict
    """What is read from the database → its age in seconds, if that is too high."""
    catalogue: Catalogue | None = None
    redaction_read_at: float | None = None
    """When the redaction list was last read (time.monotonic, seconds); None before one is in force."""
    redaction_lacks: str = ""
    """Why the list of redacted pages may not be whole, so that no stream may be opened; empty if all is well."""
    redacted_pages_min: int = 0
    """The pages that the list in the database must have."""
    redaction_held: Sequence[str] = ()
    """A sentence for each loss of the list that is held until an admin decides."""
    stream_log: StreamLog = field(default_factory=StreamLog)
    """The log of streams that ended."""
    started_at: float = field(default_factory=time.monotonic)
    loop_lag: Callable[[], float] = lambda: 0.0
    """By how many seconds the event loop was late at worst, lately."""
    status: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    """Returns the status of the whole service, of all its workers, for the status page."""
    told: tuple[Sequence[str], Sequence[str]] | None = None
    """What the supervisor says of all workers: why the service is not ready, and its other problems."""
    draining: bool = False
    answering: int = 0
    """Number of requests being answered now, including streams."""
    traced: Callable[[ASGIApp], ASGIApp] | None = None
    """Makes a span of each request to an application; None if nothing is traced."""
    telemetry_problems: Callable[[], Sequence[str]] = tuple
    """Sentences on what cannot be sent to a Sentry or a collector of spans."""
    log_is_stuck: Callable[[], bool] = lambda: False
    """Whether nobody reads the log, so that lines of it are lost."""
    connecting: set[Newcomer] = field(default_factory=set)
    clients: set[OpenStream] = field(default_factory=set)
    connections: set[Connection] = field(default_factory=set)

    @functools.cached_property
    def stalls(self) -> Stalls:
        """The clients that take nothing."""
        return Stalls(
            self.settings.stall_seconds, lambda: self.clients, lambda: self.limits.is_full or self.is_crowded()
        )

    @functools.cached_property
    def documents(self) -> Documents:
        """The OpenAPI documents."""
        return Documents(self.settings.max_streams, self.settings.url_prefix)

    @functools.cached_property
    def rates(self) -> Rates:
        """The rates of topics."""
        return Rates(self.source, self.hub.lookups, self.hub.tuning)

    async def starting(self) -> None:
        """Wait a moment, right after the start, for what streams need, so that early clients are not refused."""
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
        """Return why the process should get no traffic; empty when it is ready."""
        reasons = []
        if self.draining:
            reasons.append("draining")
        if self.catalogue is None:
            last = self.refresh.last
            failed = self.refresh.source_problem or (last is not None and not last.is_good)
            why = ": its source cannot be used (see the log or the admin)" if failed else ""
            reasons.append(f"no stream configuration yet{why}")
        if not self.hub.has_metadata:
            why = self.hub.health.reason
            reasons.append("no metadata from Kafka yet" + (f": {why}" if why else ""))
        if self.redaction_lacks:
            reasons.append(self.redaction_lacks)
        elif self.redaction_read_at is None:
            why = ": the database does not answer (see the log)" if self.behind() else ""
            reasons.append(f"the redaction list has not been read yet{why}")
        elif time.monotonic() - self.redaction_read_at > LIST_TOO_OLD_SECONDS:
            reasons.append(f"the redaction list could not be read for {int(LIST_TOO_OLD_SECONDS / 60)} minutes")
        return reasons

    def degraded(self) -> list[str]:
        """Return the problems that do not make the process unready."""
        reasons = self.hub.health.problems()
        if self.redaction_read_at is not None and time.monotonic() - self.redaction_read_at > LIST_OLD_SECONDS:
            reasons.append("the redaction list cannot be read from the database; the last one is in force")
        reasons += [
            f"the redaction list is held: {why}; in the admin, somebody must decide" for why in self.redaction_held
        ]
        if self.limits.is_full:
            reasons.append(f"all {self.limits.total} connections for streams are in use: new clients have to retry")
        if problem := self.limits.problem:
            reasons.append(problem)
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
        elif last is not None and last.differs:
            then = (
                "a server that started later stored it, or a person did: give all servers the same document"
                if last.wait is None
                else "this server started later, and soon stores its own if it still differs"
            )
            reasons.append(f"this server's stream configuration differs from the stored one, which is in force; {then}")
        if self.refresh.source_problem or (last is not None and last.has_failed):
            reasons.append("the stream configuration could not be refreshed; the last good one is in force")
        if self.log_is_stuck():
            reasons.append("nothing reads the log (stderr), so lines are lost; check the log collector")
        return [*reasons, *self.telemetry_problems()]

    def trouble(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return why the service, with all its workers, is not ready, and its problems besides."""
        return self.told if self.told is not None else (self.unready(), self.degraded())

    def soft_retry_ms(self) -> int:
        """Return after how many milliseconds a rejected client reconnects; random, to spread the load."""
        return random.randint(5_000, 15_000)
