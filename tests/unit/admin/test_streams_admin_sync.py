"""Synchronisations in the admin: how it stands, "Sync now", the list of what has been, and applying what is held."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from streams.catalogue.synchronise import SyncResult
from streams.core.catalogue import Problem
from streams.engine.memory import MemorySource
from streams.models import ConfiguredStream, SyncRun, Version
from tests.support.admin import client_of, messages, staff
from tests.support.admin.streams import GROUP, RUNS, STREAMS, SYNC, as_read, process, service_client, stream, text_of

Outcome = SyncRun.Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return staff("ada", GROUP)


def run(outcome: str = Outcome.CHANGED, **fields: Any) -> SyncRun:
    values = {"at": timezone.now(), "seconds": 0.25, "source": "http://source/streams", **fields}
    made: SyncRun = SyncRun.objects.create(outcome=outcome, **values)
    return made


def result(outcome: Outcome, **fields: Any) -> SyncResult:
    return SyncResult(outcome, "http://source/streams", 0.1, **fields)


# How it stands: on the front page, and above both lists.

PAGES = ("/admin/", STREAMS, RUNS)


@pytest.mark.parametrize("path", PAGES)
def test_the_age_of_the_last_good_sync_is_said(ada: User, path: str) -> None:
    stream("a")
    of = process()
    of.refresh.last = result(Outcome.UNCHANGED)
    of.refresh.last_good_at = time.time() - 3 * 3600
    text = text_of(service_client(ada, of).get(path))
    assert "Last successful synchronisation: 3 h ago by this server process, from http://source/streams" in text
    assert "1 stream is exposed." in text
    assert "synchronisation failed" not in text


@pytest.mark.parametrize("path", PAGES)
def test_a_failure_is_said_with_its_reason_and_the_age_of_the_last_good_sync_too(ada: User, path: str) -> None:
    of = process()
    of.refresh.last = result(Outcome.FAILED, error="http://source/streams: 500")
    of.refresh.last_good_at = time.time() - 90
    text = text_of(service_client(ada, of).get(path))
    assert "The last synchronisation failed: http://source/streams: 500" in text
    assert "Last successful synchronisation: 90 s ago" in text


@pytest.mark.parametrize("path", PAGES)
def test_what_is_held_is_said_and_leads_to_where_it_is_applied(ada: User, path: str) -> None:
    held = run(Outcome.HELD, pending={"a": {}}, error="it would withdraw 3 of 4 streams")
    of = process()
    of.refresh.last = result(Outcome.HELD, error=held.error)
    answer = service_client(ada, of).get(path)
    text = text_of(answer)
    assert text.count("A synchronisation is awaiting approval. it would withdraw 3 of 4 streams Review it") == 1
    assert "The last synchronisation failed" not in text
    assert f'href="{RUNS}{held.pk}/change/"' in answer.content.decode()


def test_a_process_that_has_had_no_good_sync_yet_says_so(ada: User) -> None:
    run(Outcome.FAILED, error="nobody answers")
    text = text_of(service_client(ada, process()).get("/admin/"))
    assert "This server process has not synchronised successfully yet." in text
    assert "The last synchronisation failed: nobody answers" in text


def test_without_the_service_it_is_said_that_it_is_not_known_here(ada: User) -> None:
    client = client_of(ada)
    assert "The state of the configuration is unknown" in text_of(client.get("/admin/"))
    assert messages(client.post(SYNC, {}, follow=True)) == [
        "This page is not served by the service, so it cannot synchronise."
    ]


# "Sync now".


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            result(Outcome.UNCHANGED),
            ["Synchronised with http://source/streams in 0.1 s: no changes since the last time."],
        ),
        (
            result(
                Outcome.CHANGED,
                added=tuple(f"s{n}" for n in range(12)),
                changed=("b",),
                withdrawn=("c",),
                left_out=(Problem("d", "its name is too long"),),
            ),
            [
                "Synchronised with http://source/streams in 0.1 s: "
                "12 added: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more; 1 changed: b; 1 withdrawn: c.",
                "Stream d was skipped: its name is too long.",
            ],
        ),
        (
            result(Outcome.FAILED, error="http://source/streams: no answer within 10 s"),
            ["Nothing was changed. http://source/streams: no answer within 10 s"],
        ),
        (
            result(Outcome.HELD, error="it would withdraw 3 of 4 streams"),
            ["Nothing was changed. it would withdraw 3 of 4 streams"],
        ),
        (OperationalError("locked"), ["Nothing was changed. The database: locked"]),
    ],
)
def test_sync_now_says_what_it_did_and_leads_back(ada: User, outcome: Any, said: list[str]) -> None:
    of = process()
    of.refresh.next = outcome
    client = service_client(ada, of)
    for back, path in {"index": "/admin/", "streams": STREAMS, "runs": RUNS, "//evil.example": RUNS}.items():
        answer = client.post(SYNC, {"back": back}, follow=True)
        assert answer.redirect_chain == [(path, 302)]
        assert messages(answer) == said
    assert of.refresh.asked_by == ["ada"] * 4


def test_to_look_is_not_to_synchronise(ada: User) -> None:
    of = process()
    assert service_client(ada, of).get(SYNC).status_code == 403
    assert of.refresh.asked_by == []


# What has been.


def test_the_list_says_what_each_run_did_newest_first(ada: User) -> None:
    run(added=["a", "b"], removed=["c"], by="grace")
    run(Outcome.FAILED, error="<b>500</b>")
    answer = client_of(ada).get(RUNS)
    rows = [as_read(row).split(" ", 2)[2] for row in answer.content.decode().split("<tr>")[2:]]
    assert rows[0].startswith("failed – the service 0.25 s <b>500</b>")
    assert rows[1].startswith("changed 2 added, 1 removed grace 0.25 s")
    assert "<b>500" not in answer.content.decode()
    assert len(client_of(ada).get(RUNS, {"outcome__exact": "failed"}).context["cl"].result_list) == 1
    (outcomes,) = answer.context["cl"].filter_specs
    offered = {choice["display"] for choice in outcomes.choices(answer.context["cl"])}
    assert offered == {"All", *Outcome.labels} - {Outcome.DIFFERS.label}, "no run ever has that one"


def test_a_run_names_the_streams_and_cannot_be_edited(ada: User, admin_client: Client) -> None:
    made = run(added=["a", "b"], changed=["c"])
    path = f"{RUNS}{made.pk}/change/"
    answer = client_of(ada).get(path)
    assert "Added: 2 streams a b Removed: – Changed: 1 stream c" in text_of(answer)
    assert "Apply" not in text_of(answer)
    for client in (client_of(ada), admin_client):
        assert client.post(path, {"outcome": "failed"}).status_code == 403
        assert client.post(f"{RUNS}{made.pk}/delete/", {"post": "yes"}).status_code == 403
        assert client.post(RUNS + "add/", {}).status_code == 403


# Applying what is held.


def test_what_is_held_is_applied_after_a_question_exactly_as_it_was_fetched(ada: User) -> None:
    for name in ("a", "b", "c"):
        stream(name)
    held = run(Outcome.HELD, pending={"a": {"topics": ["other"]}, "d": {"topics": ["d"]}}, removed=["b", "c"])
    of = process([["a"], ["b", "c"], ["c"]])
    client = service_client(ada, of)
    path = f"{RUNS}{held.pk}/apply/"
    assert f'href="{path}"' in client.get(f"{RUNS}{held.pk}/change/").content.decode()
    question = client.get(path)
    assert (question.context["affected"].withdrawn, question.context["affected"].moved) == (("b", "c"), ("a",))
    assert "3 clients of this server process read these streams now and will be disconnected." in text_of(question)
    before = Version.of(Version.STREAMS)
    assert ConfiguredStream.objects.count() == 3
    answer = client.post(path, {}, follow=True)
    (said,) = messages(answer)
    assert said.startswith("Applied the configuration fetched from http://source/streams in ")
    assert said.endswith("1 added: d; 2 removed: b, c; 1 changed: a; 2 withdrawn: b, c.")
    assert dict(ConfiguredStream.objects.values_list("name", "fetched")) == {
        "a": {"topics": ["other"]},
        "d": {"topics": ["d"]},
    }
    assert Version.of(Version.STREAMS) == before + 1
    newest = SyncRun.objects.first()
    assert newest is not None
    assert (newest.outcome, newest.by) == (Outcome.APPLIED, "ada")
    assert of.refresh.asked_by == [""], "this process asks again: it still says that something is held"
    # Only once.
    assert messages(client.post(path, {}, follow=True))[0].startswith("No longer pending")
    assert messages(client.get(path, follow=True)) == ["This synchronisation is not awaiting approval."]


# What is left out, ignored, missing.


@pytest.mark.parametrize("path", PAGES)
def test_what_is_amiss_is_said_where_people_look(ada: User, path: str) -> None:
    stream("a", {"topics": ["t", "gone"], "desciption": "x"})
    stream("b", {"topcis": ["t"]})
    stream("mine", fetched=None, override={"topics": ["__consumer_offsets"]})
    source = MemorySource()
    source.create("t")
    of = process(source=source, admin_topics=None)
    of.refresh.last = result(Outcome.UNCHANGED, left_out=(Problem("false", "quote it"),))
    text = text_of(service_client(ada, of).get(path))
    assert "1 stream of the source was skipped false: quote it" in text
    assert "1 stream has topics missing from Kafka a: gone" in text
    if path != RUNS:
        for said in (
            "a: its setting desciption has no effect; did you mean description?",
            "b: it has no topics; did you mean topics by topcis?",
            "mine: admins may not give a stream the topic __consumer_offsets",
        ):
            assert text.count(said) == 1


def test_a_run_says_what_it_left_out(ada: User) -> None:
    of = process()
    row = run(Outcome.CHANGED, left_out=[["false", "quote it"]])
    client = service_client(ada, of)
    assert "1 skipped" in text_of(client.get(RUNS))
    assert "false: quote it" in text_of(client.get(f"{RUNS}{row.pk}/change/"))


def test_sync_now_names_what_has_no_effect_in_the_streams_that_it_touched(ada: User) -> None:
    of = process()
    of.refresh.next = result(
        Outcome.CHANGED, changed=("a",), problems=(Problem("a", "it has no topics"), Problem("z", "old"))
    )
    assert messages(service_client(ada, of).post(SYNC, {}, follow=True))[1:] == ["Stream a: it has no topics."]
