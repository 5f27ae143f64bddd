"""Many pages at once in the admin: import with its preview, export."""

from __future__ import annotations

import csv
import io
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from eventstreams_site.config.config import load_config
from redaction.entries.titles import Page
from redaction.imports import lists
from redaction.listed import changes
from redaction.models import PageChange, RedactedPage
from streams.models import Version
from tests.support.admin import LIST, ServiceClient, messages, staff
from tests.support.admin.redaction import GROUP, RU, listed

IMPORT = LIST + "import/"
ROOT = Path(__file__).resolve().parents[4]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("borne_out")]


def form(text: str, step: str = "preview", **more: Any) -> dict[str, Any]:
    return {"text": text, "form": "recognise", "default_domain": "", "step": step, **more}


class Hidden(HTMLParser):
    """The hidden fields of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given.get("value", "")


def hidden(preview: Any) -> dict[str, str]:
    """What the preview's own form sends on."""
    fields = Hidden(preview.content.decode()).fields
    assert fields.pop("csrfmiddlewaretoken")
    assert set(fields) == {"text", "form", "default_domain"}
    return fields


# Import.


def test_a_list_is_previewed_then_imported_with_a_reason_in_one_change(admin: Client) -> None:
    changes.add([Page(RU, "Listed")], "T1", None)
    before = Version.of(Version.REDACTED_PAGES)
    text = f"{RU}\tНовая\n{RU}\tновая\n{RU}\tLISTED\nnonsense\nde.wikipedia.org\tNeu\n"
    preview = admin.post(IMPORT, form(text))
    context = preview.context
    assert context["count"] == 2
    assert context["domains"] == [("de.wikipedia.org", 1), (RU, 1)]
    assert [(entry.line, entry.text) for entry in context["invalid"][0]] == [(4, "nonsense")]
    assert {heading: [entry.line for entry in entries] for heading, _, entries, _ in context["kinds"]} == {
        "Already on the list": [3],
        "Already in the configuration file": [],
        "Duplicate of an earlier line": [2],
    }
    assert "Import 2 pages" in preview.content.decode()
    assert len(listed()) == 1

    without = admin.post(IMPORT, {**hidden(preview), "step": "import", "reason": ""})
    assert without.context["errors"] == {"reason": ["This field is required."]}
    assert len(listed()) == 1
    assert Version.of(Version.REDACTED_PAGES) == before

    done = admin.post(IMPORT, {**hidden(preview), "step": "import", "reason": "T399"}, follow=True)
    assert messages(done) == [
        "Added 2 pages. Matching events are redacted within 3 seconds. 2 were already listed.",
        "1 invalid line was skipped.",
    ]
    assert listed() == [("de.wikipedia.org", "Neu"), (RU, "Listed"), (RU, "Новая")]
    assert Version.of(Version.REDACTED_PAGES) == before + 1
    recorded = PageChange.objects.filter(reason="T399").order_by("title")
    assert [(change.what, change.title, change.by) for change in recorded] == [
        ("added", "Neu", "ada"),
        ("added", "Новая", "ada"),
    ]


def test_what_the_configuration_file_has_is_not_imported() -> None:
    client = ServiceClient(staff("ada", GROUP), {RU: ["no"]})
    preview = client.post(IMPORT, form(f"{RU}:\n  - No\n  - 007\n"))
    assert preview.context["format"] == "YAML"
    assert [entry.page.title for entry in preview.context["new"][0]] == ["007"]
    assert [number for heading, number, _, _ in preview.context["kinds"] if "configuration" in heading] == [1]
    client.post(IMPORT, form(f"{RU}:\n  - No\n  - 007\n", "import", reason="T"))
    assert listed() == [(RU, "007")]


def test_1200_cyrillic_titles_are_imported_in_seconds(admin: Client) -> None:
    titles = [f"Участник:Пример {number}/Черновик статьи о чём-то важном" for number in range(1200)]
    upload = SimpleUploadedFile("list.txt", "\n".join(f"{RU}\t{title}" for title in titles).encode())
    started = time.monotonic()
    preview = admin.post(IMPORT, form("", upload=upload))
    assert preview.context["count"] == 1200
    done = admin.post(IMPORT, {**hidden(preview), "step": "import", "reason": "T"}, follow=True)
    assert time.monotonic() - started < 15
    assert messages(done) == ["Added 1200 pages. Matching events are redacted within 3 seconds."]
    assert {title for _, title in listed()} == set(titles)
    assert PageChange.objects.count() == 1200


