"""What the admin does with pages that events do not confirm: shown with the evidence before anything is saved."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from redaction.admin.pages import RedactedPageAdmin
from redaction.entries import evidence_reader
from redaction.entries.evidence_reader import AWAY, EvidenceReader, read_evidence
from redaction.entries.titles import Page
from redaction.listed import changes
from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.source import Batch, Bounds, SourceUnavailableError
from tests.support.admin import LIST, ServiceClient, messages, staff
from tests.support.admin.redaction import GROUP, listed
from tests.support.events.evidence import DE, RU, encoded, event, hub_with, some_events

VALUES = (Path(__file__).parents[2] / "data" / "values.production.yaml").read_text()
INSTEAD = "Титул"


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has kept nothing yet."""
    monkeypatch.setattr(RedactedPageAdmin, "evidence", EvidenceReader())


def client(hub: Any = None, configured: Any = None) -> ServiceClient:
    """Of a process that holds events in memory; Kafka is away."""
    return ServiceClient(
        staff("ada", GROUP), configured or {}, hub=hub or hub_with(some_events() * 12), catalogue=CATALOGUE
    )


CATALOGUE = SimpleNamespace(streams={"s": SimpleNamespace(name="s", topics=("t",))})


def add(asked: ServiceClient, domain: str, title: str, **more: str) -> Any:
    return asked.post(LIST + "add/", {"domain": domain, "title": title, "reason": "T", **more}, follow=True)


@pytest.mark.django_db
def test_a_page_in_the_wrong_namespace_is_shown_against_evidence_and_one_click_corrects_it() -> None:
    asked = client()
    answer = add(asked, RU, "User:Example")
    html = answer.content.decode()
    assert listed() == []
    assert "Titles of namespace 2 on ru.wikipedia.org begin with Участник: or Участница:; none with User:." in html
    assert "Secret Name" not in html
    form = answer.context["adminform"].form
    assert form.suggested == "ru.wikipedia.org|Участник:Example"
    # The button sends the fields along as they are.
    add(asked, RU, "User:Example", _take=form.suggested)
    assert listed() == [(RU, "Участник:Example")]


@pytest.mark.django_db
def test_a_doubtful_page_is_saved_as_it_is_on_demand_and_nothing_else_with_it() -> None:
    asked = client()
    form = add(asked, RU, "User:Example").context["adminform"].form
    # Another page than the one that was shown is looked at again.
    assert add(asked, RU, "User:Other", _as_it_is=form.as_it_is).context["adminform"].form.doubt is not None
    assert listed() == []
    done = add(asked, RU, "User:Example", _as_it_is=form.as_it_is)
    assert listed() == [(RU, "User:Example")]
    assert "Added “User:Example”" in messages(done)[0]


@pytest.mark.django_db
def test_a_suggestion_is_looked_at_like_any_other_page() -> None:
    changes.add([Page(RU, "Участник:Example")], "T0", None)
    asked = client()
    answer = add(asked, RU, "User:Example", _take="ru.wikipedia.org|Участник:Example")
    assert "already listed" in answer.context["adminform"].form.errors["title"][0]
    answer = add(asked, RU, "x", _take="ru.wikipedia.org|Special:Log")
    assert "no event has such a title" in answer.context["adminform"].form.errors["title"][0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("domain", "title"),
    [
        (RU, "Участник:Пример"),
        (RU, "Один"),
        (RU, "https://ru.m.wikipedia.org/wiki/A%20b"),
        ("ru.m.wikipedia.org", "A%20b"),
    ],
)
def test_what_events_bear_out_is_saved_at_once(domain: str, title: str) -> None:
    add(client(), domain, title)
    assert len(listed()) == 1
    assert "%" not in listed()[0][1]


@pytest.mark.django_db
def test_without_kafka_and_events_it_says_that_nothing_could_be_checked() -> None:
    asked = client(hub_with([]))
    answer = add(asked, RU, "Участник:Example")
    assert listed() == []
    assert f"Nothing could be checked against events: {AWAY}." in answer.content.decode()
    add(asked, RU, "Участник:Example", _as_it_is=answer.context["adminform"].form.as_it_is)
    assert len(listed()) == 1


@pytest.mark.django_db
def test_the_pages_of_the_configuration_file_are_looked_at_too() -> None:
    html = client(configured={RU: ["User:Example", "Участник:Пример"]}).get(LIST).content.decode()
    assert "1 of them may never match an event" in html
    assert "none with User:." in html
    assert "Suggestion: <strong>Участник:Example</strong>" in html
    html = client_again(hub_with([]), {RU: ["User:Example"]}).get(LIST).content.decode()
    assert "may never match an event" not in html


def client_again(hub: Any, configured: Any) -> ServiceClient:
    return ServiceClient(staff("grace", GROUP), configured, hub=hub, catalogue=CATALOGUE)


# Many at once.


def form(text: str, step: str = "preview", **more: Any) -> dict[str, Any]:
    return {"text": text, "form": "recognise", "default_domain": "", "step": step, **more}


LINES = f"{RU}\tОдин\n{RU}\tUser:A\n{RU}\tПроект:B\n{RU}\tSpecial:Log\n"


