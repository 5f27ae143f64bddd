"""The programs in examples/, each run as a user runs it, and what has come out of them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from playwright.async_api import Page, async_playwright

from tests.support.around.chromium import WANTED, find_chromium, launch

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
COMMANDS: dict[str, Sequence[str]] = {
    "curl": ("bash", str(EXAMPLES / "curl.sh")),
    "eventsource of Node": ("node", str(EXAMPLES / "node-eventsource" / "follow.mjs")),
    "requests-sse": (sys.executable, str(EXAMPLES / "requests_sse_client.py")),
    "httpx-sse": (sys.executable, str(EXAMPLES / "httpx_sse_client.py")),
    "Pywikibot": (sys.executable, str(EXAMPLES / "pywikibot_client.py")),
}
CHROMIUM = "EventSource of Chromium"
NAMES = (*COMMANDS, CHROMIUM)
SECONDS = 60.0


class Example(Protocol):
    """One of them. `numbers` are the `n` of the events that it has shown, over all its starts."""

    async def start(self) -> None: ...

    async def numbers(self) -> list[int]: ...

    async def said(self) -> str:
        """What it tells the user beside the events."""

    def has_kept(self, next_offset: int) -> bool:
        """Whether the id that it keeps continues at that offset."""

    async def stop(self) -> None: ...


def is_missing(name: str) -> str | None:
    """What has to be there for an example to run, and is not."""
    if name == CHROMIUM:
        return None if find_chromium() else WANTED
    if shutil.which(COMMANDS[name][0]) is None or shutil.which("curl") is None:
        return f"needs {COMMANDS[name][0]} and curl"
    if name.endswith("Node") and not (EXAMPLES / "node-eventsource" / "node_modules" / "eventsource").exists():
        return "needs the package eventsource: run `make eventsource`, for which npm must be installed"
    return None


class Program:
    """A program of the command line."""

    def __init__(self, name: str | Sequence[str], url: str, folder: Path) -> None:
        self._command = (*(COMMANDS[name] if isinstance(name, str) else name), url)
        self._folder = folder
        folder.mkdir()
        self._process: Process | None = None

    async def start(self) -> None:
        with (self._folder / "out").open("ab") as out, (self._folder / "err").open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                str(self._folder / "last-id"),
                stdin=DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self._folder,  # where Pywikibot leaves a file
                start_new_session=True,
            )

    async def numbers(self) -> list[int]:
        lines = (self._folder / "out").read_text().splitlines(keepends=True)
        return [json.loads(line)["n"] for line in lines if line.endswith("\n")]

    async def said(self) -> str:
        return (self._folder / "err").read_text()

    def has_kept(self, next_offset: int) -> bool:
        with suppress(FileNotFoundError):
            return f':{next_offset}"' in (self._folder / "last-id").read_text()
        return False

    async def ends(self) -> int:
        """Its exit status, when it ends without being asked."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), SECONDS)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)  # what it has started, too
            await self.ends()


class WebPage:
    """The page with a browser's own EventSource; its storage outlives it."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._address = f"{(EXAMPLES / 'eventsource.html').as_uri()}?url={quote(url)}"
        self._before: list[int] = []
        self._said: list[str] = []

    async def start(self) -> None:
        await self._page.expose_function("told", lambda text: self._said.append(text))
        await self._page.add_init_script(
            """addEventListener("DOMContentLoaded", () => {
                const state = document.getElementById("state");
                if (state) new MutationObserver(() => told(state.textContent)).observe(state, { childList: true });
            });"""
        )
        await self._page.goto(self._address)

    async def numbers(self) -> list[int]:
        texts = await self._page.locator("#events > li").all_text_contents()
        return self._before + [int(text.rpartition(" ")[2]) for text in reversed(texts)]

    async def said(self) -> str:
        return "\n".join(self._said)

    def has_kept(self, next_offset: int) -> bool:
        return True  # in the same step in which it shows the event

    async def stop(self) -> None:
        self._before = await self.numbers()
        context = self._page.context
        await self._page.close()
        self._page = await context.new_page()


@asynccontextmanager
async def examples(url: str, folder: Path, query: str = "") -> AsyncIterator[dict[str, Example]]:
    """All that can be run here, none of them started yet. They read `url`, each with `?client=` and its place in it."""
    async with async_playwright() as playwright:
        made: dict[str, Example] = {}
        for place, name in enumerate(NAMES):
            own_url = f"{url}?client={place}{query}"
            if is_missing(name):
                continue
            if name == CHROMIUM:
                path = find_chromium()
                assert path is not None
                browser = await launch(playwright, path)
                context = await browser.new_context()
                made[name] = WebPage(await context.new_page(), own_url)
            else:
                made[name] = Program(name, own_url, folder / str(place))
        try:
            yield made
        finally:
            await asyncio.gather(*(example.stop() for example in made.values()))
