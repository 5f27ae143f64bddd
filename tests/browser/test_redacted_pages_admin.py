"""The admin as staff use it: in a browser, served by `manage.py serve` as in production."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.demo import Demo
from tests.browser.kit import ADMIN, create_superuser, log_in
from tests.support.site import Site

LIST = "/admin/redaction/redactedpage/"
TEST_PAGE = "Участник:HTriedman (WMF)/redacted page test"
PHONE = {"width": 390, "height": 844}
MANY = 120
"""Pages of an import: more than one page of the list has."""


@pytest.fixture
def site(kafka: Any, chromium: str, tmp_path: Path) -> Any:
    """A service whose configuration file lists two pages."""
    configured = {"ru.wikipedia.org": [TEST_PAGE, "007"]}
    site = Site(tmp_path, kafka.bootstrap, {"quiet": {"topics": ["test.quiet"]}}, mediawiki_redacted_pages=configured)
    create_superuser(site)
    try:
        yield site.start()
    finally:
        site.close()


async def loaded(page: Page) -> None:
    """Until the page's scripts have run."""
    await page.wait_for_load_state("load")


async def test_the_list_from_the_first_page_to_its_history(page: Page, site: Site) -> None:
    await log_in(page, site)
    await page.get_by_role("link", name="Redacted pages").click()
    await expect(page.get_by_text("Kafka keeps the originals")).to_be_visible()
    await expect(page.get_by_role("heading", name="From the configuration file (2)")).to_be_visible()
    await expect(page.get_by_text(TEST_PAGE)).to_be_visible()

    # One page, refused as it is listed in the file, then another, by keyboard alone.
    await page.get_by_role("link", name="Add a page").click()
    await expect(page.get_by_label("Domain")).to_be_focused()  # a script of the page's, which may come late
    for text in ("ru.wikipedia.org", "участник:HTriedman_(WMF)/Redacted page test", "T1"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("This page is already listed, in the configuration file.")).to_be_visible()
    await page.get_by_label("Title").fill("https://ru.m.wikipedia.org/wiki/%D0%9E%D0%B4%D0%B8%D0%BD_%D0%B4%D0%B2%D0%B0")
    await page.keyboard.press("Enter")
    # No event has been seen that bears it out: it is reported, and the keyboard alone does not skip it.
    await expect(page.get_by_text("Nothing could be checked against events")).to_be_visible()
    async with page.expect_navigation():
        await page.get_by_label("Title").press("Enter")
    await expect(page.get_by_text("Nothing could be checked against events")).to_be_visible()
    await page.get_by_role("button", name="Save “Один два” as it is").click()
    await expect(page.get_by_text("Added “Один два” (ru.wikipedia.org). Matching events are redacted")).to_be_visible()

    # Many, with a preview that names what is wrong.
    await page.get_by_role("link", name="Import").click()
    lines = [f"ru.wikipedia.org\tСтраница номер {number}" for number in range(MANY)]
    await page.get_by_label("Paste a list").fill(
        "\n".join(["ruwiki\tA", "один_два", *lines, "страница_номер_7", "007"])
    )
    await page.get_by_label("Default domain").fill("ru.wikipedia.org")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("heading", name=f"Doubtful ({MANY})")).to_be_visible()
    await expect(page.get_by_role("row", name="1 ruwiki A 'ruwiki' is not a wiki's host name")).to_be_visible()
    for heading in (
        "Already on the list (1)",
        "Already in the configuration file (1)",
        "Duplicate of an earlier line (1)",
    ):
        await expect(page.get_by_role("heading", name=heading)).to_be_visible()
    await page.get_by_role("button", name=f"Import {MANY} pages as they are").click()
    await expect(page.get_by_text("This field is required.")).to_be_visible()
    await page.get_by_label("Reason").fill("T399")
    await page.get_by_role("button", name=f"Import {MANY} pages as they are").click()
    await expect(page.get_by_text(f"Added {MANY} pages.")).to_be_visible()
    await expect(page.get_by_text("1 invalid line was skipped.")).to_be_visible()

    # Found in another spelling; removed with a reason.
    await page.get_by_role("textbox", name="Search").fill("ОДИН_ДВА")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#result_list tbody tr")).to_have_count(1)
    wiki = page.get_by_role("link", name="Один два", exact=True)
    await expect(wiki).to_have_attribute(
        "href", "https://ru.wikipedia.org/wiki/%D0%9E%D0%B4%D0%B8%D0%BD_%D0%B4%D0%B2%D0%B0"
    )
    await page.get_by_role("link", name="Remove Один два").click()
    await page.get_by_role("button", name="Remove 1 page").click()
    await expect(page.get_by_text("This field is required.")).to_be_visible()
    await page.get_by_label("Reason").fill("asked for")
    await page.get_by_role("button", name="Remove 1 page").click()
    await expect(page.get_by_text("1 page was removed")).to_be_visible()

    # All that are left, across the pages of the list.
    await loaded(page)
    await page.locator("#action-toggle").check()
    await page.get_by_role("button", name=f"Select all {MANY} redacted pages").click()
    await page.locator("select[name=action]").select_option("delete_selected")
    await page.get_by_role("button", name="Go", exact=True).click()
    await page.get_by_label("Reason").fill("a mistake")
    await page.get_by_label("How many").fill("12")
    await page.get_by_role("button", name=f"Remove {MANY} pages").click()
    await expect(page.get_by_text(f"{MANY} pages are selected, not 12: type {MANY}.")).to_be_visible()
    await page.get_by_label("How many").fill(str(MANY))
    await page.get_by_role("button", name=f"Remove {MANY} pages").click()
    await expect(page.get_by_text(f"{MANY} pages were removed")).to_be_visible()

    # Who, what and why.
    await page.get_by_role("link", name="History").click()
    await page.get_by_role("textbox", name="Search").fill("один")
    await page.get_by_role("button", name="Search").click()
    rows = page.locator("#result_list tbody tr")
    await expect(rows).to_have_count(2)
    for row, texts in zip(await rows.all(), [(ADMIN, "removed", "asked for"), (ADMIN, "added", "T1")], strict=True):
        for text in texts:
            await expect(row).to_contain_text(text)


