"""What is wrong with the streams' source, too much at once, and the history of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from streams.catalogue import fetch
from streams.catalogue import synchronise as synchronise_module
from streams.catalogue.database import read_catalogue
from streams.catalogue.synchronise import NothingHeldError, SyncResult, apply_held, synchronise
from streams.models import ConfiguredStream, SyncRun, Version
from tests.support.around import config_server as does
from tests.support.around.config_server import ConfigServer
from tests.support.around.stream_source import Source, Written, catalogue, edit, everything, rows, runs, some

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "streams.json", **some(*"abcdef"))


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
        (does.status(200, b"{}"), "defines no stream"),
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
    answer: does.Answer,
    error: str,
) -> None:
    config = Source(server.url)
    server.answer = does.document(some("a", "b"))
    document = synchronise(config).document
    good = (rows(), Version.of(Version.STREAMS), catalogue(config))

    server.answer = answer
    for _ in range(2):
        with monkeypatch.context() as hurried:
            hurried.setattr(fetch, "READ_SECONDS", 0.3)
            hurried.setattr(fetch, "TOTAL_SECONDS", 1.5)
            failed = synchronise(config, document, force=True)
        document = failed.document
        assert (failed.outcome, failed.is_good) == ("failed", False)
        assert failed.error.startswith(f"{server.url}: ")
        assert error in failed.error
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
    written: Written,
) -> None:
    written.say(**some(*"abcdefghi"))
    written.sync()
    before = (rows(), Version.of(Version.STREAMS))
    written.say(**some(*"abcd"))
    held = written.sync()
    assert (held.outcome, held.recorded, held.is_good, held.withdrawn) == ("held", True, False, tuple("efghi"))
    assert "it would withdraw 5 of 9 streams" in held.error
    assert (rows(), Version.of(Version.STREAMS)) == before
    everything_then = everything()
    assert (written.sync().outcome, written.sync().recorded) == ("held", False)
    assert everything() == everything_then

    run = SyncRun.objects.get(pending__isnull=False)
    assert run.pending == some(*"abcd")
    written.say(**some("never"))  # what is applied is what was shown
    applied = apply_held(run.pk, written.config, "Ada")
    assert (applied.outcome, applied.removed, applied.withdrawn) == ("applied", tuple("efghi"), tuple("efghi"))
    assert rows() == some(*"abcd")
    assert Version.of(Version.STREAMS) == before[1] + 1
    last = SyncRun.objects.first()
    assert last is not None
    assert (last.outcome, last.by, last.removed, last.source) == ("applied", "Ada", [*"efghi"], str(written.path))
    with pytest.raises(NothingHeldError):
        apply_held(run.pk, written.config, "Ada")


@pytest.mark.parametrize(
    ("total", "gone", "added", "outcome"),
    [
        (3, 1, 0, "changed"),  # a third, but one stream alone
        (9, 4, 0, "changed"),
        (9, 5, 0, "held"),
        (25, 5, 0, "changed"),  # a fifth is just not too much
        (24, 5, 0, "held"),
        (24, 5, 20, "held"),
        (4, 4, 0, "held"),
        (4, 4, 4, "held"),
        (1, 1, 1, "held"),
        (1, 0, 0, "unchanged"),
    ],
)
def test_much_is_more_than_a_fifth_and_five_streams_or_all_and_new_ones_do_not_make_up_for_it(
    written: Written, total: int, gone: int, added: int, outcome: str
) -> None:
    written.config.stream_config_overrides = some("one")
    written.config.allowed_streams = [f"{kind}{n}" for kind in ("old", "new") for n in range(50)]
    written.say(**some(*(f"old{n}" for n in range(total))), unlisted={"topics": ["t"]})
    written.sync()
    kept = some(*(f"old{n}" for n in range(gone, total)), *(f"new{n}" for n in range(added)))
    written.say(**kept, unlisted={"topics": ["t"]})
    assert written.sync().outcome == outcome


def test_what_counts_is_what_clients_can_read(written: Written) -> None:
    written.config.allowed_streams = ["a", "b"]
    written.sync()
    edit("b", allowed="no")
    edit("f", allowed="yes")
    written.say(**some("a", "f"))
    result = written.sync()
    assert (result.outcome, result.removed, result.withdrawn) == ("changed", ("b", "c", "d", "e"), ())
    written.say(a={}, f={}, **some("e"))  # without topics they are withdrawn
    result = written.sync()
    assert (result.outcome, result.changed, result.withdrawn) == ("held", ("a", "f"), ("a", "f"))


def test_a_stream_that_the_source_drops_and_a_default_describes_is_not_withdrawn(written: Written) -> None:
    written.say(**some("a"))
    written.config.stream_config_defaults = some("a", description="whole")
    written.sync()
    written.say(**some("b"))
    result = written.sync()
    assert (result.outcome, result.removed, result.withdrawn) == ("changed", ("a",), ())
    assert rows() == {"a": None, **some("b")}
    assert catalogue(written.config).streams["a"].description == "whole"


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
    monkeypatch.setattr(synchronise_module, "HISTORY_RUNS", 5)
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
