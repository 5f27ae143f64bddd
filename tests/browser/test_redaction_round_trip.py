"""The round trip: a page is listed in the admin, edited, found clean; taken off, and found leaking, each time by the
page "Test a redaction" and by the command alike.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.kit import Complaints, create_superuser, log_in
from tests.integration.kit import Broker, Rec
from tests.support.events.streams_of_edits import BROKEN, DOMAIN, STREAMS_OF_EDITS, TITLE, EditSite, edit_site
from tests.support.site import Site

LIST = "/admin/redaction/redactedpage/"
EXIT = {0: "clean", 1: "leak", 2: "not found"}
STALLED_SECONDS = 30.0


@pytest.fixture
async def site(kafka: Any, chromium: str, tmp_path: Path) -> AsyncIterator[EditSite]:
    """No page is listed."""
    with edit_site(kafka, tmp_path, listed=()) as site:
        create_superuser(site)
        yield await asyncio.to_thread(site.start)


async def command(site: Site, *more: str) -> tuple[str, dict[str, list[str]]]:
    """The command's verdict, and the paths of leaks by stream."""
    arguments = ("check_redaction", "--domain", DOMAIN, "--title", TITLE, "--url", site.url, "--json", *more)
    done = await asyncio.to_thread(site.manage, *arguments)
    events = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    return EXIT[done.returncode], {event["stream"]: [leak["path"] for leak in event["leaks"]] for event in events}


async def ask(page: Page, site: Site) -> tuple[str, dict[str, list[str]]]:
    """The same by the page, which is reached from the list."""
    await page.goto(site.url + LIST)
    await page.get_by_role("link", name="Test a redaction").click()
    await page.get_by_label("Domain").fill(DOMAIN)
    await page.get_by_label("Page title").fill(TITLE)
    await expect(page.get_by_role("button", name="Test", exact=True)).to_be_enabled()  # the page's script has run
    await page.get_by_label("Page title").press("Enter")
    verdict = page.get_by_role("status")
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=STALLED_SECONDS * 1000)
    leaks = {}
    # What does not leak is folded.
    await page.evaluate("document.querySelectorAll('.test-group > details').forEach((group) => (group.open = true))")
    counts = await page.locator(".test-group > details > summary .test-mark").all_inner_texts()
    await expect(page.locator(".test-event")).to_have_count(sum(int(text.split()[0]) for text in counts))
    for event in await page.locator(".test-event").all():
        stream = await event.locator("bdi").inner_text()
        leaks[stream] = await event.locator("dt:text-is('Leaks') + dd code").all_inner_texts()
    return await verdict.get_attribute("data-verdict") or "", leaks


async def until_listed(site: Site, pages: int) -> None:
    """The process has seen the change (it may take 3 seconds)."""
    async with asyncio.timeout(STALLED_SECONDS):
        while site.metric("eventstreams_redacted_pages") != pages:
            await asyncio.sleep(0.1)


async def test_a_page_is_clean_while_it_is_listed_and_leaks_when_it_is_not(page: Page, site: EditSite) -> None:
    await asyncio.to_thread(site.write_real_edit, TITLE)
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}add/")
    await page.get_by_label("Domain").fill(DOMAIN)
    await page.get_by_label("Title").fill(TITLE.replace(" ", "_"))
    await page.get_by_label("Reason").fill("the round trip")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("Added “")).to_be_visible()
    await until_listed(site, 1)

    clean = ("clean", {stream: [] for stream in STREAMS_OF_EDITS})
    assert await command(site, "--produce") == clean
    assert await ask(page, site) == clean

    await page.goto(site.url + LIST)
    await page.get_by_role("link", name="Remove").click()
    await page.get_by_label("Reason").fill("the round trip ends")
    await page.get_by_role("button", name="Remove 1 page").click()
    await expect(page.get_by_text("1 page was removed")).to_be_visible()
    await until_listed(site, 0)

    # Redaction is applied when history is read: the first edit leaks as the second does.
    verdict, leaks = await command(site, "--produce")
    assert verdict == "leak"
    assert leaks["mediawiki.recentchange"] == ["comment", "user", "parsedcomment"]
    assert "prior_state.revision.editor.user_text" in leaks["mediawiki.page_change.v1"]
    assert await ask(page, site) == await command(site) == ("leak", leaks)
    assert await page.locator(".test-event").count() == 3 * len(STREAMS_OF_EDITS)


