"""The filter bar of the demo page: the server filters and ends, and the page says which filter is in force."""

from __future__ import annotations

import re
import shutil
import sys
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.demo import Demo, change, clipboard, fact, open_page, rows, start
from tests.browser.kit import Complaints
from tests.browser.programs import run_to_end
from tests.integration.kit import Rec

UI = "/static/eventstreams/ui"
AT_MS = 1_700_000_000_000


def in_force(page: Page) -> Locator:
    return page.locator("#in-force")


async def choose_the_replay(page: Page) -> None:
    """Events of 2023, which `write` wrote."""
    await page.get_by_label("Date and time, UTC", exact=True).fill("2023-11-14T22:13")


async def write(demo: Demo, stream: str) -> None:
    people = [
        change(1, title="Ada Lovelace", namespace=0, bot=False),
        change(2, title="Ada Lovelace", namespace=1, bot=False, wiki="dewiki"),
        change(3, title="Ada Lovelace/Notes", namespace=0, bot=True, length={"new": 20_000}),
        change(4, title="Emmy Noether", namespace=0, bot=False, type="new", tags=["a", "b"]),
        change(5, title="Grace, Hopper", namespace=2, bot=False, user="Ada", wiki="dewiki"),
    ]
    await demo.write(stream, *(Rec(event, at=AT_MS + event["n"]) for event in people))


async def test_the_bar_builds_the_filter_that_the_server_applies(page: Page, demo: Demo) -> None:
    await write(demo, "filtered")
    await open_page(page, demo, "filtered")
    await choose_the_replay(page)
    await start(page)
    await expect(rows(page)).to_have_count(5)
    await expect(in_force(page)).to_have_text("all events")

    async def shows(numbers: list[int]) -> None:
        await expect(page.locator("#list .title")).to_have_text([PEOPLE[number] for number in numbers])

    # A change takes effect at once. The suggestions are what was seen.
    wiki = page.get_by_label("Wiki", exact=True)
    await wiki.focus()
    assert await page.locator("#wikis option").evaluate_all("options => options.map(({ value }) => value)") == [
        "dewiki",
        "enwiki",
    ]
    await wiki.fill("enwiki")
    await wiki.press("Enter")
    await expect(in_force(page)).to_have_text("in force: wiki=enwiki")
    await shows([4, 3, 1])
    namespace = page.get_by_label("Namespace", exact=True)
    await namespace.fill("article, !talk")
    await page.get_by_label("Bots").select_option("excluded")
    await expect(in_force(page)).to_have_text("in force: bot=false · namespace=!1,0 · wiki=enwiki")
    await shows([4, 1])
    await page.get_by_label("Type", exact=True).fill("new")
    await page.get_by_label("Type", exact=True).press("Enter")
    await shows([4])
    await page.get_by_role("button", name="All events").click()
    await expect(in_force(page)).to_have_text("all events")
    await shows([5, 4, 3, 2, 1])
    title = page.get_by_label("Title", exact=True)
    await title.fill("ada_lovelace/* | Grace, Hopper")
    await title.press("Enter")
    await shows([5, 3])
    await page.get_by_label("User", exact=True).fill("!Ada")
    await page.get_by_label("User", exact=True).press("Enter")
    await shows([3])

    # The address keeps it; the search stays within what came.
    await page.reload()
    await shows([3])
    await expect(title).to_have_value("ada_lovelace/* | Grace, Hopper")
    await page.get_by_role("searchbox", name="Search the events").fill("wiki=dewiki")
    await expect(rows(page)).to_have_count(0)
    await expect(fact(page, "Events")).to_have_text("1")


