"""How spans get to the collector: in batches, from a thread. What it does not take is counted and dropped."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

MAX_WAITING = 8_192
"""Maximum spans that wait to be sent; further ones are dropped. Streams that end together are many at once."""
BATCH = 512
"""Maximum spans of one request."""
EXPORT_SECONDS = 5.0
"""Maximum seconds for one batch, with its retries."""
LOG_SECONDS = 60.0
"""Seconds between two lines about a collector that does not take spans."""


class Exporter(SpanExporter):
    """Sends batches, and notes what became of them."""

    def __init__(self, endpoint: str) -> None:
        # Its own lines name the address, which may have a password in it.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self.taken = 0
        """Spans that were given to it."""
        self.lost = 0
        self.problem = ""
        """A sentence on why the collector does not take spans; empty if it does."""
        self._next_log = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch (OpenTelemetry)."""
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self.problem:
                log.warning("The collector of spans takes them again; %s were lost", self.lost)
            self.problem, self._next_log = "", float("-inf")
            return result
        self.lost += len(spans)
        self.problem = "the collector does not take spans: check otlp_endpoint and whether it answers"
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_SECONDS
            log.warning("The collector of spans (otlp_endpoint) does not take them; %s are lost so far", self.lost)
        return result

    def shutdown(self) -> None:
        """End retries (OpenTelemetry)."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class Processor(BatchSpanProcessor):
    """Gathers spans that have ended. A full queue drops the oldest: it counts them."""

    def __init__(self, exporter: Exporter) -> None:
        super().__init__(exporter, max_queue_size=MAX_WAITING, max_export_batch_size=BATCH, schedule_delay_millis=1_000)
        self._target = exporter
        self._ended = 0
        self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended (OpenTelemetry)."""
        if self._ended - self.dropped - self._target.taken >= MAX_WAITING:
            self.dropped += 1
        self._ended += 1
        super().on_end(span)
