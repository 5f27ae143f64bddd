"""A feed on a track of its own, which the test moves as the hub does."""

from __future__ import annotations

from collections.abc import Sequence

from streams.core.events import Event
from streams.core.filters import NO_FILTER
from streams.core.positions import Gap, Mark, TopicPartition
from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.tail.fanout import Pace
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.track import Track

METRICS = Metrics()


class LoneFeed(Feed):
    def __init__(self, selection: Selection, keepalive_seconds: float = 15.0, now: float = 100.0) -> None:
        self.track = Track(selection._replace(filter=NO_FILTER), "cluster-1-and-more", Faults(METRICS))
        super().__init__(selection, self.track.vector, keepalive_seconds, now, Pace(0.0), METRICS)
        self.track.add(self)

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        self.track.place(tp, mark)

    def extend(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, now: float) -> None:
        read = self.selection.filter.reader().read
        self.track.extend(tp, events, [read(event.json) for event in events], mark, now)

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        self.track.restart(tp, mark, gap, now)
