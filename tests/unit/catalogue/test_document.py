"""Reading the document that describes the streams, which nobody has checked before."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.catalogue import document as module
from streams.catalogue.document import DocumentError, NotStorableError, check_name, described_streams, plain

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.mark.parametrize(
    "text",
    [
        '{"out": {"in": {"a": {"topics": ["t"]}}}}',
        "out:\n  in:\n    a:\n      topics: [t]\n",
    ],
)
def test_json_and_yaml_are_told_apart_by_content(text: str) -> None:
    assert described_streams(text, "out.in").streams == {"a": {"topics": ["t"]}}


@pytest.mark.parametrize("object_path", [None, ""])
def test_without_an_object_path_the_whole_document_is_the_mapping(object_path: str | None) -> None:
    assert described_streams("a: {topics: [t]}", object_path).streams == {"a": {"topics": ["t"]}}


def test_the_production_document_says_the_same_as_json_and_as_yaml() -> None:
    text = (DATA / "streamconfigs.json").read_text()
    as_json = described_streams(text, "streams")
    assert len(as_json.streams) == 244
    assert as_json.streams == json.loads(text)["streams"]
    assert as_json == described_streams(yaml.dump(json.loads(text), Dumper=yaml.CSafeDumper), "streams")


@pytest.mark.parametrize(
    ("text", "object_path", "problem"),
    [
        ("a: [", None, "neither JSON .* nor YAML"),
        ('{"a": }x', None, "neither JSON .* nor YAML"),
        ("!!python/object/apply:os.getcwd []", None, "neither JSON .* nor YAML"),
        ("? [1]\n: 2", None, "neither JSON .* nor YAML"),
        ("- a\n", None, "expected a mapping of stream names, found list"),
        ("", None, "found NoneType"),
        ("just text", None, "found str"),
        ("<html><body>502 Bad Gateway</body></html>", None, "found str"),
        ("{}", None, "defines no stream"),
        ("[]", None, "found list"),
        ('{"streams": []}', "streams", "expected a mapping of stream names at 'streams', found list"),
        ('{"streams": {}}', "streams", "defines no stream"),
        ('{"streams": {}}', "a.b", "nothing at stream_config_object_path 'a.b'"),
        ('{"a": 5}', "a.b", "nothing at stream_config_object_path 'a.b'"),
    ],
)
def test_a_document_without_streams_is_refused_with_what_is_wrong(
    text: str, object_path: str | None, problem: str
) -> None:
    with pytest.raises(DocumentError, match=problem):
        described_streams(text, object_path)


MANY = 100_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * MANY, "nested deeper"),
        ("{a: " * MANY, "nested deeper"),
        ("- " * MANY + "a", "nested deeper"),
        ('{"a":' * MANY, "nested deeper"),
        ("a: &a {b: *a}", "refers to a value that contains it"),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)), "longer than"),
        ("a0: &a0 {k: x}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)), "longer"),
        (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]", "longer than"),
        ("a: {}\n" + "- a\n" * 1_000_000, "longer than"),
    ],
    ids=["brackets", "braces", "dashes", "json", "self", "laughs", "merges", "long text", "long"],
)
def test_a_document_that_would_end_the_process_is_refused_at_once(text: str, problem: str) -> None:
    began = time.monotonic()
    with pytest.raises(DocumentError, match=problem):
        described_streams(text, None)
    assert time.monotonic() - began < 5


def test_an_alias_that_multiplies_nothing_is_fine() -> None:
    text = "a: &a {topics: [t]}\nb: *a\nc: {<<: *a, description: d}\n"
    assert described_streams(text, None).streams == {
        "a": {"topics": ["t"]},
        "b": {"topics": ["t"]},
        "c": {"topics": ["t"], "description": "d"},
    }


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ('{"x": "\\u0000"}', "NUL"),
        ('{"\\ud800": 1}', "unpaired surrogate"),
        ('{"x": NaN}', "nan"),
        ('{"x": -Infinity}', "-inf"),
        ('{"x": 1e400}', "inf"),
        (f'{{"x": {"[" * 70}{"]" * 70}}}', "nested deeper"),
    ],
)
def test_a_stream_that_no_database_keeps_is_left_out_and_the_others_are_not(settings: str, reason: str) -> None:
    found = described_streams(f'{{"bad": {settings}, "good": {{"topics": ["t"]}}}}', None)
    assert list(found.streams) == ["good"]
    ((name, why),) = found.left_out
    assert name == "bad"
    assert reason in why


def test_a_name_that_no_database_keeps_is_left_out() -> None:
    names = ["", "a", "x" * 255, "x" * 256, "nul\0", "half\ud800"]
    found = described_streams(json.dumps({name: {} for name in names}), None)
    assert list(found.streams) == names[:3]
    assert [problem.name for problem in found.left_out] == ["x" * 80, "nul?", "half?"]
    assert [problem.name for problem in described_streams("5: {}\nnull: {}\na: {}", None).left_out] == ["5", "null"]


@pytest.mark.parametrize(
    ("name", "shown", "kind"),
    [
        ("no", "false", "true or false"),
        ("On", "true", "true or false"),
        ("404", "404", "a number"),
        ("0x10", "16", "a number"),
        ("1.5", "1.5", "a number"),
        ("~", "null", "null"),
        ("2026-11-28", "2026-11-28", "a date"),
    ],
)
def test_a_name_that_yaml_takes_for_something_else_is_left_out_and_says_what_to_do(
    name: str, shown: str, kind: str
) -> None:
    found = described_streams(f"{name}: {{topics: [t]}}\ngood: {{}}", None)
    assert list(found.streams) == ["good"]
    ((left_out, reason),) = found.left_out
    assert left_out == shown
    assert f"YAML reads its name as {kind}" in reason
    assert reason.endswith("not as text; quote it")
    assert list(described_streams(f"'{name}': {{topics: [t]}}", None).streams) == [name]
    with pytest.raises(NotStorableError, match="quote it"):
        check_name(5)


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: {topics: [t]}\nb: {}\na: {topics: [u]}\n", "a", "line 1 and line 3"),
        ("a: {topics: [t], topics: [u]}", "topics", "line 1 and line 1"),
        ("a:\n  x:\n  - y: 1\n    z: 2\n    y: 1\n", "y", "line 3 and line 5"),
        ("'a': {}\na: {}\n", "a", "line 1 and line 2"),
        ("a: {1: x, '1': y}", "1", "line 1 and line 1"),
        ("a: {1: x, 1.0: y}", "1.0", "line 1 and line 1"),
        ("a: {yes: x, true: y}", "true", "line 1 and line 1"),
        ("a: {1: x, true: y}", "true", "line 1 and line 1"),
        ("a: {~: x, null: y}", "null", "line 1 and line 1"),
        ("a: {2026-13-45: x, 2026-13-45: y}", "2026-13-45", "line 1 and line 1"),
        ("base: &b {x: 1}\na: {<<: *b, y: 1, y: 2}", "y", "line 2 and line 2"),
        ('{"a": {"topics": ["t"]}, "b": {}, "a": {"topics": ["u"]}}', "a", None),
        ('{"a": {"x": [{"y": {"z": 1, "z": 2}}]}}', "z", None),
    ],
)
def test_a_key_that_stands_twice_is_an_error_that_says_where(text: str, key: str, lines: str | None) -> None:
    """The parsers keep the last in silence: the stream described first would be lost."""
    with pytest.raises(DocumentError) as caught:
        described_streams(text, None)
    assert str(caught.value) == f'it has "{key}" twice{f", at {lines}" if lines else ""}; keep one'


def test_what_a_mapping_takes_from_another_may_be_said_again() -> None:
    text = "a: &a {topics: [t], x: 1}\nc: &c {x: 2}\nb: {<<: *a, x: 3}\nd: {<<: [*a, *c], x: 4}\ne: [*a, *a]\n"
    streams = described_streams(text, None).streams
    assert streams["b"] == {"topics": ["t"], "x": 3}
    assert streams["d"] == {"topics": ["t"], "x": 4}


def test_settings_of_none_are_those_of_a_stream_that_defaults_describe() -> None:
    assert described_streams("a:\nb: {}", None).streams == {"a": {}, "b": {}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2020-01-01", "2020-01-01"),
        ("{5: 1, true: 2, null: 3, 1.5: 4}", {"5": 1, "true": 2, "null": 3, "1.5": 4}),
        ("[1, 1.5, 1.0, -1.0e-07, true, null, ü]", [1, 1.5, 1.0, -1e-7, True, None, "ü"]),
        ("[1.0e+22, -2.0e+16, -0.0]", [10**22, -2 * 10**16, 0.0]),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_a_value_becomes_what_a_database_gives_back(text: str, value: Any) -> None:
    kept = described_streams(f"a: {{x: {text}}}", None).streams["a"]["x"]
    assert kept == value
    assert json.dumps(kept) == json.dumps(value)
    assert json.dumps(plain(json.loads(json.dumps(kept)))) == json.dumps(kept)


def test_yaml_is_read_up_to_a_length_and_json_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_YAML", 40)
    for text in ("a: {x: " + "y" * 20 + "}", '{"a": {"x": "' + "y" * 100 + '"}}'):
        assert list(described_streams(text, None).streams) == ["a"]
    with pytest.raises(DocumentError, match="longer than 40"):
        described_streams("a: {x: " + "y" * 100 + "}", None)