async def test_every_filter_of_the_service_has_a_field(page: Page, demo: Demo) -> None:
    events = [
        change(1, title="A", minor=True, patrolled=True),
        change(2, title="B", minor=False, patrolled=False, wiki="dewiki"),
        change(3, title="C", domain="canary"),
        change(4, title="D", patrolled=True, wiki="dewiki"),
    ]
    await demo.write("flagged", *(Rec(event, at=AT_MS + event["n"]) for event in events))
    await open_page(page, demo, "flagged")
    await choose_the_replay(page)
    await start(page)
    await expect(rows(page)).to_have_count(3)

    async def shows(*titles: str) -> None:
        await expect(page.locator("#list .title")).to_have_text([*titles])

    await page.get_by_text("More filters, and an end").click()
    domain = page.get_by_label("Domain", exact=True)
    await domain.focus()
    suggested = "options => options.map(({ value }) => value)"
    seen = ["canary", "de.wikipedia.org", "en.wikipedia.org"]
    assert await page.locator("#domains option").evaluate_all(suggested) == seen
    await domain.fill("!en.wikipedia.org, !canary")
    await domain.press("Enter")
    await shows("D", "B")
    await expect(in_force(page)).to_have_text("in force: domain=!canary,!en.wikipedia.org")
    await page.get_by_label("Patrolled").select_option("patrolled")
    await shows("D")
    await page.get_by_role("button", name="All events").click()
    await page.get_by_label("Minor edits").select_option("excluded")
    await shows("B")
    await page.reload()
    await shows("B")
    await expect(page.get_by_label("Minor edits")).to_have_value("false")
    await page.get_by_role("button", name="All events").click()
    await page.get_by_role("combobox", name="Canary (test) events").select_option("canary only")
    await shows("C")  # shown, though canary events are hidden unless somebody asks for them


PEOPLE = ["", "Ada Lovelace", "Ada Lovelace", "Ada Lovelace/Notes", "Emmy Noether", "Grace, Hopper"]


async def test_a_value_of_an_event_becomes_the_servers_filter(page: Page, demo: Demo) -> None:
    await write(demo, "values")
    await open_page(page, demo, "values")
    await choose_the_replay(page)
    await start(page)
    await expect(rows(page)).to_have_count(5)
    await unfold(page, "Ada Lovelace/Notes")
    await page.locator(".tree").get_by_text("length:").click()
    await page.get_by_role("button", name="Only length.new=20000").click()
    await expect(in_force(page)).to_have_text("in force: where=length.new=20000")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="All events").click()
    await expect(rows(page)).to_have_count(5)
    await unfold(page, "Emmy Noether")
    await page.locator(".tree").get_by_text("tags:").click()
    await page.get_by_role("button", name="Only tags=b").click()
    await expect(in_force(page)).to_have_text('in force: where=tags="b"')
    await expect(rows(page)).to_have_count(1)
    await unfold(page, "Emmy Noether")
    await page.get_by_role("button", name="Only wiki=enwiki").click()
    await expect(page.get_by_label("Wiki", exact=True)).to_be_focused()
    await expect(in_force(page)).to_have_text('in force: where=tags="b" · wiki=enwiki')
    await expect(page.locator("#list .title")).to_have_text(["Emmy Noether"])
    live = [change(6, wiki="dewiki", tags=["b"]), change(7, tags=["c"]), change(8, title="Live", tags=["b"])]
    await demo.write("values", *map(Rec, live))
    await expect(page.locator("#list .title")).to_have_text(["Live", "Emmy Noether"])


async def unfold(page: Page, title: str) -> None:
    await page.get_by_role("button", name=f"Show details: {title}", exact=True).click()


async def test_an_end_is_reached_and_said_and_copies_end_too(page: Page, demo: Demo, tmp_path: Any) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await write(demo, "ending")
    await demo.write("ending", *(Rec(change(number)) for number in range(10, 14)))
    await open_page(page, demo, "ending")
    await page.get_by_role("button", name="Last hour only").click()
    await expect(page.get_by_role("status").filter(has_text="Ended")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_text(
        "The stream ended: it reached the end that you chose; 4 events came."
    )
    await expect(rows(page)).to_have_count(4)
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()

    await choose_the_replay(page)
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_label("Maximum events").fill("3")
    await page.get_by_label("Maximum events").press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("The stream ended: 3 events, as many as you asked for.")
    await expect(rows(page)).to_have_count(3)
    await expect(fact(page, "Reconnects")).to_have_text("0")
    for name, command in {"curl": ["sh"], "JavaScript": ["node"], "Python": [sys.executable]}.items():
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_text(f"{name} ").filter(has_text="copied.")).to_be_visible()
        if shutil.which(command[0]) is None:
            continue
        script = tmp_path / name
        script.write_text(await clipboard(page))
        output = await run_to_end([*command, str(script)])
        assert output.count('"Ada Lovelace') == 3
        assert "Emmy" not in output

    # An id at which the end lies behind already: 204.
    last = await page.locator("#last-id").text_content() or ""
    await page.get_by_label("Maximum events").fill("")
    await page.get_by_role("radio", name="after an event id").check()  # though what the page said vanishes
    await page.get_by_label("Event id", exact=True).fill(last)
    await page.get_by_role("combobox", name="End", exact=True).select_option("at a date (UTC)")
    await page.get_by_label("Date and time of the end, UTC").fill("2023-11-14T22:13")
    await expect(page.get_by_role("alert")).to_have_text(
        "The stream ended: nothing is left before the end that you chose; no event came."
    )


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("Namespace", "Nowhere", "There is no namespace named Nowhere. Choose one from the list, or enter its number."),
        ("Conditions on any field, one per line", "a b", "The server cannot use this filter: "),
    ],
)
async def test_a_filter_that_cannot_be_used_is_told_with_what_was_expected(
    page: Page, demo: Demo, complaints: Complaints, field: str, text: str, said: str
) -> None:
    complaints.allow("400")
    await open_page(page, demo, "quiet")
    await page.get_by_text("More filters, and an end").click()
    await page.get_by_label(field, exact=True).fill(text)
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text(said)
    await page.get_by_role("button", name="All events").click()
    await expect(page.get_by_label(field, exact=True)).to_have_value("")
    await start(page)
    await page.get_by_label("Namespace", exact=True).fill("Nowhere")
    await page.get_by_label("Namespace", exact=True).press("Enter")
    await expect(page.locator("#want-said")).to_have_text(re.compile("^There is no namespace named Nowhere"))
    await expect(page.get_by_role("alert")).to_be_hidden()  # what runs has no filter, and is right


