"""The redacted pages of the configuration file: text as written, and no entry that can never match."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site.configuration import load, refusal, warnings_of


def test_titles_are_text_exactly_as_written_whatever_yaml_takes_them_for(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        max_streams: 7
        mediawiki_redacted_pages:
          1.10:
          - 007
          - No
          - 12:30
          - 1e3
          - 2001-01-01
          - ~
          - 0x1F
          - "quoted: 'yes' 1"
          - 'it''s'
          - Участник:HTriedman (WMF)/redacted page test
        """,
    )
    assert config.max_streams == 7
    assert config.mediawiki_redacted_pages == {
        "1.10": (
            "007",
            "No",
            "12:30",
            "1e3",
            "2001-01-01",
            "~",
            "0x1F",
            "quoted: 'yes' 1",
            "it's",
            "Участник:HTriedman (WMF)/redacted page test",
        )
    }


def test_titles_in_a_variable_are_text_exactly_as_written_too(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "mediawiki_redacted_pages: {a.org: [1], b.org: [0777]}",
        mediawiki_redacted_pages='{a.org: [007, No, 12:30, "on: 1"], c.org: [1.0]}',
    )
    assert config.mediawiki_redacted_pages == {
        "a.org": ("007", "No", "12:30", "on: 1"),
        "b.org": ("0777",),
        "c.org": ("1.0",),
    }


@pytest.mark.parametrize("title", ["!Kung people", "&c", "& Juliet", "*nix", "Foo: bar", "'a' b", '""', '" _ "', "[x]"])
def test_a_title_that_yaml_would_change_is_refused_rather_than_not_redacted(tmp_path: Path, title: str) -> None:
    assert str(tmp_path / "config.yaml") in refusal(tmp_path, f"mediawiki_redacted_pages:\n  a.org:\n  - {title}\n")


def test_a_title_that_is_cut_at_what_looks_like_a_comment_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, "mediawiki_redacted_pages:\n  a.org:\n  - Agent #47\n  - Other # a comment\n")
    (warning,) = [warning for warning in warnings_of(caplog) if "mediawiki_redacted_pages" in warning]
    assert "'Agent'" in warning
    assert "line 3" in warning


def test_a_domain_that_is_listed_twice_is_refused_since_one_list_would_be_lost(tmp_path: Path) -> None:
    message = refusal(tmp_path, "mediawiki_redacted_pages:\n  a.org: [A]\n  b.org: [B]\n  a.org: [C]\n")
    assert "a.org" in message
    assert "line 4" in message


@pytest.mark.parametrize(
    ("domain", "remedy"),
    [
        ("https://ru.wikipedia.org", "such as ru.wikipedia.org"),
        ("//ru.wikipedia.org", "such as ru.wikipedia.org"),
        ("ru.wikipedia.org/", "such as ru.wikipedia.org"),
        ("ruwiki", "such as ru.wikipedia.org"),
        ("' '", "missing"),
    ],
)
def test_a_domain_that_no_event_has_is_refused_rather_than_listed_in_vain(
    tmp_path: Path, domain: str, remedy: str
) -> None:
    message = refusal(tmp_path, f"mediawiki_redacted_pages:\n  {domain}: [A]\n")
    assert message.startswith("mediawiki_redacted_pages.")
    assert repr(domain.strip("'")) in message
    assert remedy in message


@pytest.mark.parametrize(
    ("title", "remedy"),
    [
        ("https://ru.wikipedia.org/wiki/A", "write its title alone"),
        ("ru.wikipedia.org/wiki/A", "write its title alone"),
        ("A%20b", "write what it stands for"),
        ("'A#b'", "#"),
        ("'  _'", "missing"),
    ],
)
def test_a_title_that_no_event_has_is_refused_rather_than_listed_in_vain(
    tmp_path: Path, title: str, remedy: str
) -> None:
    message = refusal(tmp_path, f"mediawiki_redacted_pages:\n  a.org:\n  - Good\n  - {title}\n")
    assert message.startswith("mediawiki_redacted_pages.a.org[1]: ")
    assert remedy in message


def test_a_domain_is_listed_as_events_have_it(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        mediawiki_redacted_pages:
          RU.wikipedia.org:443: [A]
          ru.m.wikipedia.org: [B]
          m.wikidata.org: [Q1]
        """,
    )
    assert config.mediawiki_redacted_pages == {"ru.wikipedia.org": ("A", "B"), "www.wikidata.org": ("Q1",)}
