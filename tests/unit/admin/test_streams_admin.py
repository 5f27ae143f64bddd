"""The admin of streams: the list of them, and what the page of one says."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from streams.admin import process as process_module
from streams.engine.memory import MemorySource
from streams.http.service import SCOPE_KEY
from streams.models import SyncRun
from streams.schemas.search import Schema
from tests.support.admin import staff
from tests.support.admin.redaction import GROUP as REDACTION_GROUP
from tests.support.admin.streams import (
    GROUP,
    NO,
    STREAMS,
    YES,
    as_read,
    listed,
    page_of,
    process,
    service_client,
    stream,
    text_of,
)

pytestmark = pytest.mark.django_db


# The list.


def test_the_service_is_looked_for_where_the_server_puts_it() -> None:
    assert process_module.SERVICE_KEY == SCOPE_KEY


def test_a_search_finds_names_topics_aliases_descriptions_and_schemas_all_words_in_any_case(admin: Client) -> None:
    stream("mediawiki.recentchange", {"topics": ["eqiad.rc", "codfw.rc"], "stream_aliases": ["recentchange"]})
    stream("page-create", {"topics": ["pages"], "description": "New Pages", "$schema": "/mediawiki/page/1.0.0"})
    stream("other", {"topics": ["t"], "schema_title": "mediawiki/other"})
    for term, names in {
        "RECENT": ["mediawiki.recentchange"],
        "codfw.rc": ["mediawiki.recentchange"],
        "new pages": ["page-create"],
        "pages new": ["page-create"],
        "mediawiki": ["mediawiki.recentchange", "other", "page-create"],
        "mediawiki other": ["other"],
        "": ["mediawiki.recentchange", "other", "page-create"],
        "absent": [],
        "%": [],
    }.items():
        assert listed(admin, q=term) == names, term


def test_what_is_searched_is_what_is_in_effect(admin: Client) -> None:
    stream("a", {"topics": ["old"]}, override={"topics": ["new"], "stream_aliases": ["short"]})
    assert [listed(admin, q=term) for term in ("old", "new", "short")] == [[], ["a"], ["a"]]


def test_the_filters() -> None:
    last = timezone.now()
    for at in (last - timedelta(hours=2), last):
        SyncRun.objects.create(at=at, seconds=0.1, source="s", outcome=SyncRun.Outcome.CHANGED)
    SyncRun.objects.create(at=last + timedelta(hours=1), seconds=0.1, source="s", outcome=SyncRun.Outcome.FAILED)
    before, after = last - timedelta(hours=1), last + timedelta(seconds=1)
    stream("there", {"topics": ["t"], "schema_title": "x"}, fetched_at=before)
    stream("half", {"topics": ["t", "gone"]}, fetched_at=last)
    stream("denied", {"topics": ["gone"]}, allowed=NO, edited_at=before, fetched_at=before)
    stream("allowed", {"topics": ["t"], "$schema": "/x"}, allowed=YES, edited_at=after, fetched_at=before)
    stream("broken", {}, fetched_at=before)
    stream("unlisted", {"topics": ["t"]}, fetched_at=before)
    stream("mine", fetched=None, override={"topics": ["t"]}, edited_at=after)
    source = MemorySource()
    source.create("t")
    of = process(source=source, allowed_streams=["there", "half", "denied", "broken", "mine"])
    client = service_client(staff("ada", GROUP), of)
    for query, names in {
        ("allowed__exact", NO): ["denied"],
        ("allowed__exact", YES): ["allowed"],
        ("state", "exposed"): ["allowed", "half", "mine", "there"],
        ("state", "hidden"): ["broken", "denied", "unlisted"],
        ("state", "unusable"): ["broken"],
        ("schema", "yes"): ["allowed", "there"],
        ("schema", "no"): ["broken", "denied", "half", "mine", "unlisted"],
        ("topics", "missing"): ["half"],
        ("topics", "there"): ["allowed", "mine", "there"],
        ("changed", "since"): ["allowed", "half", "mine"],
        ("changed", "sync"): ["half"],
        ("changed", "admin"): ["allowed", "mine"],
        ("edited", "override"): ["mine"],
        ("edited", "only"): ["mine"],
    }.items():
        assert listed(client, **dict([query])) == names, query
    assert listed(client, state="exposed", schema="yes", q="t") == ["allowed", "there"]


def test_the_list_says_why_a_stream_cannot_be_read_which_topics_lack_and_who_reads() -> None:
    stream("a", {"topics": ["t", "gone"]})
    stream("denied", allowed=NO)
    stream("broken", {"topics": "x"})
    stream("unlisted")
    source = MemorySource()
    source.create("t")
    of = process([["a"], ["a", "x"], ["x"]], source, allowed_streams=["a", "denied", "broken"])
    answer = service_client(staff("ada", GROUP), of).get(STREAMS)
    rows = [as_read(row) for row in answer.content.decode().split("<tr>")[2:]]
    shown = {row.split()[0]: row for row in rows}
    assert shown["a"] == "a exposed as configured – t gone 1 missing from Kafka 2 Events History"
    assert "unusable topics is not a list of texts but 'x'" in shown["broken"]
    assert "denied by an admin no" in shown["denied"]
    assert "not allowed allowed_streams does not name it" in shown["unlisted"]
    assert "1 of 4 streams are exposed." in text_of(answer)


def test_unusable_streams_come_last_until_a_column_is_chosen(admin: Client) -> None:
    stream("b")
    stream("a", {"topics": "x"})
    stream("c")
    rows = [[row.name for row in admin.get(STREAMS, query).context["cl"].result_list] for query in ({}, {"o": "1"})]
    assert rows == [["b", "c", "a"], ["a", "b", "c"]]


def test_from_a_stream_one_click_leads_to_its_events_its_test_and_its_changes() -> None:
    row, hidden = stream("a.b"), stream("hidden", allowed=NO)
    client = service_client(staff("ada", GROUP, REDACTION_GROUP), process())
    listing = client.get(STREAMS).content.decode()
    demo = "/v2/ui/#/?streams=a.b&amp;run=1"
    for page in (listing, client.get(page_of(row)).content.decode()):
        assert f'href="{demo}"' in page
        assert 'href="/admin/redaction/redactedpage/test/?streams=a.b"' in page
        assert f'href="{STREAMS}{row.pk}/history/"' in page
    assert f'href="{STREAMS}{hidden.pk}/history/"' in listing
    assert "streams=hidden" not in listing
    assert "Events on the demo page" not in client.get(page_of(hidden)).content.decode()
    of = process()
    of.settings.ui_enabled = False
    without = service_client(staff("bob", GROUP), of).get(STREAMS).content.decode()
    assert demo not in without
    assert "redactedpage/test" not in without, "a user who may not test gets no link"


def test_without_the_service_the_list_says_what_is_not_known_here(admin: Client) -> None:
    stream("a")
    text = text_of(admin.get(STREAMS))
    assert "It is unknown which topics Kafka has." in text
    assert "unknown" in text
    assert listed(admin, topics="missing") == []


# One stream.


def test_each_effective_value_says_where_it_comes_from() -> None:
    row = stream("a", {"topics": ["t"], "x": {"one": 1, "two": 1}}, override={"x": {"two": 3}}, fetched_from="file:/s")
    of = process(
        stream_config_defaults={"a": {"description": "d"}}, stream_config_overrides={"a": {"x": {"one": 2}, "y": []}}
    )
    answer = service_client(staff("ada", GROUP), of).get(page_of(row))
    assert [tuple(line) for line in answer.context["lines"]] == [
        ("description", '"d"', "default"),
        ("topics", '["t"]', "fetched"),
        ("x.one", "2", "file override"),
        ("x.two", "3", "admin"),
        ("y", "[]", "file override"),
    ]
    text = text_of(answer)
    assert "From file:/s" in text
    assert json.loads(answer.context["fetched"]) == row.fetched
    assert json.loads(answer.context["in_file"]) == {"x": {"one": 2}, "y": []}
    assert json.loads(answer.context["default"]) == {"description": "d"}


def test_a_key_with_a_dot_in_it_is_told_from_two_keys(admin: Client) -> None:
    row = stream("a", {"topics": ["t"], "x.y": 1, "x": {"y": 2}})
    assert [line.path for line in admin.get(page_of(row)).context["lines"]] == ["topics", '"x.y"', "x.y"]


def test_what_kafka_has_of_each_topic_is_said() -> None:
    row = stream("a", {"topics": ["two", "empty", "gone"], "topics_allowed": ["spare"]})
    source = MemorySource()
    source.create("two", 2)
    source.create("empty")
    source.create("spare")
    minutes_ago = int(timezone.now().timestamp() - 300) * 1000
    source.append("two", b"{}", 1_700_000_000_000)
    source.append("two", b"{}", 1_700_000_100_000)
    source.append("two", b"{}", minutes_ago, partition=1)
    source.skip("two", partition=1)
    answer = service_client(staff("ada", GROUP), process([["a"], ["b"]], source)).get(page_of(row))
    two, empty, gone, spare = answer.context["topic_lines"]
    assert (two.number, two.offsets, two.since, two.age) == (2, "4", "2023-11-14 22:13:20", "5 min ago")
    assert two.partitions == ("0: 0 to 1", "1: 0 to 1")
    assert (empty.number, empty.offsets, empty.since, empty.age) == (1, "0", "", "")
    assert (gone.topic, gone.number) == ("gone", 0)
    assert spare.topic == "spare"
    text = text_of(answer)
    assert text.count("This topic is missing from Kafka.") == 1
    assert "1 client of this server process reads it now." in text


@pytest.mark.parametrize("away", ["said", "silent", "stalled"])
def test_where_kafka_is_away_the_page_says_so_and_works(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = stream("a")
    source = MemorySource()
    source.create("a")
    of = process(source=source)
    if away == "said":
        of.hub.available = False
    elif away == "silent":
        source.available = False
    else:

        async def never(*_: Any) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr("streams.admin.topic_facts.PATIENCE_SECONDS", 0.05)
        of.hub.lookups.bounds = never
    answer = service_client(staff("ada", GROUP), of).get(page_of(row))
    assert answer.status_code == 200
    text = text_of(answer)
    said = {
        "said": "Kafka cannot be reached.",
        "silent": "Kafka did not answer: the source is switched off.",
        "stalled": "Kafka did not answer within 2 seconds.",
    }
    assert said[away] in text
    assert "Effective settings" in text


def test_one_silent_broker_hides_nothing_of_what_the_others_say() -> None:
    row = stream("a", {"topics": ["a", "b"]})
    source = MemorySource()
    source.create("a", broker=1)
    source.create("b", broker=2)
    for number in range(7):
        source.append("a", b"{}", 1_600_000_000_000 + number)
    of = process(source=source)
    source.silent = {2}
    text = text_of(service_client(staff("ada", GROUP), of).get(page_of(row)))
    assert "Kafka did not answer for some partitions: broker 2: no answer." in text
    assert "7" in text.split("Kafka did not answer")[1] or "7 " in text


def test_kafka_is_not_asked_for_topics_of_streams_that_nobody_can_read() -> None:
    row = stream("a", allowed=NO)
    source = MemorySource()
    source.create("a")
    text = text_of(service_client(staff("ada", GROUP), process(source=source)).get(page_of(row)))
    assert "Kafka is only asked for the topics of exposed streams." in text


def test_without_the_service_a_page_says_what_it_does_not_know(admin: Client) -> None:
    text = text_of(admin.get(page_of(stream("a"))))
    assert "so the settings of the configuration file are unknown and not shown" in text
    assert "Unknown: this page is not served by the service" in text


@pytest.mark.parametrize(
    ("settings", "found", "problems", "said"),
    [
        ({}, None, {}, "Schema: None configured."),
        ({"$schema": "/x/1"}, Schema("/srv/x/1", {}), {}, "Schema: Found at /srv/x/1."),
        ({"$schema": "/x/1"}, Schema("/srv/x/1", {}), {"rc": "500; kept"}, "/srv/x/1, but not refreshed: 500; kept."),
        (
            {"$schema": "/x/1"},
            None,
            {"rc": "/x/1 was not found at any of /srv"},
            "documented without one: /x/1 was not found at any of /srv.",
        ),
        ({"schema_title": "x"}, None, {}, "Schema: Not looked up yet, or schema_base_uris is empty."),
    ],
)
def test_the_page_of_a_stream_says_what_became_of_its_schema(
    settings: dict[str, Any], found: Schema | None, problems: dict[str, str], said: str
) -> None:
    row = stream("rc", {"topics": ["t"], **settings})
    service = process()
    service.schemas = SimpleNamespace(of={"rc": found}.get, problems=problems)
    page = service_client(staff("ada", GROUP), service).get(page_of(row))
    assert said in text_of(page)
