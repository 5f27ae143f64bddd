"""The pages below a path, behind nginx that passes the path on or strips it: nothing is asked for outside the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import SLOW_MACHINE_MS
from tests.browser.demo import Demo, change, demo_site, rows, start
from tests.browser.kit import ADMIN, PASSWORD, Complaints, create_superuser
from tests.browser.test_documentation import operation, try_out
from tests.integration.kit import Rec
from tests.support.around.proxies import proxy

PREFIX = "/wiki/events"
BELOW = {"    location / {": f"    location {PREFIX}/ {{"}
WAYS = {
    "passed on": BELOW,
    "stripped": BELOW | {"proxy_pass http://eventstreams;": "proxy_pass http://eventstreams/;"},
}


@pytest.fixture(scope="module")
def service(kafka: Any, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_site(kafka, tmp_path_factory.mktemp("below"), url_prefix=PREFIX) as demo:
        create_superuser(demo.site)
        demo.site.start()
        yield demo


@pytest.mark.parametrize(
    ("way", "stream"), [("passed on", "two"), pytest.param("stripped", "quiet", marks=pytest.mark.slow)]
)
async def test_a_walk_through_all_pages_never_leaves_the_prefix(
    browser: Browser, service: Demo, complaints: Complaints, tmp_path: Path, way: str, stream: str
) -> None:
    complaints.allow("/nothing.*404")
    asked: list[str] = []
    with proxy("nginx", tmp_path, service.site.port, WAYS[way]) as nginx:
        context = await browser.new_context(ignore_https_errors=True, permissions=["clipboard-read", "clipboard-write"])
        context.set_default_timeout(SLOW_MACHINE_MS)
        context.on("page", complaints.watch)
        context.on("request", lambda request: asked.append(request.url))
        try:
            page = await context.new_page()
            await service.write(stream, *(Rec(change(n)) for n in range(3)))
            await _demo_page(page, nginx.url + PREFIX, stream)
            await _api_page(page, nginx.url + PREFIX, stream)
            await _admin(page, nginx.url + PREFIX, stream)
            cookies = {cookie["name"]: cookie["path"] for cookie in await context.cookies()}
        finally:
            await context.close()
    assert cookies == {"csrftoken": f"{PREFIX}/"}, "the session's cookie is deleted below the prefix as well"
    paths = {urlsplit(url).path for url in asked if not url.startswith(("data:", "blob:"))}
    assert {f"{PREFIX}/v2/stream/{stream}", f"{PREFIX}/v2/ui/streams.json", f"{PREFIX}/admin/login/"} <= paths
    assert {path for path in paths if not path.startswith(f"{PREFIX}/")} == set()
    assert complaints.unexpected() == []


async def _demo_page(page: Page, url: str, stream: str) -> None:
    """From the root to events, and again by the address that the page then has; what it offers to copy."""
    await page.goto(f"{url}/")
    await expect(page).to_have_url(f"{url}/v2/ui")
    await page.goto(f"{url}/v2/ui#/?streams={stream}&since=hour")
    await page.reload()
    await expect(page.get_by_role("checkbox", name=stream, exact=True)).to_be_checked()
    await start(page)
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="curl", exact=True).click()
    await expect(page.locator("#code")).to_contain_text(f"{url}/v2/stream/{stream}")


async def _api_page(page: Page, url: str, stream: str) -> None:
    await page.get_by_role("link", name="API documentation").click()
    await expect(operation(page, stream)).to_be_visible()
    await operation(page, stream).locator(".opblock-summary-control").click()
    query = {"since": "0", "limit": "3"}  # the stream has 3 events, so the answer ends at once
    async with page.expect_response(f"**{PREFIX}/v2/stream/{stream}?*") as answered:
        await try_out(page, stream, **query)
    assert (await answered.value).status == 200
    address = f"{url}/v2/stream/{stream}?{urlencode(query)}"
    await expect(operation(page, stream).locator(".request-url pre")).to_have_text(address)
    path = urlsplit(url).path  # of a document that is no page, the browser itself asks for /favicon.ico
    await expect(page.get_by_role("link", name="OpenAPI")).to_have_attribute("href", f"{path}/?spec")


async def _admin(page: Page, url: str, stream: str) -> None:
    """By a page that does not exist: its links lead back."""
    await page.goto(f"{url}/v2/nothing")
    await expect(page.locator("code").first).to_have_text(f"{urlsplit(url).path}/v2/nothing")
    await page.get_by_role("link", name="Back to the start page").click()
    await expect(page).to_have_url(f"{url}/v2/ui")
    await page.goto(f"{url}/admin/streams/configuredstream/")
    await page.get_by_label("Username").fill(ADMIN)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url(f"{url}/admin/streams/configuredstream/")
    assert {cookie["path"] for cookie in await page.context.cookies()} == {f"{urlsplit(url).path}/"}
    await page.get_by_role("link", name=stream, exact=True).click()
    await expect(page.get_by_role("link", name="Open the raw stream")).to_have_attribute(
        "href", f"{urlsplit(url).path}/v2/stream/{stream}"
    )
    await page.get_by_role("link", name="Events on the demo page").click()
    await expect(page.get_by_role("checkbox", name=stream, exact=True)).to_be_checked()
    await page.goto(f"{url}/admin/nothing/")
    await page.get_by_role("link", name="Back to the admin").click()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_text("Logged out", exact=False).first).to_be_visible()
