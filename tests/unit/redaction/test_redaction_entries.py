"""Each kind of entry that could never match an event: refused with the remedy, doubted with evidence, or matched."""

from __future__ import annotations

import json
from urllib.parse import quote

import msgspec
import pytest

from redaction.entries.evidence import Evidence, judge
from redaction.entries.slips import find_slip, without_escapes
from redaction.entries.titles import NotAPageError, Page, checked_title
from redaction.entries.typed import typed_domain, typed_page, typed_title
from redaction.imports.lists import Format, parse
from redaction.redactor import Redactor
from tests.support.events.evidence import COMMONS, DE, RU, WIKIDATA, encoded, event, evidence

# Never right: refused, with what to write.

LONG = "я" * 128


@pytest.mark.parametrize(
    ("title", "remedy"),
    [
        ("Special:Contributions/Example", "list the page that is edited"),
        ("special: Log", "list the page that is edited"),
        ("Служебная:Вклад", "list the page that is edited"),
        ("Spezial:Beiträge/X", "list the page that is edited"),
        ("Media:Foo.jpg", "list the page that is edited"),
        (LONG, "256 bytes in UTF-8"),
        (f"Участник:{LONG}", "256 bytes in UTF-8"),
        ("Sign ~~~~", "leave it out"),
        ("../Foo", "between slashes"),
        ("A[b", "no title can contain ["),
        ("A\x00b", "the control character U+0000"),
        ("A\tb", "a tab"),
    ],
)
def test_a_title_that_no_page_has_is_refused_everywhere(title: str, remedy: str) -> None:
    with pytest.raises(NotAPageError) as refused:
        checked_title(title)
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    "title",
    ["я" * 127, f"Участник:{'я' * 127}", "Specials", "Special", "A...", ".hack", "A/.b", "Mediation: x", "Who? Where?"],
)
def test_a_title_that_a_page_may_have_is_taken(title: str) -> None:
    assert typed_title(title) == title


def address(title: str) -> str:
    return f"https://{RU}/wiki/{quote(title)}"


def misread(text: str, encoding: str) -> str:
    return text.encode().decode(encoding)


@pytest.mark.parametrize(
    ("title", "meant"),
    [
        ("wiki/Участник:X", "Участник:X"),
        ("/wiki/Участник:X", "Участник:X"),
        ("w/index.php?title=A_b&action=edit", "A b"),
        ("X?action=history", "X"),
        ("X?oldid=17&diff=prev", "X"),
        ("X&action=history", "X"),
        ('"Участник:X"', "Участник:X"),
        ("'X y'", "X y"),
        ("«X»", "X"),
        ("„X“", "X"),
        ("“X”", "X"),
        ("`X`", "X"),
        ("Ð¤Ñ…", "Фх"),
        (misread("Участник:Пример", "latin-1"), "Участник:Пример"),
        (misread("Участник:Пример", "cp1251"), "Участник:Пример"),
        (misread("Участник:Пример", "koi8_r"), "Участник:Пример"),
        (misread("Участник:Пример", "cp866"), "Участник:Пример"),
        ("CafÃ©", "Café"),
        (misread("項目", "latin-1"), "項目"),
        ('"wiki/X?action=edit"', "X"),
    ],
)
def test_a_slip_is_refused_with_the_title_that_is_meant(title: str, meant: str) -> None:
    slip = find_slip(title)
    assert slip is not None
    assert slip.meant == meant
    assert f"“{meant}”" in slip.why
    with pytest.raises(NotAPageError):
        typed_title(title)


@pytest.mark.parametrize(
    "title",
    [
        *(
            "Café",
            "Ünïcödé",
            "Участник:Пример",
            "Ёлка",
            "Дії",
            "Раз",
            "項目",
            "«A» и «B»",
            '"A" and "B"',
            "Wiki",
            "Who?",
        ),
        *("ÎÏÐÑ", "Şəki", "Ђурђевдан", "Łódź", "A?b", "100% A", "R&D=x y", "Rock 'n' roll", "Ελλάδα", "Вікі", "Її"),
    ],
)
def test_ordinary_titles_are_no_slips(title: str) -> None:
    assert find_slip(title) is None


@pytest.mark.parametrize("title", ["«X»", "- X", "X?ab=c", "Wiki/X"])
def test_what_may_belong_to_a_title_can_be_given_as_an_address(title: str) -> None:
    assert typed_page(RU, address(title)) == Page(RU, title)


