"""Lists of pages that people paste and upload."""

from __future__ import annotations

import time

import pytest
import yaml

from redaction.entries.titles import NotAPageError, Page, checked_domain, checked_title, page_of_address
from redaction.imports import lists
from redaction.imports.lists import Format, UnreadableError, parse, recognise, sort_out

RU = "ru.wikipedia.org"


def pages(text: str, form: Format | None = None, default: str = "") -> list[tuple[int, str, str]]:
    parsed = parse(text, form, default)
    assert parsed.invalid == []
    return [(entry.line, *entry.page) for entry in parsed.entries]


def invalid(text: str, form: Format | None = None, default: str = "") -> list[tuple[int, str, str]]:
    parsed = parse(text, form, default)
    assert parsed.entries == []
    return [(bad.line, bad.text, bad.why) for bad in parsed.invalid]


# Lines.


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("ru.wikipedia.org\tУчастник:Пример", "Участник:Пример"),
        ("ru.wikipedia.org Участник:Пример (проект)/Черновик", "Участник:Пример (проект)/Черновик"),
        ("ru.wikipedia.org, Один, два", "Один, два"),
        ("ru.wikipedia.org,Один", "Один"),
        ("ru.wikipedia.org;Один", "Один"),
        ("ru.wikipedia.org: Один", "Один"),
        ("RU.Wikipedia.org Один", "Один"),
        ("ru.wikipedia.org.\tОдин", "Один"),
        ("ru.m.wikipedia.org Один", "Один"),
        ("  ru.wikipedia.org   Один  ", "Один"),
        ('ru.wikipedia.org "Heroes"', '"Heroes"'),
        ("https://ru.wikipedia.org/wiki/%D0%9E%D0%B4%D0%B8%D0%BD_%D0%B4%D0%B2%D0%B0", "Один два"),
        ("https://ru.wikipedia.org/wiki/Один_два?action=history#Раздел", "Один два"),
        ("http://ru.m.wikipedia.org/wiki/Один", "Один"),
        ("//ru.wikipedia.org/wiki/Один", "Один"),
        ("ru.wikipedia.org/wiki/Один", "Один"),
        ("https://ru.wikipedia.org:443/wiki/Один", "Один"),
        ("https://ru.wikipedia.org/w/index.php?title=%D0%9E%D0%B4%D0%B8%D0%BD+%D0%B4%D0%B2%D0%B0&diff=1", "Один два"),
        ("https://ru.wikipedia.org/wiki/C%2B%2B", "C++"),
        ("https://ru.wikipedia.org/wiki/A+B", "A+B"),
    ],
)
def test_a_line_has_a_domain_and_a_title_or_the_address_of_a_page(line: str, title: str) -> None:
    assert pages(line, Format.LINES) == [(1, RU, title)]


def test_a_title_alone_is_of_the_default_domain() -> None:
    assert pages("Один\nAmazon.com, Inc.\nde.wikipedia.org Zwei", Format.LINES, RU) == [
        (1, RU, "Один"),
        (2, RU, "Amazon.com, Inc."),
        (3, "de.wikipedia.org", "Zwei"),
    ]


def test_a_title_alone_is_refused_where_there_is_no_default_domain() -> None:
    ((line, text, why),) = invalid("Один")
    assert (line, text) == (1, "Один")
    assert "no domain" in why


