"""What comes along when people copy addresses: marks that nobody sees, and parts of other addresses.

Taken for a title, such a text would be listed and match no event.
"""

from __future__ import annotations

import pytest

from redaction.entries.titles import NotAPageError, Page
from redaction.entries.typed import page_in_list, typed_page
from redaction.imports.lists import Format, parse

RU = "ru.wikipedia.org"


@pytest.mark.parametrize(
    "text",
    [
        "\u200ehttps://ru.wikipedia.org/wiki/Foo\u200e",
        "\u202bru.m.wikipedia.org/wiki/Foo",
        "\ufeff //ru.wikipedia.org/wiki/Foo",
        "ru.wikipedia.org./wiki/Foo",
    ],
)
def test_an_address_is_one_in_spite_of_what_came_along(text: str) -> None:
    assert typed_page("", text) == page_in_list("", text) == Page(RU, "Foo")
    assert [entry.page for entry in parse(text, default_domain="de.wikipedia.org").entries] == [Page(RU, "Foo")]


def test_a_line_of_a_list_begins_after_its_marks() -> None:
    text = "\u200fru.wikipedia.org Foo\u200f\n\u200e# a comment"
    assert [entry.page for entry in parse(text, default_domain="de.wikipedia.org").entries] == [Page(RU, "Foo")]


@pytest.mark.parametrize(
    "text",
    [
        "view-source:https://ru.wikipedia.org/wiki/Bar",
        "(https://ru.wikipedia.org/wiki/Bar",
        "https://ru.wikipedia.org/wiki/Foohttps://ru.wikipedia.org/wiki/Bar",  # two lines, pasted into one
        "https://ru.wikipedia.org/wiki/Foo\nhttps://ru.wikipedia.org/w/index.php?title=Bar",
    ],
)
def test_an_address_inside_a_title_is_refused(text: str) -> None:
    with pytest.raises(NotAPageError, match="begins an address inside the title: give one address alone"):
        typed_page(RU, text)
    with pytest.raises(NotAPageError, match="begins an address inside the title"):
        page_in_list(RU, text)


def test_of_two_titles_in_an_address_the_wiki_takes_the_last() -> None:
    assert typed_page("", "https://ru.wikipedia.org/w/index.php?title=Foo&title=Bar") == Page(RU, "Bar")


@pytest.mark.parametrize("gap", ["\u00a0", "\u3000", "\u200b ", " \u200e", ":\u00a0", " \ufeff,"])
def test_a_domain_ends_at_any_kind_of_blank(gap: str) -> None:
    parsed = parse(f"ru.wikipedia.org{gap}Foo", default_domain="de.wikipedia.org")
    assert [entry.page for entry in parsed.entries] == [Page(RU, "Foo")]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("domain,title\nru.wikipedia.org,Foo, Bar", None),
        ("title;domain\nFoo;ru.wikipedia.org;Bar", None),
        ("ru.wikipedia.org,Foo, Bar", Format.CSV),
    ],
)
def test_a_row_with_more_cells_than_columns_is_not_cut(text: str, form: Format | None) -> None:
    """The end of a title that has a comma would be lost, and another page would be redacted."""
    parsed = parse(text, form)
    assert parsed.entries == []
    assert "it has 3 cells, not 2: put a title that has" in parsed.invalid[0].why


def test_further_columns_that_the_header_names_or_that_are_empty_are_left_out() -> None:
    text = "domain,title,note\nru.wikipedia.org,Foo,because\nru.wikipedia.org,Bar,,,"
    assert [entry.page.title for entry in parse(text).entries] == ["Foo", "Bar"]


def test_a_dash_between_domain_and_title_is_no_part_of_the_title() -> None:
    assert "write “Foo”" in parse("ru.wikipedia.org — Foo").invalid[0].why
