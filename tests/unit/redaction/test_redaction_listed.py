"""What is in force of the list after changes that the models made and ones that they did not, in several processes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from redaction.listed import changes, holds, in_force
from redaction.listed.in_force import Listed
from redaction.models import Hold, PageChange, RedactedPage
from streams.models import Version

pytestmark = pytest.mark.django_db

RU = "ru.wikipedia.org"
DE = "de.wikipedia.org"


class Server:
    """A process that follows the list."""

    def __init__(self, configured: dict[str, list[str]] | None = None) -> None:
        self._configured = configured or {}
        self.listed: Listed | None = None
        self.look()

    def look(self) -> Server:
        self.listed = in_force.read(self._configured, self.listed) or self.listed
        return self

    @property
    def now(self) -> Listed:
        assert self.listed is not None
        return self.listed

    def redacts(self, *titles: str, domain: str = RU) -> bool:
        return all(self._redacts(title, domain) for title in titles)

    def _redacts(self, title: str, domain: str) -> bool:
        event = {"meta": {"domain": domain}, "title": title, "user": "Alice"}
        return self.now.redactor.redact(msgspec.json.decode(msgspec.json.encode(event), type=dict[str, msgspec.Raw]))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are read again at each look."""
    monkeypatch.setattr(in_force, "REREAD_SECONDS", 0.0)


@pytest.fixture
def server() -> Server:
    changes.add([changes.Page(RU, "A"), changes.Page(RU, "B"), changes.Page(DE, "C")], "T1", None)
    return Server()


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def insert(title: str, key: str, domain: str = RU) -> None:
    sql(
        "INSERT INTO redaction_redactedpage (domain, title, key, reason, added_at) VALUES (%s, %s, %s, '', %s)",
        domain,
        title,
        key,
        timezone.now(),
    )


def test_what_the_models_remove_is_let_go_and_nothing_is_held(server: Server) -> None:
    RedactedPage.objects.get(key="a").delete()
    RedactedPage.objects.filter(key="b").update(title="D")
    server.look()
    assert not server._redacts("A", RU)
    assert not server._redacts("B", RU)
    assert server.redacts("D")
    assert (server.now.count, server.now.held, server.now.why) == (2, 0, ())
    assert not Hold.objects.exists()


def test_what_sql_adds_is_in_force_by_its_title_and_by_its_key(server: Server) -> None:
    version = server.now.redactor.version
    insert("Foo  bar", "")
    insert("E", "another key", "RU.wikipedia.org.")
    server.look()
    assert server.redacts("foo_bar", "E", "another key")
    assert not server.now.why
    assert server.now.redactor.version > version, "what was made with the list of before is dropped"
    RedactedPage.objects.all().delete()
    server.look()
    assert (server.now.count, server.now.why) == (0, ())


def test_the_list_is_the_same_object_where_nothing_has_changed(server: Server) -> None:
    redactor = server.now.redactor
    RedactedPage.objects.update(reason="T2")
    sql("UPDATE streams_version SET number = number + 1")
    assert server.look().now.redactor is redactor
    assert server.now.version == Version.of(Version.REDACTED_PAGES)