def test_lines_are_numbered_as_an_editor_numbers_them() -> None:
    assert pages("\ufeff# a comment\r\n\r\nru.wikipedia.org A\rru.wikipedia.org B\n\n") == [(3, RU, "A"), (4, RU, "B")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ru.wikipedia.org", "the title is missing"),
        ("ru.wikipedia.org\t__ _", "the title is missing"),
        ("ruwiki\tОдин", "'ruwiki' is not a wiki's host name"),
        ("ru.wikipedia.org\tA#b", "no title can contain #"),
        ("ru.wikipedia.org\t[[A]]", "no title can contain ["),
        ("ru.wikipedia.org\tA\tb", "no title can contain a tab"),
        ("ru.wikipedia.org\tA\x07b", "the control character U+0007"),
        ("ru.wikipedia.org\tA\ufffdb", "wrong encoding"),
        ("ru.wikipedia.org\t%D0%9E", "no title can contain %D0"),
        ("ru.wikipedia.org\tTom &amp; Jerry", "no title can contain &amp;"),
        ("ru.wikipedia.org\t:A", "begins with a colon"),
        ("ru.wikipedia.org\t" + "я" * 513, "513 characters"),
        ("https://ru.wikipedia.org/", "not the address of a page"),
        ("https://ru.wikipedia.org/w/index.php?curid=7", "not the address of a page"),
        ("https://ru.wikipedia.org/wiki/%CE%F7", "not of UTF-8 text"),
        ("https://ruwiki/wiki/A", "not a wiki's host name"),
        ("https://[ru/wiki/A", "not an address"),
        ("ru..wikipedia.org\tA", "not a wiki's host name"),
        ("-ru.wikipedia.org\tA", "not a wiki's host name"),
        (".".join(["a" * 60] * 5) + "\tA", "not a wiki's host name"),
    ],
)
def test_a_line_that_names_no_page_is_named_with_the_reason(line: str, why: str) -> None:
    ((number, text, said),) = invalid(f"# first\n{line}", Format.LINES)
    assert number == 2
    assert text == line[:200]
    assert why in said


def test_ordinary_titles_with_percent_signs_and_ampersands_are_taken() -> None:
    titles = ["100% cotton", "AT&T", "R & D; x", "A%", "!Kung", "& Juliet", "007", "No", "12:30"]
    assert [title for _, _, title in pages("\n".join(titles), Format.LINES, RU)] == titles


@pytest.mark.parametrize(
    ("mobile", "wiki"),
    [
        ("commons.m.wikimedia.org", "commons.wikimedia.org"),
        ("m.wikidata.org", "www.wikidata.org"),
        ("www.m.mediawiki.org", "www.mediawiki.org"),
        ("m.example.org", "m.example.org"),
    ],
)
def test_a_mobile_site_is_its_wiki_since_events_name_only_that(mobile: str, wiki: str) -> None:
    assert checked_domain(mobile) == wiki


# CSV.


