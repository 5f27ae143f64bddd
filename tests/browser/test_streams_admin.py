"""The admin of streams as staff use it, in a browser, while clients of two server processes read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Page, expect

from streams.core.positions import TopicPartition
from tests.browser.kit import create_superuser, log_in
from tests.support import SLACK_SECONDS
from tests.support.client import SseEvent, StreamClient
from tests.support.engine import cancel
from tests.support.kafka.writing import meanwhile, writer
from tests.support.site import Site

STREAMS = "/admin/streams/configuredstream/"
PHONE = {"width": 390, "height": 844}
SECONDS = 3.0
"""Maximum seconds until a change is live in every process."""


class Topics(NamedTuple):
    one: str
    other: str
    new: str


@pytest.fixture
def topics(make_topic: Callable[..., str]) -> Topics:
    return Topics(make_topic(), make_topic(), make_topic())


@pytest.fixture
def sites(kafka: Any, chromium: str, topics: Topics, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two server processes that share a database."""
    streams = {"one": {"topics": [topics.one], "description": "The one"}, "other": {"topics": [topics.other]}}
    first = Site(tmp_path, kafka.bootstrap, streams, admin_topics=["*"])
    second = Site(tmp_path, kafka.bootstrap, streams, database=first.database, admin_topics=["*"])
    create_superuser(first)
    try:
        first.start(wait_ready=False)
        second.start()
        first.wait_for(200)
        yield first, second
    finally:
        first.close()
        second.close()


class Reader:
    """A client that reads until its stream ends."""

    def __init__(self, client: StreamClient) -> None:
        self.client = client
        self.events: list[SseEvent] = []
        self.ended_at = 0.0
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(cls, site: Site, stream: str, last_id: str = "") -> Reader:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        client = await StreamClient.connect(site.port, f"/v2/stream/{stream}", headers)
        assert client.status == 200
        return cls(client)

    @property
    def messages(self) -> int:
        return sum(event.event == "message" for event in self.events)

    async def has_more(self) -> None:
        seen = self.messages
        await until(lambda: self.messages > seen)

    async def ends(self, within_seconds_of: float) -> None:
        await asyncio.wait_for(asyncio.shield(self._task), 20)
        assert self.client.ended_cleanly
        assert self.ended_at < within_seconds_of + SECONDS + SLACK_SECONDS

    async def close(self) -> None:
        try:
            await cancel(self._task)
        finally:
            await self.client.close()

    async def _read(self) -> None:
        async for event in self.client.events():
            self.events.append(event)
        self.ended_at = time.monotonic()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def reading(sites: tuple[Site, Site], stream: str, *last_ids: str) -> AsyncIterator[list[Reader]]:
    """A client of the stream at each process."""
    readers = [await Reader.connect(site, stream, *last_ids[:1]) for site in sites]
    try:
        yield readers
    finally:
        for reader in readers:
            await reader.close()


async def press(page: Page, button: str) -> float:
    """When it was pressed."""
    at = time.monotonic()
    await page.get_by_role("button", name=button).click()
    return at


