"""What a catalogue is held to beyond its types: topics that admins may not give, settings that look mistyped."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.catalogue import Catalogue, Edit, Layers, compile_catalogue


def compiled(fetched: dict[Any, Any]) -> Catalogue:
    return compile_catalogue(Layers(fetched), 1)


def reasons(catalogue: Catalogue) -> dict[str, str]:
    return dict(catalogue.skipped)


CONFIGURED = Layers(
    fetched={"a": {"topics": ["eqiad.a", "__transaction_state"], "topics_allowed": ["codfw.a"]}, "odd": 5},
    defaults={"b": {"topics_allowed": ["eqiad.b"]}},
    overrides={"c": {"topics": ["eqiad.c"]}, 404: {"topics": "eqiad.d"}},
)


@pytest.mark.parametrize(
    ("patterns", "good", "bad"),
    [
        (
            None,
            ["eqiad.a", "codfw.a", "eqiad.b", "eqiad.c"],
            ["other", "eqiad.d", "eqiad.A", "__consumer_offsets", "__transaction_state"],
        ),
        ([], [], ["eqiad.a", "codfw.a", "other"]),
        (["eqiad.*", "x?"], ["eqiad.a", "eqiad.new", "x1"], ["codfw.a", "EQIAD.a", "x", "__consumer_offsets"]),
        (["*"], ["other"], ["__consumer_offsets"]),
        (["[_]*", "?_consumer_offsets"], ["_a"], ["__consumer_offsets"]),
        (["__consumer_*"], ["__consumer_offsets"], ["eqiad.a", "__transaction_state"]),
    ],
)
@pytest.mark.parametrize("key", ["topics", "topics_allowed"])
def test_admins_may_only_give_topics_that_are_theirs_to_give(
    patterns: list[str] | None, good: list[str], bad: list[str], key: str
) -> None:
    for topic in good + bad:
        edit = Edit({"topics": good[:1] or ["eqiad.a"], key: [topic]})
        layers = CONFIGURED._replace(admin_topics=patterns).with_edit("mine", edit)
        catalogue = compile_catalogue(layers, 1)
        assert ("mine" in catalogue.streams) == (topic in good), topic
        if topic in bad:
            assert "admins may not give a stream the topic" in reasons(catalogue)["mine"]


def test_a_stored_edit_whose_topic_is_no_longer_allowed_takes_its_stream_away_and_no_other() -> None:
    layers = Layers(
        {"a": {"topics": ["a"]}, "b": {"topics": ["b"]}}, edits={"a": Edit({"topics": ["__consumer_offsets"]})}
    )
    catalogue = compile_catalogue(layers, 1)
    assert list(catalogue.streams) == ["b"]
    assert reasons(catalogue) == {
        "a": "admins may not give a stream the topic __consumer_offsets: no other stream of the configuration has it, "
        "and the setting admin_topics names none"
    }


def test_what_the_configuration_itself_says_is_not_held_to_the_topics_of_admins() -> None:
    streams = {name: {"topics": [f"__{name}"]} for name in "abc"}
    layers = Layers({"a": streams["a"]}, {"b": streams["b"]}, {"c": streams["c"]}, {"a": Edit({"x": 1})}, None, [])
    assert set(compile_catalogue(layers, 1).streams) == {*"abc"}


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("topcis", "topics"),
        ("topic", "topics"),
        ("Topics", "topics"),
        ("topic_allowed", "topics_allowed"),
        ("topicsAllowed", "topics_allowed"),
        ("stream_alias", "stream_aliases"),
        ("desciption", "description"),
        ("schema", "$schema"),
        ("schema-title", "schema_title"),
        ("canary_event_enabled", "canary_events_enabled"),
    ],
)
def test_a_setting_that_looks_mistyped_is_named(wrong: str, meant: str) -> None:
    catalogue = compiled({"a": {"topics": ["t"], wrong: ["x"]}})
    assert catalogue.problems == (("a", f"its setting {wrong} has no effect; did you mean {meant}?"),)
    assert catalogue.streams["a"].settings[wrong] == ["x"]


def test_a_stream_whose_topics_are_mistyped_says_so() -> None:
    assert reasons(compiled({"a": {"topcis": ["t"]}})) == {"a": "it has no topics; did you mean topics by topcis?"}


def test_settings_of_other_software_are_no_mistakes() -> None:
    others = ["stream", "topic_prefixes", "producers", "consumers", "sample", "destination_event_service", "title"]
    others += ["message_key_fields", "enabled", "x" * 1000, "", "schema_version", "provides"]
    assert compiled({"a": {"topics": ["t"], **dict.fromkeys(others, 1), "topics_allowed": []}}).problems == ()
