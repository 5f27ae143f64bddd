"""What browser tests share: the superuser, logging in, and what a page complained about."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page, expect

from tests.support.site import Site

ADMIN = "grace"
PASSWORD = "correct-horse-battery-1906"


_ROWS: dict[tuple[str, str], dict[str, Any]] = {}
"""Accounts that the command has made, by name and password: other databases get a copy, which takes no time."""


def create_superuser(site: Site, user: str = ADMIN, password: str = PASSWORD) -> None:
    """In the database of a site, running or not."""
    if not isinstance(site.database, Path):
        _create(site, user, password)
        return
    with closing(sqlite3.connect(site.database)) as database, database:
        database.row_factory = sqlite3.Row
        row = _ROWS.get((user, password))
        if row is None:
            _create(site, user, password)
            (found,) = database.execute("SELECT * FROM auth_user WHERE username = ?", (user,))
            _ROWS[user, password] = {name: found[name] for name in found.keys() if name != "id"}  # noqa: SIM118
        else:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            database.execute(f"INSERT INTO auth_user ({names}) VALUES ({marks})", tuple(row.values()))


def _create(site: Site, user: str, password: str) -> None:
    arguments = ("createsuperuser", "--noinput", "--username", user, "--email", f"{user}@example.org")
    done = site.manage(*arguments, DJANGO_SUPERUSER_PASSWORD=password)
    assert done.returncode == 0, done.stderr


async def log_in(page: Page, site: Site, user: str = ADMIN, password: str = PASSWORD) -> None:
    """Leaves the page at the admin's index."""
    await page.goto(f"{site.url}/admin/")
    await page.get_by_label("Username").fill(user)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url(f"{site.url}/admin/")


@dataclass
class Complaints:
    """Errors of pages: uncaught exceptions, and console errors, to which Chromium also reports what a
    Content-Security-Policy blocked. A test names what it expects with `allow`.
    """

    seen: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Complaints in which the regular expression is found are expected."""
        self.allowed.append(pattern)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(f"uncaught: {error}"))

    def unexpected(self) -> list[str]:
        return [text for text in self.seen if not any(re.search(pattern, text) for pattern in self.allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            self.seen.append(f"{message.location.get('url', '')}: {message.text}")
