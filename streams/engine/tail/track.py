"""The order in which the events of some partitions are sent, as all feeds of these partitions share it.

Feeds differ only in the filter: they stand at one position, and an event is framed once for all that want it. An event
does not visit the feeds that cannot want it, and what no feed wants costs nothing but the step of the position.

What a track is given waits in its inbox until somebody looks at one of its feeds, mostly a round of writing: what comes
from several partitions meanwhile then becomes one block, and a track whose feeds nobody follows does little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

from streams.core import formats
from streams.core.events import Event
from streams.core.filters import FilterIndex
from streams.core.filters.fields import Fields
from streams.core.positions import Gap, IdWriter, Mark, TopicPartition
from streams.engine.faults import Faults
from streams.engine.tail.feed import Feed, FeedBlock, Selection
from streams.engine.tuning import Tuning

PARTITION_BYTES = 850
"""Bytes that a track costs in memory for each of its partitions: its mark, and its part of the id."""


class _Run(NamedTuple):
    """Events of one partition, each with the feeds that want it; the partition stands at `mark` after them."""

    tp: TopicPartition
    events: Sequence[Event]
    takers: Iterable[Collection[Feed]]
    mark: Mark
    at: float


class _Growing:
    """A block of a feed that is being made; `after` is the position after its last event, as that event's id has it."""

    __slots__ = ("after", "at", "count", "last", "nbytes", "parts")

    def __init__(self, at: float) -> None:
        self.at = at
        self.count = self.nbytes = 0
        self.parts: list[bytes] = []
        self.last: Event
        self.after: dict[TopicPartition, Mark]

    def block(self) -> FeedBlock:
        return FeedBlock(tuple(self.parts), self.count, self.nbytes, self.after, self.at)


