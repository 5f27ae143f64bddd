"""The order in which the events of some partitions are sent, as all feeds of these partitions share it.

Feeds differ only in the filter: they stand at one position, and an event is framed once for all that want it. An event
does not visit the feeds that cannot want it, and what no feed wants costs nothing but the step of the position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from streams.core import formats
from streams.core.events import Event
from streams.core.filters import FilterIndex
from streams.core.filters.fields import Fields
from streams.core.positions import Gap, IdWriter, Mark, TopicPartition
from streams.engine.faults import Faults
from streams.engine.tail.fanout import Parts
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tuning import Tuning

PARTITION_BYTES = 850
"""Bytes that a track costs in memory for each of its partitions: its mark, and its part of the id."""


class Track:
    """The feeds of one selection, whatever their filters. `selection` is that without a filter.

    `vector` is the position of all of them: after the newest events, and over what was no event since.
    """

    def __init__(self, selection: Selection, cluster: str, faults: Faults, tuning: Tuning) -> None:
        self.selection = selection
        self.missing: set[TopicPartition] = set()
        """Partitions of the selection that the hub has not positioned yet."""
        self.vector: dict[TopicPartition, Mark] = {}
        self.feeds: dict[Feed, None] = {}
        self._unfiltered: Feed | None = None
        self._filtered: FilterIndex[Feed] = FilterIndex()
        self._writer = IdWriter(cluster, selection.scope)
        self._faults = faults
        self._tuning = tuning

    @property
    def held_bytes(self) -> int:
        """What it takes up in memory beside its feeds."""
        return PARTITION_BYTES * len(self.vector)

    @property
    def has_filters(self) -> bool:
        """Whether any of its feeds has a filter."""
        return bool(self._filtered)

    def add(self, feed: Feed) -> None:
        """Give the feed its events from now on."""
        self.feeds[feed] = None
        if feed.selection.filter:
            self._filtered.add(feed, feed.selection.filter)
        else:
            self._unfiltered = feed

    def remove(self, feed: Feed) -> None:
        """Let the feed go."""
        del self.feeds[feed]
        if feed.selection.filter:
            self._filtered.remove(feed)
        else:
            self._unfiltered = None

    # What the hub does to it.

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        """Begin to read a partition of the selection from `mark` on."""
        self.missing.discard(tp)
        self.vector[tp] = mark
        self._writer.reset(self.vector)
        self.wake()

    def await_later(self, tp: TopicPartition, mark: Mark) -> None:
        """Do without the place where the partition begins: ids say the mark's time, and no offset."""
        self.vector[tp] = mark
        self._writer.reset(self.vector)

    def give_up(self, tp: TopicPartition) -> None:
        """Drop a partition that vanished before it was ever read: nobody waits for it any longer."""
        self.missing.discard(tp)
        if self.vector.pop(tp, None) is not None:
            self._writer.reset(self.vector)
        self.wake()

    def name_cluster(self, cluster: str) -> None:
        """Write ids of another cluster from now on."""
        self._writer = IdWriter(cluster, self.selection.scope)
        self._writer.reset(self.vector)

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        """Continue the partition from `mark`; all followers are told that what is between is missing."""
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        after = dict(self.vector)
        for feed in self.feeds:
            feed.append((formats.sse_gap([gap]),), 0, after, now, ())
        self.wake()

    def wake(self) -> None:
        """Tell all who follow, or wait for a partition, that something has changed."""
        for feed in self.feeds:
            feed.wake()

    def extend(
        self, tp: TopicPartition, events: Sequence[Event], fields: Sequence[Fields], mark: Mark, now: float
    ) -> tuple[Iterable[Feed], int]:
        """Add new events of one partition, after which it stands at `mark`; `now` in seconds.

        `fields` are those of the events, if any of the feeds has a filter. Returns the feeds that have something new,
        which are to be woken, and how many matches there were with filters.
        """
        if not self._filtered:
            return self._extend_one(tp, events, mark, now), 0
        chosen = self._chosen(events, fields) if events else {}
        missed = list(self._filtered) if chosen is None else []
        wanted: dict[Feed, Sequence[Event]] = {}
        if events and self._unfiltered is not None:
            wanted[self._unfiltered] = events
        wanted |= chosen or {}
        if wanted:
            frames = _Frames(tp, mark.incarnation, self.vector, self._writer, self._tuning, are_shared=len(wanted) > 1)
            self._append(wanted, frames, now)
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        for feed in missed:
            feed.miss()
        matches = sum(map(len, chosen.values())) if chosen else 0
        return ([*wanted, *missed] if missed else wanted), matches

    def _extend_one(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, now: float) -> tuple[Feed, ...]:
        """Do what `extend` does where no feed has a filter, in one pass: nothing is kept to be shared with others."""
        feed = self._unfiltered
        if events and feed is not None:
            try:
                self._append_all(feed, tp, events, mark.incarnation, now)
            except Exception as fault:
                self._faults.count("adding records to a feed", fault)
                feed.miss()  # its clients read them from the ring
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        return (feed,) if events and feed is not None else ()

    def _append_all(
        self, feed: Feed, tp: TopicPartition, events: Sequence[Event], incarnation: int, now: float
    ) -> None:
        vector, max_copied, block_bytes = self.vector, self._tuning.max_copied_bytes, self._tuning.block_bytes
        before, between, behind = self._writer.around(tp)
        start, end = formats.SSE_HEAD + before, behind + formats.SSE_DATA
        parts: list[bytes] = []
        size = count = offset = timestamp = 0

        def end_block() -> None:
            vector[tp] = Mark(incarnation, offset, timestamp)
            is_large = count == 1 and size > max_copied
            feed.append(tuple(parts) if is_large else (b"".join(parts),), count, dict(vector), now)

        for event in events:
            json = event.json
            nbytes = len(json)
            if count and (size + nbytes > block_bytes or nbytes > max_copied):
                end_block()
                parts, size, count = [], 0, 0
            offset, timestamp = event.offset + 1, event.timestamp + 1
            parts += (b"%b%d%b%d%b" % (start, timestamp, between, offset, end), json, b"\n\n")
            size += nbytes
            count += 1
        end_block()

    def _chosen(self, events: Sequence[Event], fields: Sequence[Fields]) -> dict[Feed, Sequence[Event]] | None:
        """Return what each feed with a filter wants of the events; None after a fault."""
        chosen: dict[Feed, Sequence[Event]] = {}
        with self._faults.caught("applying filters to records"):
            for event, its_fields in zip(events, fields, strict=True):
                for feed in self._filtered.matching(its_fields):
                    chosen[feed] = [*chosen[feed], event] if feed in chosen else [event]
            return chosen
        return None

    def _append(self, wanted: Mapping[Feed, Sequence[Event]], frames: _Frames, now: float) -> None:
        """Add to each feed what it wants. After a fault, the clients of that feed read its events from the ring."""
        pending = iter(wanted.items())
        is_done = False
        while not is_done:
            feed: Feed | None = None
            with self._faults.caught("adding records to a feed"):
                for feed, some in pending:
                    for run in _runs(some, self._tuning):
                        feed.append(frames.joined(run), len(run), frames.after(run[-1]), now)
                is_done = True
            if not is_done and feed is not None:
                feed.miss()


