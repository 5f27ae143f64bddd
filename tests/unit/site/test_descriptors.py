"""What a process may open is divided so that Kafka, the database and probes always have theirs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.server import descriptors
from eventstreams_site.server import room as room_module
from eventstreams_site.server.descriptors import bounded, places_of
from eventstreams_site.server.listening import ListenError
from eventstreams_site.server.room import Room


@pytest.mark.parametrize("limit", [100, 256, 1024, 20_000, 1_048_576])
@pytest.mark.parametrize("readers", [1, 8])
def test_something_is_left_for_everything_else(limit: int, readers: int) -> None:
    places = places_of(limit, readers)
    assert places.limit - places.connections >= 40 + 3 * (readers + 3)
    assert 4 <= places.connections - places.streams <= 1_000


def test_too_few_files_end_the_start_with_a_sentence() -> None:
    with pytest.raises(ListenError, match="may have only 64 open files, and needs 89: raise the limit"):
        places_of(64, 8)


@pytest.mark.parametrize(("wanted", "left"), [(10_000, 714), (0, 714), (714, 714), (200, 200)])
def test_max_connections_is_bounded_by_what_is_left(
    wanted: int, left: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(descriptors, "raise_limit", lambda: 1024)
    monkeypatch.setattr(descriptors.dataclasses, "replace", lambda config, **new: SimpleNamespace(**new))
    config: Any = SimpleNamespace(max_connections=wanted, history_readers=8)
    assert bounded(config)[0].max_connections == left
    assert (f"At most {left} streams in a process, although max_connections" in caplog.text) is (left != wanted)


async def test_those_without_a_request_make_room_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Channel:
        def __init__(self, *, is_busy: bool) -> None:
            self._handlingRequest = is_busy
            self.is_closed = False

        def loseConnection(self) -> None:  # noqa: N802
            self.is_closed = True

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(room_module.time, "monotonic", lambda: clock.now)
    places = places_of(105, 8)
    channels = [Channel(is_busy=n % 2 == 0) for n in range(places.connections)]
    room = Room(places, lambda: len(channels))
    for channel in channels:
        room.opened(channel)
        clock.now += 0.01
    assert not room.has_room()
    clock.now += 10.0
    room.make_room()
    assert not any(channel.is_closed for channel in channels), "a request may be on its way"
    room.make_room()
    closed = [n for n, channel in enumerate(channels) if channel.is_closed]
    assert closed
    assert all(n % 2 for n in closed)
    assert min(closed) == 1
    del channels[closed[0]]
    assert room.has_room()
