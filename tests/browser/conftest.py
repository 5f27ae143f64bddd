"""Pages in Chromium, driven by Playwright's asyncio interface (its other one refuses to run beside a running loop)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.demo import LIMIT, Demo, demo_site
from tests.browser.kit import Complaints, create_superuser
from tests.support.around.chromium import WANTED, find_chromium, launch, skip
from tests.support.site import Site

SLOW_MACHINE_MS = 20_000
expect.set_options(timeout=SLOW_MACHINE_MS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser. Without one the test is skipped, but not where nobody would notice."""
    path = find_chromium()
    if path is None:
        skip(WANTED)
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one event loop, to which the one browser is bound: it takes a second to start."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await launch(playwright, chromium)
        yield launched
        await launched.close()


@pytest.fixture
def complaints() -> Complaints:
    """What pages complained about; `complaints.allow("404")` says what the test expects."""
    return Complaints()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, complaints: Complaints) -> AsyncIterator[Page]:
    """A page in its own context. A complaint that the test does not allow fails it."""
    context = await browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(SLOW_MACHINE_MS)
    context.on("page", complaints.watch)
    yield await context.new_page()
    await context.close()
    assert complaints.unexpected() == []


@pytest.fixture
def admin_site(kafka: Any, chromium: str, tmp_path: Path) -> Iterator[Site]:
    """A running service, with a superuser (`kit.ADMIN`) and its own database. One invented stream."""
    site = Site(tmp_path, kafka.bootstrap, {"quiet": {"topics": ["test.quiet"]}})
    create_superuser(site)
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core as a script."""
    path = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        skip("needs axe-core: run `make axe`, for which npm must be installed")
    return path.read_text()


@pytest.fixture(scope="session")
def demo(kafka: Any, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running service with the demo page and a few streams, for all tests of that page."""
    with demo_site(kafka, tmp_path_factory.mktemp("demo"), client_ip_connection_limit=LIMIT) as demo:
        demo.site.start()
        yield demo
