"""The check of a redaction, with records in memory and a service that answers as the test says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from redaction.check import check as module
from redaction.check import raw_records
from redaction.check.api_client import CheckError
from redaction.check.check import Question, Raw, check, window_start
from redaction.check.findings import (
    NO_RAW_RECORD,
    NOT_SERVED,
    Finding,
    Progress,
    RecordPlace,
    Result,
    Verdict,
    instant,
    judge,
)
from redaction.check.verdict import Leak
from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from tests.support.around.fake_service import FakeService, block, fake_service, head

DOMAIN = "ru.wikipedia.org"
T0 = 1_600_000_000_000
NOW = T0 + 10_000


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(module.time, "time", lambda: NOW / 1000)


def event(title: str = "Page", user: str | None = "Ann", **more: Any) -> dict[str, Any]:
    made = {"meta": {"domain": DOMAIN, "stream": "s", "dt": instant(T0)}, "title": title, "type": "edit", **more}
    return made | ({"user": user} if user is not None else {})


class World:
    """One topic `t` of the stream `s`; what is written is served redacted, or as the test says."""

    def __init__(self) -> None:
        self.source = MemorySource()
        self.source.create("t")
        self.blocks: list[bytes] = []

    def write(self, raw: Any, served: Any = "redacted", *, at: int = T0) -> int:
        """`served` None: it is not."""
        value = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        offset = self.source.append("t", value, at)
        if served == "redacted":
            served = {name: member for name, member in raw.items() if name != "user"}
        if served is not None:
            meta = served.get("meta", {}) | {"topic": "t", "partition": 0, "offset": offset}
            self.blocks.append(block({**served, "meta": meta}, f"[{offset}]"))
        return offset

    def answer(self) -> bytes:
        return head() + b":ok\n\n" + b"".join(self.blocks)

    async def ask(
        self, *, with_raw: bool = True, service: FakeService | None = None, drip: bytes = b"", **options: Any
    ) -> Outcome:
        await self.source.refresh(["t"])
        title, rev_id = options.pop("title", "Page"), options.pop("rev_id", None)
        question = Question(DOMAIN, title, rev_id, options.pop("since_ms", T0), options.pop("streams", ("s",)))
        raw = Raw(self.source, dict.fromkeys(question.streams, ("t",))) if with_raw else None
        reports: list[Any] = []
        async with fake_service(self.answer(), holds=True, drip=drip) as own:
            url = (service or own).url
            async with asyncio.timeout(20):
                result = await check(question, url, raw, reports.append, **options)
        return Outcome(result, reports, own)


class Outcome:
    def __init__(self, result: Result, reports: list[Any], service: FakeService) -> None:
        self.result = result
        self.events = [report for report in reports if isinstance(report, Finding)]
        self.progress = [report for report in reports if isinstance(report, Progress)]
        self.service = service

    @property
    def verdicts(self) -> list[tuple[int, str]]:
        return [(finding.position.offset, finding.verdict.value) for finding in self.events]


@pytest.fixture
def world() -> World:
    return World()


async def test_events_of_the_page_are_judged_and_others_are_not(world: World) -> None:
    world.write(event("Another"))
    world.write(event())
    world.write(event(), event())
    world.write(event("Another"), event("Another"))
    outcome = await world.ask()
    assert outcome.verdicts == [(1, "clean"), (2, "leak")]
    clean, leak = outcome.events
    assert (clean.removed, clean.leaks) == (("user",), ())
    assert (leak.removed, leak.leaks) == ((), (Leak("user", "the performer's name"),))
    assert clean.position == RecordPlace("s", "t", 0, 1, "2020-09-13T12:26:40.000Z")
    result = outcome.result
    assert (result.verdict, result.clean, result.leaks, result.not_served, result.records) == ("leak", 1, 1, 0, 4)
    assert (result.since, result.until) == ("2020-09-13T12:26:40.000Z", "2020-09-13T12:26:50.000Z")
    assert result.by_shape is False


async def test_it_ends_with_the_last_record_that_was_there_when_it_began(world: World) -> None:
    world.write(event())
    offset = world.write(event("Another"))
    later = json.loads(json.dumps(event())) | {"meta": {"topic": "t", "partition": 0, "offset": offset + 1}}
    world.blocks += [block(later)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    module.IDLE_SECONDS = 60.0
    outcome = await world.ask()
    assert loop.time() - began < 10
    assert outcome.verdicts == [(0, "clean")]


async def test_what_was_not_served_is_said_and_does_not_hold_it_up_for_ever(world: World) -> None:
    world.write(event())
    world.write(event(), None)
    outcome = await world.ask()
    assert outcome.verdicts == [(0, "clean"), (1, "not found")]
    assert outcome.events[1].note == NOT_SERVED
    assert (outcome.result.verdict, outcome.result.not_served) == ("clean", 1)


async def test_a_page_of_which_nothing_was_served_is_not_found(world: World) -> None:
    world.write(event(), None)
    world.write(event("Another"))
    assert (await world.ask()).result.verdict == "not found"


async def test_records_before_the_window_are_not_looked_at(world: World) -> None:
    world.write(event(), event(), at=T0 - 5_000)
    world.write(event())
    assert (await world.ask()).verdicts == [(1, "clean")]


async def test_without_a_record_in_the_window_the_service_is_asked_all_the_same(world: World) -> None:
    outcome = await world.ask(since_ms=NOW)
    assert outcome.result.verdict == "not found"
    assert len(outcome.service.asked) == 1
    async with fake_service(head("404 Not Found")) as service:
        with pytest.raises(CheckError, match="answered 404"):
            await world.ask(since_ms=NOW, service=service)


async def test_records_that_are_no_events_are_not_waited_for(world: World) -> None:
    world.write(event())
    for value in (b"", b"[1]", b"text"):
        world.write(value, None)
    world.source.append("t", None, T0)
    world.source.skip("t", 3)
    module.IDLE_SECONDS = 60.0
    assert (await world.ask()).verdicts == [(0, "clean")]


async def test_an_event_that_only_its_raw_record_says_to_be_of_the_page_is_judged(world: World) -> None:
    move = {"log_type": "move", "log_params": {"target": "Page"}}
    world.write(event("Old", **move), event("Old", log_type="move", log_params={}, user=None))
    assert (await world.ask()).verdicts == [(0, "clean")]


async def test_an_event_whose_raw_record_says_otherwise_is_judged_by_shape(world: World) -> None:
    world.write(event("Another"), event())
    outcome = await world.ask()
    assert outcome.verdicts == [(0, "leak")]
    assert outcome.events[0].note == NO_RAW_RECORD


async def test_by_shape_alone_it_ends_when_events_have_passed_the_window(world: World) -> None:
    world.write(event())
    world.write(event(), event())
    late = block(event("Another", meta={"dt": instant(NOW + 1_000), "topic": "t", "partition": 0, "offset": 9}))
    outcome = await world.ask(with_raw=False, drip=late)
    assert outcome.verdicts == [(0, "clean"), (1, "leak")]
    assert outcome.events[1].leaks == (Leak("user", "a key that names somebody, with something in it"),)
    assert (outcome.result.by_shape, outcome.result.verdict) == (True, "leak")
    assert all(finding.raw is None for finding in outcome.events)


async def test_an_event_that_comes_by_two_streams_counts_once(world: World) -> None:
    world.write(event())
    outcome = await world.ask(streams=("a", "b", "c"), max_streams=2)
    assert outcome.verdicts == [(0, "clean")]
    # Each request is tried before all is read.
    targets = [asked.target.partition("?")[0] for asked in outcome.service.asked]
    assert targets == ["/v2/stream/a,b", "/v2/stream/c"] * 2


@pytest.mark.parametrize("before", [b"", rb'"of":{"topic":"other","partition":3,"offset":9,"x":"\ud800"},'])
async def test_an_event_with_lone_surrogates_is_judged_too(world: World, before: bytes) -> None:
    raw = rb'{%b"meta":{"domain":"ru.wikipedia.org"},"title":"Page","user":"Ann","x":"\ud800"}' % before
    world.source.append("t", raw, T0)
    world.blocks.append(block(raw.replace(b'org"', b'org","topic":"t","partition":0,"offset":0')))
    assert (await world.ask()).verdicts == [(0, "leak")]


async def test_a_log_whose_start_moves_on_meanwhile_is_read_from_there(world: World) -> None:
    for _ in range(3):
        world.write(event())
    read = world.source.read

    async def moved(tp: TopicPartition, offset: int, max_bytes: int) -> Any:
        world.source.truncate_before("t", 2)
        del world.blocks[:-1]
        return await read(tp, offset, max_bytes)

    world.source.read = moved  # type: ignore[method-assign]
    raw_only = await world.ask()
    assert (2, "clean") in raw_only.verdicts


async def test_records_that_come_while_it_reads_are_not_its_business(world: World) -> None:
    world.write(event())
    read = world.source.read

    async def growing(tp: TopicPartition, offset: int, max_bytes: int) -> Any:
        world.source.append("t", json.dumps(event()).encode(), T0)
        return await read(tp, offset, max_bytes)

    world.source.read = growing  # type: ignore[method-assign]
    assert (await world.ask()).verdicts == [(0, "clean")]


async def test_more_events_than_can_be_held_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FOUND", 3)
    for _ in range(4):
        world.write(event())
    for with_raw in (True, False):
        with pytest.raises(CheckError, match="more than 3 events in this window: choose a shorter one"):
            await world.ask(with_raw=with_raw)


async def test_without_kafka_it_says_so(world: World) -> None:
    await world.source.refresh(["t"])
    world.source.available = False
    async with fake_service(world.answer(), holds=True) as service:
        question = Question(DOMAIN, "Page", None, T0, ("s",))
        with pytest.raises(CheckError, match="raw records cannot be read"):
            await check(question, service.url, Raw(world.source, {"s": ["t"]}), lambda _: None)


async def test_it_can_be_stopped_and_leaves_nothing_behind(world: World) -> None:
    world.write(event())
    world.write(event(), None)
    module.IDLE_SECONDS = 60.0
    found = asyncio.Event()

    def report(item: Any) -> None:
        if isinstance(item, Finding):
            found.set()

    await world.source.refresh(["t"])
    async with fake_service(world.answer(), holds=True) as service:
        question = Question(DOMAIN, "Page", None, T0, ("s",))
        before = asyncio.all_tasks()
        checking = asyncio.ensure_future(check(question, service.url, Raw(world.source, {"s": ["t"]}), report))
        await asyncio.wait_for(found.wait(), 10)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.01)


async def test_progress_goes_from_nothing_to_all_in_both_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(raw_records, "READ_BYTES", 200)
    for number in range(40):
        world.write(event("Another", at=number))
    outcome = await world.ask()
    for step in ("raw", "served"):
        parts = [progress.part for progress in outcome.progress if progress.step == step]
        known = [part for part in parts if part is not None]
        assert known == sorted(known)
        assert all(0 <= part <= 1 for part in known)
    assert outcome.progress[-1].time == instant(T0)


def test_no_finding_shows_what_the_event_holds() -> None:
    raw = json.dumps(event()).encode()
    finding = judge(RecordPlace("s", "t", 0, 1, ""), raw, raw, is_raw_known=True)
    assert finding.verdict is Verdict.LEAK
    assert (finding.raw, finding.served) == (raw, raw)
    assert "Ann" not in repr(finding) + str(finding) + json.dumps(finding.public())


def test_what_was_served_and_cannot_be_read_is_a_leak() -> None:
    finding = judge(RecordPlace("s", "t", 0, 1, ""), b"{}", b"{", is_raw_known=True)
    assert finding.verdict is Verdict.LEAK
    assert finding.leaks[0].why == "it cannot be read as JSON, so its content cannot be checked"


def test_a_name_stands_for_the_key_that_it_is_under() -> None:
    raw = json.dumps(event(performer={"user_text": "Ann", "user_id": 17, "x": 1}, comment="Ann was here")).encode()
    finding = judge(RecordPlace("s", "t", 0, 1, ""), raw, raw, is_raw_known=True)
    assert [leak.path for leak in finding.leaks] == ["performer.user_text", "performer.user_id", "comment", "user"]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("30m", NOW - 1_800_000),
        (" 1h ", NOW - 3_600_000),
        ("1.5d", NOW - 129_600_000),
        ("0", NOW),
        ("2020-09-13T12:26:40Z", T0),
        (str(T0), T0),
        ("1970-01-01", 0),
    ],
)
def test_a_window_is_a_duration_or_what_the_api_takes(text: str, since: int) -> None:
    assert window_start(text, NOW) == since


@pytest.mark.parametrize("text", ["", "x", "1 fortnight", "2999-01-01", "99999d", "-1h", "  "])
def test_a_window_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid time window|is not in the past"):
        window_start(text, NOW)


@pytest.mark.parametrize(("ms", "text"), [(-1, ""), (0, "1970-01-01T00:00:00.000Z"), (2**63 - 1, "")])
def test_a_time_that_no_calendar_has_is_none(ms: int, text: str) -> None:
    assert instant(ms) == text