async def test_a_break_does_not_exceed_the_limit_and_a_checkpoint_is_no_event(page: Page, demo: Demo) -> None:
    """A server that breaks off, invented in the page: what it is asked the second time."""
    await open_page(page, demo)
    found = await page.evaluate(
        """async (url) => {
          const { Connection } = await import(url);
          const asked = [];
          const block = (type, id, data) => `id: [${id}]\\nevent: ${type}\\ndata: ${JSON.stringify(data)}\\n\\n`;
          const answers = [
            block("message", 1, {}) + block("checkpoint", 2, { meta: { domain: "canary" } }) + "retry: 1\\n\\n",
            block("message", 3, {}) + block("end", 4, { reason: "limit", events: 1 }),
          ];
          const real = window.fetch;
          window.fetch = async (address, { headers }) => {
            asked.push([new URL(address).searchParams.get("limit"), headers["Last-Event-ID"] ?? ""]);
            return new Response(answers.shift(), { headers: { "Content-Type": "text/event-stream" } });
          };
          let events = 0;
          const nothing = () => {};
          const end = await new Promise((resolve) => {
            const on = { since: nothing, gap: nothing, idle: nothing, received: nothing, filter: nothing };
            const state = (now) => now.phase === "ended" && resolve(now.end);
            const connection = new Connection(location.origin + "/x?limit=2", "", () => 0, {
              ...on, state, event: () => (events += 1),
            });
            connection.run();
          });
          window.fetch = real;
          return { asked, events, end };
        }""",
        f"{UI}/sse.js",
    )
    assert found == {
        "asked": [["2", ""], ["1", "[2]"]],
        "events": 2,
        "end": {"reason": "limit", "events": 2},
    }


async def test_values_become_parameters_or_conditions(page: Page, demo: Demo) -> None:
    await open_page(page, demo)
    cases: list[tuple[str, Any]] = [
        ("wiki_id", "enwiki"),
        ("page.namespace_id", 3),
        ("performer.is_bot", True),
        ("title", "!Not"),
        ("title", "Foo/*"),
        ("title", "A, B"),
        ("user", None),
        ("type", "two words"),
        ("meta.domain", "en.wikipedia.org"),
        ("meta.domain", "canary"),
        ("server_name", "b.example"),
        ("revision.is_minor_edit", True),
        ("patrolled", False),
    ]
    found = await page.evaluate(
        """async ([url, cases]) => {
          const { Wanted } = await import(url);
          const wanted = new Wanted(() => {}, () => {});
          return cases.map(([path, value]) => {
            wanted.read(new URLSearchParams());
            wanted.add(path, value);
            return wanted.filter.map((pair) => pair.join("=")).join("&");
          });
        }""",
        [f"{UI}/wanted.js", cases],
    )
    assert found == [
        "wiki=enwiki",
        "namespace=3",
        "bot=true",
        'where=title="!Not"',
        'where=title="Foo/*"',
        "title=A, B",
        "where=!user",
        'where=type="two words"',
        "domain=en.wikipedia.org",
        'where=meta.domain="canary"',
        "domain=b.example",
        "minor=true",
        "patrolled=false",
    ]
