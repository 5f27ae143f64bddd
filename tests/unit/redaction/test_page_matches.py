"""When pages last matched events, and how many: counted in the event loop, written in a thread, every half minute."""

from __future__ import annotations

import logging

import pytest
from django.db import DatabaseError
from django.utils import timezone

from redaction.listed import changes, matches
from redaction.listed.matches import MatchWriter, matched, matches_of, never_matched
from redaction.models import PageMatch, RedactedPage

pytestmark = pytest.mark.django_db

RU = "ru.wikipedia.org"
A, B = (RU, "a"), (RU, "b")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(matches.time, "monotonic", lambda: now[0])
    return now


def test_what_two_processes_count_is_added_up_at_most_every_half_minute(clock: list[float]) -> None:
    one, other = MatchWriter(), MatchWriter()
    began = timezone.now()
    one.add({A: 2})
    one.write()
    assert matches_of([A]) == {}
    clock[0] += 2
    one.write()
    other.add({A: 1, B: 5})
    other.write()
    found = matches_of([A, B, (RU, "c")])
    assert {page: match.events for page, match in found.items()} == {A: 3, B: 5}
    assert began <= found[A].last_at <= timezone.now()
    one.add({A: 1})
    one.add({A: 1})
    clock[0] += 29
    one.write()
    assert matches_of([A])[A].events == 3
    clock[0] += 2
    one.write()
    assert matches_of([A])[A].events == 5
    assert matches_of([A])[A].last_at > found[A].last_at


def test_a_write_is_due_if_there_is_something_to_write(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(page: object, events: int) -> None:
        raise DatabaseError("away")

    writer = MatchWriter()
    clock[0] += 60
    assert not writer.is_due()
    writer.add({A: 2})
    assert writer.is_due()
    with monkeypatch.context() as patched:
        patched.setattr(matches, "_add", fail)
        patched.setattr(matches.connection, "close", lambda: None)  # the test's own transaction
        writer.write()
    assert not writer.is_due(), "so soon"
    clock[0] += 31
    assert writer.is_due(), "it could not be written"
    writer.write()
    clock[0] += 31
    assert not writer.is_due()


def test_what_cannot_be_written_is_written_later_and_harms_nobody(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(page: object, events: int) -> None:
        raise DatabaseError("away")

    writer = MatchWriter()
    writer.add({A: 2})
    clock[0] += 2
    with monkeypatch.context() as patched:
        patched.setattr(matches, "_add", fail)
        patched.setattr(matches.connection, "close", lambda: None)  # the test's own transaction
        with caplog.at_level(logging.WARNING):
            writer.write()
    assert "DatabaseError" in caplog.text
    assert RU not in caplog.text
    writer.add({A: 1})
    clock[0] += 31
    writer.write()
    assert matches_of([A])[A].events == 3


def test_more_than_a_bounded_number_of_pages_is_written_in_turns(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches, "MAX_WRITTEN", 2)
    writer = MatchWriter()
    writer.add({(RU, str(number)): 1 for number in range(5)})
    for written in (2, 4, 5, 5):
        clock[0] += 31
        writer.write()
        assert PageMatch.objects.count() == written


def test_pages_that_never_matched_since_they_were_listed_are_told_from_the_others(clock: list[float]) -> None:
    changes.add([changes.Page(RU, "A"), changes.Page(RU, "B"), changes.Page("de.wikipedia.org", "A")], "T1", None)
    writer = MatchWriter()
    writer.add({A: 1})
    clock[0] += 2
    writer.write()
    rows = RedactedPage.objects.all()
    assert list(matched(rows).values_list("domain", "key")) == [A]
    assert set(never_matched(rows).values_list("domain", "key")) == {B, ("de.wikipedia.org", "a")}
    RedactedPage.objects.get(domain=RU, key="a").delete()
    changes.add([changes.Page(RU, "A")], "T2", None)
    assert not matched(RedactedPage.objects.all()).exists(), "listed again"
