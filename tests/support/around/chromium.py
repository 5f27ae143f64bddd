"""Debian's Chromium, which `make install-dev` installs where it can: Playwright's own would be a download."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest
from playwright.async_api import Browser, Playwright

# Playwright adds --headless and --no-sandbox, and a new profile that it removes.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WANTED = "needs Chromium: install it with `apt-get install chromium`, then run `make test` again"


def find_chromium() -> str | None:
    """The path of the browser."""
    return shutil.which("chromium")


async def launch(playwright: Playwright, path: str) -> Browser:
    return await playwright.chromium.launch(executable_path=path, headless=True, chromium_sandbox=False, args=FLAGS)


def skip(what_is_wanted: str) -> NoReturn:
    """Ends the test: skipped where something cannot be found, but failed where nobody would notice."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(what_is_wanted)
    pytest.skip(what_is_wanted)
