"""The demo's events: their shape, and that the two streams tell the same story."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from jsonschema import Draft7Validator

from streams.demo import DemoPlan, first_instant, parse_duration
from streams.demo_samples import WIKIS
from streams.demo_world import PAGE_CHANGE, RECENTCHANGE, TOPICS, DemoRecord, DemoWorld

SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "data" / "schemas"
START_MS = 1_790_000_000_000
CHANGES = 4000


def changes(seed: int = 1, count: int = CHANGES) -> Iterator[list[DemoRecord]]:
    world = DemoWorld(seed)
    for number in range(count):
        yield world.change(START_MS + number * 77)


@pytest.fixture(scope="module")
def story() -> list[list[DemoRecord]]:
    return list(changes())


@pytest.fixture(scope="module")
def events(story: list[list[DemoRecord]]) -> list[tuple[DemoRecord, dict[str, Any]]]:
    return [(record, json.loads(record.value)) for records in story for record in records]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1800), ("1h", 3600), ("1.5h", 5400), ("2d", 172_800)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 h", "1h30m", "1w", "١h"])
def test_a_duration_without_a_known_unit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"30m, 1h or 2d"):
        parse_duration(text)


def test_without_events_the_history_begins_as_long_ago_as_was_asked() -> None:
    assert first_instant(START_MS, None, DemoPlan(rate=20, backfill=60)) == START_MS - 60_000


def test_where_events_reach_into_the_history_only_what_follows_the_newest_is_written() -> None:
    assert first_instant(START_MS, START_MS - 10_000, DemoPlan(rate=20, backfill=60)) == START_MS - 10_000 + 50


def test_events_older_than_the_history_that_was_asked_leave_it_as_it_is() -> None:
    assert first_instant(START_MS, START_MS - 90_000, DemoPlan(rate=20, backfill=60)) == START_MS - 60_000


def test_the_same_seed_gives_the_same_records(story: list[list[DemoRecord]]) -> None:
    assert list(changes()) == story


def test_another_seed_gives_other_events(story: list[list[DemoRecord]]) -> None:
    ids = {json.loads(record.value)["meta"]["id"] for records in story for record in records}
    others = {json.loads(record.value)["meta"]["id"] for records in changes(seed=2) for record in records}
    assert ids.isdisjoint(others)


def test_every_event_has_an_id_of_its_own(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    ids = [event["meta"]["id"] for _, event in events]
    assert len(ids) == len(set(ids))


def test_the_kafka_timestamp_is_the_event_s_own(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    record, event = events[1]
    assert record.timestamp_ms == START_MS
    assert event["meta"]["dt"] == "2026-09-21T14:13:20.000Z"


def test_all_topics_and_wikis_get_events(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    assert {record.topic for record, _ in events} == set(TOPICS)
    assert {event["meta"]["domain"] for _, event in events} == {"canary"} | {wiki.domain for wiki in WIKIS}


def test_every_event_names_the_stream_of_its_topic(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    assert all(record.topic.endswith(f".{event['meta']['stream']}") for record, event in events)


def test_an_edit_is_told_alike_in_both_streams(story: list[list[DemoRecord]]) -> None:
    kinds = set()
    for records in story:
        recent, *rest = (json.loads(record.value) for record in records)
        if len(rest) != 1:  # no page changed, or canaries
            continue
        (page_change,) = rest
        kinds.add(page_change["page_change_kind"])
        assert [recent["meta"]["stream"], page_change["meta"]["stream"]] == [RECENTCHANGE, PAGE_CHANGE]
        assert recent["meta"]["request_id"] == page_change["meta"]["request_id"]
        assert recent["wiki"] == page_change["wiki_id"]
        assert recent["user"] == page_change["performer"]["user_text"]
        assert recent["bot"] == page_change["performer"]["is_bot"]
        prior = page_change.get("prior_state", {})
        title = prior.get("page", page_change["page"])["page_title"]
        assert recent["title"].replace(" ", "_") == title
        if recent["type"] in ("edit", "new"):
            assert recent["revision"]["new"] == page_change["revision"]["rev_id"]
            assert recent["length"]["new"] == page_change["revision"]["rev_size"]
            assert recent["revision"]["old"] == prior.get("revision", {}).get("rev_id")
            assert recent["user"] == page_change["revision"]["editor"]["user_text"]
        assert (
            records[1].key
            == json.dumps(
                {"page_id": page_change["page"]["page_id"], "wiki_id": recent["wiki"]}, separators=(",", ":")
            ).encode()
        )
    assert kinds == {"edit", "create", "move", "delete"}


def test_the_revisions_of_a_page_follow_each_other(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    newest: dict[tuple[str, int], int] = {}
    followed = 0
    for _, event in events:
        if (
            event["meta"]["stream"] != PAGE_CHANGE
            or event["page_change_kind"] != "edit"
            or event["wiki_id"] == "canary"
        ):
            continue
        page, revision = (event["wiki_id"], event["page"]["page_id"]), event["revision"]
        assert revision["rev_parent_id"] < revision["rev_id"]
        followed += page in newest
        assert newest.get(page, 0) <= revision["rev_parent_id"]
        newest[page] = revision["rev_id"]
    assert followed > 1000


def test_addresses_are_percent_encoded_and_lead_to_the_title(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    for _, event in events:
        if event["meta"]["domain"] == "canary" or event["meta"]["stream"] != RECENTCHANGE:
            continue
        uri = event["meta"]["uri"]
        assert uri.isascii()
        parts = urlsplit(uri)
        assert (parts.netloc, parts.query) == (event["server_name"], "")
        assert unquote(parts.path) == "/wiki/" + event["title"].replace(" ", "_")


def test_ids_of_a_later_run_are_higher() -> None:
    earlier, later = DemoWorld(1), DemoWorld(2)
    first = [json.loads(record.value) for number in range(500) for record in earlier.change(START_MS + number)]
    second = [
        json.loads(record.value) for number in range(500) for record in later.change(START_MS + 86_400_000 + number)
    ]

    def ids(events: list[dict[str, Any]]) -> list[int]:
        return [event["id"] for event in events if "id" in event]

    assert max(ids(first)) < min(ids(second))


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the schemas are not beside this repository")
def test_every_event_keeps_to_its_schema(events: list[tuple[DemoRecord, dict[str, Any]]]) -> None:
    validators: dict[str, Draft7Validator] = {}
    for _, event in events[:3000]:
        name = event["$schema"]
        if name not in validators:
            schema = yaml.safe_load((SCHEMAS / f"{name.lstrip('/')}.yaml").read_text())
            validators[name] = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
        assert [error.message for error in validators[name].iter_errors(event)] == []
    assert len(validators) == 2
