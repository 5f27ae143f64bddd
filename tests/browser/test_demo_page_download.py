"""Downloads of the demo page: what is shown, and a whole replay as the server has it."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.demo import REDACTED, Demo, change, open_page, rows
from tests.integration.kit import Rec
from tests.support.events.edits import RU

EVENTS = 1200
NO_PICKER = "delete window.showSaveFilePicker"
"""A browser without the File System Access API."""
OWN_FILES = """
window.showSaveFilePicker = async ({ suggestedName }) => {
  const folder = await navigator.storage.getDirectory();
  return folder.getFileHandle(suggestedName, { create: true });
};
"""
"""Files of the browser's own storage: nobody is there to choose a place in a dialogue."""


async def write(demo: Demo, stream: str) -> None:
    at = int(time.time() * 1000) - 600_000
    events = [change(n, dt=at / 1000 + n / 10, title=f'=cmd|"{n}", x', wiki="enwiki") for n in range(EVENTS)]
    events[5] |= {"comment": "@a\nb", "title": "Plain"}
    events[6] = change(6, title=REDACTED, domain=RU, comment="who?")
    events[7] = change(7, domain="canary")
    events[8] = change(8, wiki="dewiki")
    await demo.write(stream, *(Rec(event, at=at + n * 100) for n, event in enumerate(events)))


async def download(page: Page, button: str) -> str:
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=button).click()
    saved = await waiting.value
    return Path(await saved.path()).read_bytes().decode()


async def test_a_whole_replay_is_saved_and_not_only_what_is_shown(page: Page, demo: Demo) -> None:
    await write(demo, "saved")
    await page.add_init_script(NO_PICKER)
    await open_page(page, demo, "saved")
    await page.get_by_text("Download", exact=True).click()
    said = page.locator("#saved")
    await page.get_by_role("button", name="All from start to end").click()
    await expect(said).to_contain_text("Choose a start in the past")

    await page.get_by_role("radio", name="an hour ago").check()
    await page.get_by_label("Wiki", exact=True).fill("!dewiki")
    text = await download(page, "All from start to end")
    lines = [json.loads(line) for line in text.splitlines()]
    expected = [n for n in range(EVENTS) if n not in (7, 8)]
    assert [line["n"] for line in lines] == expected
    assert "user" not in lines[6], "the server has redacted it"
    await expect(said).to_have_text(re.compile(r"^Saved 1,198 events in \d+ s\.$"))

    await page.get_by_role("combobox", name="as", exact=True).select_option("CSV")
    await page.get_by_label("Columns").fill("n, comment")
    await page.get_by_label("Columns").press("Enter")
    text = await download(page, "All from start to end")
    table = list(csv.reader(io.StringIO(text)))
    assert table[0] == ["time", "type", "wiki", "title", "user", "stream", "url", "n", "comment"]
    assert [row[7] for row in table[1:]] == list(map(str, expected))
    assert table[1][1:6] == ["edit", "enwiki", """'=cmd|"0", x""", "Grace", "mediawiki.recentchange"]
    assert table[6][3:9:5] == ["Plain", "'@a b"]
    assert (table[7][4], table[7][8]) == ("", "")

    # What is shown can be saved without the server, as it is shown.
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_label("Maximum events").fill("3")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(rows(page)).to_have_count(3)
    assert len((await download(page, "Those shown")).splitlines()) == 4


async def test_a_file_that_somebody_chose_is_written_as_events_come_and_a_cancelled_one_is_not(
    page: Page, demo: Demo
) -> None:
    await page.add_init_script(OWN_FILES)
    await write(demo, "kept")
    await open_page(page, demo, "kept")
    await page.get_by_text("Download", exact=True).click()
    await page.get_by_role("radio", name="an hour ago").check()

    # Without an end that has come it waits; how far it is can be seen, and it can be cancelled.
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 7200))
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_role("combobox", name="End", exact=True).select_option("at a date (UTC)")
    await page.get_by_label("Date and time of the end, UTC").fill(until)
    await page.get_by_role("button", name="All from start to end").click()
    progress = page.locator("#save-progress")
    await expect(progress).to_have_text(re.compile(r"^[\d,]{5,} events, [\d.]+ [kM]B, now at [\d:]+ UTC \(\d+ %\)\.$"))
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#saved")).to_have_text("Cancelled: no file was saved.")
    await expect(page.get_by_role("button", name="All from start to end")).to_be_focused()
    assert await own_file(page) == ""

    await page.get_by_role("combobox", name="End", exact=True).select_option("now")
    await page.get_by_role("button", name="All from start to end").click()
    await expect(page.locator("#saved")).to_contain_text(re.compile(r"Saved [\d,]{5,} events in"))
    lines = [json.loads(line) for line in (await own_file(page)).splitlines()]
    assert len(lines) >= EVENTS - 1
    assert all(line["meta"]["domain"] != "canary" for line in lines)


async def own_file(page: Page) -> str:
    text: str = await page.evaluate(
        """async () => {
          const folder = await navigator.storage.getDirectory();
          const handle = await folder.getFileHandle("events.ndjson", { create: true });
          return (await handle.getFile()).text();
        }"""
    )
    return text


async def test_the_server_is_read_no_faster_than_the_file_is_written(page: Page, demo: Demo) -> None:
    """A connection whose reader takes its time: nothing is read meanwhile."""
    await open_page(page, demo)
    most = await page.evaluate(
        """async (url) => {
          const { Connection } = await import(url);
          const block = `event: message\\nid: [1]\\ndata: {}\\n\\n`;
          let sent = 0;
          let written = 0;
          let most = 0;
          const body = new ReadableStream(
            {
              pull: (controller) => {
                sent += 1;
                most = Math.max(most, sent - written);
                const end = `event: end\\nid: [2]\\ndata: {"reason":"limit","events":20}\\n\\n`;
                controller.enqueue(new TextEncoder().encode(sent > 20 ? end : block));
                if (sent > 20) controller.close();
              },
            },
            { highWaterMark: 0 },
          );
          const real = window.fetch;
          window.fetch = async () => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
          const nothing = () => {};
          await new Promise((resolve) => {
            const on = { since: nothing, gap: nothing, idle: nothing, filter: nothing, event: nothing };
            const state = ({ phase }) => phase === "ended" && resolve();
            const received = async () => {
              await new Promise((done) => setTimeout(done, 2));
              written += 1;
            };
            new Connection(location.origin + "/x", "", () => 0, { ...on, state, received }).run();
          });
          window.fetch = real;
          return most;
        }""",
        "/static/eventstreams/ui/sse.js",
    )
    assert most <= 2