@pytest.mark.slow
async def test_at_the_width_of_a_phone_nothing_is_cut_off(page: Page, admin_site: Site) -> None:
    await log_in(page, admin_site)
    await page.set_viewport_size(PHONE)
    for path in ("/admin/", LIST, LIST + "add/", LIST + "import/", "/admin/redaction/pagechange/"):
        await page.goto(admin_site.url + path)
        await loaded(page)
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], path


@pytest.mark.slow
async def test_a_foreign_script_is_not_run(page: Page, admin_site: Site, complaints: Any) -> None:
    await log_in(page, admin_site)
    await page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))"
    )
    assert await page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in complaints.seen)
    complaints.allow("Content Security Policy")


@pytest.mark.slow
def test_styles_and_scripts_come_from_the_service_itself_and_may_be_kept(admin_site: Site) -> None:
    for path, kind in {
        "/static/admin/css/base.css": "text/css",
        "/static/admin/js/theme.js": "text/javascript",
        "/static/eventstreams/admin/admin.css": "text/css",
        "/static/eventstreams/icon.svg": "image/svg+xml",
    }.items():
        status, headers, body = admin_site.get(path)
        assert status == 200, path
        assert headers["content-type"].startswith(kind)
        assert headers["cache-control"] == "max-age=3600, public"
        assert headers["x-content-type-options"] == "nosniff"
        assert len(body) == int(headers["content-length"])
        again, _, nothing = admin_site.get(path, {"If-None-Match": headers["etag"]})
        assert (again, nothing) == (304, b"")
    for path in (
        "/static/",
        "/static/admin/css/",
        "/static/absent.css",
        "/static/../manage.py",
        "/static/%2e%2e/manage.py",
    ):
        assert admin_site.get(path)[0] == 404, path


def test_pages_of_the_admin_are_not_kept_and_bound_to_the_site(demo: Demo) -> None:
    status, headers, _ = demo.site.get("/admin/login/")
    assert status == 200
    assert "no-store" in headers["cache-control"]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; object-src 'none'")
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "access-control-allow-origin" not in headers
    assert "; Secure" in headers["set-cookie"]
    status, headers, _ = demo.site.get("/admin")
    assert (status, headers["location"]) == (302, "/admin/")


@pytest.mark.slow
def test_a_browser_that_turns_away_is_no_error(admin_site: Site) -> None:
    reset = struct.pack("ii", 1, 0)
    request = b"GET /static/admin/css/base.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for number in range(40):
        with socket.create_connection(("127.0.0.1", admin_site.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.sendall(request)
            time.sleep(0.001 * (number % 5))
    time.sleep(2.2)  # the server looks once a second for what has failed
    assert admin_site.stop() == 0
    assert "ClientGone" not in admin_site.log.read_text()
