"""An outage has a line at once, one a minute, and one when it is over; one that comes and goes has few."""

from __future__ import annotations

import logging

import pytest

from streams.engine.outage import SOON_SECONDS, Outage
from tests.support import Clock

LOG = logging.getLogger(__name__)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == __name__]
    caplog.clear()
    return found


def test_a_line_at_once_one_a_minute_and_one_when_it_is_over(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    outage = Outage(LOG, "It does not answer", clock=clock)
    for _ in range(150):  # two and a half minutes
        outage.continues("no answer")
        clock.now += 1
    outage.is_over("It answers again")
    outage.is_over("It answers again")
    assert lines(caplog) == [
        ("ERROR", "It does not answer: no answer"),
        ("ERROR", "It does not answer, for 60 s: no answer"),
        ("ERROR", "It does not answer, for 120 s: no answer"),
        ("WARNING", "It answers again, after 150 s"),
    ]


def test_one_that_comes_and_goes_does_not_fill_the_log(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    outage = Outage(LOG, "It does not answer", clock=clock)
    for _ in range(59):
        outage.continues("no answer")
        outage.is_over("It answers again")
        clock.now += 1
    assert [level for level, _ in lines(caplog)] == ["ERROR", "WARNING"] * 6, "every 10 s"
    clock.now += SOON_SECONDS
    outage.continues("no answer")
    assert lines(caplog) == [("ERROR", "It does not answer: no answer")]


def test_another_reason_may_have_a_line_sooner(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    strict = Outage(LOG, "strict", clock=clock)
    prompt = Outage(LOG, "prompt", changed_seconds=15, level=logging.WARNING, clock=clock)
    for why, seconds in (("a", 10), ("b", 10), ("b", 10), ("b", 30), ("b", 20)):
        strict.continues(why)
        prompt.continues(why)
        clock.now += seconds
    found = lines(caplog)
    assert [text for _, text in found if text.startswith("strict")] == ["strict: a", "strict, for 60 s: b"]
    assert [text for _, text in found if text.startswith("prompt")] == ["prompt: a", "prompt, for 20 s: b"]
    assert {level for level, text in found if text.startswith("prompt")} == {"WARNING"}
