"""The streams' way from their source into the database."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from eventstreams_site.config.config import load_config
from streams.catalogue.synchronise import synchronise
from streams.models import ConfiguredStream, SyncRun, Version
from tests.support.around.stream_source import Source, Written, catalogue, edit, everything, rows, some

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(__file__).resolve().parents[2] / "data"


pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "streams.json", **some(*"abcdef"))


# From the source to the rows.


def test_all_of_the_244_production_streams_are_synced_at_once_and_a_second_time_nothing_is_written() -> None:
    config = Source(str(DATA / "streamconfigs.json"), stream_config_object_path="streams")
    result = synchronise(config)
    assert (result.outcome, len(result.added), result.recorded) == ("changed", 244, True)
    assert rows() == json.loads((DATA / "streamconfigs.json").read_text())["streams"]
    before = everything()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        again = synchronise(config)
    assert (again.outcome, again.recorded) == ("unchanged", False)
    assert all(query["sql"].startswith("SELECT") for query in queries)
    assert len(queries) == 2
    assert everything() == before
    assert len(catalogue(config).streams) == 242


def test_the_production_configuration_exposes_exactly_its_allowed_streams_with_their_aliases() -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(DATA / "config.production.yaml")})
    assert synchronise(config).outcome == "changed"
    found = catalogue(config)
    assert set(found.streams) == set(config.allowed_streams or ())
    assert found.problems == ()
    assert found.aliases == {
        "page-create": "mediawiki.page-create",
        "page-delete": "mediawiki.page-delete",
        "page-links-change": "mediawiki.page-links-change",
        "page-move": "mediawiki.page-move",
        "page-properties-change": "mediawiki.page-properties-change",
        "page-undelete": "mediawiki.page-undelete",
        "recentchange": "mediawiki.recentchange",
        "revision-create": "mediawiki.revision-create",
        "test": "eventgate-main.test.event",
    }
    mutation = found.streams["rdf-streaming-updater.mutation.v2"]
    assert mutation.topics == ("eqiad.rdf-streaming-updater.mutation",)
    assert mutation.topics_allowed == ("eqiad.rdf-streaming-updater.mutation", "codfw.rdf-streaming-updater.mutation")
    assert synchronise(config).outcome == "unchanged"


def test_the_development_streams_that_ship_are_served_under_both_names(caplog: pytest.LogCaptureFixture) -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(ROOT / "config" / "development.yaml")})
    synchronise(config)
    found = catalogue(config)
    assert dict(found.aliases) == {
        "recentchange": "mediawiki.recentchange",
        "page_change": "mediawiki.page_change.v1",
        "revision-create": "mediawiki.revision-create",
        "page-create": "mediawiki.page-create",
        "page-move": "mediawiki.page-move",
        "page-delete": "mediawiki.page-delete",
        "page-links-change": "mediawiki.page-links-change",
    }
    for stream in found.streams.values():
        assert stream.topics == (f"eqiad.{stream.name}", f"codfw.{stream.name}")
        assert stream.description
        assert stream.schema_title
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_row_has_what_was_fetched_before_any_merging_and_from_where_and_when(written: Written) -> None:
    written.config.stream_config_defaults = {"a": {"description": "default"}}
    written.config.stream_config_overrides = {"a": {"topics": ["other"]}}
    written.sync()
    row = ConfiguredStream.objects.get(name="a")
    assert row.fetched == {"topics": ["eqiad.a"]}
    assert row.fetched_from == str(written.path)
    assert row.fetched_at == SyncRun.objects.get().at
    assert catalogue(written.config).streams["a"].settings == {"topics": ["other"], "description": "default"}


def test_what_is_added_removed_and_changed_is_written_and_recorded_and_the_rest_is_left_alone(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    written.sync()
    untouched = ConfiguredStream.objects.filter(name__in="bdef").values()
    before = list(untouched)
    version = Version.of(Version.STREAMS)
    caplog.set_level(logging.INFO)
    written.say(**some(*"bdefg"), c={"topics": ["eqiad.c"], "description": "new"})
    result = written.sync(by="Ada")
    assert (result.outcome, result.recorded, result.is_good) == ("changed", True, True)
    assert (result.added, result.removed, result.changed, result.withdrawn) == (("g",), ("a",), ("c",), ("a",))
    assert list(rows()) == [*"bcdefg"]
    assert list(untouched) == before
    assert Version.of(Version.STREAMS) == version + 1
    run = SyncRun.objects.first()
    assert run is not None
    assert (run.outcome, run.by, run.source, run.error) == ("changed", "Ada", str(written.path), "")
    assert (run.added, run.removed, run.changed, run.pending) == (["g"], ["a"], ["c"], None)
    assert run.seconds > 0
    assert "is changed: added g; removed a; changed c; withdrawn a" in caplog.text


def test_a_line_of_the_log_names_no_more_than_some(written: Written, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    written.say(**some(*(f"s{n}" for n in range(30))))
    written.sync()
    assert "s9 and 20 more" in caplog.text
    assert "s10" not in caplog.text


@pytest.mark.parametrize(("before", "after"), [(True, 1), (1, 1.0), ({"x": 0}, {"x": False}), ([1, 2], [2, 1])])
def test_a_change_that_python_does_not_see_is_a_change(written: Written, before: Any, after: Any) -> None:
    written.say(**some("a", x=before))
    written.sync()
    written.say(**some("a", x=after))
    assert written.sync().changed == ("a",)
    assert json.dumps(rows()["a"]["x"]) == json.dumps(after)


def test_keys_in_another_order_are_no_change(written: Written) -> None:
    written.path.write_text('{"a": {"topics": ["t"], "x": 1}, "b": {"topics": ["t"]}}')
    written.sync()
    written.path.write_text('{"b": {"topics": ["t"]}, "a": {"x": 1, "topics": ["t"]}}')
    assert written.sync().outcome == "unchanged"


def test_a_stream_of_any_kind_of_value_has_a_row(written: Written) -> None:
    written.say(a={"topics": ["t"]}, b=None, c=[1], d="text", e=5, f=False)
    assert written.sync().outcome == "changed"
    assert rows() == {"a": {"topics": ["t"]}, "b": {}, "c": [1], "d": "text", "e": 5, "f": False}
    assert written.sync().outcome == "unchanged"
    assert list(catalogue(written.config).streams) == ["a"]


def test_a_stream_that_cannot_be_kept_is_left_out_and_said(written: Written, caplog: pytest.LogCaptureFixture) -> None:
    written.say(**some("a"), bad={"x": "\0"})
    result = written.sync()
    assert list(rows()) == ["a"]
    assert [problem.name for problem in result.left_out] == ["bad"]
    assert "Stream bad was skipped: its settings have" in caplog.text
    assert written.sync().outcome == "unchanged"
    assert caplog.text.count("was skipped") == 1


def test_a_dry_run_says_what_would_be_and_writes_nothing(written: Written, caplog: pytest.LogCaptureFixture) -> None:
    written.sync()
    before = everything()
    caplog.clear()
    written.say(**some(*"abcdeg"))
    result = written.sync(dry_run=True)
    assert (result.outcome, result.added, result.removed, result.recorded) == ("changed", ("g",), ("f",), False)
    written.path.unlink()
    assert written.sync(dry_run=True).outcome == "failed"
    assert everything() == before
    assert caplog.records == []


# Admins' edits and the file's overrides.


def test_a_stream_that_disappears_keeps_its_row_only_if_an_admin_has_edited_it(written: Written) -> None:
    written.sync()
    edit("a", override={"topics": ["kept"]})
    edit("b", allowed="no")
    edit("c", override={}, allowed="as configured")
    written.say(**some(*"def"))
    result = written.sync(force=True)
    assert result.removed == ("a", "b", "c")
    assert rows() == {"a": None, "b": None, **some(*"def")}
    assert list(ConfiguredStream.objects.filter(fetched__isnull=True).values_list("name", flat=True)) == ["a", "b"]
    assert ConfiguredStream.objects.get(name="a").override == {"topics": ["kept"]}
    assert set(catalogue(written.config).streams) == {"a", *"def"}
    assert written.sync().outcome == "unchanged"
    written.say(**some(*"abcdef"))
    assert written.sync().added == ("a", "b", "c")
    assert catalogue(written.config).streams["a"].topics == ("kept",)


def test_a_stream_that_only_an_admin_defined_is_none_of_the_sources_business(written: Written) -> None:
    written.sync()
    edit("mine", override={"topics": ["mine"]}, allowed="yes")
    assert written.sync().outcome == "unchanged"
    written.say(**some(*"abcdefg"))
    assert written.sync().added == ("g",)
    assert catalogue(written.config).streams["mine"].topics == ("mine",)


def test_streams_of_the_files_overrides_have_rows_as_long_as_they_are_there(written: Written) -> None:
    written.config.stream_config_overrides = {"a": {"x": 1}, "file": {"topics": ["t"]}, "bad\0": {"topics": ["t"]}}
    written.sync()
    assert rows() == {**some(*"abcdef"), "file": None}
    assert written.sync().outcome == "unchanged"
    written.say(**some(*"bcdef"))  # a is described by the file alone now
    assert written.sync().removed == ("a",)
    assert rows()["a"] is None
    assert written.sync().outcome == "unchanged"
    written.config.stream_config_overrides = {}
    assert written.sync().removed == ("a", "file")
    assert list(rows()) == [*"bcdef"]


def test_streams_that_the_files_defaults_describe_whole_have_rows_too_and_are_served(written: Written) -> None:
    """The old service serves them."""
    written.config.stream_config_defaults = {
        "whole": {"topics": ["t"], "stream_aliases": ["w"]},
        "alias": {"stream_aliases": ["x"]},
        "a": {"topics": ["no"], "description": "filled"},
    }
    written.sync()
    assert rows() == {**some(*"abcdef"), "whole": None}
    found = catalogue(written.config)
    assert list(found.streams) == [*"abcdef", "whole"]
    assert found.aliases == {"w": "whole"}
    assert (found.streams["a"].topics, found.streams["a"].description) == (("eqiad.a",), "filled")
    assert written.sync().outcome == "unchanged"
    edit("whole", allowed="no")
    assert list(catalogue(written.config).streams) == [*"abcdef"]
    written.config.stream_config_defaults = {}
    assert written.sync().removed == ()  # an admin has an opinion on it
    edit("whole", allowed="as configured")
    assert written.sync().removed == ("whole",)


def test_without_a_uri_defaults_describe_the_streams_too() -> None:
    config = Source(None, stream_config_defaults=some("a"), allowed_streams=["a"])
    assert synchronise(config).added == ("a",)
    assert list(catalogue(config).streams) == ["a"]
    assert synchronise(config).outcome == "unchanged"


def test_without_a_uri_the_overrides_describe_the_streams() -> None:
    config = Source(None, stream_config_overrides=some("a"))
    assert synchronise(config).added == ("a",)
    assert list(catalogue(config).streams) == ["a"]
    before = everything()
    assert synchronise(config).outcome == "unchanged"
    assert everything() == before


def test_without_a_uri_and_anything_else_the_key_to_set_is_named() -> None:
    result = synchronise(Source(None))
    assert (result.outcome, result.is_good) == ("failed", False)
    assert "stream_config_uri is not set" in result.error
    edit("mine", override={"topics": ["t"]}, allowed="yes")
    assert synchronise(Source(None)).outcome == "unchanged"
    assert list(catalogue(Source(None)).streams) == ["mine"]


def test_of_two_streams_with_one_alias_the_one_known_longer_keeps_it(written: Written) -> None:
    written.say(**some("z", stream_aliases=["x"]))
    written.sync()
    written.path.write_text(json.dumps({**some("a", "z", stream_aliases=["x"])}))
    written.sync()
    assert catalogue(written.config).aliases == {"x": "z"}