async def test_denied_allowed_again_and_with_other_topics_while_clients_of_two_processes_read(
    page: Page, sites: tuple[Site, Site], topics: Topics, kafka: Any
) -> None:
    site = sites[0]

    enough = asyncio.Event()

    async def write_on(to: Any) -> None:
        while not enough.is_set():
            for topic in topics:
                await to.write(TopicPartition(topic, 0), [None])
            await asyncio.sleep(0.05)

    async with (
        writer(kafka.bootstrap) as to,
        meanwhile(write_on(to)),
        reading(sites, "one") as ones,
        reading(sites, "other") as others,
    ):
        for reader in (*ones, *others):
            await reader.has_more()
        await log_in(page, site)
        await page.locator("#streams-configuredstream").get_by_role("link", name="Streams").click()
        await page.get_by_role("textbox", name="Search").fill("the ONE")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name="one", exact=True).click()

        # A bad override is refused at its field; then the stream is denied.
        await page.get_by_label("Override").fill('{"topics": ["not a topic"]}')
        await press(page, "Save")
        field = page.locator(".field-override")
        await expect(field.locator(".errorlist")).to_contain_text("'not a topic' is no legal topic name")
        await page.get_by_label("Override").fill("")
        await page.get_by_label("no", exact=True).check()
        await press(page, "Save")
        await expect(page.get_by_role("alert")).to_contain_text("1 client of this server process reads this stream now")
        assert all(reader.ended_at == 0 for reader in ones), "nothing has been applied yet"
        denied_at = await press(page, "Apply")
        await expect(page.get_by_text("“one” was saved; it takes effect")).to_be_visible()
        for reader in ones:
            await reader.ends(denied_at)
            assert reader.events[-1].event == "error"
            assert reader.events[-1].json["detail"] == "No longer exposed: one"
        for each in sites:
            assert each.get("/v2/stream/one", {"Accept": "application/json"})[0] == 404
        for reader in others:
            await reader.has_more()

        # Allowed again.
        await page.get_by_label("as configured").check()
        allowed_at = await press(page, "Save")
        await expect(page.get_by_text("“one” was saved; it takes effect")).to_be_visible()
        await until(lambda: all(each.metric("eventstreams_catalogue_streams") == 2 for each in sites))
        assert time.monotonic() < allowed_at + SECONDS + SLACK_SECONDS
        async with reading(sites, "one") as ones:
            for reader in ones:
                await reader.has_more()

            # Other topics.
            await page.get_by_label("Override").fill(f'{{"topics": ["{topics.new}"]}}')
            await press(page, "Save")
            row = page.get_by_role("row", name="topics (changed)")
            await expect(row).to_contain_text(f'["{topics.one}"]')
            await expect(row).to_contain_text(f'["{topics.new}"]')
            await expect(page.get_by_text("Kafka does not have the topic")).to_have_count(0)
            moved_at = await press(page, "Apply")
            await expect(page.get_by_role("row", name="topics").filter(has_text="admin")).to_be_visible()
            for reader in ones:
                await reader.ends(moved_at)
                assert reader.events[-1].event == "message"
        async with reading(sites, "one") as ones:
            for reader in ones:
                await reader.has_more()
                assert f'"topic":"{topics.new}"' in reader.events[-1].id
        for reader in others:
            await reader.has_more()
            assert reader.ended_at == 0
            assert all(event.event == "message" for event in reader.events)
        enough.set()

    await page.get_by_role("link", name="History").click()
    rows = page.locator("#result_list tbody tr")
    await expect(rows).to_have_count(3)
    for row, text in zip(
        await rows.all(), ("topics: nothing →", "no → as configured", "as configured → no"), strict=True
    ):
        await expect(row).to_contain_text(text)


@pytest.mark.slow
async def test_many_are_denied_by_keyboard_and_what_kafka_has_is_shown(
    page: Page, sites: tuple[Site, Site], topics: Topics, kafka: Any
) -> None:
    async with writer(kafka.bootstrap) as to:
        await to.write(TopicPartition(topics.one, 0), [None] * 3)
    site = sites[0]
    await log_in(page, site)
    await page.goto(site.url + STREAMS)
    await page.get_by_role("link", name="one", exact=True).click()
    await expect(page.get_by_role("row", name=topics.one).filter(has_text="by partition")).to_contain_text("3")
    await expect(page.get_by_text("s ago)")).to_be_visible()

    await page.goto(site.url + STREAMS)
    await page.wait_for_load_state("load")
    await page.locator("#action-toggle").focus()
    await page.keyboard.press("Space")
    await page.locator("select[name=action]").focus()
    await page.keyboard.type("Deny")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("0 clients of this server process read these streams now.")
    await page.get_by_role("button", name="Apply to 2 streams").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("2 streams set to “no”")).to_be_visible()
    await until(lambda: all(each.metric("eventstreams_catalogue_streams") == 0 for each in sites))

    # The source is asked again, and has nothing new: what admins have denied stays denied.
    await page.get_by_role("button", name="Sync now").click()
    await expect(page.get_by_text("no changes since the last time.")).to_be_visible()
    await expect(page.get_by_text("denied by an admin")).to_have_count(2)


@pytest.mark.slow
async def test_at_the_width_of_a_phone_nothing_is_cut_off(page: Page, sites: tuple[Site, Site]) -> None:
    site = sites[0]
    await log_in(page, site)
    await page.goto(site.url + STREAMS)
    one = await page.get_by_role("link", name="one", exact=True).get_attribute("href")
    await page.set_viewport_size(PHONE)
    paths = ("/admin/", STREAMS, one or "", STREAMS + "add/", STREAMS + "history/", "/admin/streams/syncrun/")
    for path in paths:
        await page.goto(site.url + path)
        await page.wait_for_load_state("load")
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], path


@pytest.mark.slow
async def test_who_guesses_passwords_is_locked_out_in_words(
    page: Page, sites: tuple[Site, Site], complaints: Any
) -> None:
    complaints.allow("429")
    site = sites[0]
    await page.goto(f"{site.url}/admin/")
    for number in range(5):
        await page.get_by_label("Username").fill("grace")
        await page.get_by_label("Password").fill(f"guess {number}")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("Too many failed logins.")
    await expect(page.get_by_text("login is locked for 15 minutes")).to_be_visible()
