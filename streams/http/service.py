"""What the edge needs of the process: made and wired up by `eventstreams_site.process`, handed to every request."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.core.catalogue import Catalogue
from streams.engine.history import History
from streams.engine.hub import Hub
from streams.engine.metrics import Metrics
from streams.http.limits import ConnectionLimits
from streams.http.requests import Network

SCOPE_KEY = "eventstreams.service"
"""Under this key of the ASGI scope the service reaches every view."""


class Client(Protocol):
    """An open stream, as the drain sees it."""

    def end(self) -> None:
        """End after the event that is being sent, with the final chunk."""


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
    metrics: Metrics
    limits: ConnectionLimits
    start: Callable[[], Awaitable[None]]
    """Starts what runs in the background; called at each request, works once (plain ASGI servers have no lifespan)."""
    catalogue: Catalogue | None = None
    draining: bool = False
    clients: set[Client] = field(default_factory=set)

    def unready(self) -> list[str]:
        """Why no traffic should come yet, or any more; empty when ready."""
        reasons = []
        if self.draining:
            reasons.append("draining")
        if self.catalogue is None:
            reasons.append("no stream configuration yet")
        if not self.hub.has_metadata:
            reasons.append("no metadata from Kafka yet")
        return reasons

    def degraded(self) -> list[str]:
        """What is amiss though traffic can come."""
        return [] if self.hub.available else ["Kafka cannot be reached"]

    def soft_retry_ms(self) -> int:
        """When a client that was turned away by an event comes back: spread, so that not all come at once."""
        return random.randint(5_000, 15_000)
