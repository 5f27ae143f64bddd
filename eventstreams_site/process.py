"""The composition root: a Config becomes the running parts of one process, wired up here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

from eventstreams_site.conf import Config
from redaction.redactor import Redactor
from streams.core.catalogue import Catalogue
from streams.engine.encoder import Encoder
from streams.engine.history import History
from streams.engine.hub import Hub, HubLimits
from streams.engine.kafka import KafkaSource
from streams.engine.kafka_options import kafka_options
from streams.engine.metrics import Metrics
from streams.http.limits import ConnectionLimits
from streams.http.service import EdgeSettings, Service
from streams.sync import StreamConfigError, load_catalogue

log = logging.getLogger(__name__)

RELOAD_SECONDS = 10.0
"""Without any stream configuration, it is tried again after so many seconds."""


class Process:
    """All that runs in one server process: `service` is what the edge sees of it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        options = kafka_options(config.kafka)
        metrics = Metrics()
        encoder = Encoder(Redactor(config.mediawiki_redacted_pages), metrics)
        source = KafkaSource(options, config.history_readers)
        hub = Hub(
            source,
            encoder,
            metrics,
            HubLimits(ring_bytes=config.ring_bytes, keepalive_seconds=config.keepalive_seconds),
        )
        self.service = Service(
            settings=EdgeSettings(
                max_streams=config.max_streams,
                keepalive_seconds=config.keepalive_seconds,
                client_ip_header=config.client_ip_header,
                trusted_proxies=config.trusted_proxies,
                cors=config.cors,
                ui_enabled=config.stream_ui_enabled,
            ),
            hub=hub,
            history=History(source, encoder, metrics, config.history_readers, config.history_cache_bytes),
            metrics=metrics,
            limits=ConnectionLimits(config.client_ip_connection_limit, config.max_connections),
            start=self.start,
        )
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start what runs in the background, once."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load_streams())
            self.service.hub.start()

    async def close(self) -> None:
        """End all streams cleanly, spread over the drain time, then what runs in the background."""
        service = self.service
        service.draining = True
        loop = asyncio.get_running_loop()
        for client in list(service.clients):
            loop.call_later(random.uniform(0, self._config.drain_seconds), client.end)
        deadline = loop.time() + self._config.drain_seconds + 1
        while service.clients and loop.time() < deadline:
            await asyncio.sleep(0.05)
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
            await service.hub.close()

    async def _load_streams(self) -> None:
        while True:
            try:
                self._expose(await asyncio.to_thread(load_catalogue, self._config, 1))
                return
            except StreamConfigError as error:
                log.error("No stream configuration: %s; trying again in %s s", error, int(RELOAD_SECONDS))
            await asyncio.sleep(RELOAD_SECONDS)

    def _expose(self, catalogue: Catalogue) -> None:
        """Swap the catalogue, whole."""
        streams = catalogue.streams.values()
        self.service.hub.know(topic for stream in streams for topic in (*stream.topics, *stream.topics_allowed))
        self.service.catalogue = catalogue
        self.service.metrics.catalogue_streams.set(len(catalogue.streams))
