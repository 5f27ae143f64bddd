"""The admin of streams: editing one with a preview, adding and removing one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from streams.catalogue import edits
from streams.catalogue.edits import Wanted
from streams.engine.memory import MemorySource
from streams.models import ConfiguredStream, Version
from tests.support.admin import messages, staff
from tests.support.admin.streams import (
    AS_CONFIGURED,
    GROUP,
    NO,
    STREAMS,
    YES,
    edit,
    now,
    page_of,
    process,
    service_client,
    stream,
    text_of,
)

pytestmark = pytest.mark.django_db


# Editing.


def test_an_override_shows_its_effect_before_it_is_applied(admin: Client) -> None:
    row = stream("a", {"topics": ["t"], "x": {"one": 1, "gone": 1}})
    before = Version.of(Version.STREAMS)
    override = json.dumps({"x": {"one": 2, "new": True, "gone": {}}, "description": "<b>"})
    preview = admin.post(page_of(row), edit(row, override))
    assert [tuple(each) for each in preview.context["differences"]] == [
        ("x.one", "changed", "1", "2"),
        ("x.gone", "changed", "1", "{}"),
        ("x.new", "added", "", "true"),
        ("description", "added", "", '"<b>"'),
    ]
    assert "No clients will be disconnected." in text_of(preview)
    assert "<b>" not in preview.content.decode()
    assert (now("a"), Version.of(Version.STREAMS)) == (Wanted({}), before)

    applied = admin.post(page_of(row), edit(row, override, step="apply", confirmed=""), follow=True)
    assert messages(applied) == ["“a” was saved; it takes effect in every process within 3 seconds."]
    row = ConfiguredStream.objects.get(name="a")
    assert row.override == json.loads(override)
    assert (row.edited_by, row.fetched) == ("ada", {"topics": ["t"], "x": {"one": 1, "gone": 1}})
    assert Version.of(Version.STREAMS) == before + 1


def test_the_way_back_from_the_preview_keeps_what_was_written(admin: Client) -> None:
    row = stream("a")
    back = admin.post(page_of(row), edit(row, '{"x":   1}', step="edit"))
    assert back.context["form"]["override"].value() == '{"x":   1}'
    assert not back.context["form"].errors
    assert now("a") == Wanted({})


def test_what_changes_nothing_writes_nothing(admin: Client) -> None:
    row = stream("a", override={"x": 1})
    before = Version.of(Version.STREAMS)
    answer = admin.post(page_of(row), edit(row, '{"x": 1}', step="apply", confirmed="a"), follow=True)
    assert messages(answer) == ["No changes to “a”."]
    assert (Version.of(Version.STREAMS), LogEntry.objects.count()) == (before, 0)


def test_allowing_cuts_nobody_off_and_is_applied_at_once(admin: Client) -> None:
    row = stream("a", allowed=NO)
    answer = admin.post(page_of(row), edit(row, allowed=YES), follow=True)
    assert messages(answer) == ["“a” was saved; it takes effect in every process within 3 seconds."]
    assert now("a").allowed == YES


@pytest.mark.parametrize(
    ("override", "allowed", "withdrawn", "moved"),
    [
        ("{}", NO, ("a",), ()),
        ('{"topics": ["t", "u"]}', AS_CONFIGURED, (), ("a",)),
        ('{"topics_allowed": ["u"]}', AS_CONFIGURED, (), ("a",)),
        ('{"description": "d"}', AS_CONFIGURED, (), ()),
    ],
)
def test_what_cuts_clients_off_says_how_many_are_connected_and_asks(
    override: str, allowed: str, withdrawn: tuple[str, ...], moved: tuple[str, ...]
) -> None:
    row = stream("a", {"topics": ["t"]})
    stream("b")
    client = service_client(staff("ada", GROUP), process([["a"], ["a", "b"], ["b"]]))
    question = client.post(page_of(row), edit(row, override, allowed))
    assert (question.context["affected"].withdrawn, question.context["affected"].moved) == (withdrawn, moved)
    cut = withdrawn + moved
    said = "2 clients of this server process read this stream now and will be disconnected."
    assert (said in text_of(question)) == bool(cut)
    assert now("a") == Wanted({})
    # To say "apply" without having been asked about all of it does not help.
    again = client.post(page_of(row), edit(row, override, allowed, step="apply", confirmed="b"))
    assert (now("a") == Wanted({})) == bool(cut)
    assert (again.status_code == 200) == bool(cut)
    client.post(page_of(row), edit(row, override, allowed, step="apply", confirmed=",".join(cut)))
    assert now("a") == Wanted(json.loads(override), allowed)


@pytest.mark.parametrize(
    ("override", "allowed", "field", "error"),
    [
        (
            "{",
            YES,
            "override",
            "This is not JSON: Expecting property name enclosed in double quotes at line 1, column 2.",
        ),
        ("[]", YES, "override", "Expected an object of settings, such as"),
        ('"topics"', YES, "override", "Expected an object of settings"),
        ('{"a": 1, "a": 2}', YES, "override", 'It has "a" twice; keep one.'),
        ('{"a": NaN}', YES, "override", "JSON has no NaN."),
        ('{"a": 1e999}', YES, "override", "Its settings have a number that JSON cannot represent"),
        ('{"a": "\\u0000"}', YES, "override", "Its settings have a text that contains NUL"),
        ('{"a":' * 60_000, YES, "override", "Ensure this value has at most 100000 characters"),
        ('{"a":' * 3000 + "1" + "}" * 3000, YES, "override", "This JSON is nested too deeply."),
        ('{"a":' * 70 + "1" + "}" * 70, YES, "override", "Its settings are nested deeper than 64 levels."),
        ('{"topics": []}', AS_CONFIGURED, "override", "It has no topics."),
        ('{"topics": null}', AS_CONFIGURED, "override", "It has no topics."),
        ('{"topics": "t"}', AS_CONFIGURED, "override", "Topics is not a list of texts but 't'."),
        ('{"topics": ["a b"]}', NO, "override", "'a b' is no legal topic name"),
        ('{"stream_aliases": ["b"]}', AS_CONFIGURED, "override", "Its alias b is the name of another stream."),
        ('{"$schema": "http://evil.example/x"}', AS_CONFIGURED, "override", "$schema must be a path such as"),
        ("{}", "perhaps", "allowed", "Select a valid choice."),
    ],
)
def test_a_bad_edit_is_refused_with_the_reason_at_its_field(
    admin: Client, override: str, allowed: str, field: str, error: str
) -> None:
    row = stream("a")
    stream("b")
    answer = admin.post(page_of(row), edit(row, override, allowed, step="apply", confirmed="a"))
    assert answer.status_code == 200
    errors = answer.context["form"].errors
    assert list(errors) == [field]
    assert errors[field][0].startswith(error)
    assert "Please correct the error below." in text_of(answer)
    assert (now("a"), Version.of(Version.STREAMS)) == (Wanted({}), 0)


def test_a_stream_that_cannot_be_served_is_not_allowed_and_the_reason_is_at_that_field(admin: Client) -> None:
    row = stream("broken", {})
    errors = admin.post(page_of(row), edit(row, allowed=YES)).context["form"].errors
    assert errors == {"allowed": ["It has no topics."]}
    admin.post(page_of(row), edit(row, allowed=NO))
    assert now("broken").allowed == NO


@pytest.mark.parametrize(
    ("schema", "is_good"),
    [
        ("/mediawiki/page/change/1.0.0", True),
        ("https://schema.example.org/x/1.0.0", True),
        ("http://SCHEMA.example.org/x?y=1", True),
        ("http://schema.example.org:8080/x", False),
        ("https://evil.example/x", False),
        ("https://schema.example.org.evil.example/x", False),
        ("https://schema.example.org@evil.example/x", False),
        ("https://user:password@schema.example.org/x", False),
        ("https://evil.example\\@schema.example.org/x", False),
        ("https://schema.example.org:x/", False),
        ("ftp://schema.example.org/x", False),
        ("file:///etc/passwd", False),
        ("//schema.example.org/x", False),
        ("/../../etc/passwd", False),
        ("/x/%2e%2e/y", False),
        ("@evil.example/x", False),
        ("x", False),
    ],
)
def test_an_admin_may_name_a_schema_by_a_path_or_at_a_host_that_is_configured(schema: str, is_good: bool) -> None:
    row = stream("a")
    client = service_client(staff("ada", GROUP), process(admin_uri_hosts=("schema.example.org",)))
    answer = client.post(page_of(row), edit(row, json.dumps({"$schema": schema})))
    errors = answer.context["form"].errors
    assert (not errors) == is_good
    if not is_good:
        assert "or an http or https URL at schema.example.org" in errors["override"][0]


@pytest.mark.parametrize("title", ["../../x", "/x", "x y", "https://evil.example/x"])
def test_a_schemas_title_is_a_path_below_the_base(admin: Client, title: str) -> None:
    row = stream("a")
    errors = admin.post(page_of(row), edit(row, json.dumps({"schema_title": title}))).context["form"].errors
    assert errors == {"override": ["Schema_title must be a path such as mediawiki/page/change."]}


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(admin: Client) -> None:
    row = stream("a")
    edits.write({"a": Wanted({"x": 1})}, staff("grace"))
    answer = admin.post(page_of(row), edit(row, '{"x": 2}', step="apply", confirmed=""), follow=True)
    assert messages(answer) == [
        "Nothing was saved. The stream has been changed by grace since you opened it. Check it again."
    ]
    assert now("a") == Wanted({"x": 1})


def test_an_override_that_is_emptied_is_gone(admin: Client) -> None:
    row = stream("a", override={"description": "d"})
    admin.post(page_of(row), edit(row, "  ", step="apply", confirmed=""))
    assert now("a") == Wanted({})


# Streams that are defined only here.


def add(client: Any, name: str, override: str = '{"topics": ["t"]}', allowed: str = AS_CONFIGURED, **more: Any) -> Any:
    data = {"name": name, "override": override, "allowed": allowed, "seen": "", **more}
    return client.post(STREAMS + "add/", data, follow=True)


def test_a_stream_is_defined_here_with_a_preview() -> None:
    source = MemorySource()
    source.create("t")
    admin = service_client(staff("ada", GROUP), process(source=source))
    preview = add(admin, "mine")
    assert [each.path for each in preview.context["differences"]] == ["topics"]
    assert "mine is new. It will be exposed" in text_of(preview)
    assert not ConfiguredStream.objects.exists()
    answer = add(admin, "mine", step="apply", confirmed="")
    assert messages(answer) == ["“mine” was saved; it takes effect in every process within 3 seconds."]
    row = ConfiguredStream.objects.get(name="mine")
    assert (row.fetched, row.override, row.edited_by) == (None, {"topics": ["t"]}, "ada")
    assert "The source does not define this stream." in text_of(admin.get(page_of(row)))


def test_it_is_said_where_a_new_stream_would_not_be_exposed() -> None:
    client = service_client(staff("ada", GROUP), process(allowed_streams=["other"]))
    assert "It will not be exposed: allowed_streams does not name it" in text_of(add(client, "mine"))
    assert "It will be exposed" in text_of(add(client, "mine", allowed=YES))


@pytest.mark.parametrize(
    ("name", "override", "field", "error"),
    [
        ("a", '{"topics": ["t"]}', "name", "A stream with this name exists already. Edit that one."),
        ("in-file", '{"topics": ["t"]}', "name", "A stream with this name exists already. Edit that one."),
        ("x,y", '{"topics": ["t"]}', "name", "Its name is empty or has a comma"),
        ("/x/", '{"topics": ["t"]}', "name", "Its name is a regular expression, not a stream."),
        ("x" * 256, '{"topics": ["t"]}', "name", "Its name is longer than 255 characters"),
        ("", '{"topics": ["t"]}', "name", "This field is required."),
        ("mine", '{"topics": []}', "override", "It has no topics."),
        ("mine", "", "override", "It has no topics."),
        ("short", '{"topics": ["t"]}', "override", "Stream a: its alias short is the name of another stream."),
    ],
)
def test_a_stream_that_cannot_be_is_refused_at_its_field(name: str, override: str, field: str, error: str) -> None:
    stream("a", {"topics": ["t"], "stream_aliases": ["short"]})
    of = process(stream_config_overrides={"in-file": {"topics": ["t"]}})
    answer = add(service_client(staff("ada", GROUP), of), name, override, step="apply", confirmed="")
    errors = answer.context["form"].errors
    assert list(errors) == [field]
    assert errors[field][0].startswith(error)
    assert ConfiguredStream.objects.count() == 1


def test_a_stream_of_the_same_name_that_came_meanwhile_is_not_overwritten(admin: Client) -> None:
    add(admin, "mine")
    stream("mine")
    assert "name" in add(admin, "mine", step="apply", confirmed="").context["form"].errors
    assert now("mine") == Wanted({})


def test_a_stream_that_is_defined_only_here_is_removed_after_a_question() -> None:
    row = stream("mine", fetched=None, override={"topics": ["t"]})
    client = service_client(staff("ada", GROUP), process([["mine"]]))
    assert f'href="{STREAMS}{row.pk}/delete/"' in client.get(page_of(row)).content.decode()
    question = client.get(f"{STREAMS}{row.pk}/delete/")
    assert "1 client of this server process reads this stream now and will be disconnected." in text_of(question)
    before = Version.of(Version.STREAMS)
    answer = client.post(f"{STREAMS}{row.pk}/delete/", {}, follow=True)
    assert messages(answer) == ["“mine” was removed; it takes effect in every process within 3 seconds."]
    assert not ConfiguredStream.objects.exists()
    assert Version.of(Version.STREAMS) == before + 1
    assert LogEntry.objects.get().change_message == 'topics: ["t"] → nothing'


def test_a_stream_that_would_come_back_is_not_removed_but_denied() -> None:
    rows = [stream("fetched"), stream("in-file", fetched=None)]
    client = service_client(staff("ada", GROUP), process(stream_config_overrides={"in-file": {"topics": ["t"]}}))
    for row in rows:
        assert "/delete/" not in client.get(page_of(row)).content.decode()
        answer = client.post(f"{STREAMS}{row.pk}/delete/", {}, follow=True)
        assert messages(answer) == [f"“{row.name}” is defined elsewhere and would be re-created; deny it instead."]
    # Also not where the source has come to describe it since the question.
    assert not edits.remove("fetched", staff("grace"))
    assert ConfiguredStream.objects.count() == 2


def test_a_stream_that_is_gone_is_said_to_be_gone(admin: Client) -> None:
    for path in ("4711/change/", "4711/delete/"):
        assert messages(admin.get(STREAMS + path, follow=True)) == ["This stream no longer exists."]


# What is mistyped, and what admins may not give.


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('{"topcis": ["a"]}', "Its setting topcis has no effect; did you mean topics?"),
        ('{"topics": ["__consumer_offsets"]}', "Admins may not give a stream the topic __consumer_offsets"),
        ('{"topics": ["a", "secret"]}', "Admins may not give a stream the topic secret"),
        ('{"topics_allowed": ["secret"]}', "Admins may not give a stream the topic secret"),
    ],
)
def test_an_override_with_a_mistake_or_a_topic_of_others_is_refused(override: str, said: str) -> None:
    row = stream("a")
    client = service_client(staff("ada", GROUP), process(admin_topics=None))
    answer = client.post(page_of(row), edit(row, override, step="apply", confirmed="a"))
    assert said in answer.context["form"].errors["override"][0]
    assert now("a") == Wanted({})


def test_a_new_stream_with_a_topic_of_others_or_mistyped_topics_is_refused() -> None:
    stream("a", {"topics": ["t"]})
    client = service_client(staff("ada", GROUP), process(admin_topics=None))
    for override, said in (
        ('{"topics": ["__consumer_offsets"]}', "Admins may not give a stream the topic __consumer_offsets"),
        ('{"topcis": ["t"]}', "It has no topics; did you mean topics by topcis?"),
    ):
        answer = client.post(f"{STREAMS}add/", {"name": "mine", "override": override, "allowed": YES, "step": "apply"})
        assert said in answer.context["form"].errors["override"][0]
    assert not ConfiguredStream.objects.filter(name="mine").exists()


def test_a_topic_that_kafka_does_not_have_is_named_before_and_after_saving() -> None:
    source = MemorySource()
    source.create("there")
    row = stream("a", {"topics": ["there"]})
    client = service_client(staff("ada", GROUP), process(source=source))
    sent = edit(row, '{"topics": ["there", "tehre"], "topics_allowed": ["gone"]}')
    preview = text_of(client.post(page_of(row), sent))
    for topic in ("tehre", "gone"):
        assert f"The topic {topic} is missing from Kafka:" in preview
    assert "The topic there is missing" not in preview
    answer = client.post(page_of(row), sent | {"step": "apply", "confirmed": "a"}, follow=True)
    assert [each for each in messages(answer) if "Kafka" in each] == [
        f"The topic {topic} of “a” is missing from Kafka: check its name." for topic in ("tehre", "gone")
    ]


def test_where_kafka_is_away_the_preview_says_that_it_does_not_know() -> None:
    source = MemorySource()
    row = stream("a")
    of = process(source=source)
    of.hub.available = False
    text = text_of(service_client(staff("ada", GROUP), of).post(page_of(row), edit(row, '{"topics": ["t"]}')))
    assert "It is unknown whether Kafka has these topics: Kafka cannot be reached." in text
