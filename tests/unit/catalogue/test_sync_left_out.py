"""What of a source cannot be kept, has no effect or stands twice: said in the result, the history and the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.models import SyncRun
from tests.support.around.stream_source import Written, edit, rows, runs, some

pytestmark = pytest.mark.django_db


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "streams.json", **some(*"abcdef"))


@pytest.mark.parametrize("text", ["no: {topics: [t]}\n404: {topics: [t]}\n", "~: {topics: [t]}", "a: {topcis: [t]}"])
def test_a_document_of_which_nothing_can_be_served_fails_and_says_why(written: Written, text: str) -> None:
    """At the start, too: it counted as good, was not asked again, and the service stayed unready forever."""
    written.path.write_text(text)
    result = written.sync()
    assert (result.outcome, result.is_good) == ("failed", False)
    assert "none of its" in result.error
    assert "quote it" in result.error or "did you mean topics by topcis?" in result.error
    assert runs() == [("failed", result.error)]
    written.say(**some("a"))
    assert written.sync().outcome == "changed"
    written.path.write_text(text)
    assert written.sync().outcome == "failed"
    assert rows() == some("a")


def test_an_admin_who_breaks_the_only_stream_does_not_make_its_source_fail(written: Written) -> None:
    written.say(**some("a"))
    written.sync()
    edit("a", override={"topics": []})
    assert written.sync().outcome == "unchanged"
    written.say(a={})
    assert written.sync().outcome == "failed"
    edit("a", override={"topics": ["t"]})
    assert written.sync(force=True).outcome == "changed"


def test_a_stream_described_twice_is_an_error_that_keeps_what_was(written: Written) -> None:
    written.sync()
    for text in ("a: {topics: [t]}\na: {topics: [u]}\n", '{"a": {"topics": ["t"]}, "a": {"topics": ["u"]}}'):
        written.path.write_text(text)
        result = written.sync()
        assert result.outcome == "failed"
        assert 'it has "a" twice' in result.error
    assert rows() == some(*"abcdef")


def test_what_is_left_out_is_in_the_history_once_and_again_when_it_changes(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    good = "".join(f"{name}: {{topics: [eqiad.{name}]}}\n" for name in "abcdef")
    written.path.write_text(good)
    written.sync()
    written.path.write_text(good + "no: {topics: [t]}\n")
    for recorded in (True, False):
        caplog.clear()
        result = written.sync()
        assert (result.outcome, result.recorded) == ("unchanged", recorded)
        assert ("Stream false was skipped" in caplog.text) == recorded
    newest = SyncRun.objects.first()
    assert newest is not None
    ((name, reason),) = newest.left_out
    assert name == "false"
    assert "quote it" in reason
    written.path.write_text(good)
    assert (written.sync().recorded, written.sync().recorded) == (True, False)
    assert SyncRun.objects.first().left_out == []  # type: ignore[union-attr]


def test_what_has_no_effect_is_in_the_result(written: Written) -> None:
    written.say(a={"topics": ["t"], "topic_allowed": ["u"]}, b={"topcis": ["t"]}, **{"/regular.+/": {}})
    assert written.sync().problems == (
        ("b", "it has no topics; did you mean topics by topcis?"),
        ("a", "its setting topic_allowed has no effect; did you mean topics_allowed?"),
    )
