"""Every metric: its name, kind, labels and help, in one place.

Two names are the old service's, so that existing dashboards keep working (wire contract, `/metrics`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from streams.engine.counts import Computed, Numbers, Sent, TailRead

MAX_COMBINATIONS = 200
"""Maximum number of different combinations of streams that are counted by name; others count as "other"."""


class Metrics:
    """The metrics of one process, in their own registry."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.connected_clients = Gauge(
            "eventstreams_connected_clients", "Clients connected now, by stream", ["stream"], registry=r
        )
        self._connections = Counter(
            "eventstreams_client_connections", "Connections since the start, by combination", ["streams"], registry=r
        )
        self.events_in = Counter("eventstreams_events_encoded", "Records made into events", registry=r)
        self.skipped = Counter(
            "eventstreams_records_skipped",
            "Records that are no event, or that a filter fails on",
            ["reason"],
            registry=r,
        )
        self.max_connections = Gauge(
            "eventstreams_max_connections",
            "Maximum connections of the server, over all its workers; 0: any",
            registry=r,
        )
        self.errors = Counter("eventstreams_errors", "Errors told to clients, by type", ["type"], registry=r)
        self.gaps = Counter("eventstreams_gaps", "Gaps reported to clients", registry=r)
        self.ends = Counter(
            "eventstreams_stream_ends",
            "Streams that ended as their clients had asked, by reason",
            ["reason"],
            registry=r,
        )
        self.connection_ends = Counter(
            "eventstreams_connection_ends", "Streams that ended, by the reason in the log", ["reason"], registry=r
        )
        self.stalls = Counter(
            "eventstreams_send_stalls", "Times that a client took nothing for a quarter of a second", registry=r
        )
        self.stalled = Gauge("eventstreams_clients_stalled", "Clients that take nothing now", registry=r)
        self.checkpoints = Counter("eventstreams_checkpoints", "Checkpoints sent to clients", registry=r)
        self.kafka_up = Gauge(
            "eventstreams_kafka_up",
            "1 while Kafka answers, and some of the partitions that are wanted are read",
            registry=r,
        )
        self.hub_lag = Gauge(
            "eventstreams_hub_lag_records",
            "Offsets between the hub's position and the end, all partitions; NaN while nothing is read",
            registry=r,
        )
        self.hub_lag_seconds = Gauge(
            "eventstreams_hub_lag_seconds",
            "Age of the last event read, of the partition that lags most; NaN while nothing is read",
            registry=r,
        )
        self.unread = Gauge(
            "eventstreams_hub_partitions_unread", "Partitions that are wanted and were not read for seconds", registry=r
        )
        self.oldest_read = Gauge(
            "eventstreams_hub_oldest_read_seconds", "Since the partition was read that was read longest ago", registry=r
        )
        self.held = Gauge(
            "eventstreams_kafka_held_records",
            "High watermark less last stable offset, all partitions: what open transactions keep from being read",
            registry=r,
        )
        self.held_seconds = Gauge(
            "eventstreams_kafka_held_seconds",
            "For how long one open transaction has kept records from being read, of the partition where it is longest",
            registry=r,
        )
        self.faults = Counter("eventstreams_faults", "Faults of ours that were caught, by place", ["place"], registry=r)
        self.partitions = Gauge("eventstreams_hub_partitions", "Partitions that the hub reads", registry=r)
        self.feeds = Gauge("eventstreams_feeds", "Different subscriptions held in memory", registry=r)
        self.feeds_refused = Counter("eventstreams_feeds_refused", "Filters refused because of max_feeds", registry=r)
        self.filters = Gauge("eventstreams_filters", "Different filters that clients use now", registry=r)
        self.filter_examined = Counter(
            "eventstreams_filter_events_examined",
            "Events that filters were applied to: once for all that are live, once for each client that catches up",
            registry=r,
        )
        self.filter_matched = Counter(
            "eventstreams_filter_events_matched",
            "Events that matched, once for each subscription that is live, once for each client that catches up",
            registry=r,
        )
        self.ring_bytes = Gauge("eventstreams_ring_bytes", "Bytes of the newest events in memory", registry=r)
        self.feed_bytes = Gauge(
            "eventstreams_feed_bytes", "Bytes of the newest events in memory, as they are sent", registry=r
        )
        self.cache_bytes = Gauge("eventstreams_history_cache_bytes", "Bytes of historical events in memory", registry=r)
        self.lent_bytes = Gauge(
            "eventstreams_history_lent_bytes",
            "Bytes of historical events that readers hold and the cache does not",
            registry=r,
        )
        self.reading_bytes = Gauge(
            "eventstreams_history_reading_bytes",
            "Bytes that reads of history under way have asked Kafka for, compressed",
            registry=r,
        )
        self.ring_lent_bytes = Gauge(
            "eventstreams_ring_lent_bytes",
            "Bytes of events out of rings that clients hold which catch up; the rings have most of them too",
            registry=r,
        )
        self.readers = Gauge("eventstreams_history_readers", "Clients that read below the rings now", registry=r)
        self.reader_queue = Gauge(
            "eventstreams_history_waiting", "Clients that wait to read below the rings", registry=r
        )
        self.kafka_reads = Counter("eventstreams_history_reads", "Fetches made to Kafka for history", registry=r)
        self._add_those_of_the_list(r)
        self._add_those_of_the_admin(r)
        ProcessCollector(registry=r)  # process_open_fds, process_max_fds and others, by their usual names
        self._sent = Sent()
        self._tail = TailRead()
        for collector in (self._sent, self._tail):
            r.register(collector)
        self._combinations: set[str] = set()
        self.found_in = {"feed": 0, "ring": 0, "cache": 0, "kafka": 0}
        """Plain numbers: where what clients needed was found."""
        self.count_by(
            "eventstreams_catch_up_reads",
            "Where what clients needed was found: in their feed, in a ring, in the cache of history, or in Kafka",
            "found",
            lambda: self.found_in,
        )

    def _add_those_of_the_list(self, r: CollectorRegistry) -> None:
        self.history_bytes = Counter(
            "eventstreams_history_read_bytes", "Bytes of records read from Kafka for history, decompressed", registry=r
        )
        self.throttled = Counter(
            "eventstreams_history_throttled_seconds",
            "Seconds that reads of history waited because of history_bytes_per_second",
            registry=r,
        )
        self.redacted_pages = Gauge("eventstreams_redacted_pages", "Pages on the redaction list", registry=r)
        self.redaction_held = Gauge(
            "eventstreams_redaction_held_pages", "Redacted pages that the list in the database lost", registry=r
        )
        self.redaction_holds = Gauge(
            "eventstreams_redaction_holds", "Losses of the redaction list that wait for an admin", registry=r
        )
        self.redaction_missing = Gauge(
            "eventstreams_redaction_missing_pages", "Pages that the list lacks to redacted_pages_min", registry=r
        )
        self.redaction_version = Gauge(
            "eventstreams_redaction_list_version", "Version of the redaction list in force, -1 before any", registry=r
        )
        self.redaction_read = Gauge(
            "eventstreams_redaction_list_read_timestamp_seconds", "When the list was last seen, Unix time", registry=r
        )
        self.cut = Counter(
            "eventstreams_clients_cut", "Connections closed with events of an older redaction list unsent", registry=r
        )

    def _add_those_of_the_admin(self, r: CollectorRegistry) -> None:
        self.syncs = Counter(
            "eventstreams_stream_config_syncs", "Refreshes of the stream configuration", ["outcome"], registry=r
        )
        self.last_good_sync = Gauge(
            "eventstreams_stream_config_last_good_timestamp_seconds", "Of the last good refresh, Unix time", registry=r
        )
        self.config_held = Gauge(
            "eventstreams_stream_config_held",
            "1 while a new stream configuration waits for an admin, since it would withdraw many streams",
            registry=r,
        )
        self.config_differs = Gauge(
            "eventstreams_stream_config_differs",
            "1 while another replica's stream configuration is in force instead of this server's",
            registry=r,
        )
        self.catalogue_streams = Gauge("eventstreams_catalogue_streams", "Streams that are exposed", registry=r)
        self.schemas = Gauge(
            "eventstreams_schemas", "Streams that name a schema, by whether it was found", ["state"], registry=r
        )
        self.admin_requests = Gauge(
            "eventstreams_admin_requests", "Requests for the admin, by whether they run or wait", ["state"], registry=r
        )
        self.admin_refused = Counter(
            "eventstreams_admin_requests_refused", "Requests for the admin that were refused", ["reason"], registry=r
        )

    def count(self, name: str, text: str, count: Callable[[], int]) -> None:
        """Add a counter whose value is computed when the metrics are read."""
        self.count_by(name, text, "", lambda: {"": count()})

    def count_by(self, name: str, text: str, label: str, read: Numbers) -> None:
        """Add a counter whose values are computed when the metrics are read."""
        self.registry.register(Computed(CounterMetricFamily, name, text, label, read))

    def gauge_by(self, name: str, text: str, label: str, read: Numbers) -> None:
        """Add a gauge whose values are computed when the metrics are read; without a label if `label` is empty."""
        self.registry.register(Computed(GaugeMetricFamily, name, text, label, read))

    def connected(self, streams: Iterable[str]) -> None:
        """Count a client's connection; `streams` are canonical names."""
        names = sorted(streams)
        self._connections.labels(self._combination(names)).inc()
        for name in names:
            self.connected_clients.labels(name).inc()

    def _combination(self, names: Iterable[str]) -> str:
        combination = ",".join(sorted(names))
        if combination not in self._combinations:
            if len(self._combinations) >= MAX_COMBINATIONS:
                return "other"
            self._combinations.add(combination)
        return combination

    def disconnected(self, streams: Iterable[str]) -> None:
        """Count a client's leave."""
        for name in streams:
            self.connected_clients.labels(name).dec()

    def sent(self, streams: Iterable[str], *, is_sse: bool) -> list[int]:
        """Return the two counts, of events and bytes, to which the writer adds what clients of `streams` are sent."""
        key = self._combination(streams), "sse" if is_sse else "ndjson"
        return self._sent.counts.setdefault(key, [0, 0])

    def sent_counts(self, index: int) -> list[int]:
        """Return the counts of what was sent, whose sum counts: events (0) or bytes (1)."""
        return [counts[index] for counts in self._sent.counts.values()]

    def set_streams(self, topics: Mapping[str, Iterable[str]]) -> None:
        """Count what is read for these streams: name → topics."""
        of_topic: dict[str, list[list[int]]] = {}
        for stream, its_topics in topics.items():
            counts = self._tail.counts.setdefault(stream, [0, 0])
            for topic in its_topics:
                of_topic.setdefault(topic, []).append(counts)
        self._tail.of_topic = of_topic

    def read(self, topic: str, events: int, nbytes: int) -> None:
        """Count new events of a topic."""
        for counts in self._tail.of_topic.get(topic, ()):
            counts[0] += events
            counts[1] += nbytes

    @contextlib.contextmanager
    def stall(self) -> Iterator[None]:
        """Count a client that takes nothing while the context lasts."""
        self.stalls.inc()
        self.stalled.inc()
        try:
            yield
        finally:
            self.stalled.dec()

    def filtered(self, examined: int, matched: int) -> None:
        """Count events that filters were applied to, and their matches."""
        self.filter_examined.inc(examined)
        self.filter_matched.inc(matched)

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return generate_latest(self.registry)
