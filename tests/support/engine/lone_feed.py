"""A feed on its own track, which the test moves as the hub does."""

from __future__ import annotations

from collections.abc import Sequence

from streams.core.events import Event
from streams.core.filters import NO_FILTER
from streams.core.positions import Gap, Mark, TopicPartition
from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.tail.fanout import Rounds
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.track import Run, Track
from streams.engine.tuning import Tuning

METRICS = Metrics()


class LoneFeed(Feed):
    def __init__(self, selection: Selection, keepalive_seconds: float = 15.0, now: float = 100.0) -> None:
        tuning = Tuning(keepalive_seconds=keepalive_seconds, gather_seconds=0)
        faults = Faults(METRICS, tuning)
        self.track = Track(selection._replace(filter=NO_FILTER), "cluster-1-and-more", faults, tuning)
        super().__init__(selection, self.track, now, Rounds(tuning, METRICS), tuning)
        self.track.add(self)

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        self.track.place(tp, mark)

    def extend(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, now: float) -> None:
        read = self.selection.filter.reader().read
        self.track.extend(Run(tp, events, mark, now), set(), [read(event.json) for event in events])
        self.track.settle()  # as if somebody looked at each event

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        self.track.restart(tp, mark, gap, now)
