"""Metrics that are plain numbers until somebody reads them: what counts often must not take a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Numbers = Callable[[], Mapping[str, float]]
"""Value of a label → number."""


class Sent(Collector):
    """What clients were sent. Plain numbers: of what is done for each write, a Counter's lock is a part to see."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], list[int]] = {}
        """By combination of streams and format: events and bytes."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters (prometheus_client)."""
        of_events = "events_sent", "Events handed to clients"
        of_bytes = "bytes_sent", "Body bytes handed to clients"
        for index, (name, text) in enumerate((of_events, of_bytes)):
            by_format = CounterMetricFamily(f"eventstreams_{name}", text, labels=["format"])
            by_streams = CounterMetricFamily(f"eventstreams_stream_{name}", f"{text}, by streams", labels=["streams"])
            formats, streams = {"sse": 0, "ndjson": 0}, Counter[str]()
            for (combination, format_), counts in self.counts.items():
                formats[format_] += counts[index]
                streams[combination] += counts[index]
            for format_, count in formats.items():
                by_format.add_metric([format_], count)
            for combination, count in streams.items():
                by_streams.add_metric([combination], count)
            yield from (by_format, by_streams)


class TailRead(Collector):
    """What the hub has read, by stream. An event counts in each stream that has its topic."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        """By stream: events and bytes."""
        self.of_topic: dict[str, list[list[int]]] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters (prometheus_client)."""
        for index, what in enumerate(("events", "bytes")):
            family = CounterMetricFamily(
                f"eventstreams_stream_{what}_read", f"New {what} of the stream's topics", labels=["stream"]
            )
            for stream, counts in self.counts.items():
                family.add_metric([stream], counts[index])
            yield family


class Computed(Collector):
    """Numbers that are kept elsewhere, by the values of one label ("" where there is none)."""

    def __init__(
        self, kind: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, label: str, read: Numbers
    ) -> None:
        self._kind = kind
        self._name = name
        self._text = text
        self._label = label
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metric (prometheus_client)."""
        family = self._kind(self._name, self._text, labels=[self._label] if self._label else [])
        for value, number in self._read().items():
            family.add_metric([value] if self._label else [], number)
        yield family