@pytest.mark.slow
async def test_with_a_broken_redactor_a_listed_page_leaks(page: Page, kafka: Any, tmp_path: Path) -> None:
    with edit_site(kafka, tmp_path, command=BROKEN) as site:
        create_superuser(site)
        await asyncio.to_thread(site.start)
        await log_in(page, site)
        expected = await command(site, "--produce")
        assert expected[0] == "leak"
        assert expected[1]["mediawiki.recentchange"] == ["user"]
        assert await ask(page, site) == expected


@pytest.mark.slow
async def test_a_test_that_takes_long_says_how_far_it_is_and_can_be_stopped(page: Page, site: Site, kafka: Any) -> None:
    await command(site, "--produce")
    done = await asyncio.to_thread(
        site.manage, "check_redaction", "--domain", DOMAIN, "--title", TITLE, "--url", site.url, "--json"
    )
    topic = next(
        event["topic"]
        for event in map(json.loads, done.stdout.splitlines())
        if event.get("stream") == "mediawiki.recentchange"
    )
    # Listed for a moment in effect: what cannot be examined is withheld once a page of its domain is listed.
    await Broker(kafka.bootstrap).send(topic, Rec({"meta": {"domain": DOMAIN}, "title": TITLE, "page": 17}))
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}add/")
    await page.get_by_label("Domain").fill(DOMAIN)
    await page.get_by_label("Title").fill("Another page")
    await page.get_by_label("Reason").fill("so that something is withheld")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_role("button", name="Save “Another page” as it is").click()
    await until_listed(site, 1)

    await page.goto(f"{site.url}{LIST}test/?domain={DOMAIN}&title={TITLE}")
    test = page.get_by_role("button", name="Test", exact=True)
    await expect(test).to_be_enabled()
    await test.press("Enter")
    stop = page.get_by_role("button", name="Stop")
    await expect(stop).to_be_focused()
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await expect(page.get_by_text("Reading what clients get")).to_be_visible()
    await expect(page.locator("#test-events > li").first).to_be_visible()
    await stop.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("found so far.")
    await expect(page.get_by_role("status")).to_contain_text(re.compile(r"[1-9]\d* leaking, 0 clean"))
    await expect(page.get_by_role("button", name="Test")).to_be_focused()
    await expect(stop).to_be_hidden()
    async with asyncio.timeout(STALLED_SECONDS):
        while site.metric("eventstreams_connected_clients"):
            await asyncio.sleep(0.1)
    assert "Traceback" not in site.log.read_text()


@pytest.mark.slow
async def test_what_was_asked_wrongly_is_said_beside_its_field(page: Page, site: Site, complaints: Complaints) -> None:
    complaints.allow("400")
    await log_in(page, site)
    await page.goto(f"{site.url}{LIST}test/")
    await page.get_by_label("Domain").fill(DOMAIN)
    await page.get_by_label("Time window").fill("tomorrow")
    await page.get_by_role("button", name="Test").click()
    window = page.get_by_label("Time window")
    await expect(window).to_be_focused()
    await expect(window).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("'tomorrow' is not a valid time window")).to_be_visible()
    await window.fill("1h")
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_text("Give the title of the page")).to_be_visible()
    await expect(page.get_by_text("'tomorrow' is not a valid time window")).to_be_hidden()


@pytest.mark.slow
async def test_the_page_fits_a_phone(page: Page, site: Site) -> None:
    await command(site, "--produce")
    await page.set_viewport_size({"width": 390, "height": 844})
    await log_in(page, site)
    assert (await ask(page, site))[0] == "leak"
    await page.get_by_text("Content", exact=True).first.click()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
