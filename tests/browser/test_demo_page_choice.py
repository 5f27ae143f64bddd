"""The demo page as people come to it: at once, by keyboard, by phone, with an address or an id that somebody kept."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.async_api import Page, expect

from tests.browser.demo import ABSENT, Demo, change, connected, demo_site, fact, open_page, rows, start, titles
from tests.browser.kit import Complaints
from tests.integration.kit import Rec

UI = "/static/eventstreams/ui"
NOT_CONNECTED = "Not connected"


async def test_a_newcomer_needs_one_button_and_gets_figures_in_plain_words(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.site.url}/v2/ui/")
    await page.get_by_role("button", name="Watch recent changes").click()
    await expect(connected(page)).to_be_visible()
    await demo.write("recent", *(Rec(change(number)) for number in range(3)))
    await expect(page.get_by_role("link", name="Page 2", exact=True)).to_be_visible()
    assert await page.evaluate("performance.now()") < 10_000, "milliseconds since the page was opened"
    await expect(page.get_by_role("button", name="Watch recent changes")).to_be_hidden()
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()
    plain = re.compile(r"\d+ (edits|events) in the last (\d+ s|second|minute).*(all|most) on enwiki\.$")
    await expect(page.locator("#summary")).to_have_text(plain)


async def test_what_came_is_summed_up_in_a_sentence(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    sentences = await page.evaluate(
        """async (url) => {
          const { sentence } = await import(url);
          const say = (seconds, types, wikis = {}) => {
            const maps = { types: new Map(Object.entries(types)), wikis: new Map(Object.entries(wikis)) };
            const total = Object.values(types).reduce((a, b) => a + b, 0);
            return sentence({ total, seconds, ...maps });
          };
          return [
            say(60, { edit: 1240 }, { dewiki: 200, enwiki: 1040 }),
            say(12, { edit: 1 }, { enwiki: 1 }),
            say(60, { edit: 5, update: 0, new: 3, create: 1, log: 2 }, { enwiki: 11 }),
            say(60, { thanked: 7 }),
            say(60, {}),
            say(1, { new: 2 }, { enwiki: 2 }),
          ];
        }""",
        f"{UI}/facts.js",
    )
    assert sentences == [
        "1,240 edits in the last minute, most on enwiki.",
        "1 edit in the last 12 s, on enwiki.",
        "11 events in the last minute: 5 edits, 4 new pages, 2 others; all on enwiki.",
        "7 events in the last minute.",
        "No events in the last minute.",
        "2 new pages in the last second, all on enwiki.",
    ]


async def test_an_event_counts_from_the_start_also_where_a_second_of_the_clock_ends_between(
    page: Page, demo: Demo
) -> None:
    await open_page(page, demo)
    totals = await page.evaluate(
        """async (url) => {
          const { Chart } = await import(url);
          const chart = new Chart();
          const real = Date.now;
          const second = Math.floor(real() / 1000) * 1000;
          Date.now = () => second + 900;
          chart.add({ at: second, stream: "s", wiki: "w", type: "t" });
          Date.now = () => second + 1500;
          const totals = [second + 800, second + 1000].map((since) => chart.recent(since).total);
          Date.now = real;
          return totals;
        }""",
        f"{UI}/chart.js",
    )
    assert totals == [1, 0]


async def test_by_keyboard_the_controls_come_first_and_the_list_of_streams_is_one_stop(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the controls")).to_be_focused()
    stops = await tab_stops(page, until="now")
    assert stops.index("Start") < stops.index("Search the streams") < stops.index("now")
    search, now = stops.index("Search the streams"), stops.index("now")
    assert len(stops[search + 1 : now]) == 1, "one stop, however many streams there are"
    await page.get_by_role("link", name="Skip to the controls").press("Enter")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_focused()

    # Within the list the arrow keys move, also past what the search hides.
    await page.get_by_role("searchbox", name="Search the streams").fill("the stream called")
    boxes = page.locator("#streams li:not([hidden]) input")
    await page.keyboard.press("ArrowDown")
    await expect(boxes.first).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")
    await expect(boxes.nth(1)).to_be_checked()
    await page.keyboard.press("End")
    await expect(boxes.last).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Tab")
    await expect(boxes.last).to_be_focused()


async def test_the_whole_walk_by_keyboard(page: Page, demo: Demo) -> None:
    """From the skip link over the choice of a stream and its events to a filter by a value, and to the end."""
    await open_page(page, demo)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_focused()
    await press_until(page, "Tab", "Search the streams")
    await page.keyboard.type("called walked")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("checkbox", name="walked", exact=True)).to_be_checked()
    await press_until(page, "Shift+Tab", "Start")
    await page.keyboard.press("Enter")
    await expect(connected(page)).to_be_visible()
    await demo.write("walked", Rec(change(1, wiki="dewiki")), Rec(change(2)))
    await expect(rows(page)).to_have_count(2)
    await press_until(page, "Tab", "Show details: Page 2")
    await page.keyboard.press("Enter")
    await expect(rows(page).first.locator(".tree")).to_be_visible()
    await press_until(page, "Tab", "Only wiki=enwiki")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Wiki", exact=True)).to_have_value("enwiki")
    await expect(page.get_by_text("in force: wiki=enwiki")).to_be_visible()  # by the new connection
    await demo.write("walked", Rec(change(3, wiki="dewiki")), Rec(change(4)))
    await expect(page.get_by_role("link", name="Page 4", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="Page 3", exact=True)).to_have_count(0)
    await press_until(page, "Shift+Tab", "Stop")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_focused()


async def press_until(page: Page, key: str, name: str) -> None:
    """Press the key until what has this name has the focus."""
    focused = """() => {
      const element = document.activeElement;
      return element.ariaLabel ?? (element.labels?.[0] ?? element).textContent.trim();
    }"""
    seen: list[str] = []
    while name not in seen:
        assert len(seen) < 60, f"{name} was not reached: {seen}"
        await page.keyboard.press(key)
        seen.append(await page.evaluate(focused))


async def tab_stops(page: Page, *, until: str) -> list[str]:
    """Names of what the Tab key reaches next."""
    stops: list[str] = []
    while until not in stops:
        assert len(stops) < 30, stops
        await page.keyboard.press("Tab")
        name = """(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"""
        stops.append(await page.evaluate(name))
    return stops


async def test_on_a_phone_the_first_event_is_on_the_first_screen_and_a_tap_unfolds_it(page: Page, demo: Demo) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await open_page(page, demo, "looked.at")
    await start(page)
    await demo.write("looked.at", Rec(change(1)))
    await expect(rows(page)).to_have_count(1)
    box = await rows(page).first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 700
    await expect(page.get_by_role("img", name="Events per second")).to_be_hidden()
    await page.get_by_text("Events per second").click()
    await expect(page.get_by_role("img", name="Events per second")).to_be_visible()
    await rows(page).first.locator(".user").click()
    await expect(rows(page).first.locator(".tree")).to_contain_text('user: "Grace"')
    await rows(page).first.locator(".user").click()
    await expect(rows(page).first.locator(".tree")).to_be_hidden()


async def test_the_address_holds_what_the_page_shows(page: Page, demo: Demo) -> None:
    at = 1_700_000_000_000
    await demo.write("looked.at", Rec(change(1, title="Kept"), at=at), Rec(change(2, title="Other"), at=at + 1))
    await open_page(page, demo, "looked.at", "quiet")
    await page.get_by_label("Date and time, UTC").fill("2023-11-14T22:13")
    await page.get_by_role("searchbox", name="Search the events").fill('title="kept" user=grace')
    await page.get_by_label("Columns").fill("n")
    await page.get_by_label("Wiki", exact=True).fill("enwiki")
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_role("combobox", name="End", exact=True).select_option("at a date (UTC)")
    end = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 7200))
    await page.get_by_label("Date and time of the end, UTC").fill(end)
    await page.get_by_label("Maximum events").fill("1000")
    await page.locator("#connection > summary").click()
    await page.get_by_label("Compressed, from the next start on").check()
    await start(page)
    address = page.url
    look = "look=title%3D%22kept%22%20user%3Dgrace&columns=n"
    wanted = f"wiki=enwiki&until={end}Z&limit=1000"
    began = "since=2023-11-14T22:13Z&compress=auto&run=1"
    assert address.endswith(f"#/?streams=looked.at,quiet&{look}&{wanted}&{began}")

    async def shows_the_same(shown: Page) -> None:
        await expect(connected(shown)).to_be_visible()
        await expect(rows(shown)).to_have_count(1)
        assert await titles(shown) == ["Kept"]
        await expect(shown.get_by_role("radio", name="a date (UTC)")).to_be_checked()
        await expect(shown.get_by_role("searchbox", name="Search the events")).to_have_value('title="kept" user=grace')
        await expect(shown.get_by_role("checkbox", name="quiet")).to_be_checked()
        await expect(shown.get_by_text(f"in force: wiki=enwiki, until {end}Z, at most 1,000 events")).to_be_visible()
        await expect(shown.get_by_label("Date and time of the end, UTC")).to_have_value(end)
        await expect(shown.locator("#list .more")).to_have_text("n 1")
        await expect(shown.locator("#compress")).to_be_checked()

    await shows_the_same(page)
    await page.reload()
    await shows_the_same(page)
    other = await page.context.new_page()
    await other.goto(address)
    await shows_the_same(other)
    await other.close()
    await page.get_by_role("button", name="Stop").click()
    await page.reload()
    await expect(page.get_by_role("checkbox", name="quiet")).to_be_checked()
    await expect(page.get_by_role("status").filter(has_text=NOT_CONNECTED)).to_be_visible()
    assert page.url == address.replace("&run=1", "")


async def test_an_id_that_was_kept_resumes_exactly(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "resumed")
    await start(page)
    await demo.write("resumed", Rec(change(1)))
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("checkbox", name="quiet").check()  # the id is that of the choice before
    await expect(rows(page)).to_have_count(0)
    await expect(connected(page)).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await demo.write("resumed", Rec(change(2)), Rec(change(3)))

    # This browser kept it, also while the page was closed.
    await page.goto("about:blank")
    await open_page(page, demo)
    await page.get_by_text("Last ids in this browser").click()
    await expect(page.get_by_role("button", name=re.compile("^Resume "))).to_have_text(["Resume resumed"])
    await page.get_by_role("button", name="Resume resumed").click()
    await expect(rows(page)).to_have_count(2)
    assert await titles(page) == ["Page 3", "Page 2"]
    await expect(fact(page, "Duplicates")).to_have_text("0")
    await expect(page.get_by_role("radio", name="after an event id")).to_be_checked()

    # Pasted, as it may come from another program.
    await page.get_by_role("button", name="Stop").click()
    await page.get_by_role("button", name="curl").click()
    await expect(page.locator("#code")).to_contain_text("resumed?lastEventId=%5B%7B")
    box = page.get_by_label("Event id", exact=True)
    pasted = await box.input_value()
    await box.fill("[{")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("alert")).to_have_text("This is not an event id. Paste the whole id, from [ to ].")
    await box.fill(pasted)
    await start(page)
    await expect(rows(page)).to_have_count(2)
    await page.reload()
    await expect(rows(page)).to_have_count(2)

    await page.get_by_text("Last ids in this browser").click()
    await page.get_by_role("button", name="Forget them").click()
    await expect(page.get_by_text("Last ids in this browser")).to_be_hidden()


async def test_a_date_that_is_cleared_while_the_stream_runs_leaves_it_running(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "looked.at")
    await page.get_by_role("radio", name="a date (UTC)").check()
    await start(page)
    await page.get_by_label("Date and time, UTC").fill("")
    said = "Enter a start date. Until then the stream continues as it was."
    await expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
    await demo.write("looked.at", Rec(change(1, title="Still running")))
    await expect(page.get_by_role("link", name="Still running")).to_be_visible()
    await expect(connected(page)).to_be_visible()
    await page.get_by_role("button", name="Remove looked.at").click()
    await expect(page.get_by_role("alert")).to_have_text("Stopped. Choose a stream first.")


@pytest.mark.slow
async def test_a_withdrawn_stream_is_named_with_what_the_page_does_and_may_come_back(
    page: Page, kafka: Any, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.allow("404")
    with demo_site(kafka, tmp_path, stream_config_ttl=1) as demo:
        demo.site.start()
        configuration = next(tmp_path.glob("streams-*.yaml"))
        streams = configuration.read_text()
        await open_page(page, demo, "two")
        await start(page)
        configuration.write_text(yaml.safe_dump({k: v for k, v in yaml.safe_load(streams).items() if k != "two"}))
        sentence = re.compile(r"There is no stream named two here\. Choose from the list\.")
        await expect(page.get_by_role("alert")).to_have_text(re.compile("^This server has withdrawn a stream"))
        await expect(page.get_by_role("alert")).to_have_text(sentence)
        await expect(page.get_by_text(re.compile(r"Trying again in \d+ s"))).to_be_visible()
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_text(re.compile(r"Trying again in \d+ s"))).to_be_visible()
        configuration.write_text(streams)
        await demo.write("two", Rec(change(1)))
        await expect(rows(page)).to_have_count(1, timeout=60_000)


async def test_streams_are_grouped_the_lively_first_and_favourites_stay_in_this_browser(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    listed = page.locator("#streams")
    await expect(listed.get_by_role("checkbox", name=ABSENT, exact=True)).to_have_count(0)
    starred = listed.get_by_role("button", name="Favourite: quiet", exact=True)
    await starred.click()
    await expect(listed.locator("h3").first).to_have_text("Favourites 1")
    await expect(listed.locator("input").first).to_have_accessible_name("quiet")
    await page.reload()
    await expect(starred).to_have_attribute("aria-pressed", "true")
    await listed.locator("input").first.focus()
    await page.keyboard.press("f")  # the focus stays with the stream
    await expect(listed.get_by_role("checkbox", name="quiet", exact=True)).to_be_focused()
    await expect(listed.locator("h3")).to_have_count(0)
    await page.goto("about:blank")
    await page.goto(f"{demo.site.url}/v2/ui#/?streams={ABSENT}")  # what somebody names is there
    await expect(listed.get_by_role("checkbox", name=ABSENT, exact=True)).to_be_checked()


async def test_the_order_of_streams(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    rates = {"a.one": 0, "a.two": 0, "b_one": None, "b_two": 3, "b.3": 0, "lone": 5, "quiet": 0, "c.x": 0.5, "c.y": 9}
    streams = [{"name": name, "rate": rate} for name, rate in rates.items()]
    streams += [{"name": "gone", "rate": None, "has_topics": False}]
    order = await page.evaluate(
        """async ([url, streams]) => {
          const { grouped, toggleFavourite } = await import(url);
          const shown = (named) =>
            grouped(streams, named).map(({ name, streams }) => [name, ...streams.map(({ name }) => name)].join(" "));
          const found = [shown([])];
          toggleFavourite("b.3");
          toggleFavourite("no.longer.there");
          found.push(shown(["gone"]));
          localStorage.setItem("favourite-streams", "{");
          found.push(shown([]).length);
          return found;
        }""",
        [f"{UI}/order.js", streams],
    )
    assert order == [
        ["c c.y c.x", "Others lone quiet", "b b_two b.3 b_one", "a a.one a.two"],
        ["Favourites b.3", "c c.y c.x", "Others lone quiet gone", "b b_two b_one", "a a.one a.two"],
        4,
    ]
