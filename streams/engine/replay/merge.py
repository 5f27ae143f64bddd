"""Merges the partitions of a client that is catching up, oldest event first, into chunks.

Blocks are held for as long as the client is written to; they are the history's, or wrapped around events of a ring.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace

from streams.core import formats
from streams.core.events import Event, Record
from streams.core.filters import NO_FILTER, Filter
from streams.core.positions import IdWriter, Mark, TopicPartition
from streams.engine.replay.history import History, HistoryBlock
from streams.engine.tail.chunk import Chunk

ID_BYTES = 250
"""Bytes of an id of two partitions: blocks are cut so that their events fit into a chunk with ids like that."""


class _Held:
    """One partition: `block` from `index` up to `end`, then `blocks`, on the way to `target`."""

    __slots__ = ("block", "blocks", "end", "index", "target", "tp")

    def __init__(self, tp: TopicPartition, blocks: deque[HistoryBlock], target: Mark) -> None:
        self.tp = tp
        self.blocks = blocks
        self.target = target
        self.block = blocks[0]
        self.index = self.end = 0


class Merge:
    """`position` is the client's own, and is moved on with what leaves, and with what the filter does not want.

    `examined` is about how many bytes of events the filter was applied to for the last chunk.
    """

    def __init__(self, history: History, writer: IdWriter, wanted: Filter = NO_FILTER, *, is_sse: bool) -> None:
        self.position: dict[TopicPartition, Mark] = {}
        self.examined = 0
        self.is_beyond = False
        """Whether the position is beyond what the id of the last event says: what followed was none that is wanted."""
        self._wanted = wanted
        self._is_filtered = bool(wanted)
        self._history = history
        self._tuning = tuning = history.tuning
        self._chunk_bytes, self._max_copied_bytes = tuning.chunk_bytes, tuning.max_copied_bytes
        self._writer = writer
        self._is_sse = is_sse
        self._held: dict[TopicPartition, _Held] = {}
        self._oldest: list[tuple[int, TopicPartition, _Held]] = []
        """A heap: of each partition that is held, the timestamp of what comes next."""
        self._taken = 0

    def begin(self, position: dict[TopicPartition, Mark]) -> None:
        """Begin at another position, with nothing held."""
        self.clear()
        self.position = position

    def clear(self) -> None:
        """Release all blocks, and the ids: they are as long as there are partitions."""
        for held in self._held.values():
            self._history.take_back(held.block)
            self._release(held.blocks)
        self._writer.reset({})
        self._held.clear()
        self._oldest.clear()
        self._taken = 0

    @property
    def is_mostly_sent(self) -> bool:
        """Whether no more is held than has left since the last `clear`, in records."""
        held = self._held.values()
        return self._taken >= sum(h.end - h.index + sum(len(block.items) for block in h.blocks) for h in held)

    def __len__(self) -> int:
        """How many partitions something is held of."""
        return len(self._held)

    def __contains__(self, tp: TopicPartition) -> bool:
        return tp in self._held

    def hold(self, tp: TopicPartition, blocks: Iterable[HistoryBlock], target: Mark) -> None:
        """Take blocks that follow each other, from the partition's position on; where no record is, it just moves."""
        held = _Held(tp, deque(blocks), target)
        for block in held.blocks:
            self._history.lend(block)
        if self._is_sse and not self._writer.nbytes:
            self._writer.reset(self.position)
        if self._advance(held):
            self._held[tp] = held
            heappush(self._oldest, (held.block.items[held.index].timestamp, tp, held))

    def move(self, tp: TopicPartition, mark: Mark) -> None:
        """Move one partition of the position, and of the ids."""
        self.position[tp] = mark
        if self._writer.nbytes:
            self._writer.set(tp, mark.offset, mark.timestamp)

    def chunk(self, most: int | None = None) -> Chunk:
        """Return the oldest events of all partitions, at most `most` if given, until one has to be read on.

        The chunk is empty if no record was an event that is wanted.
        """
        parts: list[bytes] = []
        count = size = self.examined = 0
        oldest, tuning = self._oldest, self._tuning
        moved: dict[TopicPartition, _Held] = {}
        told: tuple[TopicPartition, int] | None = None
        while oldest and size < tuning.chunk_bytes and self.examined < tuning.examined_bytes and count != most:
            _, tp, held = oldest[0]
            until = min(oldest[1][0], oldest[min(2, len(oldest) - 1)][0]) if len(oldest) > 1 else None
            first, last = held.index, self._run_end(held, until, size)
            if first == last:
                break  # a large one, which goes alone
            if last - first >= tuning.shared_items and not parts and (shared := self._shared_chunk(held, last, most)):
                item = held.block.items[last - 1]
                self._leave(held, last, moved)
                self._settle(moved)
                self._note_told((tp, item.offset + 1) if isinstance(item, Event) and item.json else None)
                return shared
            events = self._events(tp, held.block, first, last)
            if most is not None and count + len(events) >= most:
                events = events[: most - count]
                last = bisect_left(held.block.items, events[-1].offset + 1, first, last, key=_offset)
            made = self._framed(tp, events)
            parts += made
            size += sum(map(len, made))
            count += len(events)
            told = (tp, events[-1].offset + 1) if events else None
            is_lacking = self._leave(held, last, moved)
            if is_lacking or (len(events) == 1 and len(events[0].json) > tuning.max_copied_bytes):
                break
        self._settle(moved)
        self._note_told(told)
        if size > tuning.max_copied_bytes:
            return Chunk(tuple(parts), count)
        return Chunk((b"".join(parts),) if parts else (), count)

    def _leave(self, held: _Held, last: int, moved: dict[TopicPartition, _Held]) -> bool:
        """Let items up to `last` leave, and note if a part of their block stays. True if the partition lacks some."""
        if last < held.end:
            moved[held.tp] = held
        else:
            moved.pop(held.tp, None)
        return self._take(held, last)

    def _events(self, tp: TopicPartition, block: HistoryBlock, first: int, last: int) -> list[Event]:
        """Return what of a block's items is an event that is wanted."""
        if not self._is_filtered:
            return self._history.events(block, first, last)
        items = last - first
        # A block around events of a ring does not say how large it is.
        size = block.framed_bytes * items // len(block.items) or sum(map(_size, block.items[first:last]))
        self.examined += size
        return self._history.matching(tp, block, first, last, self._wanted)

    def _settle(self, moved: dict[TopicPartition, _Held]) -> None:
        """Move the position to within the blocks of which a part has left."""
        for tp, held in moved.items():
            item = held.block.items[held.index - 1]
            self.position[tp] = Mark(held.target.incarnation, item.offset + 1, item.timestamp + 1)

    def _note_told(self, told: tuple[TopicPartition, int] | None) -> None:
        """Note whether the position is that of the last event, after `told`; None if something else came after it."""
        self.is_beyond = told is None or self.position[told[0]].offset != told[1]

    def _run_end(self, held: _Held, until: int | None, size: int) -> int:
        """The index up to which items may leave in one: none later than `until`, and not more than a chunk."""
        block, index, end = held.block, held.index, held.end
        items = block.items
        if until is not None and index + 1 < end and items[index + 1].timestamp > until:
            end = index + 1  # partitions take turns
        head = max(0, self._writer.nbytes - ID_BYTES) if self._is_sse else 0
        if (
            not size
            and (until is None or block.latest <= until)
            and block.framed_bytes + (end - index) * head <= self._chunk_bytes
        ):
            return end
        while index < end:
            item = items[index]
            if until is not None and item.timestamp > until and index > held.index:
                break
            nbytes = _size(item)
            if size and (size + nbytes > self._chunk_bytes or nbytes > self._max_copied_bytes):
                break
            size += nbytes + head
            index += 1
        return index

    def _shared_chunk(self, held: _Held, last: int, most: int | None) -> Chunk | None:
        """All of a block as a chunk that is shared, if just that is to be sent, without a filter and within `most`."""
        block = held.block
        if held.index or last != len(block.items) or self._is_filtered or (most is not None and last > most):
            return None
        ids: tuple[bytes, ...] = ()
        if self._is_sse:
            before, _, after = self._writer.around(held.tp)
            ids = (before, after)
        chunk = block.chunks.get(ids)
        if chunk is None:
            events = self._history.events(block, 0, last)
            made = self._framed(held.tp, events)
            chunk = Chunk((b"".join(made),) if made else (), len(events))
            self._history.cache_frame(block, ids, chunk)
        return chunk

    def _framed(self, tp: TopicPartition, events: list[Event]) -> list[bytes]:
        if not self._is_sse:
            return [part for event in events for part in (event.json, b"\n")]
        if len(events) == 1:
            (event,) = events
            self._writer.set(tp, event.offset + 1, event.timestamp + 1)
            return [formats.sse_head(self._writer.ids()), event.json, formats.SSE_TAIL]
        before, between, after = self._writer.around(tp)
        start, end = formats.SSE_HEAD + before, after + formats.SSE_DATA
        return [
            part
            for event in events
            for part in (
                b"%b%d%b%d%b" % (start, event.timestamp + 1, between, event.offset + 1, end),
                event.json,
                formats.SSE_TAIL,
            )
        ]

    def _take(self, held: _Held, last: int) -> bool:
        """Items up to `last` have left; True where the partition has to be read on first."""
        self._taken += last - held.index
        if last < held.end:
            held.index = last
            items = held.block.items
            if self._is_sse:
                self._writer.set(held.tp, items[last - 1].offset + 1, items[last - 1].timestamp + 1)
            heapreplace(self._oldest, (items[last].timestamp, held.tp, held))
            return False
        self._finish(held, held.block)
        if self._advance(held):
            heapreplace(self._oldest, (held.block.items[held.index].timestamp, held.tp, held))
            return False
        heappop(self._oldest)
        del self._held[held.tp]
        return self.position[held.tp].offset < held.target.offset

    def _advance(self, held: _Held) -> bool:
        """Step to the next block with a record; False where the partition has to be read on, or is at its target."""
        while held.blocks:
            block = held.blocks.popleft()
            offset, limit = self.position[held.tp].offset, held.target.offset
            items = block.items
            first = bisect_left(items, offset, key=_offset) if block.start < offset else 0
            end = len(items) if block.next <= limit else bisect_left(items, limit, key=_offset)
            if first < end:
                held.block, held.index, held.end = block, first, end
                return True
            self._finish(held, block)
        return False

    def _finish(self, held: _Held, block: HistoryBlock) -> None:
        """Nothing of the block remains: the position is behind it, or at the target."""
        mark = held.target
        if block.next < mark.offset:
            timestamp = self.position[held.tp].timestamp if block.timestamp is None else block.timestamp
            mark = Mark(mark.incarnation, block.next, timestamp)
        else:
            self._release(held.blocks)
            held.blocks.clear()
        self._history.take_back(block)
        self.move(held.tp, mark)

    def _release(self, blocks: Iterable[HistoryBlock]) -> None:
        for block in blocks:
            self._history.take_back(block)


def _offset(item: Record | Event) -> int:
    return item.offset


def _size(item: Record | Event) -> int:
    return len(item.json if isinstance(item, Event) else item.value or b"")