def test_the_format_and_the_default_domain_can_be_chosen(admin: Client) -> None:
    text = 'ru.wikipedia.org,"Heroes" (song)\nTitle alone'
    data = form(text, form="lines", default_domain="https-less.example.org")
    preview = admin.post(IMPORT, data)
    assert [tuple(entry.page) for entry in preview.context["new"][0]] == [(RU, '"Heroes" (song)')]
    doubtful = [tuple(item.entry.page) for item in preview.context["doubtful"][0]]
    assert doubtful == [("https-less.example.org", "Title alone")]
    admin.post(IMPORT, {**hidden(preview), "step": "import_all", "reason": "T"})
    assert len(listed()) == 2


def test_lines_keep_their_numbers_from_the_file_to_the_import(admin: Client) -> None:
    preview = admin.post(IMPORT, form("\n\n\nnonsense\n" + f"{RU} A"))
    assert [entry.line for entry in preview.context["invalid"][0]] == [4]
    without = admin.post(IMPORT, {**hidden(preview), "step": "import", "reason": ""})
    assert [entry.line for entry in without.context["invalid"][0]] == [4]


def test_the_input_can_be_changed_after_the_preview(admin: Client) -> None:
    back = admin.post(IMPORT, form(f"{RU} A\nnonsense", "edit"))
    html = back.content.decode()
    assert f"{RU} A\nnonsense</textarea>" in html
    assert "Preview</button>" in html
    assert listed() == []


def test_where_nothing_is_new_there_is_nothing_to_import(admin: Client) -> None:
    changes.add([Page(RU, "A")], "T1", None)
    html = admin.post(IMPORT, form(f"{RU} a")).content.decode()
    assert 'value="import"' not in html
    assert 'value="edit"' in html


def test_a_long_preview_names_some_and_counts_the_rest(admin: Client) -> None:
    preview = admin.post(IMPORT, form("\n".join(f"nonsense {number}" for number in range(70))))
    html = preview.content.decode()
    assert "nonsense 49" in html
    assert "<code>nonsense 50</code>" not in html
    assert "and 20 more" in html


def test_what_is_pasted_is_shown_as_text(admin: Client) -> None:
    html = admin.post(IMPORT, form('<script>alert("x")</script>\n' + f'{RU} "><b>')).content.decode()
    assert "<script>alert" not in html
    assert '"><b>' not in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    ("data", "field", "error"),
    [
        (form(""), "text", "No pages found."),
        (form("# only a comment"), "text", "No pages found."),
        (form("a: [", form="yaml"), "text", "It is not valid YAML at line 1"),
        (form("x", default_domain="ruwiki"), "default_domain", "'ruwiki' is not a wiki's host name"),
        (form("x", form="xml"), "form", "Select a valid choice"),
        (form(f"{RU} " + "я" * lists.MAX_BYTES), "text", "It is larger than 1024 KiB: import it in parts."),
        (form("x", upload=SimpleUploadedFile("a", b"y")), "__all__", "Either paste a list or upload one, not both."),
        (form("", upload=SimpleUploadedFile("a", b"")), "upload", "The submitted file is empty."),
        (form("", upload=SimpleUploadedFile("a", b"# c")), "upload", "No pages found."),
        (form("", upload=SimpleUploadedFile("a", "Один".encode("cp1251"))), "upload", "It is not UTF-8 text (line 1)"),
        (form("", upload=SimpleUploadedFile("a", b"PK\0")), "upload", "It is not a text file."),
        (
            form("", upload=SimpleUploadedFile("a", b"x" * (lists.MAX_BYTES + 1))),
            "upload",
            "It is larger than 1024 KiB: import it in parts.",
        ),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_what_to_do(
    admin: Client, data: dict[str, Any], field: str, error: str
) -> None:
    answer = admin.post(IMPORT, data)
    errors = answer.context["errors"]
    assert list(errors) == [field]
    assert errors[field][0].startswith(error)
    assert error in answer.content.decode().replace("&#x27;", "'")
    if "upload" in data:
        data["upload"].open()
    # Leaving the preview out does not help.
    assert admin.post(IMPORT, {**data, "step": "import", "reason": "T"}).context["errors"]
    assert listed() == []


def test_a_request_that_is_far_too_large_is_refused_in_words(admin: Client) -> None:
    answer = admin.post(IMPORT, form("x" * 4_000_000))
    assert answer.status_code == 400
    assert "Imports are limited to 1 MiB" in answer.content.decode()


# Export.

AWKWARD = ["007", "No", "12:30", "~", "a: b", "# c", 'Der "Titel"', "'x'", "!x", "Один, два", "= 1", "\u2028x", "\x85y"]
IMPOSSIBLE = ("# c", "\u2028x", "\x85y")
"""No page's title, though the list may have it from elsewhere."""
POSSIBLE = [title for title in AWKWARD if title not in IMPOSSIBLE]


@pytest.mark.parametrize("path", ["export.csv", "export.yaml"])
def test_what_is_exported_can_be_imported(admin: Client, path: str) -> None:
    kept = [*POSSIBLE, "x" * 250, "+1", "-1", "@x", "'=x", "''+"]
    changes.add([Page(RU, title) for title in kept] + [Page("de.wikipedia.org", "Eins")], 'T1, "x"', None)
    before = set(listed())
    exported = admin.get(LIST + path)
    assert f'attachment; filename="redacted-pages.{path[-4:].strip(".")}"' in exported["Content-Disposition"]
    RedactedPage.objects.all().delete()
    upload = SimpleUploadedFile(path, exported.content)
    admin.post(IMPORT, form("", "import_all", upload=upload, reason="T"))
    assert set(listed()) == before
    if path.endswith("csv"):
        for row in csv.reader(io.StringIO(exported.content.decode(), newline="")):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row), row


