"""Compiling the catalogue of streams, and asking it for streams."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from streams.core.catalogue import Catalogue, Edit, Layers, compile_catalogue, deep_merge


def compiled(
    fetched: dict[Any, Any],
    defaults: dict[str, Any] | None = None,
    overrides: dict[str, Any] | None = None,
    allowed: list[str] | None = None,
    edits: dict[str, Edit] | None = None,
) -> Catalogue:
    return compile_catalogue(Layers(fetched, defaults or {}, overrides or {}, edits or {}, allowed, ["*"]), 7)


def reasons(catalogue: Catalogue) -> dict[str, str]:
    return dict(catalogue.skipped)


def test_a_stream_has_what_its_configuration_says_and_keeps_every_other_key() -> None:
    settings = {
        "topics": ["eqiad.a", "codfw.a", "eqiad.a"],
        "topics_allowed": ["old.a"],
        "stream_aliases": ["short"],
        "description": "What it is",
        "schema_title": "a/b",
        "$schema": "/a/b/1.0.0",
        "canary_events_enabled": True,
        "producers": {"eventgate": {"x": None}},
    }
    catalogue = compiled({"a": settings})
    stream = catalogue.streams["a"]
    assert stream.name == "a"
    assert stream.topics == ("eqiad.a", "codfw.a")
    assert stream.topics_allowed == ("old.a",)
    assert stream.aliases == ("short",)
    assert (stream.description, stream.schema_title, stream.schema_uri) == ("What it is", "a/b", "/a/b/1.0.0")
    assert stream.canary_events_enabled
    assert stream.settings == settings
    assert catalogue.version == 7


def test_settings_that_are_absent_or_null_are_empty() -> None:
    nulls = dict.fromkeys(
        ["topics_allowed", "stream_aliases", "description", "schema_title", "$schema", "canary_events_enabled"]
    )
    catalogue = compiled({"absent": {"topics": ["t"]}, "null": {"topics": ["t"], **nulls}})
    absent, null = catalogue.streams.values()
    for stream in (absent, null):
        assert (stream.topics_allowed, stream.aliases, stream.description) == ((), (), "")
        assert (stream.schema_title, stream.schema_uri, stream.canary_events_enabled) == (None, None, False)


def test_defaults_fill_only_what_the_fetched_configuration_lacks_at_every_depth() -> None:
    catalogue = compiled(
        {"a": {"topics": ["t"], "description": "fetched", "consumers": {"x": {"one": 1}}}},
        defaults={
            "a": {"topics": ["no"], "description": "default", "consumers": {"x": {"one": 0, "two": 2}}, "new": 3}
        },
    )
    assert catalogue.streams["a"].settings == {
        "topics": ["t"],
        "description": "fetched",
        "consumers": {"x": {"one": 1, "two": 2}},
        "new": 3,
    }


def test_overrides_win_at_every_depth_and_replace_a_list_as_a_whole() -> None:
    catalogue = compiled(
        {"a": {"topics": ["t", "u"], "consumers": {"x": {"one": 1}, "y": 2}}},
        overrides={"a": {"topics": ["u"], "consumers": {"x": {"one": 9}}}},
    )
    assert catalogue.streams["a"].settings == {"topics": ["u"], "consumers": {"x": {"one": 9}, "y": 2}}


def test_overrides_create_streams_and_so_do_defaults_that_describe_a_whole_one() -> None:
    """As the old service does; a default without topics only decorates a stream that may come and go."""
    catalogue = compiled(
        {"fetched": {"topics": ["f"]}},
        defaults={
            "whole": {"topics": ["d"], "stream_aliases": ["w"]},
            "both": {"description": "filled"},
            "alias-alone": {"stream_aliases": ["a"]},
            "empty": {"topics": []},
            "none": None,
            "/x/": {"topics": ["t"]},
        },
        overrides={"both": {"topics": ["b"]}, "no-topics": {"description": "x"}},
    )
    assert list(catalogue.streams) == ["fetched", "whole", "both"]
    assert catalogue.get("w") == catalogue.streams["whole"]
    assert catalogue.streams["both"].description == "filled"
    assert reasons(catalogue) == {
        "no-topics": "it has no topics",
        "/x/": "its name is a regular expression, not a stream",
    }


def test_a_default_that_describes_a_whole_stream_is_held_to_the_whitelist_and_to_admins() -> None:
    whole = {"d": {"topics": ["d"]}}
    assert list(compiled({}, defaults=whole, allowed=["d"]).streams) == ["d"]
    assert list(compiled({}, defaults=whole, allowed=[]).streams) == []
    assert compiled({}, defaults=whole, allowed=["d"]).problems == ()
    assert list(compiled({}, defaults=whole, edits={"d": Edit({}, False)}).streams) == []
    assert compiled({"d": {"topics": ["f"]}}, defaults=whole).streams["d"].topics == ("f",)


def test_compiling_leaves_what_was_fetched_as_it_was() -> None:
    fetched = {"a": {"topics": ["t"], "x": {"y": 1}}}
    compiled(fetched, {"a": {"x": {"z": 2}}}, {"a": {"topics": ["u"], "x": {"y": 3}}})
    assert fetched == {"a": {"topics": ["t"], "x": {"y": 1}}}


def test_regular_expressions_and_streams_without_topics_are_skipped_with_their_reasons() -> None:
    catalogue = compiled({"/^job.+/": {"topics": ["t"]}, "none": {}, "empty": {"topics": []}, "ok": {"topics": ["t"]}})
    assert list(catalogue.streams) == ["ok"]
    assert reasons(catalogue) == {
        "/^job.+/": "its name is a regular expression, not a stream",
        "none": "it has no topics",
        "empty": "it has no topics",
    }


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["topics"], "not a mapping"),
        ("text", "not a mapping"),
        (5, "not a mapping"),
        ({"topics": "t"}, "topics is not a list of texts"),
        ({"topics": {"t": 1}}, "topics is not a list of texts"),
        ({"topics": ["t", 5]}, "topics is not a list of texts"),
        ({"topics": ["t"], "topics_allowed": "t"}, "topics_allowed is not a list of texts"),
        ({"topics": ["t"], "stream_aliases": [None]}, "stream_aliases is not a list of texts"),
        ({"topics": ["t"], "description": 5}, "description is not text"),
        ({"topics": ["t"], "schema_title": ["a"]}, "schema_title is not text"),
        ({"topics": ["t"], "$schema": {}}, "$schema is not text"),
        ({"topics": ["t"], "canary_events_enabled": "yes"}, "canary_events_enabled"),
        ({"topics": ["a b"]}, "'a b' is no legal topic name"),
        ({"topics": ["/^x/"]}, "no legal topic name"),
        ({"topics": [""]}, "no legal topic name"),
        ({"topics": ["."]}, "no legal topic name"),
        ({"topics": ["x" * 250]}, "no legal topic name"),
        ({"topics": ["тема"]}, "no legal topic name"),
        ({"topics": ["t\n"]}, "no legal topic name"),
        ({"topics": ["t"], "topics_allowed": ["a,b"]}, "no legal topic name"),
    ],
)
def test_a_stream_with_a_value_of_the_wrong_kind_is_skipped_and_the_others_are_served(settings: Any, word: str) -> None:
    catalogue = compiled({"bad": settings, "good": {"topics": ["x" * 249]}})
    assert list(catalogue.streams) == ["good"]
    assert word in reasons(catalogue)["bad"]


@pytest.mark.parametrize("name", ["", "a,b", "a/b", "a b", "a\n", 5, None])
def test_a_stream_whose_name_no_client_could_ask_for_is_skipped(name: object) -> None:
    catalogue = compiled({name: {"topics": ["t"]}})
    assert not catalogue.streams
    assert list(reasons(catalogue)) == [str(name)]


def test_only_allowed_streams_are_exposed_and_the_others_are_not_reported() -> None:
    catalogue = compiled({"a": {"topics": ["t"]}, "b": {"topics": ["t"]}, "c": {}}, allowed=["b"])
    assert list(catalogue.streams) == ["b"]
    assert catalogue.skipped == catalogue.problems == ()


def test_an_empty_whitelist_allows_nothing() -> None:
    assert not compiled({"a": {"topics": ["t"]}}, allowed=[]).streams


def test_the_whitelist_goes_by_canonical_names() -> None:
    assert not compiled({"a": {"topics": ["t"], "stream_aliases": ["short"]}}, allowed=["short"]).streams


def test_an_allowed_stream_that_is_not_configured_is_a_problem_and_a_skipped_one_is_said_once() -> None:
    catalogue = compiled({"b": {}}, allowed=["a", "b"])
    assert [name for name, _ in catalogue.problems] == ["a"]
    assert [name for name, _ in catalogue.skipped] == ["b"]


def test_a_streams_own_name_outranks_another_ones_alias() -> None:
    catalogue = compiled({"a": {"topics": ["t"], "stream_aliases": ["b", "c"]}, "b": {"topics": ["u"]}})
    assert catalogue.resolve(["b"])[0][0].name == "b"
    assert catalogue.streams["a"].aliases == ("c",)
    assert [name for name, _ in catalogue.problems] == ["a"]


def test_of_two_equal_aliases_the_first_counts() -> None:
    catalogue = compiled(
        {n: {"topics": ["t"], "stream_aliases": ["x"]} for n in ("second-by-letter", "first-by-letter")}
    )
    assert catalogue.aliases == {"x": "second-by-letter"}
    assert catalogue.streams["first-by-letter"].aliases == ()
    assert [name for name, _ in catalogue.problems] == ["first-by-letter"]


def test_an_alias_equal_to_the_streams_own_name_is_no_alias_and_no_problem() -> None:
    catalogue = compiled({"a": {"topics": ["t"], "stream_aliases": ["a"]}})
    assert (catalogue.streams["a"].aliases, dict(catalogue.aliases), catalogue.problems) == ((), {}, ())


def test_an_alias_that_no_client_could_ask_for_is_a_problem() -> None:
    catalogue = compiled({"a": {"topics": ["t"], "stream_aliases": ["x,y", "z"]}})
    assert catalogue.streams["a"].aliases == ("z",)
    assert [name for name, _ in catalogue.problems] == ["a"]


def test_the_name_of_a_stream_that_is_not_exposed_is_free_for_an_alias() -> None:
    catalogue = compiled({"a": {"topics": ["t"], "stream_aliases": ["b"]}, "b": {"topics": ["u"]}}, allowed=["a"])
    assert catalogue.resolve(["b"])[0][0].name == "a"


def test_streams_are_resolved_by_name_and_alias_each_once_in_the_order_of_the_request() -> None:
    catalogue = compiled({n: {"topics": ["t"], "stream_aliases": [n * 2]} for n in ("a", "b", "c")})
    streams, invalid = catalogue.resolve(["cc", "a", "c", "a", "aa"])
    assert [stream.name for stream in streams] == ["c", "a"]
    assert invalid == []


def test_names_that_lead_nowhere_are_given_back_as_asked() -> None:
    catalogue = compiled({"a": {"topics": ["t"]}})
    streams, invalid = catalogue.resolve(["A", "a", "", "nope", "nope"])
    assert [stream.name for stream in streams] == ["a"]
    assert invalid == ["A", "", "nope"]


def test_the_catalogue_cannot_be_changed() -> None:
    catalogue = compiled({"a": {"topics": ["t"]}})
    with pytest.raises(TypeError):
        catalogue.streams["b"] = catalogue.streams["a"]  # type: ignore[index]
    with pytest.raises(TypeError):
        catalogue.streams["a"].settings["topics"] = []  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.streams["a"].name = "b"  # type: ignore[misc]


def test_a_stream_can_be_a_member_of_a_set() -> None:
    stream = compiled({"a": {"topics": ["t"], "x": {"y": []}}}).streams["a"]
    assert stream in {stream}


def test_a_deep_merge_replaces_where_only_one_side_is_a_mapping() -> None:
    assert deep_merge({"a": {"b": 1}, "c": 2}, {"a": None, "c": {"d": 3}}) == {"a": None, "c": {"d": 3}}


# The admin's edits.


def test_an_edit_wins_over_every_other_layer_at_every_depth() -> None:
    catalogue = compiled(
        {"a": {"topics": ["t"], "x": {"fetched": 1, "file": 1, "admin": 1}}},
        defaults={"a": {"x": {"default": 0, "admin": 0}}},
        overrides={"a": {"description": "file", "x": {"file": 2, "admin": 2}}},
        edits={"a": Edit({"description": "admin", "x": {"admin": 3}})},
    )
    assert catalogue.streams["a"].settings == {
        "topics": ["t"],
        "description": "admin",
        "x": {"default": 0, "fetched": 1, "file": 2, "admin": 3},
    }


def test_an_edit_may_take_a_value_away_by_null() -> None:
    catalogue = compiled({"a": {"topics": ["t"], "description": "x"}}, edits={"a": Edit({"description": None})})
    assert catalogue.streams["a"].description == ""


@pytest.mark.parametrize("allowed", [None, ["a"], ["b"], []])
def test_an_admins_yes_and_no_outrank_the_whitelist_and_none_leaves_it_to_that(allowed: list[str] | None) -> None:
    fetched = {"a": {"topics": ["t"]}}

    def exposed(yes_or_no: bool | None) -> bool:
        return "a" in compiled(fetched, allowed=allowed, edits={"a": Edit({}, yes_or_no)}).streams

    assert exposed(True)
    assert not exposed(False)
    assert exposed(None) == (allowed is None or "a" in allowed)


def test_a_stream_that_is_denied_is_reported_neither_as_skipped_nor_as_not_configured() -> None:
    catalogue = compiled({"a": {}}, allowed=["a"], edits={"a": Edit({}, False)})
    assert catalogue.skipped == catalogue.problems == ()


def test_a_stream_known_by_an_edit_alone_exists_if_it_has_topics_and_is_allowed() -> None:
    topics = {"topics": ["t"]}
    edits = {
        "yes": Edit(topics, True),
        "listed": Edit(topics),
        "unlisted": Edit(topics),
        "no": Edit(topics, False),
        "without": Edit({"description": "x"}, True),
        "nothing": Edit({}, True),
    }
    catalogue = compiled({}, allowed=["listed"], edits=edits)
    assert list(catalogue.streams) == ["yes", "listed"]
    assert reasons(catalogue) == {"without": "it has no topics"}
    assert set(compiled({}, edits=edits).streams) == {"yes", "listed", "unlisted"}


def test_an_override_of_the_wrong_kind_skips_its_stream_and_no_other() -> None:
    edits: dict[str, Any] = {"a": Edit([1]), "b": Edit({"topics": "t"})}  # type: ignore[arg-type]
    catalogue = compiled({n: {"topics": ["t"]} for n in "abc"}, edits=edits)
    assert list(catalogue.streams) == ["c"]
    assert list(reasons(catalogue)) == ["a", "b"]


def test_an_edit_in_other_layers_makes_other_layers() -> None:
    layers = Layers({"a": {"topics": ["t"]}}, edits={"b": Edit({}, False)})
    edited = layers.with_edit("a", Edit({}, False))
    assert edited.edits == {"b": Edit({}, False), "a": Edit({}, False)}
    assert edited.with_edit("a", None) == layers
    assert layers.edits == {"b": Edit({}, False)}
