"""The demo page for everybody: accessibility, themes, phones; and its parts at what seldom happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.demo import Demo, change, connected, open_page, rows, start
from tests.browser.kit import Complaints
from tests.integration.kit import Rec
from tests.support.events.edits import RU

UI = "/static/eventstreams/ui"


async def violations(page: Page, axe: str, *, least: int = 20) -> list[str]:
    """What axe-core finds serious or critical. That it looked is seen from more than `least` rules that passed."""
    await page.evaluate(axe)  # not as a script of the page, which the Content-Security-Policy would not allow
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")  # of other results one node is enough
    assert len(found["passes"]) > least
    return [
        f"{one['id']}: {one['help']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
async def test_axe_finds_no_serious_violation(
    page: Page, demo: Demo, complaints: Complaints, axe: str, scheme: Any
) -> None:
    complaints.allow("404")
    await page.emulate_media(color_scheme=scheme)
    await open_page(page, demo)
    assert await violations(page, axe) == [], "at first"
    await page.get_by_role("checkbox", name="looked.at").check()
    await start(page)
    kinds = ("edit", "new", "log", "categorize", "move", "delete", "block")
    events = [change(n, type=kind, wiki=f"w{n}wiki") for n, kind in enumerate(kinds)]
    redacted = change(
        8, title="Участник:HTriedman (WMF)/redacted page test", domain=RU, nothing=None, numbers=[1.5, {}]
    )
    await demo.write("looked.at", *map(Rec, [*events, redacted]))
    await expect(rows(page)).to_have_count(8)
    await rows(page).first.get_by_role("button", name="Show details").click()
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_role("button", name="JavaScript").click()
    await page.get_by_text("Connection", exact=True).click()
    await page.get_by_label("by").select_option("wiki")
    await demo.write("looked.at", Rec(change(9, domain="canary")), Rec(change(10)))
    await expect(page.get_by_role("button", name="Show 1 new event")).to_be_visible()
    assert await violations(page, axe) == [], "running"
    await page.goto("about:blank")
    await open_page(page, demo, "nobody")
    await page.get_by_label("Namespace").fill("nowhere")
    await page.get_by_label("Namespace").press("Enter")
    await expect(page.get_by_text("There is no namespace named nowhere")).to_be_visible()
    assert await violations(page, axe) == [], "a filter that cannot be used"
    await page.get_by_role("button", name="All events").click()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await violations(page, axe) == [], "refused"


@pytest.mark.slow
async def test_the_theme_is_the_systems_until_somebody_chooses_and_then_stays(page: Page, demo: Demo) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    await page.emulate_media(color_scheme="dark")
    await open_page(page, demo)
    dark = await page.evaluate(background)
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(background)
    assert light != dark
    await page.get_by_role("button", name="Theme: auto").click()
    await page.get_by_role("button", name="Theme: light").click()
    await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert await page.evaluate(background) == dark
    await page.reload()
    await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert await page.evaluate(background) == dark


@pytest.mark.slow
async def test_a_large_event_that_comes_in_pieces_keeps_its_characters(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "looked.at")
    await start(page)
    event = json.dumps(change(1, comment="aЖ" * 130_000), ensure_ascii=False)
    await demo.write("looked.at", Rec(event.encode()))
    await expect(rows(page)).to_have_count(1)
    box = page.get_by_role("searchbox", name="Search the events")
    await box.fill("aжaж")
    await expect(rows(page)).to_have_count(1)
    await box.fill("\ufffd")
    await expect(page.get_by_text("No event matches the search.")).to_be_visible()


@pytest.mark.parametrize("width", [360, *(pytest.param(width, marks=pytest.mark.slow) for width in (390, 768, 1280))])
async def test_nothing_is_cut_off_at_any_width(page: Page, demo: Demo, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 760})
    await open_page(page, demo, "looked.at")
    await start(page)
    long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
    await demo.write("looked.at", Rec(change(1, title=long, user=long, comment=long)))
    await rows(page).first.get_by_role("button", name="Show details").click()
    for fold in ("Which events", "More filters, and an end", "Connection", "Download"):
        if fold != "Which events" or width < 900:
            await page.get_by_text(fold, exact=True).click()
    await page.get_by_label("Conditions on any field, one per line").fill(f'title="{long}"')
    await page.get_by_role("button", name="curl").click()
    await expect(page.locator("#code")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    if width < 900:  # the choice has made room, and is there again
        await expect(page.get_by_role("searchbox", name="Search the streams")).to_be_hidden()
        await page.get_by_text("Streams: 1 chosen").click()
        await expect(page.get_by_role("searchbox", name="Search the streams")).to_be_visible()
        # It stays while somebody changes it: the connection is another one, the fold is not.
        await page.get_by_role("checkbox", name="quiet", exact=True).check()
        async with page.expect_response("**/v2/stream/looked.at?*"):
            await page.get_by_role("checkbox", name="quiet", exact=True).uncheck()
        await expect(connected(page)).to_be_visible()
        await expect(page.get_by_role("searchbox", name="Search the streams")).to_be_visible()


@pytest.mark.slow
async def test_who_uses_the_keyboard_gets_past_the_streams_at_once(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "one")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the events")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Events", exact=True)).to_be_focused()
    await expect(page).to_have_url(f"{demo.site.url}/v2/ui#/?streams=one")


@pytest.mark.slow
async def test_the_api_documentation_is_linked(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    await expect(page.get_by_role("link", name="API documentation")).to_have_attribute("href", "/?doc")


async def test_the_parser_takes_a_stream_cut_anywhere(page: Page, demo: Demo) -> None:
    text = (
        '﻿:ok\n\nevent: message\nid: [1]\ndata: {"title":"Ж — 𝄞"}\n\n:\n'
        ":gap [2]\nretry: 12\nretry: x\nid: [3]\r\ndata: a\r\ndata:  b\r\n\r\n"
        "event: error\rdata\r\rid: [4]\n\ndata: last\n\ndata: never ended"
    )
    expected = [
        ["comment", "ok"],
        ["event", "message", "[1]", '{"title":"Ж — 𝄞"}'],
        ["comment", ""],
        ["comment", "gap [2]"],
        ["retry", 12],
        ["event", "message", "[3]", "a\n b"],
        ["event", "error", "[3]", ""],
        ["event", "message", "[4]", "last"],
    ]
    await open_page(page, demo)
    results = await page.evaluate(
        """async ([url, text]) => {
          const { Parser } = await import(url);
          const bytes = new TextEncoder().encode(text);
          const results = new Set();
          for (let size = 1; size <= bytes.length; size += 1) {
            const heard = [];
            const parser = new Parser({
              event: ({ type, id, data }) => heard.push(["event", type, id, data]),
              comment: (text) => heard.push(["comment", text]),
              retry: (ms) => heard.push(["retry", ms]),
            });
            const decoder = new TextDecoder();
            for (let at = 0; at < bytes.length; at += size) {
              parser.push(decoder.decode(bytes.slice(at, at + size), { stream: true }));
            }
            results.add(JSON.stringify(heard));
          }
          return [...results];
        }""",
        [f"{UI}/sse.js", text],
    )
    assert [json.loads(result) for result in results] == [expected]


async def test_the_filter_knows_words_and_fields(page: Page, demo: Demo) -> None:
    event = {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": {"domain": "en.wikipedia.org"},
        "type": "edit",
        "title": "Main page",
        "wiki": "enwiki",
        "revision": {"new": 12},
        "tags": ["a", "b"],
    }
    matching = [
        "",
        "MAIN page",
        '"main page"',
        "-absent",
        "wiki=ENWIKI",
        "wiki!=dewiki",
        "-wiki=dewiki",
        "type=edit wiki=enwiki user=redacted",
        "meta.domain=en.wikipedia.org",
        "revision.new=12 tags=b",
        'title="main page"',
    ]
    others = ["absent", '"page main"', "-main", "wiki=en", "wiki!=enwiki", "-wiki=enwiki", "main absent"]
    others += ["revision.new=1", "nothing.at.all=x", "nothing=undefined", "a=b=c", "tags=c", "user=Grace"]
    await open_page(page, demo)
    found = await page.evaluate(
        """async ([url, event, texts]) => {
          const { Filter, item } = await import(url);
          return texts.filter((text) => new Filter(text).matches(item(event, JSON.stringify(event))));
        }""",
        [f"{UI}/events.js", event, matching + others],
    )
    assert found == matching


async def test_an_event_of_any_schema_is_shown_with_what_it_has(page: Page, demo: Demo) -> None:
    page_change = {
        "$schema": "/mediawiki/page/change/1.2.0",
        "meta": {"stream": "mediawiki.page_change.v1", "uri": "https://a.example/wiki/A", "dt": "2026-01-01T00:00:00Z"},
        "page_change_kind": "move",
        "wiki_id": "awiki",
        "page": {"page_title": "A_b"},
        "performer": {"user_text": "Ada"},
    }
    links = {
        "$schema": "/mediawiki/page/links-change/1.0.0",
        "meta": {"stream": "mediawiki.page-links-change"},
        "database": "bwiki",
        "page_title": "B",
    }
    other = {"meta": {"stream": "eventgate.test", "uri": "javascript:alert(1)"}, "type": 7, "title": {"no": "text"}}
    log = {"type": "log", "log_type": "block", "user": "Grace"}
    odd = {"meta": {"stream": {"no": "text"}, "topic": "t"}}
    events = [page_change, page_change | {"performer": {}}, links, other, log, {}, {"meta": None}, odd]
    await open_page(page, demo)
    shown = await page.evaluate(
        """async ([url, events]) => {
          const { item } = await import(url);
          const row = ({ type, wiki, title, user, link, stream }) => [type, wiki, title, user, link, stream];
          return events.map((event) => row(item(event, "")));
        }""",
        [f"{UI}/events.js", events],
    )
    assert shown == [
        ["move", "awiki", "A b", "Ada", "https://a.example/wiki/A", "mediawiki.page_change.v1"],
        ["move", "awiki", "A b", None, "https://a.example/wiki/A", "mediawiki.page_change.v1"],
        ["links-change", "bwiki", "B", None, "", "mediawiki.page-links-change"],
        ["test", "", "", "", "", "eventgate.test"],
        ["block", "", "", "Grace", "", ""],
        ["", "", "", "", "", ""],
        ["", "", "", "", "", ""],
        ["", "", "", "", "", "t"],
    ]


@pytest.mark.slow
async def test_the_tree_shows_numbers_as_they_were_written(page: Page, demo: Demo) -> None:
    text = '{"float":1.0,"large":12345678901234567890,"none":null,"list":[' + ",".join(map(str, range(450))) + "]}"
    await open_page(page, demo)
    await page.evaluate(
        """async ([url, text]) => {
          const { tree } = await import(url);
          document.querySelector("#list").append(tree(text));
        }""",
        [f"{UI}/tree.js", text],
    )
    tree = page.locator(".tree")
    await expect(tree).to_contain_text("float: 1.0")
    await expect(tree).to_contain_text("large: 12345678901234567890")
    await expect(tree).to_contain_text("none: null")
    await expect(tree.locator(".leaf")).to_have_count(3)
    await tree.get_by_text("[ 450 ]").click()
    await expect(tree.locator(".leaf")).to_have_count(203)
    await tree.get_by_role("button", name="250 more").click()
    await tree.get_by_role("button", name="50 more").click()
    await expect(tree.locator(".leaf")).to_have_count(453)
