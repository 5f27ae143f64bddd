"""Lists of pages that people paste and upload: lines, CSV, the old service's YAML. Pure: no Django, no database.

Nothing is guessed at: what is not clearly a page is named with its line, for a person to mend.
"""

from __future__ import annotations

import csv
import enum
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import yaml

from redaction.written import HOST, WIKIMEDIA, NotAPageError, Page, checked_page, is_address, page_of_address
from redaction.yaml_text import PAGES_KEY, UnquotedSignError, keep_as_text, may_be_cut

MAX_BYTES = 1024 * 1024
"""Of one import."""
MAX_PAGES = 20_000
"""Of one import: YAML's aliases would make millions of a few bytes."""

Identity = tuple[str, str]

_DOMAIN_COLUMNS = frozenset({"domain", "wiki", "host", "server_name"})
_TITLE_COLUMNS = frozenset({"title", "page", "page_title"})
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""YAML's too, so that its line numbers are ours."""
_SEPARATED = re.compile(rf"({HOST})\.?(?::?[ \t]+|[ \t]*[,;][ \t]*|:?$)(.*)", re.IGNORECASE)
_QUOTED_CELL = re.compile(r'^"|[,;\t]"', re.MULTILINE)
_YAML_KEY = re.compile(rf"""["']?{HOST}["']?[ \t]*:[ \t]*(?:\[.*|[&#].*)?$""", re.IGNORECASE)
_YAML_PAGES = re.compile(rf"^{PAGES_KEY}[ \t]*:", re.MULTILINE)


class UnreadableError(ValueError):
    """A list that cannot be read at all; says why, and what to do."""


class Format(enum.StrEnum):
    LINES = "lines"
    CSV = "csv"
    YAML = "yaml"


class Entry(NamedTuple):
    """A page, and the line that it was found in, from 1."""

    line: int
    page: Page


class Invalid(NamedTuple):
    """A line that names no page, and why."""

    line: int
    text: str
    why: str


@dataclass
class Parsed:
    """Each line of a list is in one of these, but for empty ones and comments."""

    format: Format
    entries: list[Entry] = field(default_factory=list)
    invalid: list[Invalid] = field(default_factory=list)

    def take(self, line: int, text: str, read: Callable[[], Page]) -> None:
        """Raises UnreadableError where there are too many."""
        try:
            self.entries.append(Entry(line, read()))
        except (NotAPageError, UnquotedSignError) as error:
            self.refuse(line, text, str(error))
        else:
            self._count()

    def refuse(self, line: int, text: str, why: str) -> None:
        self.invalid.append(Invalid(line, text.strip()[:200], why))
        self._count()

    def _count(self) -> None:
        if len(self.entries) + len(self.invalid) > MAX_PAGES:
            raise UnreadableError(f"It has more than {MAX_PAGES} pages: import it in parts.")


@dataclass
class Preview:
    """What an import would do."""

    new: list[Entry] = field(default_factory=list)
    listed: list[Entry] = field(default_factory=list)
    """On the list already."""
    configured: list[Entry] = field(default_factory=list)
    """In the configuration file already."""
    repeated: list[Entry] = field(default_factory=list)
    """There in an earlier line, perhaps spelled otherwise."""


def decode(data: bytes) -> str:
    """The text of an uploaded file: UTF-8, or UTF-16 with its mark. Raises UnreadableError."""
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
    """The format that a list most likely has."""
    first = next((line for _, line in _lines(text)), "")
    if first.startswith(("{", "---")) or _YAML_KEY.fullmatch(first) or _YAML_PAGES.search(text):
        return Format.YAML
    if _header(first) or _QUOTED_CELL.search(text):
        return Format.CSV
    return Format.LINES


def parse(text: str, form: Format | None = None, default_domain: str = "") -> Parsed:
    """Read a list; `default_domain` is that of titles without one. Raises UnreadableError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnreadableError(f"It is larger than {MAX_BYTES // 1024} KiB: import it in parts.")
    text = text.removeprefix("\ufeff")
    form = form or recognise(text)
    parsed = Parsed(form)
    {Format.LINES: _parse_lines, Format.CSV: _parse_csv, Format.YAML: _parse_yaml}[form](text, default_domain, parsed)
    return parsed


def sort_out(entries: Iterable[Entry], listed: Collection[Identity], configured: Collection[Identity]) -> Preview:
    """Which entries are new, and why the others are not. `listed` and `configured` are pages' identities."""
    preview = Preview()
    seen: set[Identity] = set()
    for entry in entries:
        identity = entry.page.identity
        if identity in seen:
            preview.repeated.append(entry)
        elif identity in listed:
            preview.listed.append(entry)
        elif identity in configured:
            preview.configured.append(entry)
        else:
            preview.new.append(entry)
        seen.add(identity)
    return preview


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, without the blanks around them. A title cannot begin with #."""
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line


