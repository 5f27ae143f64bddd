"""The demo page, and the list of streams that it shows.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Set
from typing import Any

import msgspec

from streams.core.catalogue import Catalogue, Stream
from streams.core.errors import KafkaUnavailable, NoStreamConfiguration
from streams.http.answers import HTML, JSON, Answer, Body, answer, problem
from streams.http.made import Made, in_thread
from streams.http.prefix import not_found, page
from streams.http.requests import Scope
from streams.http.service import Service

STREAMS_SECONDS = 10
"""Seconds for which clients may cache the list; its rates are up to half a minute old anyway."""
MADE_SECONDS = 2
"""Seconds after which the list is made again."""
TOPICS_SECONDS = 1.0
"""Maximum seconds for which the list waits until Kafka says which topics it has."""


class Page:
    """The demo page; 404 if it is disabled, as in the old service."""

    def __init__(self) -> None:
        self._page: Made[Body] = Made()

    async def __call__(self, scope: Scope, service: Service) -> Answer:
        """Return the page."""
        if not service.settings.ui_enabled:
            raise not_found(scope)
        return answer(
            await self._page.of(None, in_thread(_rendered, service.settings.url_prefix)), HTML, cache="no-cache"
        )


class Streams:
    """The list of streams as JSON, and two settings that a client should know.

    Each of `streams` has `name`, `aliases`, `description`, `topics`, `rate` (events per second over the last minute,
    null if unknown) and `has_topics` (false if Kafka says that it has none of the topics).
    """

    def __init__(self) -> None:
        self._list: Made[Body] = Made()

    async def __call__(self, scope: Scope, service: Service) -> Answer:
        """Return the list."""
        if not service.settings.ui_enabled:
            raise not_found(scope)
        catalogue = service.catalogue
        if catalogue is None:
            return problem(scope, NoStreamConfiguration())

        async def make() -> Body:
            topics = {topic for stream in catalogue.streams.values() for topic in stream.topics}
            with contextlib.suppress(KafkaUnavailable, TimeoutError):  # or nothing is known of a server's first seconds
                async with asyncio.timeout(TOPICS_SECONDS):
                    await service.hub.topics(topics)
            rates = await service.rates.of(topics)
            return await asyncio.to_thread(_listed, catalogue, rates, service)

        body = await self._list.of((catalogue, time.monotonic() // MADE_SECONDS), make)
        return answer(body, JSON, cache=f"public, max-age={STREAMS_SECONDS}")


def _rendered(prefix: str) -> Body:
    return Body.of(page("ui.html", {}, prefix).encode())


def _listed(catalogue: Catalogue, rates: dict[str, float], service: Service) -> Body:
    found = {
        "streams": [_described(stream, rates, service.source.absent) for stream in catalogue.streams.values()],
        "max_streams": service.settings.max_streams,
        "keepalive_seconds": service.settings.keepalive_seconds,
    }
    return Body.of(msgspec.json.encode(found))


def _described(stream: Stream, rates: dict[str, float], absent: Set[str]) -> dict[str, Any]:
    known = [rates[topic] for topic in stream.topics if topic in rates]
    return {
        "name": stream.name,
        "aliases": stream.aliases,
        "description": stream.description,
        "topics": stream.topics,
        "has_topics": any(topic not in absent for topic in stream.topics),
        "rate": round(sum(known), 3) if known else None,
    }