class _Frames:
    """New events of one partition as a track sends them: each is framed once, and has one position after it.

    `are_shared` is whether several feeds may want one of them.
    """

    def __init__(
        self,
        tp: TopicPartition,
        incarnation: int,
        vector: dict[TopicPartition, Mark],
        writer: IdWriter,
        tuning: Tuning,
        *,
        are_shared: bool,
    ) -> None:
        before, self._between, behind = writer.around(tp)
        self._start, self._end = formats.SSE_HEAD + before, behind + formats.SSE_DATA
        self._tp = tp
        self._incarnation = incarnation
        self._vector = vector
        self._max_copied_bytes = tuning.max_copied_bytes
        self._framed: dict[int, Parts] | None = {} if are_shared else None
        self._after: dict[int, dict[TopicPartition, Mark]] = {}

    def joined(self, events: Sequence[Event]) -> Parts:
        """Return events that share a block as bytes of SSE."""
        if len(events) == 1:
            return self._of(events[0])
        if self._framed is None:
            start, between, end = self._start, self._between, self._end
            return (
                b"".join(
                    [
                        b"%b%d%b%d%b%b\n\n" % (start, event.timestamp + 1, between, event.offset + 1, end, event.json)
                        for event in events
                    ]
                ),
            )
        return (b"".join([self._of(event)[0] for event in events]),)

    def after(self, event: Event) -> dict[TopicPartition, Mark]:
        """Return the position after an event; feeds share it, so that nobody may change it."""
        after = self._after.get(event.offset)
        if after is None:
            mark = Mark(self._incarnation, event.offset + 1, event.timestamp + 1)
            after = self._after[event.offset] = {**self._vector, self._tp: mark}
        return after

    def _of(self, event: Event) -> Parts:
        if self._framed is None:
            return self._made(event)
        framed = self._framed.get(event.offset)
        if framed is None:
            framed = self._framed[event.offset] = self._made(event)
        return framed

    def _made(self, event: Event) -> Parts:
        timestamp, offset, json = event.timestamp + 1, event.offset + 1, event.json
        if len(json) > self._max_copied_bytes:
            head = b"%b%d%b%d%b" % (self._start, timestamp, self._between, offset, self._end)
            return head, json, formats.SSE_TAIL
        return (b"%b%d%b%d%b%b\n\n" % (self._start, timestamp, self._between, offset, self._end, json),)


def _runs(events: Sequence[Event], tuning: Tuning) -> list[Sequence[Event]]:
    """Split events into those that share a block; a very large one stands alone."""
    if len(events) == 1 or sum([len(event.json) for event in events]) <= min(
        tuning.block_bytes, tuning.max_copied_bytes
    ):
        return [events]
    runs = []
    first = size = 0
    for index, event in enumerate(events):
        nbytes = len(event.json)
        if index > first and (size + nbytes > tuning.block_bytes or nbytes > tuning.max_copied_bytes):
            runs.append(events[first:index])
            first, size = index, 0
        size += nbytes
    return [*runs, events[first:]]
