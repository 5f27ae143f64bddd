"""The composition root: turns a Config into the running parts of one process. Only this module wires them up."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable

from eventstreams_site.config.config import Config
from eventstreams_site.database_threads import DatabaseThreads
from eventstreams_site.logs import lines
from eventstreams_site.status.own import OwnStatus
from eventstreams_site.telemetry.reporting import Telemetry
from eventstreams_site.watch import DatabaseTrouble, Followed, Watch
from redaction.listed import changes
from redaction.listed.in_force import Listed
from redaction.listed.matches import MatchWriter
from redaction.redactor import REDACTIONS, Redactor
from streams.admin import missing_topics
from streams.catalogue.database import read_catalogue
from streams.catalogue.refresh import Refresh
from streams.core.catalogue import Catalogue
from streams.engine.compress.compression import Compression
from streams.engine.encoder import Encoder, NoListYet
from streams.engine.faults import Faults
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.loop_lag import LoopLag
from streams.engine.memory import MemorySource
from streams.engine.metrics import Metrics
from streams.engine.replay.history import History
from streams.engine.source import RecordSource
from streams.engine.tail.hub import Hub
from streams.engine.tuning import Tuning
from streams.http.limits import ConnectionLimits
from streams.http.service import EdgeSettings, Service
from streams.http.stream_log import StreamLog
from streams.schemas.registry import Schemas

log = logging.getLogger(__name__)

FINISH_SECONDS = 1.1
"""Maximum seconds for completing answers once no new client is let in; `draining` answers take nearly as long."""
STALL_SECONDS = 3.0
"""Seconds without an answer after which a partition counts as unread, besides twice the time that Kafka may wait."""
LAST_BYTES_SECONDS = 0.8
"""Maximum seconds after the drain for what is still unsent of streams."""
LAST_WRITE_SECONDS = 1.1
"""Maximum seconds in which the counts of matched events are written at the end."""
MEMORY_BYTES = 256_000_000
"""Maximum bytes of the records that are kept where there is no Kafka."""
CLOSE_SECONDS = 0.3
"""Maximum seconds for background tasks to end."""
AGAIN_SECONDS = 1.0
"""Seconds after which a background task that has failed begins again."""


class Process:
    """All parts of one server process; `service` is what the edge sees of them."""

    def __init__(self, config: Config, beside: Callable[[RecordSource], Awaitable[None]] | None = None) -> None:
        """`beside` runs in the background, given the source that the process reads."""
        self._config = config
        self.drain_seconds = config.drain_seconds
        options = kafka_options(config.kafka)
        tuning = Tuning(
            ring_bytes=config.ring_bytes,
            max_feeds=config.max_feeds,
            keepalive_seconds=config.keepalive_seconds,
            gather_seconds=config.gather_seconds,
            history_readers=config.history_readers,
            history_cache_bytes=config.history_cache_bytes,
            history_bytes_per_second=config.history_bytes_per_second,
            stall_seconds=STALL_SECONDS + 2 * options.fetch_max_wait_ms / 1000,
        )
        telemetry = self._telemetry = Telemetry(config)
        metrics = Metrics()
        metrics.max_connections.set(config.max_connections)
        encoder = self._encoder = Encoder(NoListYet(), metrics, tuning)
        source: RecordSource
        if options.is_memory:
            source = MemorySource(uuid.uuid4().hex, retained_bytes=MEMORY_BYTES)
            log.warning(
                "There is no Kafka (metadata.broker.list is `memory`): events are kept in the memory of this process, "
                "at most %s MB of them, and are lost when it ends",
                MEMORY_BYTES // 1_000_000,
            )
        else:
            source = KafkaSource(options, metrics, tuning)
        self._beside = beside
        self.loop_lag = LoopLag()
        hub = Hub(source, encoder, metrics, tuning)
        self._redactor: Redactor | None = None
        """The redactor in force; None before the first."""
        self._matches = MatchWriter()
        self._database = DatabaseTrouble()
        lines.NotTheDatabase.is_away = lambda: self._database.is_on
        self._watch = Watch(
            Followed(
                "the redaction list",
                functools.partial(changes.read, config.mediawiki_redacted_pages),
                self._apply_list,
                self._on_list_read,
                self._database,
            ),
            Followed(
                "the streams",
                functools.partial(read_catalogue, config),
                self._apply_catalogue,
                trouble=self._database,
            ),
        )
        self.service = Service(
            settings=EdgeSettings(
                max_streams=config.max_streams,
                keepalive_seconds=config.keepalive_seconds,
                client_ip_header=config.client_ip_header,
                trusted_proxies=config.trusted_proxies,
                cors=config.cors,
                ui_enabled=config.stream_ui_enabled,
                stall_seconds=config.stall_seconds,
                max_connection_seconds=config.max_connection_seconds,
                url_prefix=config.url_prefix,
            ),
            hub=hub,
            history=History(source, encoder, metrics, tuning),
            source=source,
            metrics=metrics,
            compression=Compression(metrics, tuning),
            limits=ConnectionLimits(config.client_ip_connection_limit, config.max_connections),
            start=self.start,
            configured_pages=config.mediawiki_redacted_pages,
            redacted_pages_min=config.redacted_pages_min,
            refresh=Refresh(config, metrics, self._watch.poll_now, telemetry.synced),
            schemas=Schemas(config, metrics),
            behind=lambda: self._watch.behind,
            log_is_stuck=lambda: lines.stderr.is_stuck,
            stream_log=StreamLog(config.log_addresses),
            traced=telemetry.tracing.traced if telemetry.tracing else None,
            telemetry_problems=telemetry.problems,
        )
        metrics.count(
            "eventstreams_log_lines_dropped", "Log lines lost since nobody read stderr", lambda: lines.stderr.dropped
        )
        metrics.count(
            "eventstreams_log_lines_left_out", "Log lines left out as like others", lambda: lines.RepeatLimit.suppressed
        )
        metrics.gauge_by(
            "eventstreams_event_loop_lag_seconds",
            "By how much the event loop was late at worst, lately",
            "",
            lambda: {"": self.loop_lag.seconds},
        )
        metrics.count_by("eventstreams_redactions", "What was redacted, by rule", "rule", lambda: REDACTIONS)
        self._watch.measured_by(metrics)
        self.service.loop_lag = lambda: self.loop_lag.seconds
        self.status = OwnStatus(self.service)
        self.service.status = self.status.status
        metrics.count_by(
            "eventstreams_telemetry_lost", "Faults and spans that could not be sent", "what", telemetry.lost
        )
        self._faults = Faults(metrics, tuning)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the background tasks, once."""
        if not self._tasks:
            self._telemetry.start()
            service = self.service
            matches = Followed(
                "which pages matched events",
                self._matches.write,
                lambda _: None,
                trouble=self._database,
                is_due=self._matches.is_due,
            )
            background: dict[str, Callable[[], Awaitable[None]]] = {
                "following the database": self._watch.run,
                "measuring the event loop": self.loop_lag.watch,
                "noting the figures of the status page": self.status.watch,
                "writing which pages matched events": Watch(matches).run,  # separate: `poll_now` is for admins
                "refreshing the stream configuration": service.refresh.run_forever,
                "looking up schemas": service.schemas.run_forever,
                "looking for clients that take nothing": service.stalls.run,
                "looking for missing topics": functools.partial(missing_topics.tell_forever, lambda: service),
            }
            if self._beside is not None:
                background["producing events"] = functools.partial(self._beside, service.source)
            self._tasks = [asyncio.ensure_future(self._lasting(*each)) for each in background.items()]
            service.hub.start()

    async def _lasting(self, doing: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a background task; after a fault, which is logged and counted, it begins again."""
        while True:
            with self._faults.caught(doing):
                return await run()
            await asyncio.sleep(AGAIN_SECONDS)

    async def drain(self, until: float = math.inf) -> None:
        """End all streams cleanly, spread over the drain time.

        `until` is the time, of the event loop, at which this part of a stop and all others are over, whatever stalls.
        """
        service = self.service
        service.draining = True
        loop = asyncio.get_running_loop()
        for newcomer in list(service.connecting):
            newcomer.turn_away()
        for client in list(service.clients):
            loop.call_later(random.uniform(0, self.drain_seconds), client.end)
        deadline = min(loop.time() + self.drain_seconds + LAST_BYTES_SECONDS, until)
        while (service.clients or not all(each.is_clear for each in service.connections)) and loop.time() < deadline:
            await asyncio.sleep(0.05)
        for each in list(service.connections):
            if not each.is_clear:  # its client takes nothing
                each.abort()

    async def finish(self, until: float = math.inf) -> None:
        """Wait until all answers that have begun are complete, at most FINISH_SECONDS.

        Meanwhile, write the counts of matched events.
        """
        writing = asyncio.ensure_future(self._write_last(until))
        await self._answered(until)
        await writing

    async def _answered(self, until: float) -> None:
        service = self.service
        loop = asyncio.get_running_loop()
        deadline = min(loop.time() + FINISH_SECONDS, until)
        while (
            service.answering or not all(each.is_flushed for each in service.connections)
        ) and loop.time() < deadline:
            for client in list(service.clients):
                client.end()
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End the background tasks."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            # Kafka or the database may hang; the process ends nevertheless.
            ending = [*self._tasks, asyncio.ensure_future(self.service.hub.close())]
            await asyncio.gather(asyncio.wait(ending, timeout=CLOSE_SECONDS), self._telemetry.close())

    def _apply_list(self, listed: Listed) -> None:
        """Put a redaction list from the database in force, unless it has fewer pages than it must have."""
        service, minimum = self.service, self._config.redacted_pages_min
        lacks = ""
        if listed.count < minimum:
            pages = f"{listed.count} redacted page" if listed.count == 1 else f"{listed.count} redacted pages"
            lacks = (
                f"the database has {pages}, fewer than redacted_pages_min ({minimum}), so no new stream is opened: is "
                "it the right database, and is its list whole? If it is, lower the setting"
            )
        if lacks and lacks != service.redaction_lacks:
            log.error("Too few redacted pages: %s", lacks)
        if service.redaction_lacks and not lacks:
            log.warning("The list of redacted pages has enough pages again: %s", listed.count)
        service.redaction_lacks, service.redaction_held = lacks, listed.why
        service.metrics.redaction_held.set(listed.held)
        service.metrics.redaction_holds.set(len(listed.why))
        service.metrics.redaction_missing.set(max(0, minimum - listed.count))
        if lacks and self._redactor is None:
            return
        service.metrics.redaction_version.set(listed.version)
        if listed.redactor is not self._redactor:
            self._redact_with(listed.redactor)
            log.info("Using version %s of the redaction list, with %s pages", listed.version, len(listed.redactor))

    def _redact_with(self, redactor: Redactor) -> None:
        """Swap the redactor, and drop everything that was made with an older list (invariant 5)."""
        service = self.service
        self._count_matches()
        self._encoder.redactor = self._redactor = redactor
        service.hub.forget()
        service.history.forget()
        service.compression.forget()
        for connection in service.connections:
            connection.forget()
        service.metrics.redacted_pages.set(len(redactor))

    def _on_list_read(self) -> None:
        if self._redactor is None:
            return
        self._count_matches()
        self.service.redaction_read_at = time.monotonic()
        self.service.metrics.redaction_read.set_to_current_time()

    async def _write_last(self, until: float) -> None:
        """Write the last matches, and release the lease; a database that is away or hangs does not hold up the end."""
        self._count_matches()
        threads = DatabaseThreads("last writes")
        replica = self.service.refresh.replica
        try:
            async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + LAST_WRITE_SECONDS, until)):
                if replica.may_hold and (released := threads.run(replica.release)) is not None:
                    await released
                if (written := threads.run(self._matches.write_all)) is not None:
                    await written
        except Exception as error:
            log.warning("Cannot write which redacted pages matched events lately: %s", type(error).__name__)
        finally:
            threads.close()

    def _count_matches(self) -> None:
        if self._redactor is not None:
            self._matches.add(self._redactor.taken_matches())

    def _apply_catalogue(self, catalogue: Catalogue) -> None:
        """Swap the catalogue. Only clients of changed streams are disconnected."""
        streams = catalogue.streams.values()
        self.service.hub.set_topics(topic for stream in streams for topic in (*stream.topics, *stream.topics_allowed))
        self.service.catalogue = catalogue
        self.service.metrics.catalogue_streams.set(len(catalogue.streams))
        self.service.metrics.set_streams({stream.name: stream.topics for stream in streams})
        for client in list(self.service.clients):
            client.recheck(catalogue)
        self.service.refresh.reconsider()
        self.service.schemas.set_catalogue(catalogue)
