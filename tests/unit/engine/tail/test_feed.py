"""One subscription as all its live clients share it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable

import pytest

from streams.core.events import Event
from streams.core.positions import Gap, Mark, Scope, TopicPartition
from streams.engine.tail.feed import Feed, FeedBlock, Selection, ahead, behind
from streams.engine.tail.track import Run
from streams.engine.tuning import DEFAULT
from tests.support.engine import Received
from tests.support.engine.lone_feed import LoneFeed

A, B = TopicPartition("a", 0), TopicPartition("b", 1)


def feed(*partitions: TopicPartition, keepalive_seconds: float = 15.0) -> LoneFeed:
    made = LoneFeed(Selection(frozenset("ab"), frozenset(), Scope.STREAMS), keepalive_seconds)
    for tp in partitions:
        made.place(tp, Mark(0, 5, 50))
    return made


def event(offset: int, size: int = 0, timestamp: int | None = None) -> Event:
    json = b'{"meta":{"topic":"a","partition":0,"offset":%d},"pad":"%s"}' % (offset, b"x" * size)
    return Event(offset, offset * 10 if timestamp is None else timestamp, json)


def blocks(of: Feed, after: int = -1) -> list[FeedBlock]:
    found = []
    while (block := of.after(after)) is not None:
        found.append(block)
        after += 1
    return found


def ids(block: FeedBlock) -> list[dict[str, str]]:
    """For each event of a block: topic and partition → its timestamp and next offset, as the id has them."""
    found = []
    for text in re.findall(rb"^id: (.*)$", b"".join(block.parts), re.MULTILINE):
        entries = json.loads(text)
        assert all(e["cursor"].startswith("cluster-:") for e in entries)
        found.append({f"{e['topic']}{e['partition']}": f"{e['timestamp']}/{e['cursor'][9:]}" for e in entries})
    return found


async def test_events_that_come_together_share_a_block_and_each_has_the_id_of_its_own_position() -> None:
    of = feed(A, B)
    of.extend(A, [event(5), event(8)], Mark(0, 10, 81), 100.0)
    of.extend(B, [event(6)], Mark(0, 7, 61), 100.0)
    first, second = blocks(of)
    assert ids(first) == [{"a0": "51/6", "b1": "50/5"}, {"a0": "81/9", "b1": "50/5"}]
    assert ids(second) == [{"a0": "81/10", "b1": "61/7"}], "the feed stands behind the hole that came after the event"
    assert first.after == {A: Mark(0, 9, 81), B: Mark(0, 5, 50)}
    assert second.after == {A: Mark(0, 10, 81), B: Mark(0, 7, 61)}
    assert of.vector == second.after
    assert (first.events, second.events) == (2, 1)


async def test_what_comes_from_several_partitions_before_somebody_looks_is_one_block() -> None:
    of = feed(A, B)
    of.track.extend(Run(A, [event(5)], Mark(0, 6, 51), 100.0), set())
    of.track.extend(Run(B, [event(6)], Mark(0, 7, 61), 100.0), set())
    of.track.extend(Run(A, [], Mark(0, 9, 51), 100.0), set())
    (block,) = blocks(of)
    assert ids(block) == [{"a0": "51/6", "b1": "50/5"}, {"a0": "51/6", "b1": "61/7"}]
    assert block.after == {A: Mark(0, 6, 51), B: Mark(0, 7, 61)}, "as its last id has it"
    assert of.vector == {A: Mark(0, 9, 51), B: Mark(0, 7, 61)}
    assert block.parts[1] == event(5).json


@pytest.mark.parametrize(
    "look",
    [lambda of: of.tip, lambda of: of.vector, lambda of: of.after(-1), lambda of: of.entry({A: Mark(0, 5, 50)})],
)
async def test_who_looks_at_a_feed_sees_all_that_has_come(look: Callable[[LoneFeed], object]) -> None:
    of = feed(A)
    of.track.extend(Run(A, [event(5)], Mark(0, 6, 51), 100.0), set())
    look(of)
    assert not of.track.inbox
    assert len(of._blocks) == 1


async def test_a_step_that_was_made_for_others_does_not_pass_for_the_newest_once_more_has_come() -> None:
    of = feed(A)
    of.extend(A, [event(5)], Mark(0, 6, 51), 100.0)
    before = of.next_step(-1, True)
    assert before is not None
    assert (before.number, before.is_newest) == (0, True)
    of.track.extend(Run(A, [event(6)], Mark(0, 7, 61), 100.0), set())
    step = of.next_step(-1, True)
    assert step is not None
    assert (step.number, step.is_newest, step.events) == (1, True, 2)


async def test_what_waits_where_nobody_looks_is_bounded_and_counted() -> None:
    of = feed(A)
    before = of.track.held_bytes
    for offset in range(5, 105):
        of.track.extend(Run(A, [event(offset, 1500)], Mark(0, offset + 1, 51), 100.0), set())
        assert of.track.held_bytes <= before + DEFAULT.block_bytes
    assert of.track.held_bytes > before
    assert of._blocks


async def test_a_block_is_the_same_bytes_in_either_format() -> None:
    of = feed(A)
    of.extend(A, [event(5), event(8)], Mark(0, 9, 81), 100.0)
    (block,) = blocks(of)
    received = Received()
    received.take(b"".join(block.parts))
    assert received.offsets == {A: [5, 8]}
    assert b"".join(block.ndjson()) == event(5).json + b"\n" + event(8).json + b"\n"
    assert block.nbytes == len(b"".join(block.parts))


async def test_many_events_become_blocks_of_bounded_size_and_lose_nothing() -> None:
    of = feed(A)
    of.max_bytes = 1 << 30
    events = [event(offset, 1500) for offset in range(5, 305)]
    of.extend(A, events, Mark(0, 305, 1), 100.0)
    received = Received()
    for block in blocks(of):
        assert sum(len(line) for line in block.ndjson()) < DEFAULT.block_bytes + 1000
        received.take(b"".join(block.parts))
        assert block.after[A].offset == received.offsets[A][-1] + 1
    assert received.offsets == {A: list(range(5, 305))}
    assert len(blocks(of)) > 5


async def test_a_very_large_event_stands_alone_and_is_not_copied() -> None:
    of = feed(A)
    of.max_bytes = 1 << 30
    large = event(6, DEFAULT.max_copied_bytes)
    of.extend(A, [event(5), large, event(7)], Mark(0, 8, 71), 100.0)
    first, alone, last = blocks(of)
    assert [block.events for block in (first, alone, last)] == [1, 1, 1]
    assert any(part is large.json for part in alone.parts)
    assert any(part is large.json for part in alone.ndjson())
    assert [block.after[A].offset for block in (first, alone, last)] == [6, 7, 8]
    received = Received()
    for block in (first, alone, last):
        received.take(b"".join(block.parts))
    assert received.offsets == {A: [5, 6, 7]}


async def test_records_that_are_no_events_move_the_feed_without_a_block() -> None:
    of = feed(A)
    of.extend(A, [], Mark(0, 9, 80), 100.0)
    assert of.after(of.tip) is None
    assert of.vector == {A: Mark(0, 9, 80)}
    of.extend(A, [event(9)], Mark(0, 10, 91), 100.0)
    assert ids(blocks(of)[0]) == [{"a0": "91/10"}]


async def test_the_oldest_blocks_go_and_who_stands_there_is_told() -> None:
    of = feed(A)
    of.max_bytes = 1000
    for offset in range(5, 25):
        of.extend(A, [event(offset, 200)], Mark(0, offset + 1, 1), 100.0)
    assert of.tip == 19
    with pytest.raises(LookupError):
        of.after(-1)
    oldest = next(number for number in range(20) if _has(of, number))
    assert sum(block.nbytes for block in blocks(of, oldest)) <= 1000
    assert blocks(of, oldest)[-1].after[A].offset == 25


def _has(of: Feed, number: int) -> bool:
    try:
        of.after(number)
    except LookupError:
        return False
    return True


async def test_the_newest_block_is_kept_whatever_its_size() -> None:
    of = feed(A)
    of.max_bytes = 10
    of.extend(A, [event(5, 500)], Mark(0, 6, 1), 100.0)
    of.extend(A, [event(6, 500)], Mark(0, 7, 1), 100.0)
    block = of.after(of.tip - 1)
    assert block is not None
    assert block.after[A].offset == 7


async def test_a_feed_that_forgets_keeps_its_position_and_who_had_all_of_it_goes_on() -> None:
    of = feed(A)
    of.extend(A, [event(n) for n in range(5, 8)], Mark(0, 8, 71), 100.0)
    tip, vector = of.tip, dict(of.vector)
    of.forget()
    assert (of.tip, of.vector) == (tip, vector)
    assert of.after(tip) is None
    with pytest.raises(LookupError):
        of.after(tip - 1)
    of.extend(A, [event(8)], Mark(0, 9, 81), 100.0)
    assert [block.events for block in blocks(of, tip)] == [1]


async def test_a_partition_that_is_placed_later_is_in_every_id_from_then_on() -> None:
    of = feed(B)
    of.extend(B, [event(5)], Mark(0, 6, 51), 100.0)
    of.place(A, Mark(0, 0, 7))
    of.extend(B, [event(6)], Mark(0, 7, 61), 100.0)
    first, second = blocks(of)
    assert ids(first) == [{"b1": "51/6"}]
    assert ids(second) == [{"a0": "7/0", "b1": "61/7"}]
    assert A not in first.after
    assert second.after[A] == Mark(0, 0, 7)


async def test_a_partition_that_began_anew_is_a_gap_for_sse_and_nothing_for_ndjson() -> None:
    of = feed(A)
    of.restart(A, Mark(3, 0, 9), Gap("a", 0, 5, 0), 100.0)
    (block,) = blocks(of)
    assert block.parts == (b':gap [{"topic":"a","partition":0,"asked":5,"served":0}]\n',)
    assert block.ndjson() == ()
    assert (block.after, block.events) == ({A: Mark(3, 0, 9)}, 0)
    of.extend(A, [event(0)], Mark(3, 1, 1), 100.0)
    assert ids(blocks(of)[1]) == [{"a0": "1/1"}]


async def test_a_sign_of_life_comes_only_after_a_silence_and_only_where_somebody_listens() -> None:
    of = feed(A)
    of.keep_alive(1000.0)
    assert blocks(of) == []
    of.clients = 1
    of.extend(A, [event(5)], Mark(0, 6, 51), 1000.0)
    of.keep_alive(1014.9)
    assert len(blocks(of)) == 1
    of.keep_alive(1015.1)
    of.keep_alive(1016.0)
    _, comment = blocks(of)
    assert (comment.parts, comment.ndjson(), comment.events) == ((b":\n",), (b"\n",), 0)
    assert comment.after == of.vector
    of.keep_alive(1031.0)
    assert len(blocks(of)) == 3


async def test_no_sign_of_life_where_they_are_switched_off() -> None:
    of = feed(A, keepalive_seconds=0)
    of.clients = 1
    of.keep_alive(1e9)
    assert blocks(of) == []


async def test_all_who_wait_are_woken_by_one_change_and_wait_again_for_the_next() -> None:
    of = feed(A)
    waiting = [asyncio.ensure_future(of.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    of.extend(A, [event(5)], Mark(0, 6, 51), 100.0)
    of.wake(100.0)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    again = asyncio.ensure_future(of.changed())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not again.done()
    of.place(B, Mark(0, 0, 0))
    await asyncio.wait_for(again, 5)


async def test_a_change_soon_after_another_is_not_missed_by_who_waits_only_then() -> None:
    of = feed(A)
    of.extend(A, [event(5)], Mark(0, 6, 51), 100.0)
    of.wake(100.0)
    for offset in (6, 7):
        late = asyncio.ensure_future(of.changed())
        await asyncio.sleep(0)
        of.extend(A, [event(offset)], Mark(0, offset + 1, 51), 100.0)
        of.wake(100.0)
        await asyncio.wait_for(late, 5)


async def test_a_client_joins_at_the_first_block_that_is_not_behind_it() -> None:
    of = feed(A, B)
    for offset in range(5, 10):
        of.extend(A, [event(offset)], Mark(0, offset + 1, 51), 100.0)
    at = dict(of.vector)
    assert of.entry({**at, A: Mark(0, 8, 0)}) == (2, {A: Mark(0, 8, 71), B: Mark(0, 5, 50)}), "it has had exactly that"
    assert of.entry({**at, A: Mark(0, 10, 0)}) == (4, {A: Mark(0, 10, 91), B: Mark(0, 5, 50)})
    assert of.entry({**at, A: Mark(0, 5, 0)}) == (of.tip, at), "how far behind it is, the blocks do not say"
    assert of.entry({**at, A: Mark(0, 11, 0)}) == (of.tip, at), "it is ahead"
    assert of.entry({A: Mark(0, 8, 0), B: Mark(0, 6, 0)}) == (of.tip, at)


async def test_a_client_does_not_join_before_a_partition_was_added_or_began_anew() -> None:
    of = feed(A)
    for offset in range(5, 8):
        of.extend(A, [event(offset)], Mark(0, offset + 1, 51), 100.0)
    of.place(B, Mark(0, 3, 30))
    assert of.entry({A: Mark(0, 7, 0), B: Mark(0, 0, 0)}) == (of.tip, of.vector)
    of.extend(A, [event(8), event(9)], Mark(0, 10, 91), 100.0)
    of.restart(B, Mark(1, 0, 9), Gap("b", 1, 3, 0), 100.0)
    assert of.entry({A: Mark(0, 9, 0), B: Mark(0, 3, 0)}) == (of.tip, of.vector)


async def test_a_client_joins_a_feed_that_has_lost_a_partition_which_was_never_read() -> None:
    """Blocks from before still name it, and the client's position does not."""
    of = feed(A)
    of.track.missing.add(B)
    of.track.await_later(B, Mark(0, -1, 40))
    for offset in (5, 6):
        of.extend(A, [event(offset)], Mark(0, offset + 1, offset * 10 + 1), 100.0)
    of.track.give_up(B)
    for offset in (5, 6, 7):
        assert of.entry({A: Mark(0, offset, 50)}) == (of.tip, {A: Mark(0, 7, 61)})
    other = TopicPartition("c", 0)
    of.place(other, Mark(0, 1, 10))
    for offset in (5, 6, 7):
        assert of.entry({A: Mark(0, offset, 50), other: Mark(0, 1, 10)}) == (of.tip, of.vector)


def test_behind_and_ahead_look_at_every_partition_incarnation_first() -> None:
    at = {A: Mark(1, 5, 0), B: Mark(0, 5, 0)}
    assert not behind(at, at)
    assert not ahead(at, at)
    mixed = {A: Mark(1, 6, 0), B: Mark(0, 4, 0)}
    assert behind(at, mixed)
    assert ahead(at, mixed)
    again = {A: Mark(2, 0, 0), B: Mark(0, 5, 0)}
    assert behind(at, again)
    assert not ahead(at, again)
    assert not behind(at, {A: Mark(1, 5, 99)}), "timestamps do not count, nor partitions that the target lacks"