def test_csv_is_read_by_the_names_of_its_columns() -> None:
    text = 'Reason,Title,Domain\nT1,"Один, ""два""",ru.wikipedia.org\n"a, b",Три,de.wikipedia.org\n'
    assert pages(text) == [(2, RU, 'Один, "два"'), (3, "de.wikipedia.org", "Три")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_without_names_has_the_domain_first(delimiter: str) -> None:
    text = f'ru.wikipedia.org{delimiter}"Один, два; три"{delimiter}T1\nru.wikipedia.org{delimiter}007{delimiter}\n'
    assert pages(text) == [(1, RU, "Один, два; три"), (2, RU, "007")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_names_may_have_any_delimiter(delimiter: str) -> None:
    assert pages(f"domain{delimiter}title\nru.wikipedia.org{delimiter}Один\n") == [(2, RU, "Один")]


def test_csv_takes_addresses_and_a_default_domain() -> None:
    text = 'domain,title\n,"https://ru.wikipedia.org/wiki/A_b"\n,"C, d"\n"https://ru.wikipedia.org/wiki/E"\n'
    assert pages(text, default="de.wikipedia.org") == [(2, RU, "A b"), (3, "de.wikipedia.org", "C, d"), (4, RU, "E")]


def test_a_wrong_quotation_mark_spoils_its_own_line_only() -> None:
    parsed = parse('domain,title\nru.wikipedia.org,"Heroes" (song)\nru.wikipedia.org,"open\nru.wikipedia.org,B\n')
    assert [entry.page.title for entry in parsed.entries] == ["B"]
    assert [bad.line for bad in parsed.invalid] == [2, 3]
    assert all("quotation marks" in bad.why for bad in parsed.invalid)


def test_a_row_without_a_title_is_named() -> None:
    ((line, _, why),) = invalid("domain,x,title\nru.wikipedia.org,A\n")
    assert line == 2
    assert "one for the title is missing" in why


# YAML.


@pytest.mark.parametrize("nested", [True, False])
def test_yaml_titles_are_text_as_written(nested: bool) -> None:
    lines = [
        "ru.wikipedia.org:",
        "  - 007",
        "  - No",
        "  - 12:30",
        "  - 2026-11-01",
        "  - ~",
        "  - 1e3",
        "  - 'Участник: Пример'",
        "de.wikipedia.org: [Eins, 0x1F]",
    ]
    if nested:
        lines = ["kafka: {}", "mediawiki_redacted_pages:", *(f"  {line}" for line in lines)]
    found = pages("\n".join(lines))
    titles = ["007", "No", "12:30", "2026-11-01", "~", "1e3", "Участник: Пример", "Eins", "0x1F"]
    assert [title for _, _, title in found] == titles
    assert [line - 2 * nested for line, _, _ in found] == [2, 3, 4, 5, 6, 7, 8, 9, 9]


def test_a_domain_that_is_there_twice_has_the_titles_of_both() -> None:
    assert pages("ru.wikipedia.org: [A]\nru.wikipedia.org: [B]\n") == [(1, RU, "A"), (2, RU, "B")]


def test_json_is_yaml() -> None:
    assert pages('{"ru.wikipedia.org": ["\\u0410", "007"]}') == [(1, RU, "А"), (1, RU, "007")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ru.wikipedia.org:\n  - Участник: Пример", "quote one that has a colon"),
        ("ru.wikipedia.org:\n  - Title #1", "sees a comment"),
        ("ru.wikipedia.org:\n  - !Kung", "must be quoted"),
        ("ru.wikipedia.org:\n  - &a Kung", "must be quoted"),
        ("ru.wikipedia.org:\n  - A|b", "no title can contain |"),
        ("ru.wikipedia.org:\n  Один", "expected a list of titles"),
        ("---\nruwiki: [A]", "not a wiki's host name"),
        ("{ru.wikipedia.org: [],\n[a]: [b]}", "expected a list of titles"),
    ],
)
def test_what_is_no_title_in_yaml_is_named_with_its_line(text: str, why: str) -> None:
    ((line, shown, said),) = invalid(text, Format.YAML)
    assert line == 2
    assert shown == text.split("\n")[1].strip()
    assert why in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ru.wikipedia.org:\n  - A\n - B", "not valid YAML at line 3"),
        ("ru.wikipedia.org: *gone", "not valid YAML at line 1"),
        ("ru.wikipedia.org: [\x07]", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("- a", "neither mediawiki_redacted_pages nor domains"),
        ("mediawiki_redacted_pages: [a]", "no domains"),
    ],
)
def test_yaml_that_cannot_be_read_is_refused_whole(text: str, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        parse(text, Format.YAML)


def test_aliases_do_not_make_millions_of_a_few_bytes() -> None:
    many = "a.example.org: &a [" + ", ".join("abcdefghij") + "]\n"
    many += "".join(f"b{n}.example.org: *a\n" for n in range(5000))
    started = time.monotonic()
    with pytest.raises(UnreadableError, match="more than 20000 pages"):
        parse(many, Format.YAML)
    nested = "a.example.org: &a [" + ", ".join("[x]" for _ in range(10)) + "]\n"
    nested += "".join(f"b{n}.example.org: *a\n" for n in range(5000))
    with pytest.raises(UnreadableError, match="more than 20000 pages"):
        parse(nested, Format.YAML)
    assert time.monotonic() - started < 60


# Which format it is.


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ru.wikipedia.org Один", Format.LINES),
        ("ru.wikipedia.org,Один", Format.LINES),
        ("ru.wikipedia.org: Один", Format.LINES),
        ('ru.wikipedia.org "Heroes"', Format.LINES),
        ("https://ru.wikipedia.org/wiki/A", Format.LINES),
        ("domain of the title, and title", Format.LINES),
        ("", Format.LINES),
        ("# c\nDomain;Title\n", Format.CSV),
        ('ru.wikipedia.org,"Один, два"', Format.CSV),
        ('"ru.wikipedia.org","A"', Format.CSV),
        ("ru.wikipedia.org:\n  - A", Format.YAML),
        ("# c\n\n'ru.wikipedia.org': [A]", Format.YAML),
        ("ru.wikipedia.org: # of May\n  - A", Format.YAML),
        ('kafka: {}\nmediawiki_redacted_pages:\n  "ru.wikipedia.org": ["A"]', Format.YAML),
        ('{"ru.wikipedia.org": []}', Format.YAML),
        ("---\nru.wikipedia.org: []", Format.YAML),
    ],
)
def test_the_format_is_recognised(text: str, form: Format) -> None:
    assert recognise(text) == form
    assert parse(text).format == form


