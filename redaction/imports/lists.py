"""Reads lists of pages that people paste and upload: lines, CSV, the old service's YAML. Pure: no Django, no database.

It guesses nothing: a line that is not clearly a page is reported, for a person to correct.
"""

from __future__ import annotations

import csv
import enum
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from redaction.entries.evidence import Doubt, Evidence, judge
from redaction.entries.titles import HOST, WIKIMEDIA, NotAPageError, Page, is_address, trimmed
from redaction.entries.typed import page_in_list
from redaction.imports.csv_cells import unescaped
from redaction.imports.yaml_lists import YamlError, looks_like_yaml, yaml_titles
from redaction.imports.yaml_text import UnquotedSignError

MAX_BYTES = 1024 * 1024
"""Maximum bytes of one import."""
MAX_PAGES = 20_000
"""Maximum pages of one import: YAML's aliases would make millions of a few bytes."""
MAX_LINE = 10_000
"""Maximum characters of a line with a page: an address whose letters are all percent-encoded has fewer."""

Identity = tuple[str, str]

_DOMAIN_COLUMNS = frozenset({"domain", "wiki", "host", "server_name"})
_TITLE_COLUMNS = frozenset({"title", "page", "page_title"})
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""YAML's line breaks too, so that line numbers agree."""
_GAP = "[\\s\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
"""Blanks of all kinds, and the invisible characters that come along with a copy."""
_SEPARATED = re.compile(rf"({HOST})\.?(?:{_GAP}*[,;]{_GAP}*|:?{_GAP}+|:?$)(.*)", re.IGNORECASE)
_QUOTED_CELL = re.compile(r'^"|[,;\t]"', re.MULTILINE)


class UnreadableError(ValueError):
    """The list cannot be read at all; the message says why, and what to do."""


class Format(enum.StrEnum):
    """How a list is written."""

    LINES = "lines"
    CSV = "csv"
    YAML = "yaml"


class Entry(NamedTuple):
    """A page, and the line that it was found in, from 1."""

    line: int
    page: Page


class Invalid(NamedTuple):
    """A line without a page that could be listed, and why; `page` as in `NotAPageError`."""

    line: int
    text: str
    why: str
    page: Page | None = None


@dataclass
class Parsed:
    """The lines of a list as entries or as invalid; empty lines and comments are in neither."""

    format: Format
    entries: list[Entry] = field(default_factory=list)
    invalid: list[Invalid] = field(default_factory=list)

    @property
    def is_a_list(self) -> bool:
        """Return whether at most half of the lines are invalid; else the format was probably misread."""
        return len(self.invalid) <= len(self.entries)

    def take(self, line: int, text: str, read: Callable[[], Page]) -> None:
        """Note a line as the entry that `read` returns, or as invalid. Raises UnreadableError if there are too many."""
        try:
            self.entries.append(Entry(line, read()))
        except NotAPageError as error:
            self.refuse(line, text, str(error), error.page)
        except UnquotedSignError as error:
            self.refuse(line, text, str(error))
        else:
            self._count()

    def refuse(self, line: int, text: str, why: str, page: Page | None = None) -> None:
        """Note a line as invalid. Raises UnreadableError if there are too many lines."""
        self.invalid.append(Invalid(line, text.strip()[:200], why, page))
        self._count()

    def accept(self, identities: Collection[Identity]) -> None:
        """Take as entries the invalid lines whose pages are listed all the same, since before they were refused."""
        invalid, self.invalid = self.invalid, []
        for bad in invalid:
            if bad.page is not None and bad.page.identity in identities:
                self.entries.append(Entry(bad.line, bad.page))
            else:
                self.invalid.append(bad)
        self.entries.sort(key=lambda entry: entry.line)

    def _count(self) -> None:
        if len(self.entries) + len(self.invalid) > MAX_PAGES:
            raise UnreadableError(f"It has more than {MAX_PAGES} pages: import it in parts.")


class Doubtful(NamedTuple):
    """An entry that may never match an event, and why."""

    entry: Entry
    doubt: Doubt


@dataclass
class Preview:
    """What an import would do."""

    new: list[Entry] = field(default_factory=list)
    listed: list[Entry] = field(default_factory=list)
    """Already on the list."""
    configured: list[Entry] = field(default_factory=list)
    """Already in the configuration file."""
    repeated: list[Entry] = field(default_factory=list)
    """Duplicates of an earlier line, perhaps in another spelling."""
    doubtful: list[Doubtful] = field(default_factory=list)
    """New, but events do not confirm them; they are not in `new`."""


def decode(data: bytes) -> str:
    """Return the text of an uploaded file: UTF-8, or UTF-16 with its byte order mark. Raises UnreadableError."""
    # UTF-16 is what spreadsheets call "Unicode text".
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"It is not UTF-8 text (line {line}): save it as UTF-8.") from None
    if "\0" in text:
        raise UnreadableError("It is not a text file.")
    return text


def recognise(text: str) -> Format:
    """Return the format that a list most likely has."""
    first = next((line[:MAX_LINE] for _, line in _lines(text)), "")
    if looks_like_yaml(text, first):
        return Format.YAML
    if _header(first) or _QUOTED_CELL.search(text):
        return Format.CSV
    return Format.LINES


