"""The newest events of one partition in memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.events import Event
from streams.core.ring import OVERHEAD, Ring

BYTES = OVERHEAD + 10


def event(offset: int, timestamp: int | None = None, size: int = 10) -> Event:
    return Event(offset, offset * 10 if timestamp is None else timestamp, b"x" * size)


def filled(*offsets: int, tip: int, start: int = 0, room: int = 100, before: tuple[int, int] | None = None) -> Ring:
    ring = Ring(start, room * BYTES, before)
    ring.extend([event(offset) for offset in offsets], tip)
    return ring


def offsets(read: tuple[list[Event], int] | None) -> tuple[list[int], int] | None:
    return read and ([event.offset for event in read[0]], read[1])


def test_a_new_ring_knows_that_nothing_has_come_yet() -> None:
    ring = Ring(50, 1000)
    assert (ring.floor, ring.tip, ring.bytes) == (50, 50, 0)
    assert ring.read(50, 60, 1000) == ([], 50)
    assert ring.read(49, 60, 1000) is None
    assert ring.read(51, 60, 1000) is None


def test_a_read_goes_up_to_the_limit_or_the_tip_over_holes() -> None:
    ring = filled(2, 5, 6, 9, tip=12)
    assert offsets(ring.read(0, 100, 10_000)) == ([2, 5, 6, 9], 12)
    assert offsets(ring.read(3, 6, 10_000)) == ([5], 6)
    assert offsets(ring.read(5, 5, 10_000)) == ([], 5)
    assert offsets(ring.read(7, 9, 10_000)) == ([], 9)
    assert offsets(ring.read(10, 100, 10_000)) == ([], 12)
    assert offsets(ring.read(12, 100, 10_000)) == ([], 12)


def test_a_read_stops_at_its_bytes_but_always_gives_one_event() -> None:
    ring = filled(2, 5, 6, 9, tip=12)
    assert offsets(ring.read(0, 100, 1)) == ([2], 3)
    assert offsets(ring.read(0, 100, 20)) == ([2, 5], 6)
    assert offsets(ring.read(9, 100, 1)) == ([9], 12)


def test_the_oldest_events_go_when_the_bytes_are_exceeded_and_the_floor_follows() -> None:
    ring = filled(0, 3, 4, 9, tip=10, room=2)
    assert (ring.floor, ring.tip, ring.bytes) == (4, 10, 2 * BYTES)
    assert ring.read(3, 10, 1000) is None
    assert offsets(ring.read(4, 10, 1000)) == ([4, 9], 10)
    assert ring.before == (3, 30)


def test_one_event_beyond_all_bounds_empties_the_ring_and_is_itself_not_kept() -> None:
    ring = filled(0, 1, tip=2, room=2)
    ring.extend([event(2, size=10_000)], 5)
    assert (ring.floor, ring.tip, ring.bytes) == (3, 5, 0)
    assert offsets(ring.read(3, 10, 1000)) == ([], 5)
    assert ring.before == (2, 20)


def test_the_tip_moves_also_where_no_event_came() -> None:
    ring = filled(tip=7)
    assert (ring.floor, ring.tip) == (0, 7)
    assert offsets(ring.read(0, 100, 1000)) == ([], 7)


@pytest.mark.parametrize(
    ("offset", "timestamp"), [(0, None), (2, None), (3, 20), (5, None), (6, 50), (7, 60), (8, None), (12, None)]
)
def test_the_timestamp_before_an_offset_is_that_of_the_record_right_before_it(
    offset: int, timestamp: int | None
) -> None:
    assert filled(2, 5, 6, tip=12).timestamp_before(offset) == timestamp


def test_the_timestamp_before_the_floor_is_known_where_the_record_right_before_it_is() -> None:
    assert filled(tip=50, start=50, before=(49, 7)).timestamp_before(50) == 7
    assert filled(tip=50, start=50, before=(47, 7)).timestamp_before(50) is None
    assert filled(tip=50, start=50, before=(47, 7)).timestamp_before(48) == 7
    assert filled(tip=50, start=50).timestamp_before(50) is None


def test_what_has_been_evicted_is_no_longer_answered_for() -> None:
    ring = filled(*range(10), tip=10, room=3)
    assert ring.timestamp_before(5) is None
    assert ring.timestamp_before(7) == 60
    assert ring.timestamp_before(8) == 70


def test_a_ring_that_forgets_goes_on_from_its_tip_and_still_knows_the_last_timestamp() -> None:
    ring = filled(*range(10), tip=10)
    ring.forget()
    assert (ring.floor, ring.tip, ring.bytes) == (10, 10, 0)
    assert ring.timestamp_before(10) == 90
    assert ring.read(9, 10, 100) is None
    assert offsets(ring.read(10, 10, 100)) == ([], 10)
    ring.extend([event(10)], 11)
    assert offsets(ring.read(10, 11, 100)) == ([10], 11)


def test_a_ring_without_events_forgets_nothing_of_what_it_knows() -> None:
    ring = filled(tip=50, start=50, before=(49, 7))
    ring.forget()
    assert ring.timestamp_before(50) == 7


_steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300), st.integers(0, 50)), max_size=40), st.integers(0, 3)
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, database=None)
@given(st.integers(0, 20), st.integers(0, 3000), _steps, st.data())
def test_a_ring_answers_as_a_list_of_all_events_would(
    start: int, max_bytes: int, steps: list[tuple[list[tuple[int, int, int]], int]], data: st.DataObject
) -> None:
    ring = Ring(start, max_bytes)
    held: list[Event] = []
    tip = start
    for events, hole in steps:
        new = []
        for distance, size, timestamp in events:
            new.append(event(tip + distance - 1, timestamp, size))
            tip += distance
        tip += hole
        held += new
        ring.extend(new, tip)

    kept = list(held)
    while sum(len(e.json) + OVERHEAD for e in kept) > max_bytes:
        kept.pop(0)
    gone = held[: len(held) - len(kept)]
    floor = gone[-1].offset + 1 if gone else start
    assert (ring.floor, ring.tip) == (floor, tip)
    assert ring.bytes == sum(len(e.json) + OVERHEAD for e in kept) <= max_bytes

    offset = data.draw(st.integers(0, tip + 2))
    limit = data.draw(st.integers(offset, tip + 3))
    room = data.draw(st.integers(1, 600))
    read = ring.read(offset, limit, room)
    if not floor <= offset <= tip:
        assert read is None
    else:
        assert read is not None
        got, following = read
        wanted = [e for e in kept if offset <= e.offset < limit]
        assert got == wanted[: len(got)]
        assert bool(got) == bool(wanted)
        assert sum(len(e.json) for e in got[:-1]) < room
        assert following == (min(limit, tip) if got == wanted else got[-1].offset + 1)
    if offset > floor:
        exact = [e.timestamp for e in kept if e.offset == offset - 1]
        assert ring.timestamp_before(offset) == (exact[0] if exact else None)
