"""Following what admins change: an outage of the database changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from eventstreams_site import watch as module
from eventstreams_site.database_threads import MAX_THREADS
from eventstreams_site.watch import DatabaseTrouble, Followed, Watch
from streams.engine.metrics import Metrics
from tests.support.engine import cancel, eventually


class Database:
    """What is read is `number`; reading fails while `error` is set."""

    def __init__(self) -> None:
        self.number = 1
        self.error: Exception | None = None
        self.asked: list[int | None] = []
        self.taken: list[int] = []
        self.seen = 0

    def read(self, known: int | None) -> int | None:
        self.asked.append(known)
        if self.error is not None:
            raise self.error
        return None if self.number == known else self.number

    def note_seen(self) -> None:
        self.seen += 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[None]:
    task = asyncio.create_task(
        Watch(Followed("the list", database.read, database.taken.append, database.note_seen)).run()
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_is_new_is_taken_once_and_each_reading_is_noted() -> None:
    database = Database()
    async with watching(database):
        await eventually(lambda: database.seen > 3)
        assert database.taken == [1]
        database.number = 2
        await eventually(lambda: database.taken == [1, 2])
        await eventually(lambda: database.asked[-1] == 2)


async def test_an_outage_changes_nothing_is_said_once_in_a_while_and_is_over_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database()
    with caplog.at_level(logging.INFO, module.__name__):
        async with watching(database):
            await eventually(lambda: database.taken == [1])
            database.error = ConnectionError("nobody there")
            asked = len(database.asked)
            await eventually(lambda: len(database.asked) > asked + 1)
            seen, asked = database.seen, len(database.asked)
            await eventually(lambda: len(database.asked) > asked + 5)
            assert (database.seen, database.taken) == (seen, [1])
            database.error, database.number = None, 2
            await eventually(lambda: database.taken == [1, 2])
            await eventually(lambda: "again" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "the list: ConnectionError: nobody there" in caplog.text


async def test_what_could_not_be_taken_is_taken_the_next_time() -> None:
    database = Database()
    tries = []

    def take(number: int) -> None:
        tries.append(number)
        if len(tries) == 1:
            raise RuntimeError("a fault of ours")

    task = asyncio.create_task(Watch(Followed("the list", database.read, take, database.note_seen)).run())
    await eventually(lambda: database.seen)
    await cancel(task)
    assert tries == [1, 1]


async def test_no_thread_is_woken_while_there_is_nothing_to_ask() -> None:
    database, due = Database(), True
    followed = Followed("the counts", database.read, database.taken.append, is_due=lambda: due)
    task = asyncio.create_task(Watch(followed).run())
    await eventually(lambda: database.taken == [1])
    due, database.number = False, 2
    await asyncio.sleep(0.02)  # what was asked before is answered
    asked, at = len(database.asked), followed.asked_at
    await eventually(lambda: followed.asked_at > at)
    assert (len(database.asked), followed.behind < module.BEHIND_SECONDS) == (asked, True)
    due = True
    await eventually(lambda: database.taken == [1, 2])
    await cancel(task)


async def test_one_that_cannot_be_read_holds_up_no_other() -> None:
    broken, sound = Database(), Database()
    broken.error = ConnectionError("nobody there")
    lists = [Followed(name, each.read, each.taken.append) for name, each in (("one", broken), ("another", sound))]
    task = asyncio.create_task(Watch(*lists).run())
    await eventually(lambda: sound.taken == [1] and len(broken.asked) > 1)
    broken.error = None
    await eventually(lambda: broken.taken == [1])
    await cancel(task)


class Hanging(Database):
    """The first `hanging` questions are not answered before `over`."""

    def __init__(self, hanging: int) -> None:
        super().__init__()
        self.left = hanging
        self.over = threading.Event()

    def read(self, known: int | None) -> int | None:
        self.left -= 1
        number = self.number
        if self.left >= 0:
            self.over.wait()
        return super().read(known) and number


def watch_threads() -> int:
    return sum(thread.name.startswith("watch") for thread in threading.enumerate())


async def test_a_question_that_hangs_holds_up_neither_the_next_one_nor_what_else_is_followed_nor_the_stop() -> None:
    hanging, sound = Hanging(2), Database()
    task = asyncio.create_task(Watch(*(Followed("x", each.read, each.taken.append) for each in (hanging, sound))).run())
    try:
        await eventually(lambda: hanging.taken == [1] and sound.taken == [1])
        hanging.number = 2
        await eventually(lambda: hanging.taken == [1, 2])
        began = time.monotonic()
        await cancel(task)
        assert time.monotonic() - began < 1.0, "a thread that hangs is not waited for"
    finally:
        hanging.over.set()


async def test_an_answer_that_comes_late_does_not_undo_a_later_one() -> None:
    database = Hanging(1)
    async with watching(database):
        await eventually(lambda: database.taken == [1])
        database.number = 2
        await eventually(lambda: database.taken == [1, 2])
        asked = len(database.asked)
        database.over.set()
        await eventually(lambda: len(database.asked) > asked + 5)
        assert database.taken == [1, 2]


async def test_a_database_that_hangs_takes_few_threads_and_is_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEHIND_SECONDS", 0.1)
    before = watch_threads()
    database = Hanging(1_000_000)
    watch = Watch(Followed("the list", database.read, database.taken.append, database.note_seen))
    task = asyncio.create_task(watch.run())
    try:
        await eventually(
            lambda: "The database cannot be used: the list: no answer from the database for" in caplog.text
        )
        await eventually(lambda: watch.behind.get("the list", 0) > 0.2)
        assert watch_threads() - before <= MAX_THREADS
        database.left = 0
        database.over.set()
        await eventually(lambda: database.taken == [1] and not watch.behind)
    finally:
        database.over.set()
        await cancel(task)


async def test_several_that_fail_are_one_outage_which_is_over_when_all_of_them_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = DatabaseTrouble()
    for _ in range(5):
        trouble.fails("the list", "nobody there")
        trouble.fails("the streams", "nobody there")
    trouble.works("the list")
    assert [record.getMessage() for record in caplog.records] == ["The database cannot be used: the list: nobody there"]
    trouble.works("the streams")
    trouble.works("the list")
    assert caplog.records[-1].getMessage() == "The database can be used again, after 0 s"
    assert len(caplog.records) == 2


async def test_how_long_answers_take_and_how_many_failed_are_metrics() -> None:
    database, metrics = Database(), Metrics()
    watch = Watch(Followed("the list", database.read, database.taken.append, database.note_seen))
    watch.measured_by(metrics)

    def value(name: str) -> float:
        found = metrics.registry.get_sample_value(f"eventstreams_database_{name}", {"query": "the list"})
        assert found is not None
        return found

    task = asyncio.create_task(watch.run())
    await eventually(lambda: database.seen > 1)
    assert 0 < value("seconds") < 20
    assert value("failures_total") == 0
    database.error = ConnectionError("nobody there")
    await eventually(lambda: value("failures_total") > 1)
    assert value("age_seconds") > 0
    await cancel(task)
