"""Questions to Kafka about offsets and times, asked once for all who ask alike at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.source import (
    Batch,
    Bounds,
    Found,
    OutOfRangeError,
    RecordSource,
    SourceUnavailableError,
    UnknownPartitionError,
)

BOUNDS_SECONDS = 0.5
FOUND_SECONDS = 5.0
BEFORE_SECONDS = 60.0
MAX_ANSWERS = 10_000
_HOLE = -2
"""In place of a timestamp: there is no record at that offset, and never will be. (Kafka has -1 for no timestamp.)"""
PROBE_BYTES = 16 * 1024
MAX_STEPS_BACK = 1024
"""So many offsets before a partition's end are searched for its newest record; beyond are only control markers."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class _Answer(NamedTuple, Generic[_V]):
    asked_at: float
    future: asyncio.Future[_V | None]


class _Answers(Generic[_K, _V]):
    """Answers by key for some seconds; what is being asked is not asked again, it is waited for."""

    def __init__(self, ask: Callable[[list[_K]], Awaitable[Mapping[_K, _V]]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._answers: OrderedDict[_K, _Answer[_V]] = OrderedDict()

    async def get(self, keys: Iterable[_K], fresh: bool = False) -> dict[_K, _V]:
        """The answers that there are; a key without one is missing, and was so when this was called."""
        began = time.monotonic()
        found: dict[_K, _V] = {}
        wanted = list(keys)
        while wanted:
            answers = self._asked(wanted, began, fresh)
            wanted = []
            for key, answer in answers:
                value = await asyncio.shield(answer.future)
                if value is not None:
                    found[key] = value
                elif answer.asked_at < began:
                    # The question was under way already: what it missed may have come since.
                    wanted.append(key)
        return found

    def _asked(self, keys: list[_K], began: float, fresh: bool) -> list[tuple[_K, _Answer[_V]]]:
        now = time.monotonic()
        new = [key for key in keys if fresh or not self._is_good(key, began, now)]
        if new:
            self._answers.update({key: _Answer(now, asyncio.Future()) for key in new})
            # Whoever asked first may go away: the question goes on for the others.
            task = asyncio.ensure_future(self._fill(new, [self._answers[key].future for key in new]))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        answers = [(key, self._answers[key]) for key in keys]
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return answers

    def clear(self) -> None:
        self._answers.clear()

    def _is_good(self, key: _K, began: float, now: float) -> bool:
        held = self._answers.get(key)
        if held is None:
            return False
        asked_at, future = held
        if not future.done():
            return True
        if future.cancelled() or future.exception() is not None:
            return False
        return asked_at >= began if future.result() is None else now < asked_at + self._seconds

    async def _fill(self, keys: list[_K], futures: list[asyncio.Future[_V | None]]) -> None:
        try:
            answers = await self._ask(keys)
        except BaseException as error:
            for future in futures:
                future.set_exception(error if isinstance(error, Exception) else SourceUnavailableError("stopped"))
                future.exception()  # not everybody may have waited
            raise
        for key, future in zip(keys, futures, strict=True):
            future.set_result(answers.get(key))


class Lookups:
    """All methods raise SourceUnavailableError; nothing here names a topic that the metadata does not have."""

    def __init__(self, source: RecordSource) -> None:
        self._source = source
        self._bounds: _Answers[TopicPartition, Bounds] = _Answers(source.bounds, BOUNDS_SECONDS)
        self._found: _Answers[tuple[TopicPartition, int], Found] = _Answers(self._find, FOUND_SECONDS)
        self._before: _Answers[tuple[TopicPartition, int], int] = _Answers(self._read_before, BEFORE_SECONDS)

    async def bounds(
        self, partitions: Iterable[TopicPartition], fresh: bool = False
    ) -> Mapping[TopicPartition, Bounds]:
        """The bounds of the partitions, at most half a second old, or `fresh`."""
        return await self._bounds.get(partitions, fresh)

    async def at_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found]:
        """The first record at or after a time (ms) for each partition; missing where there is none."""
        found = await self._found.get(times.items())
        return {tp: record for (tp, _), record in found.items()}

    async def timestamps_before(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The timestamp (ms) of the record at offset - 1 for each partition; missing where there is none."""
        found = await self._before.get(offsets.items())
        return {tp: timestamp for (tp, _), timestamp in found.items() if timestamp != _HOLE}

    async def newest(self, tp: TopicPartition, bounds: Bounds) -> Record | None:
        """The newest record of a partition, None where it holds none (in its last offsets)."""
        step = 1
        while step <= MAX_STEPS_BACK:
            start = max(bounds.begin, bounds.end - step)
            newest = None
            following = start
            while following < bounds.end:  # large records come one by one
                batch = await self._batch(tp, following)
                records = [record for record in batch.records if record.offset < bounds.end] if batch else []
                if not records:
                    break
                newest = records[-1]
                following = newest.offset + 1
            if newest is not None or start == bounds.begin:
                return newest
            step *= 4
        return None

    def forget(self) -> None:
        """What was answered before a partition began anew is no longer true."""
        for answers in (self._bounds, self._found, self._before):
            answers.clear()

    async def _find(self, keys: list[tuple[TopicPartition, int]]) -> Mapping[tuple[TopicPartition, int], Found]:
        times = dict(keys)
        return {(tp, times[tp]): record for tp, record in (await self._source.offsets_for_times(times)).items()}

    async def _read_before(self, keys: list[tuple[TopicPartition, int]]) -> Mapping[tuple[TopicPartition, int], int]:
        async def one(key: tuple[TopicPartition, int]) -> tuple[tuple[TopicPartition, int], int | None]:
            tp, offset = key
            batch = await self._batch(tp, offset - 1) if offset > 0 else None
            if batch is None or batch.next_offset < offset:
                return key, None
            found = batch.records and batch.records[0].offset == offset - 1
            return key, batch.records[0].timestamp if found else _HOLE

        answers = await asyncio.gather(*map(one, keys))
        return {key: timestamp for key, timestamp in answers if timestamp is not None}

    async def _batch(self, tp: TopicPartition, offset: int) -> Batch | None:
        try:
            return await self._source.read(tp, offset, PROBE_BYTES)
        except (OutOfRangeError, UnknownPartitionError):
            return None
