"""What tests of the demo page share: a service with streams to look at, and what is done on the page."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.site import Site

LIMIT = 4
"""Connections of one address."""
STREAMS = ("one", "two", "restarted", "quiet", "busy", "redacted", "cut", "looked.at", "recent", "resumed")
STREAMS += ("filtered", "values", "ending", "flagged", "closer", "saved", "kept", "walked", "squeezed")
ABSENT = "absent"
"""A stream without a topic in Kafka."""
REDACTED = "Участник:HTriedman (WMF)/redacted page test"
RTL = "ویکی‌پدیا:میز کمک"


@dataclass(frozen=True)
class Demo:
    site: Site
    broker: Broker
    prefix: str

    def topic(self, stream: str) -> str:
        return f"{self.prefix}.{stream}"

    async def write(self, stream: str, *events: Rec) -> None:
        await self.broker.send(self.topic(stream), *events)

    async def write_many(self, stream: str, events: Sequence[dict[str, Any]], per_second: float) -> None:
        """As fast as that, in as many pieces as it takes."""
        began = time.monotonic()
        for start in range(0, len(events), 50):
            await asyncio.sleep(max(0.0, began + start / per_second - time.monotonic()))
            await self.write(stream, *map(Rec, events[start : start + 50]))


@contextmanager
def demo_site(kafka: Any, folder: Path, /, **settings: Any) -> Iterator[Demo]:
    """Not started yet."""
    prefix = uuid.uuid4().hex[:8]
    topics = [f"{prefix}.{stream}" for stream in STREAMS]
    _run(create_topics(kafka.bootstrap, dict.fromkeys(topics, 1), KEEP))
    streams = {
        stream: {"topics": [f"{prefix}.{stream}"], "description": f"The stream called {stream}"}
        for stream in (*STREAMS, ABSENT)
    }
    streams["one"] |= {"stream_aliases": ["first"], "description": "Somebody changed a page"}
    streams["recent"]["stream_aliases"] = ["recentchange"]
    site = Site(
        folder,
        kafka.bootstrap,
        streams,
        stream_ui_enabled=True,
        drain_seconds=0.2,
        keepalive_seconds=1,
        mediawiki_redacted_pages={"ru.wikipedia.org": [REDACTED]},
        **settings,
    )
    broker = Broker(kafka.bootstrap)
    try:
        yield Demo(site, broker, prefix)
    finally:
        site.close()
        if kafka.lasting:
            _run(broker.drop(topics))


def change(
    number: int, *, wiki: str = "enwiki", domain: str = "", title: str = "", dt: float = 0.0, **more: Any
) -> dict[str, Any]:
    """An event such as recentchange has; `dt` in seconds, 0 for now."""
    name = title or f"Page {number}"
    meta = {
        "stream": "mediawiki.recentchange",
        "domain": domain or f"{wiki[:2]}.wikipedia.org",
        "uri": f"https://{wiki[:2]}.wikipedia.org/wiki/{name.replace(' ', '_')}",
        "dt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(dt or time.time())),
    }
    return {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": meta,
        "type": "edit",
        "title": name,
        "wiki": wiki,
        "user": "Grace",
        "n": number,
        **more,
    }


async def open_page(page: Page, demo: Demo, *streams: str) -> None:
    """With these streams chosen by the address."""
    await page.goto(f"{demo.site.url}/v2/ui#/?streams={','.join(streams)}")
    await expect(page.get_by_role("checkbox", name="one", exact=True)).to_be_visible()


async def start(page: Page) -> None:
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(connected(page)).to_be_visible()


def connected(page: Page) -> Locator:
    """What says so; not "Disconnected"."""
    return page.get_by_role("status").filter(has_text=re.compile(r"\bConnected"))


def rows(page: Page) -> Locator:
    return page.locator("#list > li")


async def titles(page: Page) -> list[str]:
    """Of the events that are shown, the newest first."""
    return await page.locator("#list .title").all_text_contents()


def fact(page: Page, name: str) -> Locator:
    """The figure under a heading."""
    return _figure(page, name).locator("b")


def note(page: Page, name: str) -> Locator:
    return _figure(page, name).locator("small")


def _figure(page: Page, name: str) -> Locator:
    return page.locator("dl.facts > div").filter(has=page.locator("dt").get_by_text(name, exact=True))


async def clipboard(page: Page) -> str:
    text: str = await page.evaluate("navigator.clipboard.readText()")
    return text


def lines_of(text: str) -> list[Any]:
    """The JSON lines of a program's output, the last one if it is whole."""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n") and line[0] == "{"]


def _run(coroutine: Any) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:  # a second event loop: the test may have one running
        thread.submit(asyncio.run, coroutine).result()
