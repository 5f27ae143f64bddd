"""The demo page as a newcomer uses it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import time
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.demo import (
    REDACTED,
    RTL,
    STREAMS,
    Demo,
    change,
    clipboard,
    connected,
    fact,
    lines_of,
    note,
    open_page,
    rows,
    start,
    titles,
)
from tests.browser.kit import Complaints
from tests.browser.programs import PATIENCE_SECONDS, run_until
from tests.integration.kit import Rec
from tests.support.events.edits import RU, Edit, Who, page_change, recentchange

MINUTE_MS = 60_000


async def test_streams_are_chosen_watched_paused_filtered_and_unfolded(page: Page, demo: Demo) -> None:
    await demo.write("one", Rec(change(0, title="Long ago"), at=int(time.time() * 1000) - 30 * MINUTE_MS))
    await page.goto(f"{demo.site.url}/v2/ui/")

    # Found by what it is about; chosen with the keyboard.
    await page.get_by_role("searchbox", name="Search the streams").fill("SOMEBODY page")
    await expect(page.get_by_text(f"1 of {len(STREAMS)} streams")).to_be_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("checkbox", name="one", exact=True)).to_be_checked()
    await page.get_by_role("searchbox", name="Search the streams").fill(demo.topic("two"))
    await page.get_by_role("checkbox", name="two", exact=True).check()
    await expect(page).to_have_url(f"{demo.site.url}/v2/ui/#/?streams=one,two")
    await expect(page.get_by_role("list", name="Chosen streams").get_by_role("listitem")).to_have_text(["one", "two"])

    await start(page)
    await demo.write("one", Rec(change(1)))
    await expect(rows(page)).to_have_count(1)
    await demo.write("two", Rec(change(2, wiki="arwiki", title=RTL, type="new")))
    await expect(rows(page)).to_have_count(2)
    assert await titles(page) == [RTL, "Page 1"]
    link = page.get_by_role("link", name=RTL)
    await expect(link).to_have_attribute("dir", "auto")
    assert await link.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert (await link.get_attribute("href") or "").startswith("https://ar.wikipedia.org/wiki/")
    await expect(fact(page, "Events")).to_have_text("2")
    await expect(note(page, "Delay")).to_have_text("live")

    # Paused, it continues receiving.
    await page.get_by_role("button", name="Pause").click()
    await demo.write("one", Rec(change(3)), Rec(change(4, wiki="dewiki")))
    await expect(fact(page, "Events")).to_have_text("4")
    await expect(page.get_by_role("button", name="Show 2 new events (paused)")).to_be_visible()
    await expect(rows(page)).to_have_count(2)
    await page.get_by_role("button", name="Resume").click()
    await expect(rows(page)).to_have_count(4)

    # Filtered by fields and words, also by what comes later; and by pressing a value.
    box = page.get_by_role("searchbox", name="Search the events")
    await box.fill("wiki=enwiki page")
    await expect(rows(page)).to_have_count(2)
    assert await titles(page) == ["Page 3", "Page 1"]
    await demo.write("one", Rec(change(5, wiki="dewiki")), Rec(change(6)))
    await expect(rows(page)).to_have_count(3)
    await box.fill("")
    await expect(rows(page)).to_have_count(6)
    await rows(page).first.get_by_role("button", name="enwiki").click()
    await expect(box).to_have_value("wiki=enwiki")
    await expect(rows(page)).to_have_count(3)
    await box.fill("")

    # Show details, and folded again.
    whole = rows(page).first.get_by_role("button", name="Show details: Page 6")
    await whole.press("Enter")
    await expect(whole).to_have_attribute("aria-expanded", "true")
    await expect(rows(page).first.locator(".tree")).to_contain_text('user: "Grace"')
    await expect(rows(page).first.locator(".tree")).not_to_contain_text(demo.topic("one"))
    await rows(page).first.locator("summary", has_text="meta").click()
    await expect(rows(page).first.locator(".tree")).to_contain_text(f'topic: "{demo.topic("one")}"')
    await whole.press("Enter")
    await expect(rows(page).first.locator(".tree")).to_be_hidden()

    # From an hour ago, from a date and from now: at once, since it runs.
    await page.get_by_role("radio", name="an hour ago").check()
    await expect(page.get_by_text("Long ago")).to_be_visible()
    await expect(rows(page)).to_have_count(7)
    await page.get_by_label("Date and time, UTC").fill(
        time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - 86400))
    )
    await expect(page.get_by_role("radio", name="a date (UTC)")).to_be_checked()
    await expect(rows(page)).to_have_count(7)
    chosen = (await page.get_by_label("Date and time, UTC").input_value()).replace("T", " ")
    await expect(page.get_by_text(f"The service starts from {chosen}:00.000 UTC.")).to_be_visible()
    await expect(fact(page, "Duplicates")).to_have_text("0")
    await page.get_by_role("radio", name="now", exact=True).check()
    await expect(rows(page)).to_have_count(0)
    await expect(page.get_by_text("The service starts from")).to_have_count(0)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("status").filter(has_text="Not connected")).to_be_visible()


async def test_each_snippet_runs_as_it_was_copied(page: Page, demo: Demo, tmp_path: Any) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await demo.write("two", *(Rec(change(n, title=f"Snippet {n}")) for n in range(3)))
    await open_page(page, demo, "two")
    await page.get_by_role("radio", name="an hour ago").check()
    commands = {"curl": ["sh"], "JavaScript": ["node"], "Python": [sys.executable]}
    for name, command in commands.items():
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_text(re.compile(f"^{name} (command )?copied"))).to_be_visible()
        if shutil.which(command[0]) is None:
            continue
        copied = await clipboard(page)
        assert copied == await page.locator("#code").inner_text()
        script = tmp_path / name
        script.write_text(copied)
        output = await run_until([*command, str(script)], lambda text: "Snippet 2" in text)
        for number in range(3):
            assert f'"title":"Snippet {number}"' in output.replace('": ', '":')
    await page.get_by_role("button", name="Python").click()
    await expect(page.locator("#code")).to_be_hidden()


@pytest.mark.slow
async def test_a_restart_of_the_server_loses_nothing_on_the_page_nor_in_the_copied_python(
    page: Page, demo: Demo, complaints: Complaints, tmp_path: Any
) -> None:
    complaints.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    events = [change(n) for n in range(240)]
    quiet = await page.context.new_page()
    await open_page(quiet, demo, "quiet")
    await start(quiet)
    await open_page(page, demo, "restarted")
    await start(page)
    await page.get_by_role("button", name="Python").click()
    await expect(page.get_by_text("Python copied")).to_be_visible()
    script = tmp_path / "follow.py"
    script.write_text(await clipboard(page))
    python = asyncio.ensure_future(run_until([sys.executable, str(script)], lambda text: '"n": 239' in text))
    while demo.site.metric("eventstreams_connected_clients") < 3:
        await asyncio.sleep(0.05)

    await demo.write_many("restarted", events[:80], per_second=200)
    await expect(rows(page)).to_have_count(80)
    writing = asyncio.ensure_future(demo.write_many("restarted", events[80:], per_second=60))
    await asyncio.to_thread(demo.site.stop)
    await expect(page.get_by_role("status").filter(has_text="Disconnected")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_text(re.compile("The server (cannot be reached|ended)"))
    await expect(page.get_by_text(re.compile(r"Trying again in \d+ s"))).to_be_visible()
    await demo.write("quiet", Rec(change(1, title="While nobody could listen")))
    # As it says if it asks for the streams meanwhile.
    await page.evaluate("document.getElementById('found').textContent = 'The server cannot be reached.'")
    await asyncio.to_thread(demo.site.start)
    await expect(connected(page)).to_be_visible(timeout=PATIENCE_SECONDS * 1000)
    await writing

    await expect(fact(page, "Events")).to_have_text("240")
    await expect(rows(page)).to_have_count(240)
    assert await titles(page) == [f"Page {n}" for n in reversed(range(240))]
    await expect(fact(page, "Reconnects")).to_have_text("1")
    await expect(fact(page, "Duplicates")).to_have_text("0")
    await expect(note(page, "Duplicates")).to_have_text("0 offsets skipped")
    await expect(fact(page, "Gaps")).to_have_text("0")
    assert [event["n"] for event in lines_of(await python)] == list(range(240))
    await expect(page.get_by_text(f"{len(STREAMS)} streams", exact=True)).to_be_visible()

    # Where nothing had come before the break, there was no id to continue from.
    await expect(rows(quiet)).to_have_count(1, timeout=PATIENCE_SECONDS * 1000)
    assert await titles(quiet) == ["While nobody could listen"]


async def test_who_edited_a_listed_page_is_redacted(page: Page, demo: Demo) -> None:
    edit = Edit(REDACTED, Who("Somebody Secret", 4711), Who("Another Secret", 4712), domain=RU)
    unlisted = Edit("Another page", Who("Known", 1), Who("Known Too", 2), domain=RU)
    await open_page(page, demo, "redacted")
    await start(page)
    await demo.write("redacted", *map(Rec, (recentchange(edit), page_change(edit), recentchange(unlisted))))
    await expect(rows(page)).to_have_count(3)
    users = page.locator("#list .user")
    await expect(users).to_have_text(["Known", "redacted", "redacted"])
    for number in (1, 2):
        await rows(page).nth(number).get_by_role("button", name="Show details").click()
    assert "Secret" not in await page.locator("body").inner_text()

    # Canary events are there for users who ask for them.
    await demo.write("redacted", Rec(change(1, domain="canary", title="Canary")))
    await expect(page.get_by_text("Show canary (test) events (1 hidden)")).to_be_visible()
    await expect(page.get_by_text("Canary", exact=True)).to_be_hidden()
    await page.get_by_role("checkbox", name="Show canary (test) events").check()
    await expect(page.get_by_text("Canary", exact=True)).to_be_visible()


@pytest.mark.slow
async def test_five_hundred_events_a_second_do_not_freeze_the_page(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "busy")
    await start(page)
    await page.evaluate(
        """window.longest = 0;
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
        }).observe({ type: "longtask" });"""
    )
    events = [change(n, wiki=f"w{n % 9}wiki", comment="x" * 600) for n in range(2000)]
    await demo.write_many("busy", events, per_second=500)
    await expect(fact(page, "Events")).to_have_text("2,000")
    await expect(rows(page).first.locator(".title")).to_have_text("Page 1999")
    await expect(rows(page)).to_have_count(500)
    await expect(page.get_by_text("500 shown; this page keeps the newest 500.")).to_be_visible()
    assert await page.evaluate("window.longest") < 1000, "ms"

    # The chart says it in words, by stream and by wiki.
    await expect(
        page.get_by_role("img", name=re.compile("Events per second over the last 3 min.* now, most"))
    ).to_be_visible()
    legend = page.locator("#legend tr")
    await expect(legend).to_have_count(1)
    await page.get_by_label("by").select_option("wiki")
    await expect(legend).to_have_count(6)
    await expect(legend.last).to_contain_text("all others")
    painted = await page.locator("#chart").evaluate(
        """canvas => new Set(new Uint32Array(
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    )
    assert painted > 6, "colours"
