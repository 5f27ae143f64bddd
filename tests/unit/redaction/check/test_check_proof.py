"""What the test of a redaction proves: a test edit proves nothing of a title that no real event has."""

from __future__ import annotations

from typing import Any

import pytest

from redaction.check import check as module
from redaction.check.findings import Proof, Result, instant
from redaction.marking import MARK
from tests.unit.redaction.check.test_check import NOW, T0, World, event

TEST_EDIT = f"{MARK}-1111-4111-8111-111111111111"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(module.time, "time", lambda: NOW / 1000)


def of_a_test(title: str = "Page", **more: Any) -> dict[str, Any]:
    made = event(title, **more)
    return made | {"meta": made["meta"] | {"request_id": TEST_EDIT}}


def lead(result: Result) -> str:
    return result.sentences[0]


@pytest.mark.parametrize("with_raw", [True, False])
async def test_a_test_edit_alone_proves_only_that_the_list_works(with_raw: bool) -> None:
    world = World()
    world.write(of_a_test())
    outcome = await world.ask(with_raw=with_raw)
    result = outcome.result
    assert (result.verdict, result.proof, result.clean) == ("not found", Proof.LIST, 1)
    assert "this proves only that the list works" in lead(result)
    assert outcome.events[0].public()["is_test"] is True


@pytest.mark.parametrize("with_raw", [True, False])
async def test_a_real_event_proves_it(with_raw: bool) -> None:
    world = World()
    world.write(of_a_test())
    world.write(event())
    result = (await world.ask(with_raw=with_raw)).result
    assert (result.verdict, result.proof, result.clean) == ("clean", Proof.REAL, 2)


async def test_a_real_event_of_another_revision_proves_what_a_test_edit_shows() -> None:
    world = World()
    world.write(event(rev_id=1))
    world.write(of_a_test(rev_id=2))
    result = (await world.ask(rev_id=2)).result
    assert (result.verdict, result.proof, result.clean) == ("clean", Proof.REAL, 1)


async def test_real_events_of_the_namespace_prove_it_with_a_reservation() -> None:
    world = World()
    world.write(of_a_test(namespace=0))
    world.write(event("Another", namespace=0), event("Another"))
    result = (await world.ask()).result
    assert (result.verdict, result.proof) == ("clean", Proof.NAMESPACE)
    assert "No real event with this title has been seen" in lead(result)


@pytest.mark.parametrize("title", ["User:Page", "Проект:Page"])
async def test_a_title_whose_namespace_no_real_event_has_is_not_proved_by_a_of_a_test(title: str) -> None:
    world = World()
    world.write(of_a_test(title))
    world.write(event("Участник:Another", namespace=2), event("Another"))
    result = (await world.ask(title=title)).result
    assert (result.verdict, result.proof) == ("not found", Proof.LIST)
    assert any("namespace" in sentence for sentence in result.doubts)


async def test_a_leak_of_a_test_edit_is_a_leak() -> None:
    world = World()
    world.write(of_a_test(), of_a_test())
    assert (await world.ask()).result.verdict == "leak"


async def test_where_nothing_is_found_the_first_line_says_that_it_proves_nothing() -> None:
    world = World()
    world.write(event("Another"))
    result = (await world.ask()).result
    assert result.verdict == "not found"
    assert "this proves nothing" in lead(result)
    world.write(event(), None)
    assert "this proves nothing" in lead((await world.ask()).result)


async def test_a_window_longer_than_the_log_says_from_when_on_it_could_look() -> None:
    world = World()
    world.write(event(), at=T0 + 1000)
    result = (await world.ask()).result
    assert result.held_from == instant(T0 + 1000)
    assert any(instant(T0 + 1000) in sentence for sentence in result.sentences)


async def test_a_log_that_has_lost_records_says_from_when_on_it_could_look() -> None:
    world = World()
    for second in range(4):
        world.write(event(), at=T0 + 1000 * second)
    world.source.truncate_before("t", 2)
    assert (await world.ask()).result.held_from == instant(T0 + 2000)


async def test_a_log_that_holds_the_window_says_nothing_of_it() -> None:
    world = World()
    world.write(event(), at=T0 - 1000)
    world.write(event(), at=T0 + 1000)
    assert (await world.ask()).result.held_from == ""


async def test_each_event_says_its_revision_its_kind_and_its_time() -> None:
    world = World()
    world.write(event(revision={"old": 4, "new": 5}))
    (finding,) = (await world.ask()).events
    said = finding.public()
    assert (said["revision"], said["kind"], said["time"], said["is_test"]) == ("5", "edit", instant(T0), False)
