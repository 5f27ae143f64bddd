"""The order in which the events of some partitions are sent, as all feeds of these partitions share it.

Feeds differ only in the filter: they stand at one position, and an event is framed once for all that want it. An event
does not visit the feeds that cannot want it, and what no feed wants costs nothing but the step of the position.

What a track is given waits in its inbox until somebody looks at one of its feeds, mostly a round of writing: what comes
from several partitions meanwhile then becomes one block, and a track whose feeds nobody follows does little.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat

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

ENTRY_GROWTH = 100
"""Maximum bytes by which a partition's entry in an id may grow: digits, and a cursor where it had none."""


class Run:
    """New events of one partition, which stands at `mark` after them; `at` in seconds. All its tracks share it.

    `end` is where the partition stands after the last of the events, as its id has it.
    """

    __slots__ = ("_entries", "at", "count", "end", "events", "mark", "nbytes", "tp")

    def __init__(self, tp: TopicPartition, events: Sequence[Event], mark: Mark, at: float) -> None:
        self.tp = tp
        self.events = events
        self.count = len(events)
        self.mark = mark
        self.at = at
        self.nbytes = sum([len(event.json) for event in events])
        self.end = self.mark_after(events[-1]) if events else mark
        self._entries: dict[bytes, list[tuple[bytes, bytes]]] = {}

    def entries(self, writer: IdWriter) -> list[tuple[bytes, bytes]]:
        """Return what the id of each event says of the partition, and its JSON: the same for writers of one form."""
        made = self._entries.get(writer.form)
        if made is None:
            tp = self.tp
            made = [(writer.entry(tp, e.offset + 1, e.timestamp + 1), e.json) for e in self.events]
            self._entries[writer.form] = made
        return made

    def mark_after(self, event: Event) -> Mark:
        """Return where the partition stands after one of the events, as its id has it."""
        after = Mark(self.mark.incarnation, event.offset + 1, event.timestamp + 1)
        return self.mark if after == self.mark else after


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

    __slots__ = (
        "_block_bytes",
        "_faults",
        "_filtered",
        "_head_bytes",
        "_inbox_bytes",
        "_inbox_events",
        "_whole",
        "_writer",
        "feeds",
        "has_filters",
        "inbox",
        "missing",
        "selection",
        "vector",
    )

    def __init__(self, selection: Selection, cluster: str, faults: Faults, tuning: Tuning) -> None:
        self.selection = selection
        self.missing: set[TopicPartition] = set()
        """Partitions of the selection that the hub has not positioned yet."""
        self.vector: dict[TopicPartition, Mark] = {}
        self.feeds: dict[Feed, None] = {}
        self._whole: tuple[Feed, ...] = ()
        """The feed that has no filter, if there is one."""
        self._filtered: FilterIndex[Feed] = FilterIndex()
        self.has_filters = False
        """Whether any of its feeds has a filter."""
        self._writer = IdWriter(cluster, selection.scope)
        self._head_bytes = 0
        """Maximum bytes of an event beside its JSON."""
        self._faults = faults
        self._block_bytes = tuning.block_bytes
        self.inbox: list[tuple[Run, list[Collection[Feed]] | None]] = []
        """What it was given, with the feeds that want each event, if any of them has a filter."""
        self._inbox_bytes = self._inbox_events = 0

    @property
    def held_bytes(self) -> int:
        """What it takes up in memory beside its feeds."""
        return PARTITION_BYTES * len(self.vector) + self._inbox_bytes

    def add(self, feed: Feed) -> None:
        """Give the feed its events from now on."""
        self.settle()
        self.feeds[feed] = None
        if feed.selection.filter:
            self._filtered.add(feed, feed.selection.filter)
            self.has_filters = True
        else:
            self._whole = (feed,)

    def remove(self, feed: Feed) -> None:
        """Let the feed go."""
        self.settle()
        del self.feeds[feed]
        if feed.selection.filter:
            self._filtered.remove(feed)
            self.has_filters = bool(self._filtered)
        else:
            self._whole = ()

    # What the hub does to it.

    def place(self, tp: TopicPartition, mark: Mark) -> None:
        """Begin to read a partition of the selection from `mark` on."""
        self.settle()
        self.missing.discard(tp)
        self.vector[tp] = mark
        self._reset_ids()
        self.wake()

    def await_later(self, tp: TopicPartition, mark: Mark) -> None:
        """Do without the place where the partition begins: ids say the mark's time, and no offset."""
        self.settle()
        self.vector[tp] = mark
        self._reset_ids()

    def give_up(self, tp: TopicPartition) -> None:
        """Drop a partition that vanished before it was ever read: nobody waits for it any longer."""
        self.settle()
        self.missing.discard(tp)
        if self.vector.pop(tp, None) is not None:
            self._reset_ids()
        self.wake()

    def _reset_ids(self) -> None:
        self._writer.reset(self.vector)
        self._head_bytes = self._writer.nbytes + ENTRY_GROWTH * len(self.vector) + len(formats.SSE_ID)

    def name_cluster(self, cluster: str) -> None:
        """Write ids of another cluster from now on."""
        self.settle()
        self._writer = IdWriter(cluster, self.selection.scope)
        self._reset_ids()

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
        now = time.monotonic()
        for feed in self.feeds:
            feed.wake(now)

    def extend(self, run: Run, woken: set[Feed], fields: Sequence[Fields | None] = ()) -> int:
        """Add new events of one partition, and the feeds that have something new to `woken`, who are to be woken.

        `fields` are those of the events, if any of the feeds has a filter; None for an event that no filter can be
        applied to. Returns how many matches there were with filters.
        """
        takers: list[Collection[Feed]] | None = None
        matches = 0
        if count := run.count:
            whole = self._whole
            for feed in whole:
                feed.coming += count
                woken.add(feed)
            if self.has_filters:
                found = self._found(run, fields)
                takers = [(*whole, *some) for some in found]
                for some in found:
                    matches += len(some)
                    for feed in some:
                        feed.coming += 1
                    woken.update(some)
        self.inbox.append((run, takers))
        self._inbox_events += count
        self._inbox_bytes += run.nbytes
        if self._inbox_bytes > self._block_bytes:
            self.settle()
        return matches

    def _found(self, run: Run, fields: Sequence[Fields | None]) -> list[list[Feed]]:
        """Return which feeds with a filter want each event; none of those whose filter fails on it."""
        found: list[list[Feed]] = []
        for event, its in zip(run.events, fields, strict=True):
            try:
                found.append(self._filtered.matching(its) if its is not None else [])
            except Exception as fault:
                self._faults.skipped_by_filters(run.tp, event.offset, fault)
                found.append(self._filtered.sound(its) if its is not None else [])
        return found

    def settle(self) -> None:
        """Give the feeds what is in the inbox."""
        if self.inbox:
            self._settle()

    def take(self) -> FeedBlock | None:
        """Do the same, but return it if it is one block for one feed, which is not given the block."""
        return self._settle(keeps=False)

    def _settle(self, *, keeps: bool = True) -> FeedBlock | None:
        """After a fault, the feeds' clients read from the ring what was in the inbox."""
        most_bytes = self._inbox_bytes + self._inbox_events * self._head_bytes
        inbox, events = self.inbox, self._inbox_events
        self.inbox, self._inbox_bytes, self._inbox_events = [], 0, 0
        try:
            if self._whole and not self.has_filters and most_bytes <= self._block_bytes:
                block = self._take_whole(inbox, events)
                if block is None or not keeps:
                    return block
                self._whole[0].append(block)
                return None
            growing: dict[Feed, _Growing] = {}
            for run, takers in inbox:
                self._take(run, repeat(self._whole) if takers is None else takers, growing)
            for feed, grown in growing.items():
                feed.append(grown.block())
        except Exception as fault:
            self._faults.count("adding records to a feed", fault)
            self.vector |= {run.tp: run.mark for run, _ in inbox}
            self._reset_ids()
            for feed in self.feeds:
                feed.miss()
            self.wake()
        return None

    def _take_whole(self, inbox: Iterable[tuple[Run, object]], events: int) -> FeedBlock | None:
        """Frame events for the only feed, which wants all of them, as one block: the same as `_take`, for less."""
        writer, vector = self._writer, self.vector
        parts: list[bytes] = []
        at, left = 0.0, events
        after = vector
        for run, _ in inbox:
            tp, mark = run.tp, run.mark
            if count := run.count:
                if left == events:
                    at = run.at
                for entry, json in run.entries(writer):
                    parts += (formats.SSE_ID % writer.put(tp, entry), json, formats.SSE_TAIL)
                left -= count
                if not left:
                    after = vector.copy()
                    after[tp] = run.end
            vector[tp] = mark
            if run.end is not mark or not count:
                writer.set(tp, mark.offset, mark.timestamp)
        return FeedBlock(tuple(parts), events, sum(map(len, parts)), after, at) if parts else None

    def _take(self, run: Run, takers: Iterable[Collection[Feed]], growing: dict[Feed, _Growing]) -> None:
        """Frame each event once, for all feeds that want it; a block that is full is added to its feed."""
        tp, mark = run.tp, run.mark
        writer = self._writer
        offset = timestamp = 0
        grown: dict[_Growing, None] = {}
        for event, (entry, json), feeds in zip(run.events, run.entries(writer), takers, strict=False):
            if not feeds:
                continue
            offset, timestamp = event.offset + 1, event.timestamp + 1
            head = formats.SSE_ID % writer.put(tp, entry)
            nbytes = len(head) + len(json) + len(formats.SSE_TAIL)
            for feed in feeds:
                block = growing.get(feed)
                if block is not None and block.nbytes + nbytes > self._block_bytes:
                    if block in grown:
                        del grown[block]
                        self._end([block], run)
                    feed.append(block.block())
                    block = None
                if block is None:
                    block = growing[feed] = _Growing(run.at)
                block.parts += (head, json, formats.SSE_TAIL)
                block.nbytes += nbytes
                block.count += 1
                block.last = event
                grown[block] = None
        self._end(grown, run)
        self.vector[tp] = mark
        if (mark.offset, mark.timestamp) != (offset, timestamp):
            writer.set(tp, mark.offset, mark.timestamp)

    def _end(self, blocks: Iterable[_Growing], run: Run) -> None:
        """Set the position after blocks whose last events are of this run; those that end alike share it."""
        shared: dict[int, dict[TopicPartition, Mark]] = {}
        for block in blocks:
            after = shared.get(block.last.offset)
            if after is None:
                after = shared[block.last.offset] = {**self.vector, run.tp: run.mark_after(block.last)}
            block.after = after