NEVER_RIGHT = ["wiki/X", "/wiki/X", "w/index.php?title=X", "X?action=history", "X&oldid=3", "Ð¤Ñ…", "CafÃ©"]


@pytest.mark.parametrize("title", [*NEVER_RIGHT, "Special:Log", "я" * 128, "A[b]"])
def test_what_is_never_right_is_refused_wherever_it_is_given(title: str) -> None:
    for given in (title, address(title)):
        with pytest.raises(NotAPageError):
            typed_page(RU, given)
        texts = {
            Format.LINES: f"{RU}\t{given}",
            Format.CSV: f'domain,title\n{RU},"{given}"',
            Format.YAML: f"{RU}:\n  - {json.dumps(given)}",
        }
        for form, text in texts.items():
            parsed = parse(text, form)
            assert (parsed.entries, len(parsed.invalid)) == ([], 1), form
            parsed.accept({Page(RU, title).identity})
            assert [entry.page.identity for entry in parsed.entries] == [Page(RU, title).identity], "it is listed"
            assert parsed.invalid == []


def test_a_slip_that_may_be_right_is_never_right_with_another_in_it() -> None:
    for title, is_certain in (("«X»", False), ("«wiki/X»", True), ("X?ab=c", False), ("X?ab=c&action=edit", True)):
        slip = find_slip(title)
        assert slip is not None
        assert slip.is_certain == is_certain


@pytest.mark.parametrize("form", [Format.LINES, Format.CSV, Format.YAML])
def test_an_address_in_a_list_is_the_page_that_it_is_of(form: Format) -> None:
    texts = {
        Format.LINES: f"{address('A b')}\n",
        Format.CSV: f"domain,title\n{RU},{address('A b')}\n",
        Format.YAML: f"{RU}:\n  - {address('A b')}\n",
    }
    assert [entry.page for entry in parse(texts[form], form).entries] == [Page(RU, "A b")]
    assert parse(f"de.wikipedia.org:\n  - {address('A')}\n", Format.YAML).entries == []


def test_percent_escapes_stand_for_their_characters() -> None:
    assert without_escapes("A%20%D0%91") == "A Б"
    assert without_escapes("100% A") == "100% A"
    assert without_escapes("%FF") == "%FF"


@pytest.mark.parametrize(
    "domain", ["https://ru.wikipedia.org", "https://ru.m.wikipedia.org/wiki/", "ru.wikipedia.org/"]
)
def test_an_address_in_the_place_of_a_domain_is_refused_with_the_domain(domain: str) -> None:
    with pytest.raises(NotAPageError, match=r"write the host name alone, ru\.wikipedia\.org"):
        typed_domain(domain)


# Doubtful: shown against evidence.


@pytest.mark.parametrize(
    ("domain", "title", "said", "suggestion"),
    [
        (
            RU,
            "User:Example",
            "Titles of namespace 2 on ru.wikipedia.org begin with Участник: or Участница:; none with User:.",
            (RU, "Участник:Example"),
        ),
        (RU, "user: Example", "begin with Участник: or Участница:; none with user:.", (RU, "Участник:Example")),
        (RU, "User_talk:A", "begin with Обсуждение участника:", (RU, "Обсуждение участника:A")),
        (RU, "Benutzer:Example", "none with Benutzer:.", (RU, "Участник:Example")),
        (RU, "У:Example", "none with У:.", (RU, "Участник:Example")),
        (RU, "Учасник:Example", "none with Учасник:.", (RU, "Участник:Example")),
        (RU, "Wikipedia:Forum", "begin with Википедия:", (RU, "Википедия:Forum")),
        (RU, "Image:Foo.jpg", "begin with Файл:; none with Image:.", (RU, "Файл:Foo.jpg")),
        (RU, "Template:X", "None of the last 35 events of ru.wikipedia.org is of namespace 10", None),
        (RU, "Проект:X", "has a namespace “Проект:”", None),
        (RU, "Участник:", "names a namespace but no page", None),
        (RU, "Foo.jpg", "begin with Файл:", (RU, "Файл:Foo.jpg")),
        (
            "wikidata.org",
            "Q42",
            "No event of the last 891 came from wikidata.org; www.wikidata.org had 813.",
            (WIKIDATA, "Q42"),
        ),
        ("ru.wikipedia.com", "Один", "No event of the last 891 came from ru.wikipedia.com; ", (RU, "Один")),
        ("ru.wikpedia.org", "Один", "; ru.wikipedia.org had 35.", (RU, "Один")),
        ("www.ru.wikipedia.org", "Один", "; ru.wikipedia.org had 35.", (RU, "Один")),
        ("ru.wikipedia.com", "User:X", "none with User:.", (RU, "Участник:X")),
        ("sw.wikipedia.org", "Moja", "No event of the last 891 came from sw.wikipedia.org.", None),
        ("security.protocol", "ssl", "No event of the last 891 came from security.protocol.", None),
        (COMMONS, "Foo.jpg", "begin with File:; “Foo.jpg” has no namespace.", (COMMONS, "File:Foo.jpg")),
        (COMMONS, "foo bar.WEBM", "begin with File:", (COMMONS, "File:foo bar.WEBM")),
        (WIKIDATA, "P31", "begins with Property:", (WIKIDATA, "Property:P31")),
        (RU, "?????? ???", "Question marks in a row", None),
        (RU, "«X»", "quotation marks", (RU, "X")),
    ],
)
def test_what_no_event_bears_out_is_doubted_with_evidence(
    domain: str, title: str, said: str, suggestion: tuple[str, str] | None
) -> None:
    doubt = judge(Page(domain, title), evidence())
    assert doubt is not None
    assert said in " ".join(doubt.sentences)
    assert doubt.suggestion == (Page(*suggestion) if suggestion else None)