def parse(text: str, form: Format | None = None, default_domain: str = "") -> Parsed:
    """Read a list; titles without a domain get `default_domain`. Raises UnreadableError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnreadableError(f"It is larger than {MAX_BYTES // 1024} KiB: import it in parts.")
    text = text.removeprefix("\ufeff")
    form = form or recognise(text)
    parsed = Parsed(form)
    {Format.LINES: _parse_lines, Format.CSV: _parse_csv, Format.YAML: _parse_yaml}[form](text, default_domain, parsed)
    return parsed


def sort_out(
    entries: Iterable[Entry],
    listed: Collection[Identity],
    configured: Collection[Identity],
    seen: Evidence | None = None,
) -> Preview:
    """Return which entries are new, and why the others are not. `listed` and `configured` are pages' identities.

    New entries that the evidence `seen` does not confirm are doubtful.
    """
    preview = Preview()
    known: set[Identity] = set()
    for entry in entries:
        identity = entry.page.identity
        if identity in known:
            preview.repeated.append(entry)
        elif identity in listed:
            preview.listed.append(entry)
        elif identity in configured:
            preview.configured.append(entry)
        elif doubt := judge(entry.page, seen) if seen is not None else None:
            preview.doubtful.append(Doubtful(entry, doubt))
        else:
            preview.new.append(entry)
        known.add(identity)
    return preview


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with text, trimmed, and their numbers. A title cannot begin with #."""
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        if (line := trimmed(line)) and not line.startswith("#"):
            yield number, line


def _parse_lines(text: str, default_domain: str, parsed: Parsed) -> None:
    for number, line in _lines(text):
        if _is_short(number, line, parsed):
            parsed.take(number, line, partial(_page, line, default_domain))


def _is_short(number: int, line: str, parsed: Parsed) -> bool:
    """Return whether a line is short enough to be read; note it as invalid if not."""
    if len(line) > MAX_LINE:
        parsed.refuse(number, line, f"it has {len(line):,} characters: write one page on each line")
    return len(line) <= MAX_LINE


def _page(line: str, default_domain: str) -> Page:
    if is_address(line):
        return page_in_list("", line)
    if "\t" in line:
        domain, _, title = line.partition("\t")
        return page_in_list(domain, title)
    # Titles may look like it too (Amazon.com, Inc.), but have a capital letter first.
    separated = _SEPARATED.fullmatch(line)
    if separated and (separated[1].islower() or WIKIMEDIA.fullmatch(separated[1])):
        return page_in_list(separated[1], separated[2])
    if not default_domain:
        raise NotAPageError("it has no domain: write ru.wikipedia.org before the title, or choose a default domain")
    return page_in_list(default_domain, line)


class _Columns(NamedTuple):
    delimiter: str
    domain: int
    title: int
    width: int = 2
    is_escaped: bool = False
    """Whether cells may be escaped against spreadsheets, as the export's are."""


def _header(line: str) -> _Columns | None:
    """Return the columns, if the line names both."""
    for delimiter in "\t;," if len(line) <= MAX_LINE else "":
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        domain = next((index for index, name in enumerate(names) if name in _DOMAIN_COLUMNS), None)
        title = next((index for index, name in enumerate(names) if name in _TITLE_COLUMNS), None)
        if domain is not None and title is not None:
            return _Columns(delimiter, domain, title, len(names), is_escaped=True)
    return None


def _parse_csv(text: str, default_domain: str, parsed: Parsed) -> None:
    """Read each line for itself: no title has a line break, and an unclosed quotation mark spoils one line only."""
    lines = list(_lines(text))
    if not lines:
        return
    columns = _header(lines[0][1])
    if columns is not None:
        del lines[0]
    else:
        cell = re.match(rf'"?{HOST}"?\s*([,;\t])', lines[0][1][:MAX_LINE], re.IGNORECASE)
        columns = _Columns(cell[1] if cell else ",", 0, 1)
    for number, line in lines:
        if _is_short(number, line, parsed):
            parsed.take(number, line, partial(_csv_page, line, columns, default_domain))


def _csv_page(line: str, columns: _Columns, default_domain: str) -> Page:
    try:
        cells = next(csv.reader([line], delimiter=columns.delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        raise NotAPageError(
            "its quotation marks are not valid CSV (in a quoted cell, double each of them); if they belong to "
            "the title, choose the format “Lines”"
        ) from None
    if len(cells) == 1:
        return _page(cells[0].strip(), default_domain)
    if len(cells) <= max(columns.domain, columns.title):
        raise NotAPageError(f"it has {len(cells)} columns: one for the title is missing")
    is_title_whole = not columns.is_escaped and re.match(rf'"?{HOST}"?\s*[,;\t]\s*"', line, re.IGNORECASE)
    if any(cells[columns.width :]) and not is_title_whole:  # the end of a title with a comma would be lost
        raise NotAPageError(
            f"it has {len(cells)} cells, not {columns.width}: put a title that has {columns.delimiter!r} in quotation "
            "marks, and name further columns in the first line"
        )
    domain, title = cells[columns.domain], cells[columns.title]
    if columns.is_escaped:
        domain, title = unescaped(domain), unescaped(title)
    # An address says itself of which wiki it is; the cell before it may have the wiki's name in another form.
    return page_in_list("", title) if is_address(title) else page_in_list(domain or default_domain, title)


def _parse_yaml(text: str, _default_domain: str, parsed: Parsed) -> None:
    lines = _LINE_BREAK.split(text)
    try:
        for title in yaml_titles(text, lines):
            parsed.take(title.line, lines[title.line - 1], title.page)
    except YamlError as error:
        raise UnreadableError(str(error)) from None
