"""Which feeds there are: one for each selection that clients ask for, and for a while after the last of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from streams.core.errors import TooManyFeeds
from streams.core.filters import NO_FILTER, FieldsInUse
from streams.engine.faults import Faults
from streams.engine.metrics import Metrics
from streams.engine.tail.fanout import Rounds
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.track import Track
from streams.engine.tuning import Tuning

FEEDS_RINGS = 4
"""All feeds together may hold this many times the size of a ring before their blocks are kept for less long."""


class Feeds:
    """Feeds by selection, and the tracks that they share. `watch` and `unwatch` hear of those that come and go."""

    def __init__(
        self,
        tuning: Tuning,
        metrics: Metrics,
        faults: Faults,
        watch: Callable[[Track], None],
        unwatch: Callable[[Track], None],
    ) -> None:
        self.tracks: dict[Selection, Track] = {}
        """By selection without a filter."""
        self.in_use = FieldsInUse()
        """What the filters of all feeds look at."""
        self.rounds = Rounds(tuning, metrics)
        self._feeds: dict[Selection, Feed] = {}
        self._idle: dict[Feed, None] = {}
        """Those that have no client, the longest idle first."""
        self._tuning = tuning
        self._metrics = metrics
        self._faults = faults
        self._watch = watch
        self._unwatch = unwatch
        self._share = 0
        """Bytes that each feed may hold."""

    def __iter__(self) -> Iterator[Feed]:
        """Iterate over the feeds that there are now."""
        return iter(list(self._feeds.values()))

    @property
    def limit(self) -> int:
        """Maximum number of feeds with which another filter is accepted."""
        return self._tuning.max_feeds

    @property
    def are_full(self) -> bool:
        """Whether a filter that is not in use yet is refused."""
        return len(self._feeds) >= self._tuning.max_feeds and not self._idle

    def track_of(self, feed: Feed) -> Track:
        """Return the track of a feed."""
        return self.tracks[feed.selection._replace(filter=NO_FILTER)]

    def take(self, selection: Selection, cluster: str) -> Feed:
        """Return the feed of a selection for one client more. Raises TooManyFeeds."""
        feed = self._feeds.get(selection)
        if feed is None:
            feed = self._made(selection, cluster)
        self._idle.pop(feed, None)
        feed.clients += 1
        return feed

    def give_back(self, feed: Feed) -> None:
        """Count one client fewer of a feed."""
        feed.clients -= 1
        if not feed.clients:
            feed.idle_since = time.monotonic()
            self._idle[feed] = None
            self.let_idle_go()

    def let_idle_go(self) -> None:
        """Let feeds go that nobody has followed for long, or that are too many."""
        oldest = time.monotonic() - self._tuning.grace_seconds
        while self._idle:
            feed = next(iter(self._idle))
            if feed.idle_since >= oldest and len(self._idle) <= self._tuning.idle_feeds:
                break
            self._let_go(feed)

    def evict_old(self, now: float) -> None:
        """Where feeds are many, keep only blocks of the last seconds; of fewer, if all of them hold much."""
        tuning = self._tuning
        if self._share > tuning.feed_min_bytes:
            return
        held = sum(feed.held_bytes for feed in self._feeds.values())
        seconds = tuning.feed_seconds * min(1.0, FEEDS_RINGS * tuning.ring_bytes / max(1, held))
        oldest = now - max(tuning.feed_min_seconds, seconds)
        for feed in self._feeds.values():
            feed.evict_before(oldest)

    def measure(self) -> None:
        """Set the metrics of feeds."""
        feeds = self._feeds.values()
        self._metrics.feeds.set(len(feeds))
        self._metrics.filters.set(len({feed.selection.filter for feed in feeds if feed.clients} - {NO_FILTER}))
        held = sum(feed.held_bytes for feed in feeds) + sum(track.held_bytes for track in self.tracks.values())
        self._metrics.feed_bytes.set(held)

    def _made(self, selection: Selection, cluster: str) -> Feed:
        if selection.filter:
            if self.are_full:
                self._metrics.feeds_refused.inc()
                raise TooManyFeeds(self._tuning.max_feeds)
            while len(self._feeds) >= self._tuning.max_feeds and self._idle:
                self._let_go(next(iter(self._idle)))
        whole = selection._replace(filter=NO_FILTER)
        track = self.tracks.get(whole)
        is_new = track is None
        if track is None:
            track = self.tracks[whole] = Track(whole, cluster, self._faults, self._tuning)
        feed = Feed(selection, track, time.monotonic(), self.rounds, self._tuning)
        self._feeds[selection] = feed
        if selection.filter:
            self.in_use.add(selection.filter)
        track.add(feed)
        if is_new:
            self._watch(track)
        self._share_bytes()
        feed.max_bytes = self._share
        return feed

    def _let_go(self, feed: Feed) -> None:
        track = self.track_of(feed)
        del self._idle[feed], self._feeds[feed.selection]
        if feed.selection.filter:
            self.in_use.remove(feed.selection.filter)
        track.remove(feed)
        if not track.feeds:
            del self.tracks[track.selection]
            self._unwatch(track)
        self._share_bytes()

    def _share_bytes(self) -> None:
        share = max(self._tuning.feed_min_bytes, self._tuning.ring_bytes // max(1, len(self._feeds)))
        if share != self._share:  # where feeds are many it stays as it is
            self._share = share
            for feed in self._feeds.values():
                feed.max_bytes = share
