"""The demo's events: that all streams tell the same story, of pages whose history holds together."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from streams.local.demo.samples import LISTED_PAGE, LISTED_WIKI, WIKIS
from streams.local.demo.streams import (
    LINKS_CHANGE,
    PAGE_CHANGE,
    PAGE_CREATE,
    PAGE_DELETE,
    PAGE_MOVE,
    PREDICTION,
    RECENTCHANGE,
    REVISION_CREATE,
    STREAMS,
    TOPICS,
    VISIBILITY_CHANGE,
)
from streams.local.demo.world import DemoRecord, DemoWorld
from tests.support.events.demo import START_MS, STEP_MS, Told, changes, is_canary, told

HOUR_MS = 3_600_000
Story = list[list[DemoRecord]]


@pytest.fixture(scope="module")
def records() -> Story:
    return list(changes())


@pytest.fixture(scope="module")
def story(records: Story) -> list[Told]:
    """What happened, canaries left out."""
    return [told(change) for change in records if not is_canary(change)]


def of_kind(story: list[Told], kind: str) -> list[Told]:
    found = [
        change for change in story if PAGE_CHANGE in change and of(change, PAGE_CHANGE)["page_change_kind"] == kind
    ]
    assert found
    return found


def of(change: Told, stream: str) -> dict[str, Any]:
    (event,) = change[stream]
    return event


# The records


@pytest.mark.slow
def test_the_same_seed_at_the_same_times_gives_the_same_records(records: Story) -> None:
    assert list(changes(count=3000)) == records[:3000]


@pytest.mark.slow
def test_another_seed_gives_other_events(records: Story) -> None:
    ids = {json.loads(record.value)["meta"]["id"] for change in records[:3000] for record in change}
    others = {json.loads(record.value)["meta"]["id"] for change in changes(2, 3000) for record in change}
    assert ids.isdisjoint(others)


def test_every_event_has_an_id_of_its_own(records: Story) -> None:
    ids = [json.loads(record.value)["meta"]["id"] for change in records for record in change]
    assert len(ids) == len(set(ids))


def test_the_kafka_timestamp_is_the_time_of_the_change_and_of_the_event(records: Story) -> None:
    assert {record.timestamp_ms for record in records[1]} == {START_MS + STEP_MS}
    assert {json.loads(record.value)["meta"]["dt"] for record in records[1]} == {"2026-09-21T14:13:20.600Z"}


def test_all_topics_and_wikis_get_events(records: Story) -> None:
    assert {record.topic for change in records if not is_canary(change) for record in change} == set(TOPICS)
    domains = {json.loads(record.value)["meta"]["domain"] for change in records for record in change}
    assert domains == {"canary"} | {wiki.domain for wiki in WIKIS}


def test_there_are_at_least_eight_streams_in_two_datacentres() -> None:
    assert len(STREAMS) >= 8
    assert set(TOPICS) == {f"{datacentre}.{stream}" for datacentre in ("eqiad", "codfw") for stream in STREAMS}


def test_every_event_names_the_stream_of_its_topic(records: Story) -> None:
    for change in records:
        assert all(record.topic.endswith(f".{json.loads(record.value)['meta']['stream']}") for record in change)


def test_what_happens_in_one_datacentre_is_told_there_alone(records: Story) -> None:
    for change in records:
        assert is_canary(change) or len({record.topic.partition(".")[0] for record in change}) == 1


def test_page_change_alone_has_keys_that_name_the_page(records: Story) -> None:
    keyed = 0
    for change in records:
        for record in change:
            event = json.loads(record.value)
            if event["meta"]["stream"] != PAGE_CHANGE or is_canary(change):
                assert record.key is None
                continue
            keyed += 1
            assert json.loads(record.key or b"") == {"page_id": event["page"]["page_id"], "wiki_id": event["wiki_id"]}
    assert keyed > 1000


# Canaries


def test_a_canary_comes_to_every_topic_once_an_hour(records: Story) -> None:
    found = [change for change in records if is_canary(change)]
    assert len(found) == 2
    for change in found:
        assert sorted(record.topic for record in change) == sorted(TOPICS)
        assert change[0].timestamp_ms % HOUR_MS < STEP_MS
        assert all(json.loads(record.value)["meta"]["domain"] == "canary" for record in change)
    assert found[1][0].timestamp_ms - found[0][0].timestamp_ms in range(HOUR_MS - STEP_MS, HOUR_MS + STEP_MS)


def test_a_canary_of_recentchange_is_bare_as_production_s_is(records: Story) -> None:
    canaries = [told(change)[RECENTCHANGE] for change in records if is_canary(change)]
    assert {frozenset(event) for events in canaries for event in events} == {frozenset({"$schema", "meta"})}


# One change, told in every stream that it appears in


def test_each_change_is_told_in_the_streams_that_carry_its_kind(story: list[Told]) -> None:
    seen: dict[str, Counter[str]] = {}
    for change in story:
        kind = of(change, PAGE_CHANGE)["page_change_kind"] if PAGE_CHANGE in change else "log"
        seen.setdefault(kind, Counter()).update(["changes", *change])
    always = {
        "edit": {REVISION_CREATE},
        "create": {REVISION_CREATE, PAGE_CREATE},
        "move": {REVISION_CREATE, PAGE_MOVE},
        "delete": {PAGE_DELETE},
        "visibility_change": {VISIBILITY_CHANGE},
    }
    assert set(seen) == {*always, "log"}
    assert set(seen.pop("log")) == {"changes", RECENTCHANGE}
    for kind, counts in seen.items():
        total = counts.pop("changes")
        assert {stream for stream, count in counts.items() if count == total} == {
            RECENTCHANGE,
            PAGE_CHANGE,
            *always[kind],
        }, kind
    assert set(seen["edit"]) == {RECENTCHANGE, PAGE_CHANGE, REVISION_CREATE, LINKS_CHANGE, PREDICTION}
    assert set(seen["create"]) == {RECENTCHANGE, PAGE_CHANGE, REVISION_CREATE, PAGE_CREATE, LINKS_CHANGE}


def test_all_streams_agree_on_who_did_what_when_to_which_page(story: list[Told]) -> None:
    for change in story:
        recent, *more = change[RECENTCHANGE]
        for stream, event in ((stream, event) for stream, events in change.items() for event in events):
            assert event["meta"]["stream"] == stream
            for name in ("request_id", "domain", "dt"):
                assert event["meta"][name] == recent["meta"][name]
            if stream == RECENTCHANGE:
                continue
            assert event.get("database", event.get("wiki_id")) == recent["wiki"]
            performer = event["performer"]
            assert performer["user_text"] == recent["user"]
            assert performer.get("is_bot", performer.get("user_is_bot")) == recent["bot"]
            page = event.get("page", event)
            state = of(change, PAGE_CHANGE)
            assert (page["page_id"], page["page_title"]) == (state["page"]["page_id"], state["page"]["page_title"])
            assert event.get("rev_id", event.get("revision", {}).get("rev_id")) == state["revision"]["rev_id"]
            assert event["performer"].get("user_id") == state["performer"].get("user_id")
            if stream != LINKS_CHANGE:
                assert event.get("comment", "") == recent["comment"]
            assert event.get("dt", state["dt"]) == state["dt"]
            assert state["dt"][:19] == recent["meta"]["dt"][:19]
        for row in more:
            assert (row["type"], row["namespace"], row["id"]) == ("categorize", 14, recent["id"] + 1)
            assert recent["title"] in row["comment"]
            assert (row["user"], row["timestamp"]) == (recent["user"], recent["timestamp"])


def test_an_edit_has_the_same_revisions_and_sizes_everywhere(story: list[Told]) -> None:
    for change in of_kind(story, "edit") + of_kind(story, "create"):
        recent, state, created = change[RECENTCHANGE][0], of(change, PAGE_CHANGE), of(change, REVISION_CREATE)
        revision, prior = state["revision"], state.get("prior_state", {}).get("revision", {})
        assert recent["revision"] == {"old": prior.get("rev_id"), "new": revision["rev_id"]}
        assert recent["length"] == {"old": prior.get("rev_size"), "new": revision["rev_size"]}
        assert revision.get("rev_parent_id") == prior.get("rev_id") == created.get("rev_parent_id")
        assert recent["title"].replace(" ", "_") == state["page"]["page_title"]
        assert revision["editor"] == state["performer"]
        assert recent["minor"] == revision["is_minor_edit"] == created["rev_minor_edit"]
        assert (created["rev_len"], created["rev_sha1"]) == (revision["rev_size"], revision["rev_sha1"])
        assert created["rev_content_changed"]
        slot = revision["content_slots"]["main"]
        assert created["rev_slots"]["main"]["rev_slot_origin_rev_id"] == slot["origin_rev_id"] == revision["rev_id"]


def test_a_new_page_is_told_alike_by_page_create_and_revision_create(story: list[Told]) -> None:
    for change in of_kind(story, "create"):
        first, revision = of(change, PAGE_CREATE), of(change, REVISION_CREATE)
        assert first | {"meta": None} == revision | {"meta": None}
        assert change[RECENTCHANGE][0]["type"] == "new"
        assert of(change, PAGE_CHANGE)["changelog_kind"] == "insert"
        assert "prior_state" not in of(change, PAGE_CHANGE)


def test_a_move_has_the_same_titles_everywhere_and_leaves_the_content(story: list[Told]) -> None:
    for change in of_kind(story, "move"):
        recent, state, move = of(change, RECENTCHANGE), of(change, PAGE_CHANGE), of(change, PAGE_MOVE)
        old, new = move["prior_state"]["page_title"], move["page_title"]
        assert old != new
        assert (recent["log_type"], recent["title"], recent["log_params"]["target"]) == (
            "move",
            old.replace("_", " "),
            new.replace("_", " "),
        )
        assert state["prior_state"]["page"]["page_title"] == old
        assert state["prior_state"]["revision"]["rev_id"] == move["prior_state"]["rev_id"]
        assert state["prior_state"]["revision"]["rev_sha1"] == state["revision"]["rev_sha1"]
        assert not of(change, REVISION_CREATE)["rev_content_changed"]


def test_a_deletion_is_of_a_page_that_was_created_and_nothing_more_happens_to_it(story: list[Told]) -> None:
    deleted = {
        (event["database"], event["page_id"]): number
        for number, change in enumerate(story)
        for event in change.get(PAGE_DELETE, ())
    }
    created = set()
    for number, change in enumerate(story):
        for event in change.get(PAGE_CHANGE, ()):
            page = (event["wiki_id"], event["page"]["page_id"])
            if event["page_change_kind"] == "create":
                created.add(page)
            assert number <= deleted.get(page, number)
    assert deleted.keys() <= created
    assert len(deleted) > 50


def test_what_was_hidden_of_a_revision_is_not_told_any_more(story: list[Told]) -> None:
    hidden: dict[int, set[str]] = {}
    later = 0
    for change in story:
        for event in change.get(VISIBILITY_CHANGE, ()):
            hidden[event["rev_id"]] = {part for part, visible in event["visibility"].items() if not visible}
            assert all(event["prior_state"]["visibility"].values())
            log = of(change, RECENTCHANGE)
            assert (log["log_type"], log["log_action"], log["log_params"]["ids"]) == (
                "delete",
                "revision",
                [str(event["rev_id"])],
            )
        for event in change.get(PAGE_CHANGE, ()):
            prior = event.get("prior_state", {}).get("revision", {})
            for revision in (event["revision"], prior):
                parts = hidden.get(revision.get("rev_id", 0), set())
                later += bool(parts) and revision is prior
                assert ("editor" in revision) <= ("user" not in parts)
                assert ("comment" in revision) <= ("comment" not in parts)
                if "rev_id" in revision:
                    assert revision["is_editor_visible"] == ("user" not in parts)
                    assert revision["is_comment_visible"] == ("comment" not in parts)
    assert hidden
    assert later


def test_predictions_are_of_edits_of_articles_in_wikipedias_and_add_up(story: list[Told]) -> None:
    predictions = [event for change in story for event in change.get(PREDICTION, ())]
    for event in predictions:
        assert (event["page_change_kind"], event["page"]["namespace_id"]) == ("edit", 0)
        assert event["meta"]["domain"].endswith(".wikipedia.org")
        said = event["predicted_classification"]
        assert sum(said["probabilities"].values()) == pytest.approx(1)
        assert said["probabilities"][said["predictions"][0]] >= 0.5
    answers = {event["predicted_classification"]["predictions"][0] for event in predictions}
    assert answers == {"true", "false"}


def test_links_lead_within_the_wiki_or_to_another_site(story: list[Told]) -> None:
    for change in story:
        for event in change.get(LINKS_CHANGE, ()):
            for link in [*event.get("added_links", ()), *event.get("removed_links", ())]:
                parts = urlsplit(link["link"])
                assert link["link"].isascii()
                assert bool(parts.netloc) == link["external"]
                assert link["external"] or parts.path.startswith("/wiki/")


# Pages over time


def test_the_revisions_of_a_page_follow_each_other(story: list[Told]) -> None:
    revisions: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for change in story:
        for event in change.get(PAGE_CHANGE, ()):
            if event["page_change_kind"] in ("create", "edit", "move"):
                revisions.setdefault((event["wiki_id"], event["page"]["page_id"]), []).append(event)
    followed = 0
    for events in revisions.values():
        for earlier, later in pairwise(events):
            followed += 1
            assert later["revision"]["rev_parent_id"] == earlier["revision"]["rev_id"] < later["revision"]["rev_id"]
            assert later["prior_state"]["revision"]["rev_size"] == earlier["revision"]["rev_size"]
            was = later["prior_state"].get("page", later["page"])["page_title"]
            assert was == earlier["page"]["page_title"]
    assert followed > 5000


def test_only_pages_that_were_created_here_get_another_state_than_a_later_run_knows(story: list[Told]) -> None:
    created = set()
    for change in story:
        for event in change.get(PAGE_CHANGE, ()):
            page = (event["wiki_id"], event["page"]["page_id"])
            if event["page_change_kind"] == "create":
                created.add(page)
            elif event["page_change_kind"] != "edit":
                assert page in created


def test_the_rare_stream_is_silent_for_minutes_and_the_others_are_not(records: Story) -> None:
    times: dict[str, list[int]] = {stream: [START_MS] for stream in STREAMS}
    for change in records:
        for record in change:
            times[record.topic.partition(".")[2]].append(record.timestamp_ms)
    silence = {
        stream: max(later - earlier for earlier, later in pairwise([*stamps, records[-1][0].timestamp_ms]))
        for stream, stamps in times.items()
    }
    assert silence.pop(VISIBILITY_CHANGE) > 10 * 60_000
    assert max(silence.values()) < 6 * 60_000


def test_the_listed_page_is_edited_now_and_then_by_several_people_and_nothing_else_is_done_to_it(
    story: list[Told],
) -> None:
    of_it = [change for change in story if any(row.get("title") == LISTED_PAGE for row in change[RECENTCHANGE])]
    assert 20 < len(of_it) < 200
    assert {tuple(row["title"] for row in change[RECENTCHANGE]) for change in of_it} == {(LISTED_PAGE,)}
    assert {change[RECENTCHANGE][0]["server_name"] for change in of_it} == {LISTED_WIKI.domain}
    assert {of(change, PAGE_CHANGE)["page_change_kind"] for change in of_it} == {"edit"}
    assert len({change[RECENTCHANGE][0]["user"] for change in of_it}) >= 3
    named = [change for change in story if LISTED_PAGE in json.dumps(change, ensure_ascii=False)]
    assert named == of_it  # no other event describes it, nor who edited it


def test_addresses_are_percent_encoded_and_lead_to_the_title(story: list[Told]) -> None:
    for change in story:
        for event in change[RECENTCHANGE]:
            uri = event["meta"]["uri"]
            assert uri.isascii()
            parts = urlsplit(uri)
            assert (parts.netloc, parts.query) == (event["server_name"], "")
            assert unquote(parts.path) == "/wiki/" + event["title"].replace(" ", "_")


def test_ids_of_a_later_run_are_higher() -> None:
    earlier, later = DemoWorld(1), DemoWorld(2)
    runs: list[dict[str, list[int]]] = []
    for world, start_ms in ((earlier, START_MS), (later, START_MS + 60 * 90 * 1000)):
        ids: dict[str, list[int]] = {}
        for number in range(2000):
            for event in told(world.change(start_ms + number * 100)).get(RECENTCHANGE, ()):
                if event["meta"]["domain"] != "canary":
                    ids.setdefault(event["wiki"], []).append(event["id"])
        runs.append(ids)
    first, second = runs
    assert len(first) == len(WIKIS)
    assert all(max(ids) < min(second[wiki]) for wiki, ids in first.items())