class Track:
    """The feeds of one selection, whatever their filters. `selection` is that without a filter.

    `vector` is the position of all of them: after the newest events, and over what was no event since, but for what is
    in the inbox.
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
        self._block_bytes = tuning.block_bytes
        self.inbox: list[_Run] = []
        self._inbox_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What it takes up in memory beside its feeds."""
        return PARTITION_BYTES * len(self.vector) + self._inbox_bytes

    @property
    def has_filters(self) -> bool:
        """Whether any of its feeds has a filter."""
        return bool(self._filtered)

    def add(self, feed: Feed) -> None:
        """Give the feed its events from now on."""
        self.settle()
        self.feeds[feed] = None
        if feed.selection.filter:
            self._filtered.add(feed, feed.selection.filter)
        else:
            self._unfiltered = feed

    def remove(self, feed: Feed) -> None:
        """Let the feed go."""
        self.settle()
        del self.feeds[feed]
        if feed.selection.filter:
            self._filtered.remove(feed)
        else:
            self._unfiltered = None

    # What the hub does to it.

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        """Begin to read a partition of the selection from `mark` on."""
        self.settle()
        self.missing.discard(tp)
        self.vector[tp] = mark
        self._writer.reset(self.vector)
        self.wake()

    def await_later(self, tp: TopicPartition, mark: Mark) -> None:
        """Do without the place where the partition begins: ids say the mark's time, and no offset."""
        self.settle()
        self.vector[tp] = mark
        self._writer.reset(self.vector)

    def give_up(self, tp: TopicPartition) -> None:
        """Drop a partition that vanished before it was ever read: nobody waits for it any longer."""
        self.settle()
        self.missing.discard(tp)
        if self.vector.pop(tp, None) is not None:
            self._writer.reset(self.vector)
        self.wake()

    def name_cluster(self, cluster: str) -> None:
        """Write ids of another cluster from now on."""
        self.settle()
        self._writer = IdWriter(cluster, self.selection.scope)
        self._writer.reset(self.vector)

    def restart(self, tp: TopicPartition, mark: Mark, gap: Gap, now: float) -> None:
        """Continue the partition from `mark`; all followers are told that what is between is missing."""
        self.settle()
        self.vector[tp] = mark
        self._writer.set(tp, mark.offset, mark.timestamp)
        for feed in self.feeds:
            feed.comment(formats.sse_gap([gap]), (), now)
        self.wake()

    def wake(self) -> None:
        """Tell all who follow, or wait for a partition, that something has changed."""
        for feed in self.feeds:
            feed.wake()

    def extend(
        self, tp: TopicPartition, events: Sequence[Event], fields: Sequence[Fields | None], mark: Mark, now: float
    ) -> tuple[Collection[Feed], int]:
        """Add new events of one partition, after which it stands at `mark`; `now` in seconds.

        `fields` are those of the events, if any of the feeds has a filter; None for an event that no filter can be
        applied to. Returns the feeds that have something new,
        which are to be woken, and how many matches there were with filters.
        """
        whole = (self._unfiltered,) if self._unfiltered is not None else ()
        takers: Iterable[Collection[Feed]] = repeat(whole)
        woken: Collection[Feed] = whole if events else ()
        matches = 0
        if whole:
            whole[0].coming += len(events)
        if events and self._filtered:
            found = self._found(tp, events, fields)
            takers = [(*whole, *some) for some in found] if whole else found
            woken = dict.fromkeys(whole)
            for some in found:
                matches += len(some)
                for feed in some:
                    feed.coming += 1
                    woken[feed] = None
        self.inbox.append(_Run(tp, events, takers, mark, now))
        for event in events:
            self._inbox_bytes += len(event.json)
        if self._inbox_bytes > self._block_bytes:
            self.settle()
        return woken, matches

    def _found(self, tp: TopicPartition, events: Sequence[Event], fields: Sequence[Fields | None]) -> list[list[Feed]]:
        """Return which feeds with a filter want each event; none of those whose filter fails on it."""
        found: list[list[Feed]] = []
        for event, its in zip(events, fields, strict=True):
            try:
                found.append(self._filtered.matching(its) if its is not None else [])
            except Exception as fault:
                self._faults.skipped_by_filters(tp, event.offset, fault)
                found.append(self._filtered.sound(its) if its is not None else [])
        return found

    def settle(self) -> None:
        """Give the feeds what is in the inbox. After a fault, their clients read it from the ring."""
        if not self.inbox:
            return
        inbox, self.inbox, self._inbox_bytes = self.inbox, [], 0
        try:
            growing: dict[Feed, _Growing] = {}
            for run in inbox:
                self._take(run, growing)
            for feed, block in growing.items():
                feed.append(block.block())
        except Exception as fault:
            self._faults.count("adding records to a feed", fault)
            self.vector |= {run.tp: run.mark for run in inbox}
            self._writer.reset(self.vector)
            for feed in self.feeds:
                feed.miss()
                feed.wake()

    def _take(self, run: _Run, growing: dict[Feed, _Growing]) -> None:
        """Frame each event once, for all feeds that want it; a block that is full is added to its feed."""
        tp, events, takers, mark, at = run
        writer = self._writer
        offset = timestamp = 0
        grown: dict[_Growing, None] = {}
        for event, feeds in zip(events, takers, strict=False):  # takers may have no end
            if not feeds:
                continue
            offset, timestamp, json = event.offset + 1, event.timestamp + 1, event.json
            writer.set(tp, offset, timestamp)
            head = b"%b%b%b" % (formats.SSE_HEAD, writer.ids(), formats.SSE_DATA)
            nbytes = len(head) + len(json) + len(formats.SSE_TAIL)
            for feed in feeds:
                block = growing.get(feed)
                if block is not None and block.nbytes + nbytes > self._block_bytes:
                    if block in grown:
                        del grown[block]
                        self._end([block], tp, mark.incarnation)
                    feed.append(block.block())
                    block = None
                if block is None:
                    block = growing[feed] = _Growing(at)
                block.parts += (head, json, formats.SSE_TAIL)
                block.nbytes += nbytes
                block.count += 1
                block.last = event
                grown[block] = None
        self._end(grown, tp, mark.incarnation)
        self.vector[tp] = mark
        if (mark.offset, mark.timestamp) != (offset, timestamp):
            writer.set(tp, mark.offset, mark.timestamp)

    def _end(self, blocks: Iterable[_Growing], tp: TopicPartition, incarnation: int) -> None:
        """Set the position after blocks whose last events are of this partition; those that end alike share it."""
        shared: dict[int, dict[TopicPartition, Mark]] = {}
        for block in blocks:
            offset = block.last.offset + 1
            after = shared.get(offset)
            if after is None:
                mark = Mark(incarnation, offset, block.last.timestamp + 1)
                after = shared[offset] = {**self.vector, tp: mark}
            block.after = after
