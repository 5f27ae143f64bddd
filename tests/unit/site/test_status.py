"""The status of all workers: the last hour in bounded memory, the reports as one, and who is asked."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.config.config import load_config
from eventstreams_site.process import Process
from eventstreams_site.server import fleet_status
from eventstreams_site.server.fleet_status import NO_ANSWER, FleetStatus
from eventstreams_site.server.status_answers import ANSWER_SECONDS, StatusAnswers
from eventstreams_site.status import own
from eventstreams_site.status.last_hour import COUNT_SECONDS, MAX_NAMES, POINT_SECONDS, POINTS, Figures, LastHour
from eventstreams_site.status.whole import whole
from streams.core.filters import NO_FILTER
from streams.http.service import Progress, Service
from streams.http.status import SLOWEST, figures, slowest
from streams.http.stream_log import LoggedStream
from tests.support.engine import cancel, eventually


def said(clients: float = 1, lag: float | None = 0.0, sent: float = 0, **errors: float) -> Figures:
    counts: dict[str, float | None] = {f"errors.{name}": count for name, count in errors.items()}
    return {"gauges": {"clients": clients, "lag_seconds": lag}, "counts": {"events_sent": sent, **counts}}


def test_gauges_are_summed_the_worst_lag_counts_and_rates_are_per_second() -> None:
    hour = LastHour(0.0)
    hour.note(1, said(3, 0.5, 100))
    hour.note(2, said(4, 2.0, 20))
    hour.look(POINT_SECONDS)
    hour.note(1, said(3, 0.5, 300))
    hour.note(2, said(4, None, 20))
    hour.look(2 * POINT_SECONDS)
    points = hour.as_json()["points"]
    assert points["clients"] == [7, 7]
    assert points["lag_seconds"] == [2.0, None], "nobody knows how far all of them lag"
    assert points["events_sent"] == [12.0, 20.0]


def test_counts_stay_when_a_worker_ends_and_its_successor_begins_at_none() -> None:
    hour = LastHour(0.0)
    hour.note(1, said(overloaded=5))
    hour.end(1)
    hour.note(2, said(overloaded=2))
    assert hour.as_json()["counts"]["errors.overloaded"] == {"hour": 7, "all": 7}
    assert hour.gauges()["clients"] == 1


def test_what_is_older_than_an_hour_counts_as_since_the_start_alone() -> None:
    hour = LastHour(0.0)
    hour.note(1, said(overloaded=5))
    for minute in range(1, 62):
        hour.look(minute * COUNT_SECONDS)
    hour.note(1, said(overloaded=6))
    assert hour.as_json()["counts"]["errors.overloaded"] == {"hour": 1, "all": 6}


def test_the_last_hour_is_bounded() -> None:
    hour = LastHour(0.0)
    for turn in range(1, 2 * POINTS):
        hour.note(1, said(**{f"e{turn}{n}": 1.0 for n in range(3)}))
        hour.look(turn * POINT_SECONDS)
    found = hour.as_json()
    assert len(found["points"]["clients"]) == POINTS
    assert len(found["counts"]) <= MAX_NAMES
    assert len(hour._copies) == 61


def report(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "clients": {"a": 2},
        "open": 2,
        "connections": 3,
        "seconds": 10,
        "rss_bytes": 1e8,
        "loop_lag_seconds": 0.01,
        "slowest": [],
        "kafka": {
            "up": True,
            "available": True,
            "brokers": [{"node": 1, "address": "b:1", "leads": 2, "problem": ""}],
            "partitions": 2,
            "lag_records": 0,
            "lag_seconds": 0.0,
            "behind": [],
        },
        "history": {"readers": 1, "limit": 8, "waiting": 0},
        "list": {"age_seconds": 1.0, "pages": 5, "held": 0, "missing": 0},
        "sync": {"outcome": "unchanged", "good_at": 100.0, "streams": 3},
        "schemas": {"found": 3, "missing": 0},
        "database": {"seconds": 0.01, "age_seconds": 1.0},
        "redactions": {"event": 1},
    }
    return base | changes


def of(slot: int, reported: dict[str, Any] | None) -> dict[str, Any]:
    return {"worker": slot, "pid": 10 + slot, "state": "ready", "ready": True, "restarts": 0, "report": reported}


HOUR = LastHour(0.0).as_json()


def test_the_reports_of_all_workers_become_one_status() -> None:
    slow = {"streams": ["a"], "filter": "", "network": "", "behind_seconds": 4.0, "stalled_seconds": 0.0}
    silent = {"node": 1, "address": "b:1", "leads": 2, "problem": "no answer"}
    worse = report(
        clients={"a": 1, "b": 5},
        slowest=[slow],
        list={"age_seconds": 7.0, "pages": 4, "held": 0, "missing": 0},
        sync={"outcome": "failed", "good_at": 90.0, "streams": 3},
    )
    worse["kafka"] = worse["kafka"] | {"up": False, "lag_records": 9, "brokers": [silent]}
    found = whole([of(0, report()), of(1, worse)], HOUR, ([], ["something"]))
    assert found["state"] == "degraded"
    assert [(row["stream"], row["clients"], row["by_worker"]) for row in found["streams"]] == [
        ("b", 5, {"1": 5}),
        ("a", 3, {"0": 2, "1": 1}),
    ]
    assert found["kafka"]["brokers"] == [silent], "one worker's trouble is shown"
    assert (found["kafka"]["up"], found["kafka"]["lag_records"]) == (False, 9)
    assert (found["list"]["age_seconds"], found["list"]["pages"]) == (7.0, 4)
    assert (found["sync"]["outcome"], found["sync"]["good_at"]) == ("failed", 90.0)
    assert found["history"] == {"readers": 2, "limit": 16, "waiting": 0}
    assert found["slowest"][0]["worker"] == 1


def test_a_worker_that_does_not_answer_is_shown_as_such() -> None:
    found = whole([of(0, report()), of(1, None)], HOUR, ([], []), "a note")
    assert [each["open"] for each in found["workers"]] == [2, None]
    assert found["note"] == "a note"
    assert whole([of(0, None)], HOUR, (["no"], []))["kafka"] is None


class FakeWorker:
    def __init__(self, slot: int) -> None:
        self.pid, self.slot = 10 + slot, slot
        self.heard_at: float | None = 0.0
        self.is_silent = False
        self.sent: list[Any] = []
        self.control = SimpleNamespace(send=self.sent.append)

    def as_json(self) -> dict[str, Any]:
        return {"worker": self.slot, "pid": self.pid, "state": "ready", "ready": True}


def fleet_of(count: int) -> tuple[Any, list[FakeWorker]]:
    workers = [FakeWorker(slot) for slot in range(count)]
    slots = [SimpleNamespace(number=each.slot, worker=each, restarts=0) for each in workers]
    return SimpleNamespace(workers={each.pid: each for each in workers}, slots=slots), workers


def test_all_workers_are_asked_and_whoever_asks_meanwhile_gets_the_same_answer() -> None:
    fleet, (first, second) = fleet_of(2)
    answers = StatusAnswers(fleet, lambda: ([], ["trouble"]))
    ask: Any = answers.heard
    ask(first, {"type": "status", "number": 7})
    ask(second, {"type": "status", "number": 8})
    assert first.sent == second.sent == [{"type": "report"}]
    ask(first, {"type": "report", "report": report()})
    assert len(first.sent) == 1, "not before the other has answered"
    ask(second, {"type": "report", "report": report()})
    assert [each.sent[-1]["number"] for each in (first, second)] == [7, 8]
    assert [each["report"]["open"] for each in first.sent[-1]["workers"]] == [2, 2]
    assert first.sent[-1]["degraded"] == ["trouble"]
    ask(first, {"type": "status", "number": 9})
    assert first.sent[-1]["number"] == 9, "of a second ago: nobody is asked again"
    assert len(second.sent) == 2


def test_a_worker_that_hangs_or_ends_holds_up_nobody() -> None:
    fleet, (first, second, third) = fleet_of(3)
    answers = StatusAnswers(fleet, lambda: ([], []))
    ask: Any = answers.heard
    ask(first, {"type": "status", "number": 1})
    ask(first, {"type": "report", "report": report()})
    del fleet.workers[third.pid]
    fleet.slots[2].worker = None
    answers.ended(third.pid)
    assert second.sent == [{"type": "report"}]
    answers.look(time.monotonic() + ANSWER_SECONDS + 0.1)
    found = first.sent[-1]
    assert [each["report"] is not None for each in found["workers"]] == [True, False, False]
    assert found["workers"][2]["state"] == "exited"


def test_workers_are_told_once_what_is_wrong_with_the_service() -> None:
    fleet, (only,) = fleet_of(1)
    trouble: list[tuple[list[str], list[str]]] = [([], ["a"])]
    answers = StatusAnswers(fleet, lambda: trouble[0])
    for now in (1.0, 2.0):
        answers.look(now)
    assert only.sent == [{"type": "trouble", "unready": [], "degraded": ["a"]}]
    trouble[0] = ([], [])
    answers.look(3.0)
    assert only.sent[-1] == {"type": "trouble", "unready": [], "degraded": []}


def worker_status(send: Any) -> tuple[FleetStatus, Any]:
    service: Any = SimpleNamespace(told=None)
    own: Any = SimpleNamespace(alone=lambda note: {"note": note})
    return FleetStatus(service, own, send), service


async def test_a_worker_answers_for_all_and_says_which_one_is_missing() -> None:
    asked: list[Any] = []
    status, service = worker_status(asked.append)
    waiting = asyncio.ensure_future(status.status())
    await eventually(lambda: asked)
    workers = [of(0, report()), of(1, None)]
    answer = {"type": "status", "workers": workers, "hour": HOUR, "unready": [], "degraded": [], "number": 0}
    status.receive(answer)
    assert (await waiting)["note"].startswith("Worker 1 has not answered")
    status.receive(answer)  # late: nobody waits for it
    status.receive({"type": "trouble", "unready": ["x"], "degraded": []})
    assert service.told == (["x"], [])


async def test_without_a_supervisor_that_answers_the_status_says_that_it_is_of_one_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_status, "ANSWER_SECONDS", 0.01)
    status, _ = worker_status(lambda _: None)
    assert await status.status() == {"note": NO_ANSWER}


def client(behind: float, stalled: float = 0.0) -> Any:
    stream = LoggedStream(["s"], NO_FILTER, "203.0.113.9", None)
    return SimpleNamespace(
        stream_names=["s"], progress=lambda _: Progress(stream, "203.0.113.0/24", behind, stalled, 60.0)
    )


def test_only_slow_clients_are_named_the_slowest_first_and_never_in_clear() -> None:
    found = slowest([client(0.0), client(5.0), *(client(0.5 + n) for n in range(30)), client(0.0, 99.0)])
    assert len(found) == SLOWEST
    assert [each["behind_seconds"] for each in found[:3]] == [29.5, 28.5, 27.5]
    assert "203.0.113.9" not in json.dumps(found)
    assert slowest([client(0.2, 0.9)]) == []


async def test_a_process_that_has_just_started_has_a_status_without_numbers_that_nobody_knows() -> None:
    process = Process(load_config({}))
    status = await process.service.status()  # type: ignore[misc]
    text = json.dumps(status, allow_nan=False)
    assert json.loads(text)["kafka"]["brokers"] == [
        {"node": None, "address": "localhost:9092", "leads": 0, "problem": ""}
    ]
    assert status["state"] == "unready"
    assert status["list"]["age_seconds"] is None
    process.service.metrics.errors.labels("overloaded").inc()
    counts = figures(process.service)["counts"]
    assert counts["errors.overloaded"] == 1
    assert status["workers"][0]["open"] == 0


async def watched(
    process: Process, monkeypatch: pytest.MonkeyPatch, seconds: float, step: float
) -> tuple[own.OwnStatus, float, int]:
    """Watch for `seconds`, with a look each `step`; return the clock, too, and how often figures were taken."""
    clock, collected = [0.0], [0]

    def until_next(_seconds: float) -> float:
        clock[0] += step
        return 0.0 if clock[0] <= seconds else 60.0

    def collect(service: Service) -> Any:
        collected[0] += 1
        return figures(service)

    monkeypatch.setattr(own, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(own, "until_next", until_next)
    monkeypatch.setattr(own, "figures", collect)
    status = own.OwnStatus(process.service)
    task = asyncio.create_task(status.watch())
    await eventually(lambda: clock[0] > seconds)
    await cancel(task)
    return status, clock[0], collected[0]


async def test_figures_are_collected_for_each_point_and_when_somebody_asks_but_not_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(load_config({}))
    status, clock, collected = await watched(process, monkeypatch, 3.5 * POINT_SECONDS, 1.0)
    points = int(clock // POINT_SECONDS)
    assert collected == points
    process.service.metrics.errors.labels("overloaded").inc()
    found = await status.status()
    assert len(found["hour"]["points"]["clients"]) == points
    assert found["errors"]["overloaded"] == {"hour": 1, "all": 1}, "as it is now, not as it was at the last point"


async def test_counts_are_copied_each_minute_also_if_no_point_is_due_then(monkeypatch: pytest.MonkeyPatch) -> None:
    status, *_ = await watched(Process(load_config({})), monkeypatch, 5.2 * COUNT_SECONDS, 0.99)  # a point each 10.89 s
    assert len(status._hour._copies) == 1 + 5, "else 60 of them would be more than an hour"