LOSSES = {
    "deleted": "DELETE FROM redaction_redactedpage WHERE key = 'a'",
    "renamed": "UPDATE redaction_redactedpage SET title = 'X', key = 'x' WHERE key = 'a'",
    "moved": "UPDATE redaction_redactedpage SET domain = 'x.org' WHERE key = 'a'",
    "emptied": "DELETE FROM redaction_redactedpage",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_what_disappears_without_a_removal_stays_in_force_everywhere_until_an_admin_decides(
    server: Server, loss: str
) -> None:
    other, bystander = Server(), Server()
    sql(loss)
    held = 3 if loss == LOSSES["emptied"] else 1
    for each in (server, other, bystander):
        each.look()
        assert each.redacts("A", "B")
        assert each.redacts("C", domain=DE)
        assert each.now.held == held
        assert "without a removal" in each.now.why[0]
        assert "A" not in each.now.why[0].replace("An admin", ""), "titles are shown to staff only"
    assert Hold.objects.count() == 1, "one process is enough"
    late = Server()
    assert late.redacts("A", "B"), "a process that starts now respects what others hold"
    # What is added counts all the same.
    changes.add([changes.Page(RU, "New")], "T2", None)
    for each in (server, late):
        assert each.look().redacts("New", "A")
        assert each.now.why

    ((hold, titles),) = holds.held()
    assert (RU, "A") in titles
    assert holds.apply({hold.pk}, "it was meant", None) == held
    for each in (server, other, bystander, late):
        each.look()
        assert not each._redacts("A", RU)
        assert each.redacts("New")
        assert (each.now.held, each.now.why) == (0, ())
    removed = PageChange.objects.filter(what="removed", reason="it was meant")
    assert removed.count() == held
    assert PageChange.objects.get(what="applied").reason == "it was meant"
    assert not Hold.objects.exists()


def test_an_admin_can_put_back_what_is_held(server: Server) -> None:
    sql(LOSSES["emptied"])
    server.look()
    ((hold, titles),) = holds.held()
    assert titles == [(DE, "C"), (RU, "A"), (RU, "B")]
    assert holds.put_back({hold.pk}, "lost by a mistake", None) == 3
    assert set(RedactedPage.objects.values_list("key", "reason")) == {(key, "lost by a mistake") for key in "abc"}
    server.look()
    assert server.redacts("A", "B")
    assert (server.now.held, server.now.why) == (0, ())


def test_a_list_of_a_lower_version_is_held(server: Server) -> None:
    other = Server()
    sql("UPDATE streams_version SET number = 0")
    sql("DELETE FROM redaction_redactedpage WHERE key = 'a'")
    # A restored history: it even has the removal, of a time before the page was listed again.
    PageChange.objects.create(what="removed", domain=RU, title="A", key="a", reason="", by="")
    for each in (server, other):
        each.look()
        assert each.redacts("A", "B")
        assert "has version 0" in each.now.why[0]
        assert each.now.held == 1
    for each in (server, other):
        each.look()
        assert len(each.now.why) == 1
    (hold,) = Hold.objects.all()
    holds.apply({hold.pk}, "restored", None)
    for each in (server, other):
        assert not each.look()._redacts("A", RU)
        assert not each.now.why


def test_a_lower_version_with_all_pages_is_said_until_it_is_applied(server: Server) -> None:
    sql("UPDATE streams_version SET number = 0")
    assert server.look().now.why
    assert server.look().now.why
    assert server.now.held == 0
    assert holds.apply({hold.pk for hold in Hold.objects.all()}, "yes", None) == 0
    assert not server.look().now.why


def test_a_page_that_was_removed_and_listed_again_by_sql_is_held_when_it_is_deleted(server: Server) -> None:
    RedactedPage.objects.get(key="a").delete()
    insert("A", "a")
    server.look()
    sql(LOSSES["deleted"])
    assert server.look().redacts("A")
    assert server.now.why


def test_what_is_held_and_cannot_be_written_down_is_held_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**fields: object) -> None:
        raise DatabaseError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(Hold.objects, "create", fail)
        sql("UPDATE streams_version SET number = 0")
        sql(LOSSES["emptied"])
        for _ in range(3):
            server.look()
            assert server.redacts("A", "B")
            assert len(server.now.why) == 1
    server.look()
    assert Hold.objects.count() == 1
    assert server.look().redacts("A", "B")
    assert len(server.now.why) == 1


def test_a_hold_that_is_deleted_by_sql_is_made_again(server: Server) -> None:
    sql(LOSSES["emptied"])
    server.look().look()
    sql("DELETE FROM redaction_hold")
    server.look().look()
    assert server.redacts("A", "B")
    assert Hold.objects.count() == 1


def test_the_pages_of_the_configuration_file_are_never_held() -> None:
    server = Server({RU: ["A"]})
    insert("A", "a")
    assert server.look().redacts("A")
    sql(LOSSES["deleted"])
    assert server.look().redacts("A")


def test_rows_are_read_again_within_ten_seconds_though_the_version_is_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "REREAD_SECONDS", 8.0)
    clock = [server.now.read_at + 7.9]
    monkeypatch.setattr(in_force.time, "monotonic", lambda: clock[0])
    insert("New", "new")
    assert in_force.read({}, server.now) is None
    clock[0] += 0.2
    assert server.look().redacts("New")


def test_a_look_is_one_question_even_if_it_finds_a_change(
    server: Server, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(in_force, "REREAD_SECONDS", 60.0)
    with django_assert_num_queries(1):
        server.look()
    changes.add([changes.Page(RU, "New")], "T2", None)
    with django_assert_num_queries(1):  # a database at two seconds a round trip gives a change within five
        server.look()
    assert server.redacts("New")
