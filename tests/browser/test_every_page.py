"""Every page there is, for everybody: nothing scrolls sideways at any width, and axe finds nothing serious."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.browser.demo import LIMIT, Demo, demo_site
from tests.browser.kit import Complaints, create_superuser, log_in
from tests.browser.test_demo_page_quality import violations
from tests.support.site import Site

WIDTHS = (390, 768, 1280, 1920)
SCHEMES: tuple[Any, ...] = ("light", "dark")
CUT = "Math.max(0, ...[...document.querySelectorAll('.results')].map((each) => each.scrollWidth - each.clientWidth))"
"""Pixels of a list in the admin that can only be seen by scrolling in it."""
UNEVEN = """(() => {
  const rows = new Map();
  for (const each of document.querySelectorAll(".object-tools li")) {
    const { top, left } = each.getBoundingClientRect();
    rows.set(Math.round(top), Math.min(rows.get(Math.round(top)) ?? Infinity, Math.round(left)));
  }
  return new Set(rows.values()).size;
})()"""
"""Places at which lines of buttons begin."""
DRESS = "document.styleSheets.length === 1 && document.styleSheets[0].href.endsWith('/error.css')"
LISTED = """
import json
from django.contrib.auth.models import User
from redaction.models import Hold
from redaction.entries.titles import Page
from redaction.listed import changes
title = "Участник:HTriedman (WMF)/redacted page test"
changes.add([Page("ru.wikipedia.org", title)], "T412: asked by the foundation, and decided by two", User.objects.get())
held = [["ru.wikipedia.org", f"Участник:Held {number}"] for number in range(12)]
Hold.objects.create(why="12 pages disappeared from the list without a removal in its history", pages=json.dumps(held))
User.objects.create_user("ada", password="of-no-group-1815", is_staff=True)
"""
NO_PAGE = re.compile(r"/admin/(logout|jsi18n|autocomplete)|export\.|\.json|/static/")
KINDS = {
    f"/admin/{path}"
    for path in (
        "streams/configuredstream/",
        "streams/configuredstream/S/change/",
        "streams/configuredstream/S/history/",
        "streams/configuredstream/add/",
        "streams/syncrun/N/change/",
        "redaction/redactedpage/",
        "redaction/redactedpage/add/",
        "redaction/redactedpage/import/",
        "redaction/redactedpage/test/",
        "redaction/pagechange/",
        "redaction/hold/",
        "status/",
        "auth/user/N/change/",
        "auth/group/N/change/",
    )
}
"""Some that the walk must have found."""


@pytest.fixture(scope="module")
def service(kafka: Any, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One with an account for the admin."""
    with demo_site(kafka, tmp_path_factory.mktemp("pages"), client_ip_connection_limit=LIMIT) as demo:
        create_superuser(demo.site)
        demo.site.manage("shell", "-c", LISTED).check_returncode()
        demo.site.start()
        yield demo


async def walk(page: Page, start: str) -> list[str]:
    """Addresses of the pages of the admin to which links lead, one of each kind."""
    todo, found, kinds = [start], [], set()
    while todo:
        address = todo.pop(0)
        kind = kind_of(address)
        if kind in kinds or NO_PAGE.search(address):
            continue
        kinds.add(kind)
        await page.goto(address)
        found.append(address)
        links = await page.locator("a[href]").evaluate_all("links => links.map(({ href }) => href)")
        todo += [each.partition("#")[0] for each in links if each.startswith(start)]
    return found


def kind_of(address: str) -> str:
    path = re.sub(r"configuredstream/(?!add/)[^/]+/(?=.)", "configuredstream/S/", urlsplit(address).path)
    return re.sub(r"/\d+/", "/N/", path)


async def faults(page: Page, addresses: list[str], axe: str) -> list[str]:
    """What is wrong with these pages, as sentences."""
    found = []
    for address in addresses:
        await page.goto(address)
        if address.endswith("?doc"):
            await expect(page.locator(".opblock").first).to_be_visible()
        found += [f"{address}: {each}" for each in await faults_of_this(page, axe)]
    return found


async def faults_of_this(page: Page, axe: str) -> list[str]:
    """What is wrong with the page that is shown."""
    found = await violations(page, axe, least=5)
    is_djangos = "/auth/" in page.url  # its lists are as Django has them
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        wide = await page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{wide} pixels wide at {width}")
        if await page.evaluate(CUT) > 0 and not is_djangos:
            found.append(f"columns are cut off at {width}")
        if await page.evaluate(UNEVEN) > 1 and not is_djangos:
            found.append(f"buttons begin at several places at {width}")
    return found


async def error_pages(page: Page, site: Site) -> AsyncIterator[str]:
    """Bring up one page of an error after the other, each as a person may see it, and yield its heading."""
    await page.goto(f"{site.url}/v2/nothing")
    yield "Not found"
    await page.goto(f"{site.url}/admin/login/")
    await page.context.clear_cookies()
    await page.get_by_label("Username").fill("ada")
    await page.get_by_label("Password").fill("of-no-group-1815")
    await page.get_by_role("button", name="Log in").click()
    yield "The form was rejected"
    await log_in(page, site, "ada", "of-no-group-1815")
    await page.goto(f"{site.url}/admin/auth/user/")
    yield "Access denied"
    await page.goto(f"{site.url}/admin/nothing/")
    yield "Not found"
    await page.context.clear_cookies()
    await log_in(page, site)
    await page.goto(f"{site.url}/admin/auth/user/?password__startswith=a")
    yield "Bad request"
    await page.context.clear_cookies()
    await page.goto(f"{site.url}/admin/login/")
    await page.get_by_label("Username").fill("ada")
    await page.get_by_label("Password").evaluate("box => { box.value = 'x'.repeat(3e6); }")
    await page.get_by_role("button", name="Log in").click()
    yield "The upload is too large"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_of_an_error_has_the_sites_dress_and_a_way_back(
    page: Page, service: Demo, axe: str, complaints: Complaints, scheme: Any
) -> None:
    complaints.allow("400|403|404|413")
    await page.emulate_media(color_scheme=scheme)
    async for heading in error_pages(page, service.site):
        await expect(page.get_by_role("heading", name=heading)).to_be_visible()
        assert await page.evaluate(DRESS), heading
        assert await faults_of_this(page, axe) == [], heading
        back = page.get_by_role("link", name=re.compile("^Back to the (admin|start page)$"))
        address = await back.evaluate("link => link.href")
        assert (await page.request.get(address)).status == 200, heading


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_no_page_scrolls_sideways_and_axe_finds_nothing_serious(
    page: Page, service: Demo, axe: str, complaints: Complaints, scheme: Any
) -> None:
    complaints.allow("404")
    complaints.allow("Applying inline style")  # by axe, which measures so
    url = service.site.url
    await page.emulate_media(color_scheme=scheme)
    paths = ("/v2/ui", "/?doc", "/admin/login/")
    found = await faults(page, [f"{url}{path}" for path in paths], axe)
    await log_in(page, service.site)
    of_admin = await walk(page, f"{url}/admin/")
    kinds = {kind_of(address) for address in of_admin}
    assert kinds >= KINDS, of_admin
    found += await faults(page, of_admin, axe)
    assert found == []
