"""From a page in the wrong namespace to a test that is clean, and production's list, on events of the demo."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from streams.engine.kafka.create_topics import create_topics
from streams.local.demo.world import DemoWorld
from tests.browser.kit import Complaints, create_superuser, log_in
from tests.integration.kit import Broker, Rec
from tests.support.site import Site

LIST = "/admin/redaction/redactedpage/"
VALUES = Path(__file__).parents[1] / "data" / "values.production.yaml"
RU = "ru.wikipedia.org"
STREAMS = {"mediawiki.recentchange": "mediawiki/recentchange", "mediawiki.page_change.v1": "mediawiki/page/change"}
WINDOW_MS = 3_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(kafka: Any, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """For all tests here, each of which lists its own pages.

    With what the demo tells in 50 minutes; one page is listed in the configuration file, in a wrong namespace.
    """
    prefix = uuid.uuid4().hex[:8]
    topics = {name: f"{prefix}.{name}" for name in STREAMS}
    await create_topics(kafka.bootstrap, dict.fromkeys(topics.values(), 1))
    broker = Broker(kafka.bootstrap)
    world, now = DemoWorld(7), int(time.time() * 1000)
    records: dict[str, list[Rec]] = {name: [] for name in STREAMS}
    for at in range(now - WINDOW_MS, now, 2000):
        for record in world.change(at):
            if (name := record.topic.partition(".")[2]) in STREAMS:
                records[name].append(Rec(record.value, at, key=record.key))
    for name, made in records.items():
        await broker.send(topics[name], *made)
    streams = {name: {"topics": [topics[name]], "schema_title": schema} for name, schema in STREAMS.items()}
    configured = {RU: ["Wikipedia:Форум"]}
    site = Site(tmp_path_factory.mktemp("entries"), kafka.bootstrap, streams, mediawiki_redacted_pages=configured)
    await asyncio.to_thread(create_superuser, site)
    try:
        yield await asyncio.to_thread(site.start)
    finally:
        await asyncio.to_thread(site.close)
        if kafka.lasting:
            await broker.drop(topics.values())


async def fill(page: Page, domain: str, title: str) -> None:
    await page.get_by_label("Domain").fill(domain)
    await page.get_by_label("Title").fill(title)
    await page.get_by_label("Reason").fill("T1")
    await page.get_by_role("button", name="Save", exact=True).click()


async def run_test(page: Page) -> None:
    test = page.get_by_role("button", name="Test", exact=True)
    await expect(test).to_be_enabled()
    await test.click()
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=60_000)


async def test_a_wrong_namespace_is_corrected_by_evidence_and_the_page_is_found_clean(page: Page, site: Site) -> None:
    listed = site.metric("eventstreams_redacted_pages")
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}add/")
    await fill(page, RU, "Wikipedia:К удалению")
    said = "Titles of namespace 4 on ru.wikipedia.org begin with Википедия:; none with Wikipedia:."
    await expect(page.get_by_text(said)).to_be_visible()
    assert await page.locator(".errornote").is_hidden()
    await page.get_by_role("button", name="Save “Википедия:К удалению” on ru.wikipedia.org").click()
    await expect(page.get_by_text("Added “Википедия:К удалению” (ru.wikipedia.org).")).to_be_visible()

    # The configuration file's page is looked at as well.
    await expect(page.get_by_text("1 of them may never match an event")).to_be_visible()

    await page.get_by_role("link", name="Test it").click()
    await expect(page.get_by_label("Page title")).to_have_value("Википедия:К удалению")
    async with asyncio.timeout(30):
        while site.metric("eventstreams_redacted_pages") != listed + 1:
            await asyncio.sleep(0.1)
    await run_test(page)
    status = page.get_by_role("status")
    await expect(status).to_have_attribute("data-verdict", "clean")
    await expect(status).to_contain_text("Clean: what clients get of the page’s events does not say who acted.")
    await expect(page.locator("#test-listed")).to_contain_text("is listed as “Википедия:К удалению”")
    # What is clean is folded; opened, it says what it is.
    await expect(page.locator(".test-event")).to_have_count(0)
    await page.locator(".test-group summary").first.click()
    first = page.locator(".test-event").first
    for name in ("What", "Revision", "At"):
        await expect(first.locator(f"dt:text-is('{name}')")).to_be_visible()

    # A page of the list leads to its test.
    await page.goto(site.url + LIST)
    await page.get_by_role("link", name="Test Википедия:К удалению").click()
    await expect(page.get_by_label("Page title")).to_have_value("Википедия:К удалению")


@pytest.mark.slow
async def test_a_doubtful_page_can_be_corrected_by_hand(page: Page, site: Site) -> None:
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}add/")
    await fill(page, "wikidata.org", "Q42")
    await expect(page.get_by_text("came from wikidata.org; www.wikidata.org had")).to_be_visible()
    await page.get_by_label("Domain").fill("www.wikidata.org")
    await page.get_by_label("Domain").press("Enter")  # looks at the fields again, and takes no suggestion
    await expect(page.get_by_text("Added “Q42” (www.wikidata.org).")).to_be_visible()
    await page.wait_for_load_state("load")


@pytest.mark.slow
async def test_the_values_file_of_production_is_imported_as_it_stands(page: Page, site: Site) -> None:
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}import/")
    await page.get_by_label("Or upload a file").set_input_files(VALUES)
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_text("Read as YAML")).to_be_visible()
    await page.get_by_label("Reason").fill("T2")
    await page.get_by_role("button", name="Import 1175 pages as they are").click()
    await expect(page.get_by_text("Added 1175 pages.")).to_be_visible()
    await page.wait_for_load_state("load")


@pytest.mark.slow
async def test_an_upload_that_is_too_large_is_answered_by_a_page(
    page: Page, site: Site, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.allow("413|400")
    for kilobytes, name in ((1500, "large.txt"), (30_000, "larger.txt")):
        file = tmp_path / name
        file.write_bytes(b"ru.wikipedia.org\tA\n" * (kilobytes * 1000 // 19))
        await log_in(page, site) if kilobytes == 1500 else None
        await page.goto(f"{site.url}{LIST}import/")
        await page.get_by_label("Or upload a file").set_input_files(file)
        await page.get_by_role("button", name="Preview").click()
        await expect(page.get_by_text(re.compile("import it in parts|split the list"))).to_be_visible()
        assert await page.locator("pre").count() <= 3  # no JSON, which a browser shows in one


MISTAKES = (
    ("ruwiki", "A", "is not a wiki's host name"),
    ("https://ru.wikipedia.org", "A", "write the host name alone, ru.wikipedia.org"),
    ("", "A", "The domain is missing."),
    (RU, "", "Give the title of the page, or a revision id, or both."),
    (RU, "Special:Log", "no event has such a title"),
    (RU, "wiki/Участник:X", "write the title alone, “Участник:X”"),
    (RU, "X?action=history", "write the title alone, “X”"),
    (RU, "«X»", "leave them out"),
    (RU, "Ð¤Ñ…", "“Фх”"),
    (RU, "A[b]", "No title can contain ["),
    (RU, "я" * 128, "256 bytes in UTF-8"),
    ("de.wikipedia.org", "https://ru.wikipedia.org/wiki/A", "This is an address of ru.wikipedia.org"),
)


async def test_the_test_refuses_what_adding_refuses_and_understands_the_rest(
    page: Page, site: Site, complaints: Complaints
) -> None:
    complaints.allow("400")
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}test/")
    await expect(page.get_by_role("button", name="Test", exact=True)).to_be_enabled()
    for domain, title, said in MISTAKES:
        await page.get_by_label("Domain").fill(domain)
        await page.get_by_label("Page title").fill(title)
        await page.get_by_role("button", name="Test", exact=True).click()
        await expect(page.get_by_text(said)).to_be_visible()
        await expect(page.locator("[aria-invalid]").first).to_be_focused()
    # An address, a mobile domain, escapes; of a page that is not listed, with real events.
    for domain, title in (
        ("", f"https://ru.m.wikipedia.org/wiki/{quote('Обсуждение')}:Ёлочная_игрушка"),
        ("ru.m.wikipedia.org", "Обсуждение:Ёлочная%20игрушка"),
    ):
        await page.get_by_label("Domain").fill(domain)
        await page.get_by_label("Page title").fill(title)
        await run_test(page)
        status = page.get_by_role("status")
        await expect(status).to_have_attribute("data-verdict", "leak")
        await expect(page.locator("#test-listed")).to_contain_text("is not listed")
    # Leaks are open, and first.
    await expect(page.locator(".test-group").first).to_contain_text("Leaks")
    await expect(page.locator(".test-event").first).to_be_visible()
    # A page that no event has: the first line says what that proves, and the evidence why.
    await page.get_by_label("Domain").fill(RU)
    await page.get_by_label("Page title").fill("Wikipedia:К удалению")
    await page.get_by_label("Time window").fill("9d")
    await run_test(page)
    await expect(page.locator("#test-verdict strong")).to_contain_text("this proves nothing")
    await expect(page.get_by_role("status")).to_contain_text("begin with Википедия:; none with Wikipedia:.")
    await expect(page.get_by_role("status")).to_contain_text("Kafka holds these streams only from")