def test_the_format_can_be_chosen() -> None:
    assert pages('ru.wikipedia.org,"Heroes" (song)', Format.LINES) == [(1, RU, '"Heroes" (song)')]


# Bytes.


def test_uploads_are_utf8_with_or_without_a_mark_or_utf16_with_one() -> None:
    text = "ru.wikipedia.org\tОдин"
    for data in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        assert lists.decode(data) == text


def test_another_encoding_is_refused_with_the_line() -> None:
    with pytest.raises(UnreadableError, match=r"not UTF-8 text \(line 2\): save it as UTF-8"):
        lists.decode("ru.wikipedia.org A\nru.wikipedia.org Один".encode("cp1251"))


def test_a_binary_file_is_refused() -> None:
    with pytest.raises(UnreadableError, match="not a text file"):
        lists.decode(b"PK\0\0")


def test_a_list_that_is_too_large_is_refused() -> None:
    line = "ru.wikipedia.org\t" + "я" * 200 + "\n"
    with pytest.raises(UnreadableError, match="larger than 1024 KiB"):
        parse(line * (lists.MAX_BYTES // len(line.encode()) + 1))


def test_1200_cyrillic_titles_are_read_in_any_format() -> None:
    titles = [f"Участник:Пример {number}/Черновик" for number in range(1200)]
    lines = "\n".join(f"{RU}\t{title}" for title in titles)
    table = "domain,title\n" + "\n".join(f'{RU},"{title}"' for title in titles)
    config = yaml.safe_dump({RU: titles}, allow_unicode=True)
    started = time.monotonic()
    for text in (lines, table, config):
        assert [title for _, _, title in pages(text)] == titles
    assert time.monotonic() - started < 20


# Duplicates.


def test_what_is_there_already_is_told_apart_in_any_spelling() -> None:
    parsed = parse("new one\nNEW_One\nlisted\nОдин\nLISTED_ \nother", Format.LINES, RU)
    preview = sort_out(parsed.entries, {(RU, "listed")}, {(RU, "один"), ("de.wikipedia.org", "other")})
    assert [entry.line for entry in preview.new] == [1, 6]
    assert [entry.line for entry in preview.repeated] == [2, 5]
    assert [entry.line for entry in preview.listed] == [3]
    assert [entry.line for entry in preview.configured] == [4]


# As the field for one title uses it.


def test_the_checks_of_one_page() -> None:
    assert (
        checked_title("  Участник:HTriedman (WMF)/redacted page test ") == "Участник:HTriedman (WMF)/redacted page test"
    )
    assert page_of_address("https://user@ru.wikipedia.org/wiki/A") == Page(RU, "A")
    with pytest.raises(NotAPageError):
        checked_domain("")