@pytest.mark.parametrize("path", ["export.csv", "export.yaml"])
def test_what_the_list_has_from_elsewhere_is_listed_already_when_it_comes_back(admin: Client, path: str) -> None:
    """Rows by a shell or an older version may be such as the admin refuses now."""
    titles = [*AWKWARD, "wiki/X", "X?action=history", "Ð¤Ñ…", "«X»", "- X", "Special:Log", "я" * 200, "A[b]", "a\nb"]
    for title in titles:
        RedactedPage.objects.create(domain=RU, title=title)
    for domain in ("de.m.wikipedia.org", "no host"):
        RedactedPage.objects.create(domain=domain, title="wiki/X")
    count = RedactedPage.objects.count()
    upload = SimpleUploadedFile(path, admin.get(LIST + path).content)
    context = admin.post(IMPORT, form("", "preview", upload=upload)).context
    assert (context["invalid"], context["count"], context["doubtful_count"]) == (([], 0), 0, 0)
    assert context["kinds"][0][:2] == ("Already on the list", count)


def test_the_yaml_is_what_the_configuration_takes(admin: Client, tmp_path: Path) -> None:
    changes.add([Page(RU, title) for title in AWKWARD], "T1", None)
    exported = admin.get(LIST + "export.yaml").content.decode()
    assert set(yaml.safe_load(exported)["mediawiki_redacted_pages"][RU]) == set(AWKWARD)
    RedactedPage.objects.all().delete()
    changes.add([Page(RU, title) for title in POSSIBLE], "T1", None)
    text = admin.get(LIST + "export.yaml").content.decode()
    assert "Один, два" in text
    path = tmp_path / "config.yaml"
    path.write_text(text)
    config = load_config({"EVENTSTREAMS_CONFIG": str(path)})
    assert set(config.mediawiki_redacted_pages[RU]) == set(POSSIBLE)


def test_an_empty_list_is_exported_as_one(admin: Client) -> None:
    assert yaml.safe_load(admin.get(LIST + "export.yaml").content) == {"mediawiki_redacted_pages": {}}
    assert len(list(csv.reader(io.StringIO(admin.get(LIST + "export.csv").content.decode())))) == 1


def test_the_csv_says_why_who_and_when(admin: Client) -> None:
    changes.add([Page(RU, "Один, два")], "T1", staff("grace"))
    (page,) = RedactedPage.objects.all()
    (row,) = csv.DictReader(io.StringIO(admin.get(LIST + "export.csv").content.decode()))
    assert row == {
        "domain": RU,
        "title": "Один, два",
        "reason": "T1",
        "added by": "grace",
        "added at": page.added_at.isoformat(timespec="seconds"),
    }
