"""That each step of the hot path's benchmark does what it is timed for; how long it takes is left to the benchmark."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import hotpath
from streams.core.events import Event, Record

EVENTS = 40


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotpath, "EVENTS", EVENTS)
    monkeypatch.setattr(hotpath, "ROUNDS", 2)


@pytest.fixture
def records() -> list[Record]:
    return hotpath.records()


@pytest.fixture
def events(records: list[Record]) -> list[Event]:
    return hotpath.encoded(records, hotpath.NOTHING_LISTED)


def test_encode_makes_events_of_the_size_of_recentchange(events: list[Event]) -> None:
    for number, event in enumerate(events):
        decoded = json.loads(event.json)
        assert decoded["seq"] == number
        assert decoded["meta"]["offset"] == event.offset == number // hotpath.PARTITIONS
        assert 1_300 < len(event.json) < 1_600


def test_redact_is_of_events_that_have_something_to_remove(records: list[Record], events: list[Event]) -> None:
    redacted = hotpath.encoded(records, hotpath.LISTED)
    assert len(redacted) == EVENTS
    for before, after in zip(events, redacted, strict=True):
        assert b"ExampleBot" in before.json
        assert b"ExampleBot" not in after.json


def test_every_event_gets_an_id_of_its_own_that_names_all_partitions(events: list[Event]) -> None:
    written = hotpath.ids(events)
    assert len(set(written)) == EVENTS
    for entries in map(_entries, written):
        assert [(entry["topic"], entry["partition"]) for entry in entries] == sorted(hotpath.TOPICS)
    assert all(entry["cursor"].endswith(f":{EVENTS // 2}") for entry in _entries(written[-1]))


def test_the_feed_has_framed_every_event_once(events: list[Event]) -> None:
    feed = hotpath.framed(events)
    body, number = b"", -1
    while block := feed.after(number):
        body += b"".join(block.parts)
        number += 1
    assert _sequence(body.split(b"\n")) == sorted(range(EVENTS), key=lambda seq: seq % hotpath.PARTITIONS)


@pytest.mark.parametrize("is_sse", [True, False])
async def test_the_merge_is_of_all_events_in_the_order_of_their_time(records: list[Record], is_sse: bool) -> None:
    _, body = await hotpath.merged(records, is_sse=is_sse)
    assert _sequence(body.split(b"\n")) == list(range(EVENTS))
    assert body.count(b"\nid: ") == (EVENTS if is_sse else 0)


async def test_every_step_is_timed() -> None:
    reported = hotpath.report(await hotpath.measured())
    for costs in reported.values():
        assert set(costs) == {"encode", "redact", "id", "frame", "merge_sse", "merge_ndjson"}
        assert all(cost > 0 for cost in costs.values())


def test_a_step_that_got_much_dearer_is_named() -> None:
    assert hotpath.dearer({"encode": 0.4, "id": 0.1}, {"encode": 0.47, "id": 0.11, "frame": 0.9}) == [
        "encode was 0.4 yardsticks and is 0.47"
    ]


def _entries(written: bytes) -> list[dict[str, Any]]:
    """Of an id, which is written without its brackets."""
    entries: list[dict[str, Any]] = json.loads(b"[%b]" % written)
    return entries


def _sequence(lines: list[bytes]) -> list[int]:
    return [json.loads(line.removeprefix(b"data: "))["seq"] for line in lines if b'"seq":' in line]
