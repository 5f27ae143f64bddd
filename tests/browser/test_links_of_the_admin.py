"""From a page or a stream in the admin, one click leads to its events on the demo page, its test and its history."""

from __future__ import annotations

import re
import time

import pytest
from playwright.async_api import Page, expect

from redaction.admin.links import events_address
from tests.browser.demo import REDACTED, Demo, change, connected, rows
from tests.browser.kit import create_superuser, log_in
from tests.integration.kit import Rec
from tests.support.events.edits import RU

LIST = "/admin/redaction/redactedpage/"
TITLE = "Ёлочная игрушка & Co"
STREAM = "recent"
"""Its alias is recentchange."""


async def test_the_links_of_a_page_and_of_a_stream_lead_where_they_say(page: Page, demo: Demo) -> None:
    of_pages = [change(1, title=title, domain=RU, wiki="ruwiki") for title in (TITLE, REDACTED, "Other")]
    elsewhere = change(2, title=TITLE)
    at = int(time.time() * 1000) - 60_000
    await demo.write(STREAM, *(Rec(event, at=at) for event in (*of_pages, elsewhere)))
    create_superuser(demo.site)
    await log_in(page, demo.site)
    await page.goto(f"{demo.site.url}{LIST}add/")
    await expect(page.get_by_label("Domain")).to_be_focused()
    for label, text in {"Domain": RU, "Title": TITLE, "Reason": "T7: asked for"}.items():
        await page.get_by_label(label).fill(text)
    await page.keyboard.press("Enter")
    added = page.get_by_text("Added “")
    doubted = page.get_by_role("button", name=re.compile("^Save “.*” as it is$"))  # without enough events to compare
    await expect(added.or_(doubted)).to_be_visible()
    if await doubted.is_visible():
        await doubted.click()
    await expect(added).to_be_visible()

    # On the list, and in the section of the configuration file.
    for title in (TITLE, REDACTED):
        await page.goto(demo.site.url + LIST)
        await page.get_by_role("link", name=f"Events of {title}").click()
        await expect(connected(page)).to_be_visible()
        await expect(page.get_by_role("checkbox", name=STREAM, exact=True)).to_be_checked()
        await expect(page.get_by_label("Domain", exact=True)).to_have_value(RU)
        await expect(page.get_by_label("Title", exact=True)).to_have_value(title)
        await expect(rows(page)).to_have_count(1)
        await expect(page.locator("#list .title")).to_have_text(title)
        await expect(page.locator("#list .user")).to_have_text("redacted")

        await page.goto(demo.site.url + LIST)
        await page.get_by_role("link", name=f"Test {title}").click()
        await expect(page.get_by_label("Domain")).to_have_value(RU)
        await expect(page.get_by_label("Page title")).to_have_value(title)
    await page.goto(demo.site.url + LIST)
    await expect(page.get_by_role("link", name=f"Change history of {REDACTED}")).to_have_count(0)
    await page.get_by_role("link", name=f"Change history of {TITLE}").click()
    line = page.locator("#result_list tbody tr")
    await expect(line).to_have_count(1)
    await expect(line).to_contain_text("T7: asked for")
    await page.get_by_role("link", name=f"Events of {TITLE}").click()
    await expect(page.locator("#list .title")).to_have_text(TITLE)

    # The same for a stream.
    streams = f"{demo.site.url}/admin/streams/configuredstream/?q={STREAM}"
    await page.goto(streams)
    await page.get_by_role("link", name=f"Events of {STREAM}").click()
    await expect(connected(page)).to_be_visible()
    await expect(page.get_by_role("checkbox", name=STREAM, exact=True)).to_be_checked()
    await page.goto(streams)
    await page.get_by_role("link", name=f"Test redaction in {STREAM}").click()
    await expect(page.get_by_label("Streams")).to_have_value(STREAM)
    await page.goto(streams)
    await page.get_by_role("link", name=f"Change history of {STREAM}").click()
    await expect(page.get_by_role("heading", name="Change history")).to_be_visible()
    await expect(page.get_by_label("Stream, change or user")).to_have_value(STREAM)


@pytest.mark.parametrize("title", ["!Kung", "=3", "Foo/*", "A, B"])
async def test_the_filter_for_a_title_means_this_title(page: Page, demo: Demo, title: str) -> None:
    await demo.write("looked.at", *(Rec(change(n, title=one)) for n, one in enumerate((title, "Foo/1", "Other"))))
    await page.goto(demo.site.url + events_address("looked.at", "en.wikipedia.org", title))
    await expect(page.locator("#list .title")).to_have_text(title)
