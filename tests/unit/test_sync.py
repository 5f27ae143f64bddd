"""The streams' way from their source into the database, and from there into the catalogue."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from eventstreams_site.conf import load_config
from streams import fetch, sync
from streams.core.catalogue import Catalogue
from streams.models import ConfiguredStream, SyncRun, Version
from streams.stored import read_catalogue, read_layers
from streams.sync import NothingHeldError, SyncResult, apply_held, synchronise
from tests.support import config_server as does
from tests.support.config_server import ConfigServer

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the folder `shared` is not beside the repository")

pytestmark = pytest.mark.django_db


@dataclass
class Source:
    stream_config_uri: str | None
    stream_config_uri_options: Mapping[str, Any] = field(default_factory=dict)
    stream_config_object_path: str | None = None
    stream_config_defaults: Mapping[str, object] = field(default_factory=dict)
    stream_config_overrides: Mapping[str, object] = field(default_factory=dict)
    allowed_streams: Collection[str] | None = None


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Written:
    """A source in a file."""

    def __init__(self, path: Path, **streams: Any) -> None:
        self.path = path
        self.config = Source(str(path))
        self.say(**streams)

    def say(self, **streams: Any) -> None:
        self.path.write_text(json.dumps(streams))

    def sync(self, **options: Any) -> SyncResult:
        return synchronise(self.config, **options)


def some(*names: str, **settings: Any) -> dict[str, Any]:
    return {name: {"topics": [f"eqiad.{name}"], **settings} for name in names}


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "streams.json", **some(*"abcdef"))


def rows() -> dict[str, Any]:
    return {row.name: row.fetched for row in ConfiguredStream.objects.order_by("pk")}


def runs() -> list[tuple[str, str]]:
    """Outcome and error, the oldest first."""
    return list(SyncRun.objects.order_by("pk").values_list("outcome", "error"))


def everything() -> tuple[Any, ...]:
    """All that a synchronisation may write."""
    tables = (ConfiguredStream.objects.order_by("pk"), SyncRun.objects.order_by("pk"), Version.objects.order_by("pk"))
    return tuple(list(table.values()) for table in tables)


def catalogue(config: Any, known: Catalogue | None = None) -> Catalogue:
    found = read_catalogue(config, known)
    assert found is not None
    return found


def edit(name: str, **values: Any) -> None:
    with transaction.atomic():
        Version.raise_for(Version.STREAMS)
        ConfiguredStream.objects.update_or_create(name=name, defaults=values)


# From the source to the rows.


@needs_data
def test_all_of_the_244_production_streams_are_synced_at_once_and_a_second_time_nothing_is_written() -> None:
    config = Source(str(DATA / "streamconfigs.json"), stream_config_object_path="streams")
    began = time.monotonic()
    result = synchronise(config)
    assert time.monotonic() - began < 2
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


@needs_data
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
    assert "Stream bad is left out: its settings have" in caplog.text
    assert written.sync().outcome == "unchanged"
    assert caplog.text.count("left out") == 1


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


# What is wrong with the source.


@pytest.fixture
def server() -> Iterator[ConfigServer]:
    with ConfigServer() as running:
        yield running


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (does.status(500), "the answer is 500"),
        (does.status(404), "the answer is 404"),
        (does.status(200, b"{garbage"), "neither JSON"),
        (does.status(200, b"\xff\xfe\x00"), "not UTF-8"),
        (does.status(200, b"<html>Bad Gateway</html>"), "expected a mapping of stream names, found str"),
        (does.status(200), "found NoneType"),
        (does.status(200, b"[]"), "found list"),
        (does.status(200, b"{}"), "describes no stream"),
        (does.status(200, b'{"x": {}, "/y/": {"topics": ["t"]}}'), "none of its 2 streams can be served"),
        (does.status(200, b'{"x": {"y": NaN}}'), "none of its 1 streams can be served"),
        (does.large(100_000_000, announced=True), "larger than"),
        (does.large(100_000_000, announced=False), "larger than"),
        (does.bomb(50_000_000), "larger than"),
        (does.cut_off(b'{"a": {"topics": ["t"]}}', 5), "without sending complete"),
        (does.silence, "no answer within"),
        (does.dripping(headers=False), "no complete answer within"),
        (does.redirect("file:///etc/passwd"), "not followed"),
    ],
)
def test_whatever_the_source_does_the_last_good_stays_the_failure_is_recorded_once_and_a_good_answer_heals_it(
    server: ConfigServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: does.Answer,
    error: str,
) -> None:
    monkeypatch.setattr(fetch, "READ_SECONDS", 0.3)
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 1.5)
    config = Source(server.url)
    server.answer = does.document(some("a", "b"))
    document = synchronise(config).document
    good = (rows(), Version.of(Version.STREAMS), catalogue(config))

    server.answer = answer
    for _ in range(2):
        failed = synchronise(config, document, force=True)
        document = failed.document
        assert (failed.outcome, failed.is_good) == ("failed", False)
        assert failed.error.startswith(f"{server.url}: ")
        assert error in failed.error
        assert error in caplog.records[-1].getMessage()
        assert caplog.records[-1].levelno == logging.ERROR
    assert runs() == [("changed", ""), ("failed", failed.error)]
    assert (rows(), Version.of(Version.STREAMS)) == good[:2]
    assert read_catalogue(config, good[2]) is None

    server.answer = does.document(some("a", "b"))
    for _ in range(2):
        assert synchronise(config, document).outcome == "unchanged"
    assert runs()[2:] == [("unchanged", "")]
    assert (rows(), Version.of(Version.STREAMS)) == good[:2]


def test_another_failure_than_the_last_one_is_recorded(server: ConfigServer) -> None:
    for code in (500, 500, 404, 500):
        server.answer = does.status(code)
        synchronise(Source(server.url))
    assert [error.partition("answer is ")[2][:3] for _, error in runs()] == ["500", "404", "500"]
    assert read_catalogue(Source(server.url)) is None


def test_a_source_that_was_never_had_gives_no_catalogue_though_overrides_describe_a_stream(written: Written) -> None:
    written.path.unlink()
    written.config.stream_config_overrides = some("a")
    assert written.sync().outcome == "failed"
    assert read_catalogue(written.config) is None
    edit("mine", override={"topics": ["t"]}, allowed="yes")
    assert read_catalogue(written.config) is None


def test_with_the_source_away_at_the_start_what_is_in_the_database_is_served(written: Written) -> None:
    written.sync()
    written.path.unlink()
    assert written.sync().outcome == "failed"
    assert list(catalogue(written.config).streams) == [*"abcdef"]


def test_no_secret_of_the_source_is_kept_or_said(server: ConfigServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "streams")
    uri = f"http://me:s3cret@127.0.0.1:{server.port}/x?token=s3cret"
    config = Source(uri, {"headers": {"X-Key": "s3cret"}})
    said = []
    for answer in (does.document(some("a")), does.status(500), does.status(200, b"[]")):
        server.answer = answer
        said.append(repr(synchronise(config)))
    assert [headers["x-key"] for _, headers in server.requests] == ["s3cret"] * 3
    # The document that is for the next time is not in the repr.
    assert "s3cret" not in repr(said) + repr(everything()) + caplog.text


def test_a_server_that_knows_is_asked_for_changes_only_and_the_rows_are_looked_at_all_the_same(
    server: ConfigServer,
) -> None:
    config = Source(server.url)
    server.answer = does.document(some(*"abc"))
    first = synchronise(config)
    second = synchronise(config, first.document)
    assert (second.outcome, second.document) == ("unchanged", first.document)
    assert [("if-none-match" in headers) for _, headers in server.requests] == [False, True]
    ConfiguredStream.objects.filter(name="b").delete()
    third = synchronise(config, second.document)
    assert (third.outcome, third.added) == ("changed", ("b",))
    other = Source(f"{server.url}/other")
    synchronise(other, third.document)
    assert "if-none-match" not in server.requests[-1][1]


# Too much at once.


def test_a_refresh_that_would_withdraw_more_than_a_fifth_is_held_until_it_is_applied(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    written.sync()
    before = (rows(), Version.of(Version.STREAMS))
    written.say(**some(*"abcd"))
    held = written.sync()
    assert (held.outcome, held.recorded, held.is_good, held.withdrawn) == ("held", True, False, ("e", "f"))
    assert "it would withdraw 2 of 6 streams" in held.error
    assert held.error in caplog.text
    assert (rows(), Version.of(Version.STREAMS)) == before
    everything_then = everything()
    assert (written.sync().outcome, written.sync().recorded) == ("held", False)
    assert everything() == everything_then

    run = SyncRun.objects.get(pending__isnull=False)
    assert run.pending == some(*"abcd")
    written.say(**some("never"))  # what is applied is what was shown
    applied = apply_held(run.pk, written.config, "Ada")
    assert (applied.outcome, applied.removed, applied.withdrawn) == ("applied", ("e", "f"), ("e", "f"))
    assert rows() == some(*"abcd")
    assert Version.of(Version.STREAMS) == before[1] + 1
    last = SyncRun.objects.first()
    assert last is not None
    assert (last.outcome, last.by, last.removed, last.source) == ("applied", "Ada", ["e", "f"], str(written.path))
    with pytest.raises(NothingHeldError):
        apply_held(run.pk, written.config, "Ada")


@pytest.mark.parametrize(("gone", "outcome"), [(2, "changed"), (3, "held")])
def test_a_fifth_is_just_not_too_much(written: Written, gone: int, outcome: str) -> None:
    written.say(**some(*"abcdefghij"))
    written.sync()
    written.say(**some(*"abcdefghij"[gone:]))
    assert written.sync().outcome == outcome


def test_what_counts_is_what_clients_can_read(written: Written) -> None:
    written.config.allowed_streams = ["a", "b"]
    written.sync()
    edit("b", allowed="no")
    edit("f", allowed="yes")
    written.say(**some("a", "f"))
    result = written.sync()
    assert (result.outcome, result.removed, result.withdrawn) == ("changed", ("b", "c", "d", "e"), ())
    written.say(a={}, **some("f"))  # without topics it is withdrawn
    result = written.sync()
    assert (result.outcome, result.changed, result.withdrawn) == ("held", ("a",), ("a",))


def test_force_applies_what_would_be_held(written: Written) -> None:
    written.sync()
    written.say(**some("a"))
    assert written.sync().outcome == "held"
    assert written.sync(force=True, by="Ada").outcome == "changed"
    assert rows() == some("a")
    assert [outcome for outcome, _ in runs()] == ["changed", "held", "changed"]
    assert not SyncRun.objects.filter(pending__isnull=False).exists()


def test_what_is_held_waits_on_while_the_source_fails_and_no_longer_once_it_says_something_else(
    written: Written,
) -> None:
    written.sync()
    written.say(**some("a"))
    written.sync()
    run = SyncRun.objects.get(pending__isnull=False)
    written.path.write_text("")
    assert written.sync().outcome == "failed"
    assert SyncRun.objects.get(pending__isnull=False) == run
    written.say(**some("b"))
    assert written.sync().outcome == "held"
    assert SyncRun.objects.get(pending__isnull=False).pending == some("b")
    written.say(**some(*"abcdef"))
    assert written.sync().outcome == "unchanged"
    assert not SyncRun.objects.filter(pending__isnull=False).exists()
    with pytest.raises(NothingHeldError):
        apply_held(run.pk, written.config, "Ada")


def test_another_document_that_is_held_takes_the_place_of_the_first(written: Written) -> None:
    written.sync()
    for name in "ab":
        written.say(**some(name))
        assert written.sync().recorded
    assert SyncRun.objects.get(pending__isnull=False).pending == some("b")
    assert [outcome for outcome, _ in runs()] == ["changed", "held", "held"]


def test_the_very_first_time_nothing_is_held(written: Written) -> None:
    written.config.stream_config_overrides = some("a")
    edit("b", override={"topics": ["t"]})
    written.say(a="of the wrong kind", **some("c"))
    result = written.sync()
    assert (result.outcome, result.withdrawn) == ("changed", ("a",))
    assert set(catalogue(written.config).streams) == {"b", "c"}


# The history.


def test_the_history_is_bounded_and_keeps_what_is_held(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "HISTORY_RUNS", 5)
    written.sync()
    written.say(**some("a"))
    written.sync()
    held = SyncRun.objects.get(pending__isnull=False)
    for n in range(20):
        written.path.write_text("[" * (n + 1))
        assert written.sync().recorded
    assert SyncRun.objects.count() == 6
    assert SyncRun.objects.filter(pk=held.pk).exists()


def test_where_the_database_fails_the_error_is_the_databases(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(Version, "raise_for", broken)
    before = everything()
    with pytest.raises(DatabaseError, match="disk full"):
        written.sync()
    assert everything()[:2] == before[:2]


@pytest.mark.parametrize("change", [some(*"bcdef"), some("a"), {}])
def test_of_two_that_find_the_same_at_once_the_second_writes_nothing(
    written: Written, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    written.sync()
    written.say(**change)
    lock = Version.lock
    results: list[SyncResult] = []
    afterwards: list[Any] = []

    def lock_after_another(name: str) -> None:
        monkeypatch.setattr(Version, "lock", lock)
        results.append(written.sync())
        afterwards.append(everything())
        lock(name)

    monkeypatch.setattr(Version, "lock", lock_after_another)
    results.append(written.sync())
    assert [result.recorded for result in results] == [True, False]
    assert everything() == afterwards[0]


# From the rows to the catalogue.


def test_the_catalogue_is_read_anew_only_when_the_version_has_risen(written: Written) -> None:
    written.sync()
    first = catalogue(written.config)
    assert first.version == Version.of(Version.STREAMS)
    with CaptureQueriesContext(connection) as queries:
        assert read_catalogue(written.config, first) is None
    assert len(queries) == 1
    edit("a", allowed="no")
    second = catalogue(written.config, first)
    assert list(second.streams) == [*"bcdef"]
    assert second.version == first.version + 1
    assert second.streams["b"] == first.streams["b"]


def test_the_admin_may_deny_all_streams(written: Written) -> None:
    written.sync()
    for name in "abcdef":
        edit(name, allowed="no")
    assert dict(catalogue(written.config).streams) == {}


def test_what_is_skipped_or_ignored_is_logged_when_it_is_new(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    written.say(**some("a", stream_aliases=["b"]), **some("b"), **{"/regular.+/": {}})
    written.sync()
    caplog.clear()
    caplog.set_level(logging.INFO, "streams.stored")
    first = catalogue(written.config)
    assert [record.getMessage() for record in caplog.records] == [
        "Stream /regular.+/ is skipped: its name is a regular expression, not a stream",
        "Stream a: its alias b is the name of another stream",
        "2 streams are exposed, 1 skipped, of 3",
    ]
    caplog.clear()
    edit("a", override={"topics": []})
    edit("c", override={"topics": ["t"]})
    catalogue(written.config, first)
    assert [record.getMessage() for record in caplog.records] == [
        "Stream a is skipped: it has no topics",
        "2 streams are exposed, 2 skipped, of 4: added c; withdrawn a",
    ]


def test_the_layers_for_the_admin_are_those_of_the_catalogue(written: Written) -> None:
    written.sync()
    edit("a", override={"x": 1}, allowed="yes")
    layers = read_layers(written.config)
    assert layers.of("a") == (None, {"topics": ["eqiad.a"]}, None, {"x": 1})
    assert layers.edits["a"].allowed is True
    assert list(layers.edits) == ["a"]
