"""The documentation in a browser: Swagger UI, under the Content-Security-Policy, with streams that do not end."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import SLOW_MACHINE_MS
from tests.browser.demo import ABSENT, STREAMS, Demo, change, open_page
from tests.browser.kit import Complaints
from tests.browser.test_demo_page_quality import violations
from tests.integration.kit import Rec


def operation(page: Page, stream: str) -> Locator:
    return page.locator(".opblock").filter(has=page.locator(f'[data-path="/v2/stream/{stream}"]'))


async def open_documentation(page: Page, demo: Demo, fragment: str = "") -> None:
    await page.goto(f"{demo.site.url}/?doc{fragment}")
    await expect(page.get_by_role("searchbox", name="Find a stream")).to_be_visible(timeout=SLOW_MACHINE_MS)


async def try_out(page: Page, stream: str, media_type: str = "", **query: str) -> Locator:
    """Fill the fields and press the buttons; what came."""
    of_stream = operation(page, stream)
    await of_stream.get_by_role("button", name="Try it out").click()
    for name, value in query.items():
        await of_stream.get_by_placeholder(name, exact=True).fill(value)
    if media_type:
        await of_stream.locator(".response .content-type").first.select_option(media_type)
    await of_stream.get_by_role("button", name="Execute").click()
    return of_stream.locator(".live-responses-table")


async def test_the_streams_are_there_and_the_browser_complains_of_nothing(page: Page, demo: Demo) -> None:
    await open_documentation(page, demo)
    await expect(page.get_by_role("heading", name="EventStreams API")).to_be_visible()
    await expect(operation(page, "one")).to_contain_text("Somebody changed a page")
    await expect(page.locator("#say")).to_be_hidden()
    await page.get_by_role("link", name="Demo page").click()
    await page.get_by_role("link", name="API documentation").click()
    await expect(operation(page, "one")).to_be_visible(timeout=SLOW_MACHINE_MS)


async def test_a_stream_is_found_by_words_of_its_name_and_description(page: Page, demo: Demo) -> None:
    await open_documentation(page, demo)
    find = page.get_by_role("searchbox", name="Find a stream")
    await find.fill("PAGE somebody")
    await expect(page.locator(".opblock")).to_have_count(1)
    await expect(operation(page, "one")).to_be_visible(timeout=SLOW_MACHINE_MS)
    await find.fill("nothing of the kind")
    await expect(page.locator(".opblock")).to_have_count(0)
    await expect(page.get_by_text("No stream matches. Search for other words, or fewer.")).to_be_visible()
    await expect(page.get_by_text("No operations defined")).to_have_count(0)
    await find.fill("")
    await expect(operation(page, STREAMS[1])).to_be_visible()


@pytest.mark.parametrize("fragment", [pytest.param("#/Streams/stream_looked.at", marks=pytest.mark.slow), "#looked.at"])
async def test_a_link_opens_its_stream_and_no_other(page: Page, demo: Demo, fragment: str) -> None:
    await open_documentation(page, demo, fragment)
    await expect(operation(page, "looked.at").get_by_role("button", name="Try it out")).to_be_visible()
    await expect(page.locator(".opblock.is-open")).to_have_count(1)


@pytest.mark.slow
async def test_an_alias_leads_to_its_stream_and_opening_one_makes_a_link(page: Page, demo: Demo) -> None:
    await open_documentation(page, demo, "#first")
    await expect(operation(page, "one").get_by_role("button", name="Try it out")).to_be_visible()
    await operation(page, "two").locator(".opblock-summary-control").click()
    await expect(page).to_have_url(re.compile("#/Streams/stream_two$"))


@pytest.mark.parametrize(
    ("media_type", "begins"),
    [
        ("", ":ok"),
        pytest.param("application/json", '{"$schema"', marks=pytest.mark.slow),
        pytest.param("application/x-ndjson", '{"$schema"', marks=pytest.mark.slow),
    ],
)
async def test_a_stream_that_is_tried_out_shows_its_events_within_seconds(
    page: Page, demo: Demo, media_type: str, begins: str
) -> None:
    await open_documentation(page, demo, "#two")
    answer = await try_out(page, "two", media_type)

    seen = asyncio.Event()

    async def write() -> None:
        for number in range(100):
            event = json.dumps(change(number, title=f"Page {number} Ж"), ensure_ascii=False)
            await demo.write("two", Rec(event.encode()))
            await asyncio.sleep(0.1)
            if seen.is_set():
                break

    writing = asyncio.create_task(write())
    try:
        body = answer.locator(".microlight").first
        await expect(body).to_contain_text(re.compile(r"Page \d+ Ж.*Page \d+ Ж", re.DOTALL), timeout=SLOW_MACHINE_MS)
        text = (await body.inner_text()).strip()
        assert text.startswith(begins)
        assert text.endswith(": the events of 5 seconds; the stream continues")
        assert "can't parse" not in text
    finally:
        seen.set()  # not cancelled: it may be opening or closing a connection
        await writing
    async with asyncio.timeout(20):
        while demo.site.metric("eventstreams_connected_clients"):
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_much_is_cut_behind_a_whole_event_before_the_time_is_over(page: Page, demo: Demo) -> None:
    await demo.write_many("busy", [change(n, comment="x" * 1000) for n in range(2000)], 10_000)
    await open_documentation(page, demo, "#busy")
    body = (await try_out(page, "busy", since="0")).locator(".microlight").first
    await expect(body).to_contain_text("the stream continues", timeout=SLOW_MACHINE_MS)
    text = (await body.inner_text()).strip()
    *_, last_event, said = re.split(r"\n\n(?=event: |: )", text)
    assert said == ": the first 32 kB; the stream continues"
    assert len(text) < 33 * 1024
    assert last_event.endswith("}")


@pytest.mark.slow
async def test_an_error_is_shown_as_the_problem_that_it_is(page: Page, demo: Demo, complaints: Complaints) -> None:
    complaints.allow("503")
    await open_documentation(page, demo, f"#{ABSENT}")
    answer = await try_out(page, ABSENT)
    await expect(answer).to_contain_text("no_topics_available")


async def test_streams_are_in_the_order_of_the_demo_page(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    await page.get_by_role("button", name="Favourite: quiet", exact=True).click()
    offered = await page.locator("#streams .name").all_text_contents()
    await open_documentation(page, demo)
    paths = await page.locator("[data-path]").evaluate_all("all => all.map(({ dataset }) => dataset.path)")
    assert paths[1] == "/v2/stream/quiet"
    assert paths[0] == "/v2/stream/{streams}"
    assert sorted(paths[1:-1]) == sorted(f"/v2/stream/{name}" for name in offered)
    assert paths[-1] == f"/v2/stream/{ABSENT}", "what has no topic comes last"


async def test_on_a_phone_the_search_has_the_whole_width_and_a_result_is_in_view_and_all_is_named(
    page: Page, demo: Demo, axe: str
) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await open_documentation(page, demo, "#looked.at")
    box = await page.get_by_role("searchbox", name="Find a stream").bounding_box()
    assert box is not None
    assert box["width"] > 390 - 40
    one = operation(page, "looked.at")
    await one.get_by_role("button", name="Try it out").click()
    await expect(one.locator(".responses-inner")).to_contain_text('"partition": 0')
    await one.get_by_placeholder("limit", exact=True).fill("1")
    await one.get_by_role("button", name="Execute").click()
    await expect(one.locator(".loading-container")).to_be_in_viewport()
    await demo.write("looked.at", Rec(change(1)))  # the result need not wait for the 5 seconds of a sample
    await expect(one.locator(".live-responses-table")).to_be_in_viewport()
    assert await page.locator("main").count() == 1
    assert await violations(page, axe) == []


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.slow)])
async def test_nothing_is_cut_off_at_any_width(page: Page, demo: Demo, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 760})
    await open_documentation(page, demo, "#one")
    await expect(operation(page, "one").get_by_role("button", name="Try it out")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
async def test_the_theme_is_the_systems_until_somebody_chooses(page: Page, demo: Demo) -> None:
    await page.emulate_media(color_scheme="dark")
    await open_documentation(page, demo)
    await expect(page.locator("html")).to_have_class("dark-mode")
    await page.emulate_media(color_scheme="light")
    await expect(page.locator("html")).to_have_class("")
    await page.get_by_role("button", name="Theme: auto").click()
    await page.get_by_role("button", name="Theme: light").click()
    await expect(page.locator("html")).to_have_class("dark-mode")


@pytest.mark.slow
async def test_while_the_streams_are_not_known_the_page_says_so_and_asks_again(
    page: Page, demo: Demo, complaints: Complaints
) -> None:
    complaints.allow("503")
    answers = iter([503])
    problem = '{"detail": "The stream configuration has not been loaded yet"}'

    async def answer(route: object) -> None:
        status = next(answers, None)
        if status is None:
            await route.continue_()  # type: ignore[attr-defined]
        else:
            await route.fulfill(status=status, body=problem, content_type="application/problem+json")  # type: ignore[attr-defined]

    await page.route("**/?spec", answer)
    await page.goto(f"{demo.site.url}/?doc")
    await expect(page.locator("#say")).to_contain_text("has not been loaded yet. Trying again in a moment.")
    await expect(operation(page, "one")).to_be_visible(timeout=SLOW_MACHINE_MS)
