"""The admin of streams: many at once, the history, who may do what, and the real number of streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from streams.catalogue import edits
from streams.catalogue.edits import Wanted
from streams.models import ConfiguredStream, Version
from tests.support.admin import client_of, messages, staff
from tests.support.admin.streams import (
    AS_CONFIGURED,
    GROUP,
    NO,
    RUNS,
    STREAMS,
    SYNC,
    YES,
    edit,
    listed,
    now,
    page_of,
    process,
    service_client,
    stream,
    text_of,
)

REAL_STREAMS = Path(__file__).resolve().parents[2] / "data" / "streamconfigs.json"

pytestmark = pytest.mark.django_db


# Many at once.


def act(client: Any, action: str, *rows: ConfiguredStream, **more: str) -> Any:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(STREAMS, data, follow=True)


def test_many_are_denied_at_once_after_a_question_and_allowed_again() -> None:
    rows = [stream(name) for name in ("a", "b", "c")]
    client = service_client(staff("ada", GROUP), process([["a", "b"], ["b"], ["c"]]))
    question = act(client, "deny", *rows[:2])
    assert question.context["affected"].withdrawn == ("a", "b")
    assert "2 clients of this server process read these streams now and will be disconnected." in text_of(question)
    assert not ConfiguredStream.objects.filter(allowed=NO).exists()
    before = Version.of(Version.STREAMS)
    data = {name: question.context[name] for name in ("streams", "allowed")} | {"step": "apply", "confirmed": "a,b"}
    answer = client.post(STREAMS + "allowed/", data, follow=True)
    assert messages(answer) == ["2 streams set to “no”; it takes effect in every process within 3 seconds: a, b."]
    assert sorted(ConfiguredStream.objects.filter(allowed=NO).values_list("name", flat=True)) == ["a", "b"]
    assert Version.of(Version.STREAMS) == before + 1
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["allowed: as configured → no"] * 2
    assert act(client, "deny", *rows[:2]).context["messages"]  # nothing to ask, nothing to do
    assert Version.of(Version.STREAMS) == before + 1
    act(client, "allow", *rows)
    assert set(ConfiguredStream.objects.values_list("allowed", flat=True)) == {YES}


def test_what_became_exposed_since_the_question_is_asked_about_too() -> None:
    rows = [stream("a"), stream("b", allowed=NO)]
    client = service_client(staff("ada", GROUP), process())
    data = {"streams": ",".join(str(row.pk) for row in rows), "allowed": NO, "step": "apply", "confirmed": "a"}
    edits.write({"b": Wanted({}, YES)}, staff("grace"))
    assert client.post(STREAMS + "allowed/", data).context["affected"].withdrawn == ("a", "b")
    assert now("a").allowed == AS_CONFIGURED


def test_what_is_denied_by_the_configuration_again_is_asked_about() -> None:
    row = stream("a", allowed=YES)
    client = service_client(staff("ada", GROUP), process(allowed_streams=[]))
    assert act(client, "as_configured", row).context["affected"].withdrawn == ("a",)
    client = service_client(staff("grace", GROUP), process())
    act(client, "as_configured", row)
    assert now("a").allowed == AS_CONFIGURED


def test_of_many_those_that_cannot_be_served_stay_as_they_are_with_the_reason(admin: Client) -> None:
    rows = [stream("good", allowed=NO), stream("broken", {})]
    answer = act(admin, "allow", *rows)
    assert messages(answer) == [
        "“broken” was not changed: it has no topics.",
        "1 stream set to “yes”; it takes effect in every process within 3 seconds: good.",
    ]
    assert (now("good").allowed, now("broken").allowed) == (YES, AS_CONFIGURED)


def test_nothing_is_deleted_in_bulk(admin: Client, admin_client: Client) -> None:
    row = stream("mine", fetched=None, override={"topics": ["t"]})
    for client in (admin, admin_client):
        act(client, "delete_selected", row, post="yes")
        assert "delete_selected" not in client.get(STREAMS).content.decode()
    assert ConfiguredStream.objects.exists()


@pytest.mark.parametrize("data", [{}, {"streams": "x", "allowed": NO}, {"streams": "1,2", "allowed": "perhaps"}])
def test_numbers_and_words_that_are_none_change_nothing(admin: Client, data: dict[str, str]) -> None:
    stream("a")
    assert admin.post(STREAMS + "allowed/", {**data, "step": "apply", "confirmed": "a"}).status_code == 302
    assert Version.of(Version.STREAMS) == 0


# The history.


def test_every_edit_is_in_the_history_with_what_was_and_what_is(admin: Client) -> None:
    row = stream("a", {"topics": ["a", "t"]}, override={"x": {"y": 1, "z": 1}})
    admin.post(page_of(row), edit(row, '{"x": {"y": true, "z": 1}, "topics": ["t"]}', YES, step="apply", confirmed="a"))
    stream("mine", fetched=None, override={"topics": ["t"]})
    edits.remove("mine", staff("grace"))
    answer = admin.get(STREAMS + "history/")
    shown = [(e.object_repr, str(e.user), e.get_change_message(), key) for e, _, key in answer.context["entries"]]
    assert shown == [
        ("mine", "grace", 'topics: ["t"] → nothing', None),
        ("a", "ada", 'allowed: as configured → yes; x.y: 1 → true; topics: nothing → ["t"]', row.pk),
    ]
    for query, names in {"grace": ["mine"], "x.y": ["a"], "mine topics": ["mine"], "absent": []}.items():
        found = admin.get(STREAMS + "history/", {"q": query}).context["entries"]
        assert [entry.object_repr for entry, _, _ in found] == names, query
    to = admin.get(f"{STREAMS}{row.pk}/history/")
    assert to["Location"] == f"{STREAMS}history/?q=a"


# Who may do what.


def test_the_group_may_do_what_the_admin_of_streams_has_and_nothing_else() -> None:
    permissions = Permission.objects.filter(group__name=GROUP)
    assert sorted(f"{each.content_type.app_label}.{each.codename}" for each in permissions) == [
        "streams.add_configuredstream",
        "streams.change_configuredstream",
        "streams.delete_configuredstream",
        "streams.sync",
        "streams.view_configuredstream",
        "streams.view_syncrun",
    ]
    client = client_of(staff("ada", GROUP))
    assert client.get("/admin/redaction/redactedpage/").status_code == 403
    assert client.get("/admin/auth/user/").status_code == 403


def test_who_may_only_view_changes_nothing_and_is_offered_nothing() -> None:
    row = stream("mine", fetched=None, override={"topics": ["t"]})
    viewers = Group.objects.create(name="viewers")
    viewers.permissions.set(Permission.objects.filter(codename__in=("view_configuredstream", "view_syncrun")))
    client = client_of(staff("eve", "viewers"))
    markup = client.get(page_of(row)).content.decode()
    assert "Effective settings" in markup
    for offered in ("<textarea", "Remove</a>", "Save"):
        assert offered not in markup
    markup = client.get(STREAMS).content.decode()
    for offered in ("Add a stream", "Sync now", 'name="action"'):
        assert offered not in markup
    posts = {
        page_of(row): edit(row, allowed=NO, step="apply", confirmed="mine"),
        STREAMS + "add/": {"name": "x", "override": '{"topics": ["t"]}', "allowed": YES, "step": "apply"},
        f"{STREAMS}{row.pk}/delete/": {},
        STREAMS + "allowed/": {"streams": str(row.pk), "allowed": NO, "step": "apply", "confirmed": "mine"},
        SYNC: {},
        RUNS + "1/apply/": {},
    }
    for path, data in posts.items():
        assert client.post(path, data).status_code == 403, path
    client.post(STREAMS, {"action": "deny", "_selected_action": [str(row.pk)]})
    assert (now("mine"), Version.of(Version.STREAMS)) == (Wanted({"topics": ["t"]}), 0)


def test_staff_without_the_group_see_no_page_of_it_and_strangers_the_login() -> None:
    row = stream("a")
    stranger = Client()
    eve = client_of(staff("eve"))
    own_history = f"{STREAMS}{row.pk}/history/"
    for path in (STREAMS, page_of(row), STREAMS + "add/", STREAMS + "history/", own_history, RUNS):
        assert eve.get(path).status_code == 403, path
        assert stranger.get(path)["Location"].startswith("/admin/login/"), path
    assert "Stream configuration" not in eve.get("/admin/").content.decode()


# With many streams.


def test_with_the_real_streams_a_page_asks_the_database_a_few_times_and_no_more(
    django_assert_max_num_queries: Any,
) -> None:

    real = json.loads(REAL_STREAMS.read_text())["streams"]
    ConfiguredStream.objects.bulk_create(ConfiguredStream(name=n, fetched=s) for n, s in real.items())
    client = client_of(staff("ada", GROUP))
    row = ConfiguredStream.objects.get(name="mediawiki.recentchange")
    paths = [f"{STREAMS}?{query}" for query in ("", "q=recentchange", "state=exposed", "topics=missing&schema=yes")]
    for path in (*paths, page_of(row), STREAMS + "history/", "/admin/"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        assert len(queries) <= 16, (path, [query["sql"][:90] for query in queries])
    assert listed(client, q="mediawiki recentchange") == ["mediawiki.recentchange"]
    everything = {"action": "deny", "_selected_action": ["0"], "select_across": "1"}
    question = client.post(STREAMS, everything)
    assert question.context["count"] == 244
    data = {name: question.context[name] for name in ("streams", "allowed")}
    confirmed = ",".join(question.context["affected"].names)
    client.post(STREAMS + "allowed/", {**data, "step": "apply", "confirmed": confirmed})
    assert ConfiguredStream.objects.filter(allowed=NO).count() == 244
