"""What the demo page says when something is wrong: in words, with what happens next."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.async_api import Page, expect

from streams.local.kafka import LocalKafka
from streams.local.processes import free_port
from tests.browser.demo import ABSENT, LIMIT, Demo, change, connected, demo_site, fact, note, open_page, rows, start
from tests.browser.kit import Complaints
from tests.integration.kit import Rec
from tests.support.client import StreamClient

SOON = re.compile(r"Trying again in \d+ (s|min)")


async def press_start(page: Page) -> None:
    await page.get_by_role("button", name="Start", exact=True).click()


async def test_a_stream_that_does_not_exist_is_named_and_another_choice_works(
    page: Page, demo: Demo, complaints: Complaints
) -> None:
    complaints.allow("404")
    await open_page(page, demo, "nobody", "one")
    chosen = page.get_by_role("list", name="Chosen streams").get_by_role("listitem")
    await expect(chosen).to_have_text(["nobody", "one"])
    await press_start(page)
    await expect(page.get_by_role("alert")).to_have_text("There is no stream named nobody here. Choose from the list.")
    await expect(page.get_by_role("status").filter(has_text="Refused")).to_be_visible()
    await expect(page.get_by_text(SOON)).to_be_hidden()
    await page.get_by_role("button", name="Remove nobody").click()
    await expect(connected(page)).to_be_visible()
    await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page).to_have_url(f"{demo.site.url}/v2/ui#/?streams=one&run=1")


@pytest.mark.slow
async def test_too_many_connections_are_waited_out_and_can_be_tried_at_once(
    page: Page, demo: Demo, complaints: Complaints
) -> None:
    complaints.allow("429")
    others = [await StreamClient.connect(demo.site.port, "/v2/stream/one") for _ in range(LIMIT)]
    await open_page(page, demo, "one")
    await press_start(page)
    await expect(page.get_by_role("alert")).to_have_text("Too many streams are open from your network address.")
    await expect(page.get_by_text(SOON)).to_be_visible()
    for other in others:
        other.abort()
        await other.close()
    async with asyncio.timeout(20):
        while demo.site.metric("eventstreams_connected_clients"):
            await asyncio.sleep(0.05)
    await page.get_by_role("button", name="Try now").click()
    await expect(connected(page)).to_be_visible()
    await expect(fact(page, "Reconnects")).to_have_text("0")


@pytest.mark.slow
async def test_a_stream_without_topics_is_said_to_have_none(page: Page, demo: Demo, complaints: Complaints) -> None:
    complaints.allow("503")
    await open_page(page, demo, ABSENT)
    await press_start(page)
    await expect(page.get_by_role("alert")).to_have_text(re.compile("These streams have no topics in Kafka yet"))
    await expect(page.get_by_text(SOON)).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.slow
async def test_what_the_server_says_by_an_event_is_said_too(page: Page, kafka: Any, tmp_path: Any) -> None:
    """Kafka is away: the answer is 200 and `event: error`, since an EventSource would take anything else for final."""
    away = {"kafka": {"metadata.broker.list": f"127.0.0.1:{free_port()}"}}
    with demo_site(kafka, tmp_path, **away) as demo:
        await asyncio.to_thread(demo.site.start, wait_ready=False)
        await asyncio.to_thread(demo.site.wait_for, 200, "/healthz")
        async with asyncio.timeout(20):
            while not demo.site.metric("eventstreams_catalogue_streams"):
                await asyncio.sleep(0.05)
        await open_page(page, demo, "one")
        await press_start(page)
        await expect(page.get_by_role("alert")).to_have_text("The server cannot reach Kafka at the moment.")
        await expect(page.get_by_text(re.compile(r"Trying again in (\d|1[0-5]) s"))).to_be_visible()


async def test_nothing_chosen_and_no_date_are_said_at_once(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    await press_start(page)
    await expect(page.get_by_role("alert")).to_have_text("Choose a stream first.")
    await expect(page.get_by_role("searchbox", name="Search the streams")).to_be_focused()
    await page.get_by_role("checkbox", name="one", exact=True).check()
    await page.get_by_label("Date and time, UTC").fill("")
    await page.get_by_role("radio", name="a date (UTC)").check()
    await press_start(page)
    await expect(page.get_by_role("alert")).to_have_text("Enter a start date.")


async def test_a_gap_that_the_server_says_is_counted_and_named(page: Page, demo: Demo) -> None:
    await demo.write("cut", *(Rec(change(n, dt=1_700_000_000), at=1_700_000_000_000 + n) for n in range(6)))
    await demo.broker.delete_before(demo.topic("cut"), 4)
    await open_page(page, demo, "cut")
    await page.get_by_label("Date and time, UTC").fill("2023-01-01T00:00")
    await start(page)
    await expect(rows(page)).to_have_count(2)
    await expect(fact(page, "Gaps")).to_have_text("1")
    await expect(note(page, "Gaps")).to_have_text(f"last in {demo.topic('cut')}")
    await expect(fact(page, "Duplicates")).to_have_text("0")
    await expect(note(page, "Delay")).to_have_text("live, no new events")


# A connection that stands, and no events.

SILENCE = """async () => {
  const base = document.querySelector("script[type=module]").src;
  const { Silence } = await import(new URL("silence.js", base));
  const { wordsOfSilence } = await import(new URL("problems.js", base));
  let asked = 0;
  const answers = [];
  const ask = () => { asked += 1; return Promise.resolve(answers[0]); };
  const told = (silence) => (silence.forMs === null ? null : wordsOfSilence(silence));
  const tick = () => new Promise((resolve) => setTimeout(resolve, 0));
  const found = {};
  async function run(name, { every, byTheirTime = every, count, rate = 0, seconds, answer }) {
    asked = 0;
    answers[0] = answer;
    const silence = new Silence(ask);
    silence.opened(0);
    for (let n = 0; n < count; n += 1) silence.event(n * every, n * byTheirTime);
    const last = Math.max(0, (count - 1) * every);
    let began = null;
    for (let now = last; now <= last + seconds * 1000; now += 1000) {
      silence.check(now, rate);
      await tick();
      if (began === null && told(silence)) began = (now - last) / 1000;
    }
    found[name] = { began, asked, told: told(silence) };
    silence.event(last + seconds * 1000, 0);
    found[name].after = told(silence);
  }
  const ready = { status: "ready", said: [] };
  const away = { status: "degraded", said: ["Kafka cannot be reached", "the list is old"] };
  await run("busy", { every: 100, count: 50, seconds: 35, answer: ready });
  await run("frozen", { every: 100, count: 50, seconds: 12, answer: away });
  await run("slower", { every: 4000, count: 20, seconds: 35, answer: ready });
  await run("seldom", { every: 30000, count: 20, seconds: 130, answer: ready });
  await run("seldom and frozen", { every: 30000, count: 20, seconds: 130, answer: away });
  await run("replayed", { every: 1, byTheirTime: 30000, count: 20, seconds: 50, answer: ready });
  await run("never, usually busy", { every: 0, count: 0, rate: 5, seconds: 12, answer: away });
  await run("never, not known", { every: 0, count: 0, seconds: 50, answer: away });
  await run("no answer", { every: 100, count: 50, seconds: 12, answer: { status: "unknown", said: [] } });
  return found;
}"""
WAITS = "This page stays connected and shows events as soon as they come."
READY = f"Events usually come more often. The service reports no problem. {WAITS}"
SAID = f"The service says: Kafka cannot be reached; the list is old. {WAITS}"


async def test_a_silence_is_worth_saying_by_how_often_events_come_and_the_service_is_asked_at_most_every_ten_seconds(
    page: Page, demo: Demo
) -> None:
    await open_page(page, demo)
    found = await page.evaluate(SILENCE)
    assert found == {
        "busy": {"began": 10, "asked": 3, "told": READY, "after": None},
        "frozen": {"began": 10, "asked": 1, "told": SAID, "after": None},
        "slower": {"began": 20, "asked": 2, "told": READY, "after": None},
        "seldom": {"began": None, "asked": 2, "told": "", "after": None},
        "seldom and frozen": {"began": 60, "asked": 2, "told": SAID, "after": None},
        "replayed": {"began": None, "asked": 0, "told": None, "after": None},
        "never, usually busy": {"began": 10, "asked": 1, "told": SAID, "after": None},
        "never, not known": {"began": None, "asked": 0, "told": None, "after": None},
        "no answer": {"began": 10, "asked": 1, "told": f"The service does not say why. {WAITS}", "after": None},
    }


async def test_a_lively_stream_that_falls_silent_is_said_until_an_event_comes(page: Page, demo: Demo) -> None:
    await open_page(page, demo, "busy")
    await start(page)
    await demo.write("busy", *(Rec(change(number)) for number in range(20)))
    await expect(fact(page, "Events")).to_have_text("20")
    await expect(fact(page, "Last event")).to_have_text(re.compile(r"^\d s$"))
    await page.evaluate("window.clock = Date.now; Date.now = () => window.clock() + 9000")  # and no timer is early
    await expect(page.get_by_text(re.compile(r"^No events for 1\d s\.$"))).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_text(READY)
    await expect(page.get_by_role("status").filter(has_text="Connected, but no events arrive")).to_be_visible()
    await expect(note(page, "Delay")).to_have_text("nothing arrives")
    await page.evaluate("Date.now = window.clock")
    await demo.write("busy", Rec(change(20)))
    await expect(page.get_by_text("No events for")).to_be_hidden()
    await expect(page.get_by_role("status").filter(has_text=re.compile("^Connected$"))).to_be_visible()
    await expect(note(page, "Delay")).to_have_text("live")


@pytest.mark.slow
async def test_while_kafka_stands_still_the_page_says_what_the_service_says(
    page: Page, own_kafka: LocalKafka, tmp_path: Any, complaints: Complaints
) -> None:
    """The connection stands, and keep-alives come: the page said "Connected, live"."""
    with demo_site(SimpleNamespace(bootstrap=own_kafka.bootstrap, lasting=False), tmp_path) as demo:
        await asyncio.to_thread(demo.site.start)
        await open_page(page, demo, "busy")
        await start(page)
        await demo.write("busy", *(Rec(change(number)) for number in range(20)))
        await expect(fact(page, "Events")).to_have_text("20")
        own_kafka.pause()
        try:
            said = page.get_by_role("alert").filter(has_text=re.compile("The service says: .*Kafka"))
            await expect(said).to_be_visible(timeout=60_000)
            await expect(page.get_by_text(re.compile(r"^No events for \d+ s\.$"))).to_be_visible()
            await expect(page.get_by_role("status").filter(has_text="but no events arrive")).to_be_visible()
        finally:
            own_kafka.resume()
        async with asyncio.timeout(60):
            while demo.site.json("/readyz")["status"] != "ready":
                await asyncio.sleep(0.1)
        await demo.write("busy", Rec(change(20)))
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(connected(page)).to_be_visible()