@pytest.mark.parametrize(
    ("domain", "title"),
    [
        *(
            (RU, title)
            for title in ("Один", "Участник:Пример", "участница:Пример", "Участник: Пример", "УЧАСТНИК:Пример")
        ),
        *((RU, title) for title in ("обсуждение_участника:X", "12:30", "Уча\u200bстник:X")),
        (DE, "Benutzer:Beispiel"),
        ("RU.wikipedia.org", "Один"),
        (WIKIDATA, "Q42"),
        (WIKIDATA, "Property:P31"),
        (COMMONS, "File:Foo.jpg"),
    ],
)
def test_what_events_bear_out_is_not_doubted(domain: str, title: str) -> None:
    assert judge(Page(domain, title), evidence()) is None


def test_a_stray_event_bears_nothing_out() -> None:
    seen = Evidence()
    seen.take(encoded([event(RU, 2, "Участник:A")] * 150 + [event(RU, 2, "User:B")]))
    doubt = judge(Page(RU, "User:Example"), seen)
    assert doubt is not None
    assert doubt.suggestion == Page(RU, "Участник:Example")
    assert doubt.sentences[0].endswith("begin with Участник:; almost none with User:.")
    seen.take(encoded([event(RU, 2, "Участница:C")] * 2))
    assert judge(Page(RU, "Участница:Example"), seen) is None


def test_a_suggestion_is_borne_out_itself() -> None:
    seen = evidence()
    for domain, title in ((RU, "User:X"), ("wikidata.org", "P31"), ("ru.wikipedia.com", "Image:A.png")):
        doubt = judge(Page(domain, title), seen)
        assert doubt is not None
        assert doubt.suggestion is not None
        assert judge(doubt.suggestion, seen) is None


def test_without_events_everything_is_doubtful_and_the_reason_is_said() -> None:
    doubt = judge(Page(RU, "Один"), Evidence("Kafka cannot be reached"))
    assert doubt is not None
    assert doubt.sentences == ("Nothing could be checked against events: Kafka cannot be reached.",)


def test_of_an_event_nothing_is_kept_but_domain_namespace_and_prefix() -> None:
    seen = evidence()
    kept = repr(vars(seen))
    for text in ("Secret Name", "Пример", "Beispiel", "Q42", "P31"):
        assert text not in kept


def test_what_is_no_event_is_passed_over() -> None:
    seen = Evidence()
    seen.take([b"", b"[]", b"\xff", b'{"meta": 7}', b'{"meta": {"domain": 7}}', b'{"title": "A"}', b"{" * 100_000])
    assert (seen.events, dict(seen.domains)) == (0, {})


# Matched, on the safe side.


@pytest.mark.parametrize(
    "listed",
    ["Участник: Example", "Участник :Example", "Участник:Exam\u200bple", "\u2066Участник:Example", "участник:example"],
)
def test_what_mediawiki_would_make_one_page_of_matches(listed: str) -> None:
    redactor = Redactor({RU: [listed]}, 1)
    members = msgspec.json.decode(json.dumps(event(RU, 2, "Участник:Example")), type=dict[str, msgspec.Raw])
    assert redactor.redact(members)
    assert "user" not in members
