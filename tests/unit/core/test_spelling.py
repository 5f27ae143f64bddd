"""Which spellings are one page, and which domain is none: the safe side, however an event comes to be read."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redaction.redactor import Redactor
from streams.core.events import Record, encode, is_safe_to_cache
from streams.core.spelling import normalise_domain, normalise_title, title_keys
from streams.engine.encoder import Encoder
from streams.engine.metrics import Metrics

RU = "ru.wikipedia.org"
FORMAT = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) == "Cf"]
BLANKS = " _\u00a0\u1680\u2000\u2009\u200a\u202f\u205f\u3000"


def is_redacted(event: dict[str, Any], redactor: Redactor) -> bool:
    """Of an event as it leaves; whatever else looks at the record must agree."""
    record = Record("t", 0, 5, 1, None, json.dumps({"user": "Alice", **event}).encode())
    redacted = b"Alice" not in encode(record, redactor).json
    if redacted:
        assert not is_safe_to_cache(record, redactor)
        assert all(
            b"Alice" not in getattr(held, "json", b"Alice") for held in Encoder(redactor, Metrics()).cacheable([record])
        )
    return redacted


def on(domain: object, title: str = "Foo") -> dict[str, Any]:
    return {"meta": {"domain": domain}, "title": title}


# Titles

SPELLINGS = [
    ("Участник: Example", "Участник:Example"),
    ("Участник _:_ Example: a", "участник:Example:_a"),
    ("Foo\u200b\u00adbar\ufeff", "Foobar"),
    ("\u200b_Foo", "Foo"),
    ("Foo \u200b bar", "Foo bar"),
    ("e\u200b\u0301t", "\u00c9t"),
    ("User\u200e :\u202a Foo", "User:Foo"),
    ("Foo\u180ebar", "Foobar"),
    ("Foo\u180ebar", "Foo bar"),
    (" : Foo", "Foo"),
    (":User : Foo", "User:Foo"),
    ("Foo #Section", "Foo"),
    ("\u0131sparta", "Isparta"),
    ("Stra\u00dfe", "STRASSE"),
    ("Stra\u1e9ee", "strasse"),
    ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"),
    ("\u1e69", "s\u0307\u0323"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_spellings_of_one_page_match_each_other(one: str, other: str) -> None:
    for listed_as, seen_as in ((one, other), (other, one)):
        redactor = Redactor({RU: [listed_as]})
        assert is_redacted(on(RU, seen_as), redactor)
        assert is_redacted({"meta": {"domain": RU}, "page": {"page_title": seen_as}}, redactor)
        assert is_redacted(on(RU, seen_as), redactor), "remembered"


@pytest.mark.parametrize(
    ("one", "other"), [("A:B", "AB"), ("A:B: c", "A:B:c"), ("A b", "Ab"), ("#a", "#b"), ("\u0130", "I")]
)
def test_titles_of_other_pages_do_not_match(one: str, other: str) -> None:
    assert not is_redacted(on(RU, one), Redactor({RU: [other]}))
    assert not is_redacted(on(RU, other), Redactor({RU: [one]}))


def test_every_invisible_format_character_is_ignored_wherever_it_stands() -> None:
    assert len(FORMAT) > 150
    redactor = Redactor({RU: ["Участник:Ёж b"]})
    for char in FORMAT:
        for title in (f"{char}Участник{char}:{char}Е{char}\u0308ж {char}b{char}", f"участник:ё{char}ж_b"):
            assert not set(title_keys(title)).isdisjoint(title_keys("Участник:Ёж b")), hex(ord(char))
        assert is_redacted(on(RU, f"Участник{char}:Ё{char}ж b"), redactor), hex(ord(char))


def test_a_wiki_in_a_turkic_language_gives_a_title_its_own_first_letter() -> None:
    for domain, is_one in (("tr.wikipedia.org", True), ("az.wiktionary.org", True), (RU, False)):
        for listed_as, seen_as in (("istanbul", "\u0130stanbul"), ("User:istanbul", "User:\u0130stanbul")):
            redactor = Redactor({domain: [listed_as]})
            assert is_redacted(on(domain, seen_as), redactor) == is_one
            assert is_redacted(on(domain, listed_as), redactor)


letters = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf"], exclude_characters="#<>[]|{}_:\ufffd")
words = st.text(letters, min_size=1, max_size=5)
titles = st.builds(
    lambda namespace, name: ":".join([*namespace, " ".join(name)]),
    st.lists(words, max_size=1),
    st.lists(words, min_size=1, max_size=3),
)


@st.composite
def as_mediawiki_reads_it(draw: st.DrawFn, title: str) -> str:
    """Another spelling of which MediaWiki makes the same title (MediaWikiTitleCodec, Language::ucfirst)."""
    marks = st.sampled_from(["", "", "\u200e", "\u200f", "\u202a", "\u202e"])
    some = st.text(st.sampled_from(BLANKS), min_size=1, max_size=3)
    none = st.just("") | some
    parts = []
    for part in title.split(":", 1):
        if draw(st.booleans()):
            part = part[0].upper() + part[1:] if len(part[0].upper()) == 1 else part
        part = "".join(draw(some) if char == " " else char + draw(marks) for char in part)
        parts.append(draw(none) + part + draw(none))
    spelled = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), ":".join(parts))
    return draw(st.sampled_from(["", "", ":", " : "])) + spelled


@settings(deadline=None)
@given(st.data(), titles)
@example(None, "\u0345")
def test_listing_any_spelling_of_a_page_redacts_all_of_them(data: st.DataObject | None, title: str) -> None:
    one, other = (data.draw(as_mediawiki_reads_it(title)) for _ in range(2)) if data else (title, f" {title}_")
    redactor = Redactor({RU: [one]})
    for seen in (title, other):
        for event in (on(RU, seen), {"server_name": RU, "page": {"page_title": seen}}, {"page_title": seen}):
            assert is_redacted(event, redactor), (one, seen)


@settings(deadline=None)
@given(st.text(st.sampled_from("aA:_ #\u180e\u200b\u0301\u00df\u0130\u0131i\u0307\u03a3\ud800")))
def test_normalising_twice_is_normalising_once_and_a_title_is_among_its_own_keys(text: str) -> None:
    assert normalise_title(normalise_title(text)) == normalise_title(text)
    assert title_keys(text) >= {normalise_title(text)} - {""}


# Domains

NO_HOST = [
    *(f"https://{RU}", f"//{RU}", f"{RU}/wiki/A", f"{RU}:x", f"{RU}:443:1", "https:", f"a@{RU}", "ru..wikipedia.org"),
    *(
        "x" * 64,
        "a." * 200,
        "ru_wikipedia.org",
        "ru wikipedia.org",
        f"{RU}\0",
        "-ru.wikipedia.org",
        f"[{RU}]",
        "п" * 64,
    ),
    *(f"{RU}?", f"{RU}#", f"{RU}\\x", "ru%2Ewikipedia.org", f"{RU}..", "п.рф:ю", "1:2:3"),
]


@pytest.mark.parametrize("text", NO_HOST)
def test_a_domain_that_no_host_can_have_counts_as_none(text: str) -> None:
    assert normalise_domain(text) == ""
    redactor = Redactor({RU: ["Foo"], "de.wikipedia.org": ["Bar"]})
    assert all(is_redacted(on(text, title), redactor) for title in ("Foo", "Bar"))
    assert not is_redacted(on(text, "Other"), redactor)
    for server_name, title in ((RU, "Foo"), ("de.wikipedia.org", "Bar"), (f"//{RU}", "Foo"), (text, "Bar")):
        assert is_redacted({**on(text, title), "server_name": server_name}, redactor)
    uri = {"meta": {"domain": text, "uri": "https://de.wikipedia.org/"}, "server_name": text}
    assert is_redacted({**uri, "title": "Bar"}, redactor)
    assert not is_redacted({**uri, "title": "Foo"}, redactor)
    assert not is_redacted({**on(text), "server_name": "en.wikipedia.org"}, redactor)


@pytest.mark.parametrize(
    "text", [f"{RU}:443", f" {RU} ", f"{RU.upper()}.", f"{RU}.:1", "ru\u3002wikipedia\uff0eorg:80"]
)
def test_a_host_with_a_port_is_that_host(text: str) -> None:
    assert normalise_domain(text) == RU
    assert not is_redacted({**on(text), "server_name": "de.wikipedia.org"}, Redactor({"de.wikipedia.org": ["Foo"]}))


def test_what_is_listed_on_a_domain_that_no_host_can_have_is_listed_on_every_domain() -> None:
    redactor = Redactor({f"https://{RU}/": ["A"], "de.wikipedia.org": ["B"]})
    for domain, titles_there in ((RU, "A"), ("de.wikipedia.org", "AB"), ("", "AB")):
        assert [title for title in "ABC" if is_redacted(on(domain, title), redactor)] == list(titles_there)


@pytest.mark.parametrize("first", [b'"https://ru.wikipedia.org"', b'""', b'"en.wikipedia.org"', b'"ru.wikipedia.org"'])
def test_what_was_asked_before_changes_no_answer(first: bytes) -> None:
    raws = [msgspec.Raw(json.dumps(text).encode()) for text in (RU, "en.wikipedia.org", f"https://{RU}", "")]
    fresh = {(a, b): Redactor({RU: ["A"]}).is_unlisted(raws[a], raws[b]) for a in range(4) for b in range(4)}
    used = Redactor({RU: ["A"]})
    used.is_unlisted(msgspec.Raw(first), msgspec.Raw(b'"en.wikipedia.org"'))
    assert {pair: used.is_unlisted(raws[pair[0]], raws[pair[1]]) for pair in fresh} == fresh