@pytest.mark.django_db
def test_a_preview_tells_refused_doubtful_and_fine_apart() -> None:
    answer = client().post(LIST + "import/", form(LINES))
    html = answer.content.decode()
    assert [entry.line for entry in answer.context["new"][0]] == [1]
    assert [item.entry.line for item in answer.context["doubtful"][0]] == [2, 3]
    assert [line.line for line in answer.context["invalid"][0]] == [4]
    assert "none with User:." in html
    assert listed() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("import", ["Один"]),
        ("import_suggested", ["Один", "Проект:B", "Участник:A"]),
        ("import_all", ["User:A", "Один", "Проект:B"]),
    ],
)
def test_each_button_says_what_becomes_of_the_doubtful(step: str, expected: list[str]) -> None:
    asked = client()
    html = asked.post(LIST + "import/", form(LINES)).content.decode()
    assert f'value="{step}"' in html
    done = asked.post(LIST + "import/", form(LINES, step, reason="T"), follow=True)
    assert sorted(title for _, title in listed()) == expected
    assert ("2 doubtful pages were not added." in messages(done)) == (step == "import")


@pytest.mark.django_db
def test_more_invalid_than_valid_lines_are_not_offered() -> None:
    asked = client()
    text = f"{RU}\tОдин\n{RU}\t[\n{RU}\t]\n"
    html = asked.post(LIST + "import/", form(text)).content.decode()
    assert 'value="import"' not in html
    assert "2 lines are invalid, and only 1 valid" in html
    for step in ("import", "import_all", "import_suggested"):
        asked.post(LIST + "import/", form(text, step, reason="T"))
    assert listed() == []
    assert 'value="import"' in asked.post(LIST + "import/", form(text + f"{RU}\tДва\n")).content.decode()


@pytest.mark.django_db
def test_the_values_file_read_as_lines_is_not_offered() -> None:
    html = client().post(LIST + "import/", form(VALUES, form="lines")).content.decode()
    assert 'value="import' not in html


@pytest.mark.django_db
def test_the_values_file_of_production_is_imported_as_it_stands() -> None:
    events = [event(f"{code}.wikipedia.org", 0, INSTEAD) for code in ("ru", "uk", "be", "en")]
    events += [event(RU, 2, "Участник:Пример"), event(RU, 1, "Обсуждение:Пример")]
    asked = client(hub_with(events * 2000))
    answer = asked.post(LIST + "import/", form(VALUES))
    assert answer.context["all_count"] == 1175
    assert answer.context["invalid_count"] == 0
    # Those with a colon in the title, which may be meant as a namespace.
    assert 0 < answer.context["doubtful_count"] <= 100
    asked.post(LIST + "import/", form(VALUES, "import_all", reason="T"))
    assert len(listed()) == 1175


@pytest.mark.django_db
@pytest.mark.parametrize("line", ["x" * 200_000, "=" * 200_000, ',"' * 100_000])
def test_a_very_long_first_line_is_a_page_that_names_it(line: str) -> None:
    answer = client().post(LIST + "import/", form(line))
    assert answer.status_code == 200
    assert "characters: write one page on each line" in answer.content.decode()


# Where the evidence comes from.


class Log:
    """A source with one partition of the values."""

    def __init__(self, values: list[bytes], hangs: bool = False, is_away: bool = False) -> None:
        self.partitions = {"t": 1}
        self._values = values
        self._hangs = hangs
        self._is_away = is_away

    async def bounds(self, partitions: Any) -> dict[TopicPartition, Bounds]:
        if self._is_away:
            raise SourceUnavailableError
        return dict.fromkeys(partitions, Bounds(0, len(self._values)))

    async def read(self, partition: TopicPartition, offset: int, max_bytes: int) -> Batch:
        if self._hangs:
            await asyncio.Event().wait()
        end = min(len(self._values), offset + 700)
        records = [Record("t", 0, at, 1, None, self._values[at]) for at in range(offset, end)]
        return Batch(records, end, Bounds(0, len(self._values)))


def process(source: Any, hub: Any = None) -> Any:
    return SimpleNamespace(hub=hub or hub_with([], available=True), source=source, catalogue=CATALOGUE)


async def test_evidence_is_read_from_kafka_where_memory_has_none() -> None:
    seen = await read_evidence(process(Log(encoded(some_events()))))
    assert seen.events == len(some_events())
    assert seen.prefixes(RU, 2) == ["Участник", "Участница"]


async def test_evidence_out_of_kafka_is_of_the_newest_events_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_reader, "MAX_EVENTS", 1000)
    monkeypatch.setattr(evidence_reader, "ENOUGH", 500)
    seen = await read_evidence(process(Log(encoded([event(RU, 0, "A")] * 5000 + [event(DE, 0, "B")] * 1000))))
    assert dict(seen.domains) == {DE: 1000}


async def test_enough_events_in_memory_do_for_it() -> None:
    seen = await read_evidence(process(Log([], is_away=True), hub_with(some_events() * 12, available=True)))
    assert seen.events == len(some_events()) * 12


async def test_a_kafka_that_does_not_answer_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_reader, "READ_SECONDS", 0.1)
    began = time.monotonic()
    seen = await read_evidence(process(Log(encoded(some_events()), hangs=True)))
    assert (seen.events, bool(seen.trouble)) == (0, True)
    assert time.monotonic() - began < 3


async def test_a_kafka_that_fails_is_said() -> None:
    assert (await read_evidence(process(Log([], is_away=True)))).trouble == AWAY
