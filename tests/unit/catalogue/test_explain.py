"""Explaining the catalogue to admins, and judging their edits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue.explain import Origin, explain, validate_edit
from streams.core.catalogue import Edit, Layers, compile_catalogue, deep_merge

TOPICS = {"topics": ["t"]}


def origins(layers: Layers, name: str = "a") -> dict[str, tuple[Any, str]]:
    return {".".join(path): (value, origin.value) for path, value, origin in explain(name, layers).values}


def test_each_value_has_the_layer_that_it_comes_from() -> None:
    layers = Layers(
        fetched={"a": {"topics": ["t"], "x": {"one": 1, "two": 1, "three": 1}}},
        defaults={"a": {"description": "d", "x": {"zero": 0, "one": 0}}},
        overrides={"a": {"x": {"two": 2, "three": 2}}},
        edits={"a": Edit({"x": {"three": 3}, "new": {}})},
    )
    assert origins(layers) == {
        "description": ("d", "default"),
        "topics": (["t"], "fetched"),
        "x.zero": (0, "default"),
        "x.one": (1, "fetched"),
        "x.two": (2, "file override"),
        "x.three": (3, "admin"),
        "new": ({}, "admin"),
    }
    assert explain("a", layers).settings == compile_catalogue(layers, 0).streams["a"].settings
    assert explain("a", layers).reason == ""


def test_a_mapping_that_a_higher_layer_replaced_and_another_put_back_is_of_the_highest() -> None:
    layers = Layers({"a": {"x": {"low": 1}}}, {}, {"a": {"x": 5}}, {"a": Edit({"x": {"high": 1}})})
    assert origins(layers) == {"x.high": (1, "admin")}


SETTINGS = st.recursive(
    st.integers(0, 2) | st.none(), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
MAPPINGS = st.dictionaries(st.sampled_from("xyz"), SETTINGS, max_size=3)


@given(MAPPINGS, MAPPINGS, MAPPINGS, MAPPINGS)
def test_every_value_is_that_of_its_layer_and_without_the_layer_it_is_not_there_for_that_reason(
    default: dict[str, Any], fetched: dict[str, Any], override: dict[str, Any], edit: dict[str, Any]
) -> None:
    layers = Layers({"a": fetched}, {"a": default}, {"a": override}, {"a": Edit(edit)})
    explanation = explain("a", layers)
    rebuilt: dict[str, Any] = {}
    for path, value, origin in explanation.values:
        layer: Any = layers.of("a")[list(Origin).index(origin)]
        for key in path:
            layer = layer[key]
        assert layer == value
        for key in reversed(path):
            value = {key: value}
        rebuilt = deep_merge(rebuilt, value)
    assert rebuilt == explanation.settings
    merged: dict[str, Any] = {}
    for mapping in (default, fetched, override, edit):
        merged = deep_merge(merged, mapping)
    assert explanation.settings == merged


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (Layers({"a": TOPICS}), ""),
        (Layers({"a": TOPICS}, allowed=["b"]), "allowed_streams does not name it"),
        (Layers({"a": TOPICS}, allowed=["b"], edits={"a": Edit({"x": 1})}), "allowed_streams does not name it"),
        (Layers({"a": TOPICS}, allowed=["b"], edits={"a": Edit({}, True)}), ""),
        (Layers({"a": TOPICS}, edits={"a": Edit({}, False)}), "denied by an admin"),
        (Layers({"a": {}}), "it has no topics"),
        (Layers({"a": "text"}), "its configuration is not a mapping but 'text'"),
        (Layers({}, {"a": TOPICS}), ""),
        (Layers({}, {"a": {"description": "d"}}), "no longer defined anywhere"),
        (
            Layers({"a": TOPICS}, edits={"a": Edit({"topics": ["other"]})}),
            "admins may not give a stream the topic other: no other stream of the configuration has it, and the "
            "setting admin_topics names none",
        ),
        (
            Layers({"a": TOPICS}, edits={"a": Edit({"topics_allowed": ["other"]})}, admin_topics=["x"]),
            "admins may not give a stream the topic other: the setting admin_topics does not name it",
        ),
        (Layers({"b": TOPICS}, edits={"a": Edit({}, True)}), "no longer defined anywhere"),
    ],
)
def test_a_stream_that_is_not_exposed_has_the_reason(layers: Layers, reason: str) -> None:
    assert explain("a", layers).reason == reason
    assert (reason == "") == ("a" in compile_catalogue(layers, 0).streams)


def test_what_is_ignored_of_an_exposed_stream_is_said() -> None:
    layers = Layers({"a": {**TOPICS, "stream_aliases": ["b"]}, "b": TOPICS})
    assert explain("a", layers).problems == ("its alias b is the name of another stream",)
    assert explain("b", layers).problems == ()


LAYERS = Layers(
    {
        "a": {"topics": ["t"], "stream_aliases": ["short"]},
        "b": {"topics": ["u"]},
        "broken": {},
        "/regular.*/": TOPICS,
    },
    allowed=["a", "broken"],
    admin_topics=["*"],
)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("a", Edit({})),
        ("a", Edit({"topics": ["other"], "stream_aliases": ["longer"]})),
        ("a", Edit({"stream_aliases": []}, False)),
        ("a", Edit({"stream_aliases": ["a"]})),
        ("a", Edit({"stream_aliases": ["b"]})),  # b is not exposed: its name is free
        ("b", Edit({}, True)),
        ("b", Edit({"description": None, "x": {"y": 1}})),
        ("broken", Edit({"topics": ["mended"]}, True)),
        ("broken", Edit({}, False)),
        ("broken", Edit({"description": "still broken, and not by this"})),
        ("/regular.*/", Edit({}, False)),
        ("new", Edit({"topics": ["t"]}, True)),
        ("new", Edit({"topics": ["t"]})),
    ],
)
def test_a_good_edit_has_nothing_against_it(name: str, edit: Edit) -> None:
    assert validate_edit(name, edit, LAYERS) == []


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("a", Edit(["topics"]), "the override must be a mapping"),  # type: ignore[arg-type]
        ("a", Edit({"topics": []}), "it has no topics"),
        ("a", Edit({"topics": None}), "it has no topics"),
        ("a", Edit({"topics": "t"}), "topics is not a list of texts but 't'"),
        ("a", Edit({"topics": ["a b"]}), "'a b' is no legal topic name"),
        ("a", Edit({"topics_allowed": ["a/b"]}), "'a/b' is no legal topic name"),
        ("a", Edit({"canary_events_enabled": "yes"}), "canary_events_enabled is neither"),
        ("a", Edit({"topics": "t"}, False), "topics is not a list"),
        ("b", Edit({"topics": "t"}), "topics is not a list"),
        ("a", Edit({"stream_aliases": ["x,y"]}), "its alias 'x,y' has a comma"),
        ("b", Edit({"stream_aliases": ["a"]}), "its alias a is the name of another stream"),
        ("b", Edit({"stream_aliases": ["short"]}, True), "its alias short is already one of a"),
        ("broken", Edit({}, True), "it has no topics"),
        ("/regular.*/", Edit({}, True), "its name is a regular expression"),
        ("new", Edit({}), "it has no topics"),
        ("new", Edit({"description": "x"}), "it has no topics"),
        ("new,er", Edit({"topics": ["t"]}), "its name is empty or has a comma"),
        ("short", Edit({"topics": ["t"]}), "stream a: its alias short is the name of another stream"),
    ],
)
def test_a_bad_edit_has_the_reason(name: str, edit: Edit, reason: str) -> None:
    (found,) = validate_edit(name, edit, LAYERS)
    assert found.startswith(reason)


def test_an_edit_is_judged_without_the_one_that_it_replaces() -> None:
    layers = LAYERS.with_edit("a", Edit({"topics": []}))
    assert validate_edit("a", Edit({"topics": ["t"]}), layers) == []
    assert validate_edit("a", Edit({"topics": []}), layers) == ["it has no topics"]
    conflict = Edit({"stream_aliases": ["a"]})
    assert validate_edit("b", conflict, LAYERS.with_edit("b", conflict)) == [
        "its alias a is the name of another stream"
    ]


def test_what_the_fetched_configuration_has_against_itself_is_not_held_against_an_edit() -> None:
    layers = Layers({"a": {**TOPICS, "stream_aliases": ["b"]}, "b": TOPICS})
    assert validate_edit("a", Edit({"description": "x"}), layers) == []
    assert validate_edit("b", Edit({"description": "x"}, True), layers) == []


def test_an_edit_with_a_mistyped_setting_or_a_topic_of_others_is_refused() -> None:
    layers = Layers({"a": {"topics": ["t"]}, "b": {"topics": ["u"]}})
    assert validate_edit("a", Edit({"topcis": ["u"]}), layers) == [
        "its setting topcis has no effect; did you mean topics?"
    ]
    assert validate_edit("a", Edit({"topics": ["u"]}), layers) == []
    (reason,) = validate_edit("a", Edit({"topics": ["__consumer_offsets"]}), layers)
    assert reason.startswith("admins may not give a stream the topic __consumer_offsets: ")


@pytest.mark.parametrize("override", [{"topics": ["other"]}, {"topics": []}, {"topcis": ["t"]}])
def test_a_stream_with_a_bad_override_can_be_denied_as_it_is(override: dict[str, Any]) -> None:
    layers = Layers({"a": {"topics": ["t"]}}, edits={"a": Edit(override)})
    assert validate_edit("a", Edit(override, False), layers) == []
    assert validate_edit("a", Edit(override, True), layers) != []
    assert validate_edit("a", Edit({}, True), layers) == []


def test_a_stream_that_defaults_describe_comes_from_there() -> None:
    layers = Layers({}, {"a": {"topics": ["t"]}}, {"a": {"description": "d"}})
    assert origins(layers) == {"topics": (["t"], "default"), "description": ("d", "file override")}
