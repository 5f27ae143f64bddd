"""Lists as production has them, as spreadsheets have them, and with what can never match."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from redaction.entries.evidence import Evidence
from redaction.entries.titles import Page
from redaction.imports.csv_cells import escaped, unescaped
from redaction.imports.lists import Format, UnreadableError, parse, recognise, sort_out
from tests.unit.redaction.test_redaction_imports import RU, invalid, pages

# The configuration file of production, wherever its list stands in it.

VALUES = (Path(__file__).parents[2] / "data" / "values.production.yaml").read_text()
PAGES = 1175


def test_the_values_file_of_production_has_its_pages_as_it_stands() -> None:
    assert recognise(VALUES) == Format.YAML
    found = pages(VALUES)
    assert len(found) == PAGES
    lines = VALUES.splitlines()
    assert all(title in lines[line - 1] for line, _, title in found)
    assert {domain for _, domain, _ in found} == {f"{code}.wikipedia.org" for code in ("ru", "uk", "be", "en")}


def cut(first: str, last: str = "") -> str:
    """A piece of the file, as somebody selects it."""
    return VALUES[VALUES.index(first) : VALUES.index(last) if last else None]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(cut("mediawiki_redacted_pages:"), id="from the key on, whose line lost its indentation"),
        pytest.param(cut("    mediawiki_redacted_pages:"), id="from the key on, with what stands after it"),
        pytest.param(cut("    mediawiki_redacted_pages:", "    # What stands"), id="the list, indented"),
        pytest.param(cut("      ru.wikipedia.org:", "    # What stands"), id="the domains, indented"),
        pytest.param(VALUES.replace("\n", "\r\n"), id="with line breaks of Windows"),
        pytest.param(
            VALUES.replace("service:", "{{- if .Values.x }}\nservice: {{ .x }}", 1), id="a template around it"
        ),
        pytest.param("data:\n  config.yaml: |\n" + VALUES.replace("\n", "\n    "), id="in a text within YAML"),
        pytest.param(
            VALUES.replace("mediawiki_redacted_pages:", '"mediawiki_redacted_pages": # T1'), id="key in quotes"
        ),
        pytest.param(VALUES.replace("\n        - ", "\n      - "), id="lists that are not indented"),
        pytest.param(json.dumps(yaml.safe_load(VALUES), ensure_ascii=False), id="JSON in one line"),
        pytest.param(json.dumps(yaml.safe_load(VALUES), indent=1), id="JSON"),
    ],
)
def test_the_list_is_found_at_any_depth_and_indentation(text: str) -> None:
    assert len(pages(text)) == PAGES


@pytest.mark.parametrize(
    "text",
    [
        cut("service:", "    # Nobody"),
        cut("config:", "    # Nobody"),
        cut("    kafka:", "    # Nobody"),
        "config:\n  mediawiki_redacted_pages: [A]\n",
        "config:\n  mediawiki_redacted_pages: nothing\n",
    ],
)
def test_a_configuration_without_a_list_gives_nothing(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse(text)


def test_an_empty_list_gives_no_pages() -> None:
    for text in ("a:\n  mediawiki_redacted_pages: {}\n", "a:\n  mediawiki_redacted_pages:\n  b: c\n"):
        assert pages(text, Format.YAML) == []


# What is too long.


@pytest.mark.parametrize("form", [None, Format.LINES, Format.CSV])
@pytest.mark.parametrize(
    "line", ["x" * 200_000, "ru.wikipedia.org," + "x" * 200_000, '"' + "x," * 100_000, "," * 200_000]
)
def test_a_very_long_line_is_named_and_the_others_are_read(line: str, form: Format | None) -> None:
    parsed = parse(f"{line}\nru.wikipedia.org,B\n", form)
    assert [entry.page.title for entry in parsed.entries] == ["B"]
    ((number, text, why, _),) = parsed.invalid
    assert (number, len(text)) == (1, 200)
    assert "characters: write one page on each line" in why


def test_a_long_line_after_the_names_of_columns_is_named() -> None:
    parsed = parse(f"domain,title\nru.wikipedia.org,{'x' * 200_000}\nru.wikipedia.org,B\n")
    assert [entry.page.title for entry in parsed.entries] == ["B"]
    assert [bad.line for bad in parsed.invalid] == [2]


# Slips and evidence.


@pytest.mark.parametrize("title", ["wiki/Участник:X", "X?action=history", "Ð¤Ñ…", "- X", "Special:Log", "я" * 128])
def test_a_line_with_a_slip_is_refused_with_the_remedy(title: str) -> None:
    ((_, _, why),) = invalid(f"ru.wikipedia.org\t{title}", Format.LINES)
    assert "write" in why or "list the page" in why


def test_what_no_event_bears_out_is_doubtful_and_not_among_the_new() -> None:
    seen = Evidence()
    seen.take([b'{"meta": {"domain": "ru.wikipedia.org"}, "title": "\\u0423:A", "namespace": 2}'] * 3)
    parsed = parse('User:A\nB\n"C"\nwikidata.org D\nlisted', Format.LINES, RU)
    preview = sort_out(parsed.entries, {(RU, "listed")}, (), seen)
    assert [entry.page.title for entry in preview.new] == ["B"]
    assert [(item.entry.line, item.doubt.suggestion) for item in preview.doubtful] == [
        (1, Page(RU, "У:A")),
        (3, Page(RU, "C")),
        (4, None),
    ]
    assert [entry.line for entry in preview.listed] == [5]


# Spreadsheets.


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=x", "'=x", "''@x", "＝x"])
def test_a_cell_is_escaped_against_spreadsheets_and_back(cell: str) -> None:
    assert escaped(cell)[0] == "'"
    assert unescaped(escaped(cell)) == cell


@pytest.mark.parametrize("cell", ["", "A", "A=1", "'Abend", "12-3", "'", "`=x"])
def test_any_other_cell_is_left_as_it_is(cell: str) -> None:
    assert escaped(cell) == unescaped(cell) == cell
