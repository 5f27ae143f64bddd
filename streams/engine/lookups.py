"""Questions to Kafka about offsets and times, asked once for all who ask alike at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.source import (
    Batch,
    Bounds,
    Found,
    OutOfRangeError,
    RecordSource,
    SourceError,
    SourceUnavailableError,
    UnknownPartitionError,
)
from streams.engine.tuning import DEFAULT, Tuning

_HOLE = -2
"""In place of a timestamp: there is no record at that offset, and never will be. (Kafka has -1 for no timestamp.)"""
PROBE_BYTES = 16 * 1024
MAX_STEPS_BACK = 1024
"""Maximum offsets before a partition's end that are searched for its newest record; beyond are control markers."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")
_At = tuple[TopicPartition, int]
"""A partition, and a time in ms or an offset."""


class _Answer(NamedTuple, Generic[_V]):
    asked_at: float
    future: asyncio.Future[_V | None]


class _Answers(Generic[_K, _V]):
    """Answers by key for some seconds; what is being asked is not asked again, it is waited for.

    `broker_of` a key: what different brokers are asked is asked apart, so that nobody waits for another's broker.
    """

    def __init__(
        self,
        ask: Callable[[list[_K]], Awaitable[Mapping[_K, _V | SourceError]]],
        broker_of: Callable[[_K], int],
        seconds: float,
        max_answers: int,
    ) -> None:
        self._ask = ask
        self._broker_of = broker_of
        self._seconds = seconds
        self._max_answers = max_answers
        self._answers: OrderedDict[_K, _Answer[_V]] = OrderedDict()

    async def get(self, keys: Iterable[_K], fresh: bool = False) -> dict[_K, _V | SourceError]:
        """Return the answers that there are; a key without one is missing, and was so when this was called.

        `fresh`: an answer to a question that was asked earlier does not count.
        """
        began = time.monotonic()
        found: dict[_K, _V | SourceError] = {}
        wanted = list(keys)
        while wanted:
            answers = self._asked(wanted, began, fresh)
            wanted = []
            for key, answer in answers:
                try:
                    value = await asyncio.shield(answer.future)
                except SourceError as error:
                    found[key] = error
                    continue
                if answer.asked_at < began and (fresh or value is None):
                    # The question was under way already: what it missed may have come since. All who wait for it ask
                    # the next one together.
                    wanted.append(key)
                elif value is not None:
                    found[key] = value
        return found

    def _asked(self, keys: list[_K], began: float, fresh: bool) -> list[tuple[_K, _Answer[_V]]]:
        now = time.monotonic()
        new: defaultdict[int, list[_K]] = defaultdict(list)
        for key in keys:
            if not self._is_good(key, began, now, fresh):
                new[self._broker_of(key)].append(key)
        for some in new.values():
            self._answers.update({key: _Answer(now, asyncio.Future()) for key in some})
            # The first caller may leave: the question is still answered for the others.
            task = asyncio.ensure_future(self._fill(some, [self._answers[key].future for key in some]))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        answers = [(key, self._answers[key]) for key in keys]
        while len(self._answers) > self._max_answers:
            self._answers.popitem(last=False)
        return answers

    def clear(self) -> None:
        self._answers.clear()

    def _is_good(self, key: _K, began: float, now: float, fresh: bool) -> bool:
        held = self._answers.get(key)
        if held is None:
            return False
        asked_at, future = held
        if not future.done():
            return True
        if future.cancelled() or future.exception() is not None:
            return False
        return asked_at >= began if fresh or future.result() is None else now < asked_at + self._seconds

    async def _fill(self, keys: list[_K], futures: list[asyncio.Future[_V | None]]) -> None:
        try:
            answers = await self._ask(keys)
        except BaseException as error:
            for future in futures:
                _fail(future, error if isinstance(error, Exception) else SourceUnavailableError("stopped"))
            raise
        for key, future in zip(keys, futures, strict=True):
            answer = answers.get(key)
            if isinstance(answer, SourceError):
                _fail(future, answer)
            else:
                future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # perhaps nobody has waited


class Lookups:
    """Per partition, the answer or a SourceError. Nothing here names a topic that the metadata does not have."""

    def __init__(self, source: RecordSource, tuning: Tuning = DEFAULT) -> None:
        def broker_of(key: tuple[TopicPartition, int]) -> int:
            return source.broker_of(key[0])

        self._source = source
        most = tuning.max_answers
        self._bounds: _Answers[TopicPartition, Bounds] = _Answers(
            source.bounds, source.broker_of, tuning.bounds_seconds, most
        )
        self._found: _Answers[_At, Found] = _Answers(self._find, broker_of, tuning.found_seconds, most)
        self._before: _Answers[_At, int] = _Answers(self._read_before, broker_of, tuning.before_seconds, most)

    async def bounds(
        self, partitions: Iterable[TopicPartition], fresh: bool = False
    ) -> Mapping[TopicPartition, Bounds | SourceError]:
        """Return the bounds of the partitions, at most half a second old, or `fresh`."""
        return await self._bounds.get(partitions, fresh)

    async def at_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | SourceError]:
        """Return the first record at or after a time (ms) for each partition; missing where there is none."""
        found = await self._found.get(times.items())
        return {tp: record for (tp, _), record in found.items()}

    async def timestamps_before(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | SourceError]:
        """Return the timestamp (ms) of the record at offset - 1 for each partition; missing where there is none."""
        found = await self._before.get(offsets.items())
        return {tp: timestamp for (tp, _), timestamp in found.items() if timestamp != _HOLE}

    async def newest(self, tp: TopicPartition, bounds: Bounds) -> Record | None:
        """Return the newest record of a partition, None where it holds none (in its last offsets).

        Raises SourceError.
        """
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
        """Forget all answers: what was answered before a partition was recreated is no longer true."""
        for answers in (self._bounds, self._found, self._before):
            answers.clear()

    async def _find(self, keys: list[_At]) -> Mapping[_At, Found | SourceError]:
        times = dict(keys)
        return {(tp, times[tp]): record for tp, record in (await self._source.offsets_for_times(times)).items()}

    async def _read_before(self, keys: list[_At]) -> Mapping[_At, int | SourceError]:
        async def one(key: _At) -> tuple[_At, int | SourceError | None]:
            tp, offset = key
            try:
                batch = await self._batch(tp, offset - 1) if offset > 0 else None
            except SourceError as error:
                return key, error
            if batch is None or batch.next_offset < offset:
                return key, None
            found = batch.records and batch.records[0].offset == offset - 1
            return key, batch.records[0].timestamp if found else _HOLE

        answers = await asyncio.gather(*map(one, keys))
        return {key: answer for key, answer in answers if answer is not None}

    async def _batch(self, tp: TopicPartition, offset: int) -> Batch | None:
        try:
            return await self._source.read(tp, offset, PROBE_BYTES)
        except (OutOfRangeError, UnknownPartitionError):
            return None