def _parse_lines(text: str, default_domain: str, parsed: Parsed) -> None:
    for number, line in _lines(text):
        parsed.take(number, line, partial(_page, line, default_domain))


def _page(line: str, default_domain: str) -> Page:
    if is_address(line):
        return page_of_address(line)
    if "\t" in line:
        domain, _, title = line.partition("\t")
        return checked_page(domain, title)
    # Titles may look like it too (Amazon.com, Inc.), but have a capital letter first.
    separated = _SEPARATED.fullmatch(line)
    if separated and (separated[1].islower() or WIKIMEDIA.fullmatch(separated[1])):
        return checked_page(separated[1], separated[2])
    if not default_domain:
        raise NotAPageError("it has no domain: write ru.wikipedia.org before the title, or choose a default domain")
    return checked_page(default_domain, line)


class _Columns(NamedTuple):
    delimiter: str
    domain: int
    title: int


def _header(line: str) -> _Columns | None:
    """The columns, if the line names both."""
    for delimiter in "\t;,":
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        domain = next((index for index, name in enumerate(names) if name in _DOMAIN_COLUMNS), None)
        title = next((index for index, name in enumerate(names) if name in _TITLE_COLUMNS), None)
        if domain is not None and title is not None:
            return _Columns(delimiter, domain, title)
    return None


def _parse_csv(text: str, default_domain: str, parsed: Parsed) -> None:
    """Line by line: no title has a line break, and a quotation mark that is never closed spoils one line only."""
    lines = list(_lines(text))
    if not lines:
        return
    columns = _header(lines[0][1])
    if columns is not None:
        del lines[0]
    else:
        cell = re.match(rf'"?{HOST}"?\s*([,;\t])', lines[0][1], re.IGNORECASE)
        columns = _Columns(cell[1] if cell else ",", 0, 1)
    for number, line in lines:
        parsed.take(number, line, partial(_csv_page, line, columns, default_domain))


def _csv_page(line: str, columns: _Columns, default_domain: str) -> Page:
    try:
        cells = next(csv.reader([line], delimiter=columns.delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        raise NotAPageError(
            "its quotation marks are not as CSV has them (in a cell that is quoted, each is doubled); "
            "choose the format “Lines” if they belong to the title"
        ) from None
    if len(cells) == 1:
        return _page(cells[0].strip(), default_domain)
    if len(cells) <= max(columns.domain, columns.title):
        raise NotAPageError(f"it has {len(cells)} columns: one for the title is missing")
    if is_address(cells[columns.title]):
        return page_of_address(cells[columns.title])
    return checked_page(cells[columns.domain] or default_domain, cells[columns.title])


def _parse_yaml(text: str, default_domain: str, parsed: Parsed) -> None:
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnreadableError(f"It is not valid YAML at line {line}: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError):
        raise UnreadableError("It is not valid YAML.") from None
    finally:
        if loader is not None:
            loader.dispose()
    lines = _LINE_BREAK.split(text)
    for domain, title in _yaml_scalars(root, parsed, lines):
        line = title.start_mark.line
        parsed.take(line + 1, lines[line], partial(_yaml_page, domain, title, text))


def _yaml_page(domain: yaml.ScalarNode, title: yaml.ScalarNode, text: str) -> Page:
    for scalar in (domain, title):
        keep_as_text(scalar, text)
        if may_be_cut(scalar, text):
            raise NotAPageError("it ends where YAML sees a comment: quote the title")
    return checked_page(domain.value, title.value)


def _yaml_scalars(
    root: yaml.Node | None, parsed: Parsed, lines: list[str]
) -> Iterator[tuple[yaml.ScalarNode, yaml.ScalarNode]]:
    """Domains and titles; a domain that is there twice has the titles of both."""
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise UnreadableError("It is YAML, but not of domains with a list of titles under each.")
    inner = [value for key, value in root.value if isinstance(key, yaml.ScalarNode) and key.value == PAGES_KEY]
    for mapping in inner or [root]:
        if not isinstance(mapping, yaml.MappingNode):
            raise UnreadableError(f"Under {PAGES_KEY} it has no domains with a list of titles under each.")
        for domain, titles in mapping.value:
            listed = titles.value if isinstance(titles, yaml.SequenceNode) else [titles]
            is_list = isinstance(domain, yaml.ScalarNode) and isinstance(titles, yaml.SequenceNode)
            for title in listed:
                if is_list and isinstance(title, yaml.ScalarNode):
                    yield domain, title
                    continue
                line = title.start_mark.line
                why = "it is no title: quote one that has a colon" if is_list else "expected a list of titles"
                parsed.refuse(line + 1, lines[line], why)
