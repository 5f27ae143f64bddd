"""Loading the catalogue out of files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventstreams_site.conf import load_config
from streams.sync import StreamConfigError, load_catalogue, read_stream_config

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the folder `shared` is not beside the repository")


@dataclass
class Source:
    stream_config_uri: str | None
    stream_config_object_path: str | None = None
    stream_config_defaults: Mapping[str, object] = field(default_factory=dict)
    stream_config_overrides: Mapping[str, object] = field(default_factory=dict)
    allowed_streams: Collection[str] | None = None


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "streams"
    path.write_text(text, encoding="utf-8")
    return str(path)


@needs_data
def test_all_of_the_244_production_streams_load_and_only_the_two_regular_expressions_are_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    catalogue = load_catalogue(Source(str(DATA / "streamconfigs.json"), "streams"), 1)
    assert len(catalogue.streams) == 242
    regular_expressions = [r"/^swift\.(.+\.)?upload-complete$/", r"/^mediawiki\.job\..+/"]
    assert [name for name, _ in catalogue.skipped] == regular_expressions
    first, second, summary = [record.getMessage() for record in caplog.records]
    assert regular_expressions[0] in first
    assert regular_expressions[1] in second
    assert summary.startswith("242 streams are exposed, 2 skipped, of 244 in ")
    assert catalogue.streams["mediawiki.page_change.v1"].topics == (
        "eqiad.mediawiki.page_change.v1",
        "codfw.mediawiki.page_change.v1",
    )


@needs_data
def test_the_production_configuration_exposes_exactly_its_allowed_streams_with_their_aliases() -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(DATA / "config.production.yaml")})
    catalogue = load_catalogue(config, 3)
    assert catalogue.version == 3
    assert set(catalogue.streams) == set(config.allowed_streams or ())
    assert catalogue.problems == ()
    assert catalogue.aliases == {
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
    mutation = catalogue.streams["rdf-streaming-updater.mutation.v2"]
    assert mutation.topics == ("eqiad.rdf-streaming-updater.mutation",)
    assert mutation.topics_allowed == ("eqiad.rdf-streaming-updater.mutation", "codfw.rdf-streaming-updater.mutation")
    assert catalogue.streams["eventgate-main.test.event"].description.startswith("A test event stream.")


def test_the_development_streams_that_ship_are_served_under_both_names(caplog: pytest.LogCaptureFixture) -> None:
    catalogue = load_catalogue(load_config({"EVENTSTREAMS_CONFIG": str(ROOT / "config" / "development.yaml")}), 1)
    assert dict(catalogue.aliases) == {
        "recentchange": "mediawiki.recentchange",
        "page_change": "mediawiki.page_change.v1",
    }
    for stream in catalogue.streams.values():
        assert stream.topics == (f"eqiad.{stream.name}", f"codfw.{stream.name}")
        assert stream.description
        assert stream.schema_title
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"out": {"in": {"a": {"topics": ["t"]}}}}',
        '\ufeff{"out": {"in": {"a": {"topics": ["t"]}}}}',
        "out:\n  in:\n    a:\n      topics: [t]\n",
    ],
)
def test_json_and_yaml_are_told_apart_by_content(tmp_path: Path, text: str) -> None:
    assert read_stream_config(written(tmp_path, text), "out.in") == {"a": {"topics": ["t"]}}


@pytest.mark.parametrize("object_path", [None, ""])
def test_without_an_object_path_the_whole_document_is_the_mapping(tmp_path: Path, object_path: str | None) -> None:
    assert read_stream_config(written(tmp_path, "a: {topics: [t]}"), object_path) == {"a": {"topics": ["t"]}}


@pytest.mark.parametrize("prefix", ["file://", "file:", "FILE://localhost"])
def test_a_file_url_is_read_with_its_escapes_undone(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "my streams.yaml").write_text("a: {topics: [t]}")
    assert list(read_stream_config(f"{prefix}{tmp_path}/my%20streams.yaml", None)) == ["a"]


@pytest.mark.parametrize("uri", ["http://example.org/x", "HTTPS://example.org/x"])
def test_http_is_refused_as_not_supported_by_this_version(uri: str) -> None:
    with pytest.raises(StreamConfigError, match="http is not supported yet") as caught:
        load_catalogue(Source(uri), 1)
    assert uri in str(caught.value)


@pytest.mark.parametrize(
    ("text", "object_path", "problem"),
    [
        ("a: [", None, "neither JSON .* nor YAML"),
        ('{"a": }x', None, "neither JSON .* nor YAML"),
        ("[" * 100_000, None, "neither JSON .* nor YAML"),
        ("!!python/object/apply:os.getcwd []", None, "neither JSON .* nor YAML"),
        ("- a\n", None, "expected a mapping of stream names, found list"),
        ("", None, "found NoneType"),
        ("just text", None, "found str"),
        ("{}", None, "describes no stream"),
        ('{"streams": []}', "streams", "expected a mapping of stream names at 'streams', found list"),
        ('{"streams": {}}', "streams", "describes no stream"),
        ('{"streams": {}}', "a.b", "nothing at stream_config_object_path 'a.b'"),
        ('{"a": 5}', "a.b", "nothing at stream_config_object_path 'a.b'"),
        ('{"a": {}}', None, "none of its 1 streams can be served"),
    ],
)
def test_a_document_without_streams_is_refused_by_uri_and_problem(
    tmp_path: Path, text: str, object_path: str | None, problem: str
) -> None:
    uri = written(tmp_path, text)
    with pytest.raises(StreamConfigError, match=problem) as caught:
        load_catalogue(Source(uri, object_path), 1)
    assert uri in str(caught.value)


def test_an_empty_source_is_refused_even_where_overrides_define_a_stream(tmp_path: Path) -> None:
    source = Source(written(tmp_path, "{}"), stream_config_overrides={"a": {"topics": ["t"]}})
    with pytest.raises(StreamConfigError, match="describes no stream"):
        load_catalogue(source, 1)


def test_a_file_that_cannot_be_read_is_refused_by_uri_and_cause(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(StreamConfigError, match=problem) as caught:
            load_catalogue(Source(str(path)), 1)
        assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a: \xff")
    with pytest.raises(StreamConfigError, match="not UTF-8"):
        load_catalogue(Source(str(tmp_path / "x")), 1)


@pytest.mark.parametrize("uri", ["file://other.example.org/etc/x", "file:relative"])
def test_a_file_url_that_is_not_an_absolute_path_of_this_host_is_refused(uri: str) -> None:
    with pytest.raises(StreamConfigError, match="absolute path on this host"):
        load_catalogue(Source(uri), 1)


def test_without_a_uri_the_overrides_describe_the_streams() -> None:
    catalogue = load_catalogue(Source(None, stream_config_overrides={"a": {"topics": ["t"]}}), 1)
    assert list(catalogue.streams) == ["a"]


def test_without_a_uri_and_overrides_the_key_to_set_is_named() -> None:
    with pytest.raises(StreamConfigError, match="stream_config_uri is not set"):
        load_catalogue(Source(None), 1)


def test_a_whitelist_that_admits_nothing_is_named_as_the_cause(tmp_path: Path) -> None:
    source = Source(written(tmp_path, "a: {topics: [t]}"), allowed_streams=["b"])
    with pytest.raises(StreamConfigError, match="allowed_streams admits none of its 1 streams"):
        load_catalogue(source, 1)


def test_an_alias_that_is_ignored_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uri = written(tmp_path, "a: {topics: [t], stream_aliases: [b]}\nb: {topics: [u]}")
    load_catalogue(Source(uri), 1)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == "Stream a: its alias b is the name of another stream"
