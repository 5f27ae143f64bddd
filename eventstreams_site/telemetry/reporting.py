"""What of telemetry is configured, as the process sees it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from eventstreams_site.config.config import Config

if TYPE_CHECKING:
    from eventstreams_site.telemetry.sentry import Sentry
    from eventstreams_site.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.5
"""Maximum seconds for sending what is left when the process ends."""


class Telemetry:
    """Faults to a Sentry, spans to a collector, or neither."""

    def __init__(self, config: Config) -> None:
        """Prepare what is configured. Raises ValueError if the DSN is invalid."""
        self.sentry: Sentry | None = None
        self.tracing: Tracing | None = None
        if config.sentry_dsn:
            from eventstreams_site.telemetry.sentry import Sentry  # noqa: PLC0415 (a tenth of a second, and memory)

            self.sentry = Sentry(config.sentry_dsn)
        if config.otlp_endpoint:
            from eventstreams_site.telemetry.tracing import Tracing  # noqa: PLC0415

            self.tracing = Tracing(config.otlp_endpoint)

    def start(self) -> None:
        """Begin to send faults."""
        if self.sentry is not None:
            self.sentry.start()

    def problems(self) -> list[str]:
        """Return why something cannot be sent."""
        return [each.problem for each in (self.sentry, self.tracing) if each is not None and each.problem]

    def lost(self) -> dict[str, int]:
        """Return how many faults and spans could not be sent."""
        return {
            "faults": self.sentry.lost if self.sentry else 0,
            "spans": self.tracing.lost if self.tracing else 0,
        }

    def synced(self, began: float, outcome: str) -> None:
        """Note a refresh of the stream configuration that began at this Unix time (seconds)."""
        if self.tracing is not None:
            self.tracing.synced(began, outcome)

    async def close(self) -> None:
        """Send what is left, within CLOSE_SECONDS: a server that does not answer holds up nothing."""
        closing = [asyncio.to_thread(each.close) for each in (self.tracing, self.sentry) if each is not None]
        if closing:
            await asyncio.wait([asyncio.ensure_future(each) for each in closing], timeout=CLOSE_SECONDS)
