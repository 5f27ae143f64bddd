"""The streams' way from the database into the catalogue."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from streams.catalogue.database import read_catalogue, read_layers
from streams.models import Version
from tests.support.around.stream_source import Written, catalogue, edit, some

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "streams.json", **some(*"abcdef"))


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
    caplog.set_level(logging.INFO, "streams.catalogue.database")
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
