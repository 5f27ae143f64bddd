"""Looking closer at events on the demo page: columns, links to the wiki, redacted events, and the chart of a replay."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.demo import REDACTED, Demo, change, open_page, rows
from tests.integration.kit import Rec
from tests.support.events.edits import RU

UI = "/static/eventstreams/ui"
AT_MS = 1_700_000_000_000
AT = AT_MS // 1000


async def test_an_event_is_looked_at_more_closely(page: Page, demo: Demo) -> None:
    whole = {"length": {"old": 1, "new": 20_000}, "revision": {"old": 41, "new": 42}}
    events = [
        change(1, title="A/b & c?", user="Ada & Co", server_url="https://en.wikipedia.org", dt=AT, **whole),
        change(2, title=REDACTED, domain=RU, wiki="ruwiki", dt=AT + 3600),
        change(3, title="Other", dt=AT + 7200),
    ]
    await demo.write("closer", *(Rec(event, at=AT_MS + event["n"]) for event in events))
    await page.goto(f"{demo.site.url}/v2/ui#/?streams=closer&since=2023-11-14T22:13Z&run=1")
    await expect(rows(page)).to_have_count(3)

    # The links are made of the event's host and numbers, encoded.
    await page.get_by_role("button", name="Show details: A/b & c?").click()
    script = "https://en.wikipedia.org/w/index.php"
    for name, address in {
        "Difference": f"{script}?diff=42&oldid=41",
        "Page": f"{script}?title=A%2Fb+%26+c%3F",
        "History": f"{script}?title=A%2Fb+%26+c%3F&action=history",
        "User’s contributions": f"{script}?title=Special%3AContributions%2FAda+%26+Co",
    }.items():
        link = page.locator(".links").get_by_role("link", name=name, exact=True)
        await expect(link).to_have_attribute("href", address)
        await expect(link).to_have_attribute("rel", "noopener noreferrer")

    # A field becomes a column: from the tree, or typed.
    await page.locator(".tree").get_by_text("length:").click()
    await page.get_by_role("button", name="Show length.new as a column").click()
    columns = page.get_by_label("Columns")
    await expect(columns).to_have_value("length.new")
    await expect(page.locator("#list .more")).to_have_text(["", "", re.compile("20000")])
    await columns.fill("length.new, meta.domain, a b")
    await columns.press("Enter")
    await expect(page.locator("#columns-said")).to_contain_text("“a b” is not a field.")
    await expect(page.locator("#list-head .more")).to_have_text(["length.new", "meta.domain"])
    await page.reload()
    await expect(columns).to_have_value("length.new,meta.domain")
    await expect(page.locator("#list .more").last).to_have_text("meta.domain en.wikipedia.org")

    # Redacted events are found by one press, from an event or by the box.
    only = page.get_by_role("checkbox", name="Only redacted")
    await page.locator("#list").get_by_role("button", name="redacted", exact=True).click()
    await expect(page.locator("#list .title")).to_have_text([REDACTED])
    await expect(only).to_be_checked()
    await page.get_by_role("button", name="Show details").click()
    names = page.locator(".links").get_by_role("link")
    await expect(names).to_have_text(["Page", "History"])
    await only.uncheck()
    await expect(rows(page)).to_have_count(3)

    # A replay has its chart by the events' own time, a live stream by their arrival.
    chart = page.locator("#chart")
    await expect(chart).to_have_attribute("aria-label", re.compile("from 11-14 22:.* to 11-15 00:.* UTC"))
    await page.get_by_role("combobox", name="over").select_option("the last minutes")
    await expect(chart).to_have_attribute("aria-label", re.compile("over the last 3 min"))


async def test_links_lead_only_to_the_wiki_of_the_event(page: Page, demo: Demo) -> None:
    base: dict[str, Any] = {"title": "T", "user": "Ada", "meta": {"domain": "a.example"}}
    events: list[dict[str, Any]] = [
        base,
        base | {"meta": {"domain": "a.example/x"}},
        base | {"meta": {"domain": "canary"}},
        base | {"meta": {"domain": {"no": "text"}}},
        base | {"meta": {"domain": "127.0.0.1"}},
        base | {"server_url": "http://b.example"},
        base | {"server_url": "https://user@b.example"},
        base | {"server_url": "javascript:alert(1)//b.example"},
        base | {"server_url": "https://b.example:8080"},
        base | {"server_script_path": "/x/../..//evil"},
        base | {"server_script_path": "/wiki/w"},
        base | {"revision": {"new": "42&x", "old": -1}},
        base | {"revision": {"rev_id": 7}, "prior_state": {"revision": {"rev_id": 5}}},
        {"meta": {"domain": "a.example"}, "rev_id": 7},
        base | {"user": None, "performer": {}},
    ]
    await open_page(page, demo)
    found = await page.evaluate(
        """async ([url, events]) => {
          const { linksOf } = await import(`${url}/links.js`);
          const { item } = await import(`${url}/events.js`);
          return events.map((event) => linksOf(event, item(event, "")).map(({ text, href }) => `${text} ${href}`));
        }""",
        [UI, events],
    )
    user = "User’s contributions"

    def links(script: str, *more: str) -> list[str]:
        end = f"{script}/index.php?title="
        return [*more, f"Page {end}T", f"History {end}T&action=history", f"{user} {end}Special%3AContributions%2FAda"]

    own = "https://a.example/w"
    assert found == [
        links(own),
        *([[]] * 4),
        links("https://b.example/w"),
        [],
        links(own),
        [],
        links(own),
        links("https://a.example/wiki/w"),
        links(own),
        links(own, f"Difference {own}/index.php?diff=7&oldid=5"),
        [f"Revision {own}/index.php?oldid=7"],
        links(own)[:2],
    ]


async def test_a_column_shows_what_is_at_its_path(page: Page, demo: Demo) -> None:
    event = {"a": {"b": [{"c": 1}, {"c": None}, {"c": [2, "x"]}]}, "n": None, "f": False, "o": {"k": 1}}
    paths = ["a.b.c", "n", "f", "o", "a.x.y", "constructor", "__proto__.x", "o.k"]
    await open_page(page, demo)
    found = await page.evaluate(
        """async ([url, event, paths]) => {
          const { valueAt } = await import(url);
          return paths.map((path) => valueAt(event, path));
        }""",
        [f"{UI}/columns.js", event, paths],
    )
    assert found == ["1, 2, x", "", "false", '{"k":1}', "", "", "", "1"]


async def test_the_chart_of_a_replay_has_bounded_bars_and_all_events(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    found = await page.evaluate(
        """async (url) => {
          const { Times } = await import(url);
          const times = new Times(["wiki"]);
          const sizes = [];
          for (let n = 0; n < 3000; n += 1) {
            const back = n % 7 ? 0 : 5000;
            times.add({ at: (1_700_000_000 + n * 40 - back) * 1000, wiki: "a" }, (event) => event.wiki);
            sizes.push(times.buckets.size);
          }
          const total = [...times.buckets.values()].reduce((sum, { wiki }) => sum + wiki.get("a"), 0);
          const starts = [...times.buckets.values()].every(({ second }) => second % times.width === 0);
          return { most: Math.max(...sizes), total, starts, width: times.width, span: times.span };
        }""",
        f"{UI}/times.js",
    )
    assert found["most"] <= 180
    assert found["total"] == 3000
    assert found["starts"]
    assert found["width"] == 1800
    first, last = found["span"]
    assert first <= AT - 5000 < first + 1800
    assert last - 1800 <= AT + 2999 * 40 < last


async def test_labels_of_five_digits_are_not_cut_off(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "quiet")
    left = await page.evaluate(
        """async (url) => {
          const { Chart } = await import(url);
          const chart = new Chart();
          const at = Date.now() - 60_000;
          for (let n = 0; n < 90_000; n += 1) chart.add({ at, stream: "s", wiki: "w", type: "t" });
          chart.isByTime = true;
          const canvas = document.getElementById("chart");
          const context = canvas.getContext("2d");
          return {
            top: canvas.dataset.top,
            left: Number(canvas.dataset.left),
            text: context.measureText(canvas.dataset.top).width,
          };
        }""",
        f"{UI}/chart.js",
    )
    assert left["top"] == "100,000"
    assert left["left"] >= left["text"] + 6


async def test_a_compressed_stream_shows_the_same_events_and_both_sizes(page: Page, demo: Demo) -> None:
    await demo.write("squeezed", *(Rec(change(n, title=f"Page {n}"), at=AT_MS + n) for n in range(50)))
    await page.goto(f"{demo.site.url}/v2/ui#/?streams=squeezed&since=2023-11-14T22:13Z&limit=50")
    await page.locator("#connection > summary").click()
    await page.get_by_label("Compressed, from the next start on").check()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator("#fact-events b")).to_have_text("50")
    await expect(page.locator("#fact-bytes small")).to_have_text(re.compile(r"an event, sent as .* \((zstd|gzip)\)$"))
    assert "compress=auto" in page.url
