"""The status page speaks for all workers, healthy and with Kafka, the database and the source of streams away."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka import LocalKafka
from tests.browser.kit import ADMIN, PASSWORD, Complaints, create_superuser, log_in
from tests.browser.test_demo_page_quality import violations
from tests.support.around.config_server import ConfigServer, document, status
from tests.support.around.postgres import Postgres
from tests.support.around.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.client.reading import SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import SERVE, Site
from tests.support.site.supervised import Ops, free_port

TOPIC = "test.status"
ADDRESS = "198.51.100.77"
PLOTS = 6


@asynccontextmanager
async def service(
    kafka: LocalKafka, postgres: Postgres, source: ConfigServer, folder: Path
) -> AsyncIterator[tuple[Site, TcpProxy]]:
    """Two workers, whose database can be taken away."""
    source.answer = document({"test": {"topics": [TOPIC]}, "second": {"topics": [TOPIC]}})
    ops = free_port()
    with tcp_proxy(postgres.port) as proxy:
        url = postgres.create_database(port=proxy.port)
        command = (*SERVE, "--workers", "2", "--ops-port", str(ops))
        settings = {"stream_config_uri": source.url, "stream_config_ttl": 1, "command": command}
        site = Site(folder, kafka.bootstrap, {}, database=url, **settings)
        await asyncio.to_thread(create_superuser, site)
        try:
            await asyncio.to_thread(site.start)
            await Ops(ops).becomes(lambda said: said["status"] == "ready")
            yield site, proxy
        finally:
            await asyncio.to_thread(site.close)


async def picture(page: Page, folder: Path, name: str) -> None:
    """Pictures of the page as it is, and nothing scrolls sideways."""
    for width in (390, 1280):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} at {width}"
        await page.screenshot(path=folder / f"status-{name}-{width}.png", full_page=True)


def reads_nothing(port: int) -> socket.socket:
    """A client that asks for all there is and reads nothing of it."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = ("GET /v2/stream/second?since=0 HTTP/1.1", "Host: x", f"X-Client-IP: {ADDRESS}", "Accept: text/event-stream")
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    return connection


async def as_a_script(site: Site) -> Any:
    """The JSON, by the commands that docs/operations.md gives a script."""
    async with httpx.AsyncClient(base_url=site.url) as script:
        assert (await script.get("/admin/status.json")).status_code == 403
        await script.get("/admin/login/")
        # Cookies are for https; here there is no proxy that ends TLS.
        cookies = "; ".join(f"{each.name}={each.value}" for each in script.cookies.jar)
        form = {"csrfmiddlewaretoken": script.cookies["csrftoken"], "username": ADMIN, "password": PASSWORD}
        answer = await script.post("/admin/login/", data=form, headers={"Cookie": cookies})
        session = "; ".join(f"{each.name}={each.value}" for each in answer.cookies.jar)
        answer = await script.get("/admin/status.json", headers={"Cookie": session})
        assert answer.status_code == 200
        return answer.json()


@pytest.mark.slow
async def test_the_page_shows_all_workers_and_what_is_away(
    page: Page,
    complaints: Complaints,
    own_kafka: LocalKafka,
    postgres: Postgres,
    tmp_path: Path,
    axe: str,
) -> None:
    complaints.allow("Applying inline style")  # by axe
    await create_topics(own_kafka.bootstrap, {TOPIC: 2})
    partition = TopicPartition(TOPIC, 0)
    with ConfigServer() as source:
        async with (
            service(own_kafka, postgres, source, tmp_path) as (site, proxy),
            writer(own_kafka.bootstrap) as to,
            Crowd(may_cut=True) as crowd,
        ):
            for _ in range(6):
                await crowd.connect(site.port, "/v2/stream/test", SSE)
            for _ in range(40):
                await to.write(partition, [None] * 50, "x" * 4000)
            with reads_nothing(site.port):
                await log_in(page, site)
                await page.get_by_role("link", name="Status of the service").click()
                table = page.locator(".status-part", has_text="Clients by stream")
                await expect(table.get_by_role("row", name=re.compile(r"^test 6 \d \d$"))).to_be_visible()
                workers = page.locator(".status-part", has_text="Event loop late")
                await expect(workers.get_by_role("row", name=re.compile(r"^[01] ready"))).to_have_count(2)
                slow = page.locator(".status-part", has_text="Slowest clients")
                await expect(slow.get_by_role("row", name="198.51.100.0/24 second")).to_be_visible()
                assert ADDRESS not in await page.content()
                await expect(page.locator(".status-plots svg")).to_have_count(PLOTS)
                await expect(page.locator(".status-plots polyline").first).to_be_attached()
                assert await page.locator(".trouble").count() == 0
                assert await violations(page, axe, least=5) == []
                await picture(page, tmp_path, "healthy")
                found = await as_a_script(site)
                assert [each["open"] is not None for each in found["workers"]] == [True, True]
                assert ADDRESS not in json.dumps(found)

                complaints.allow("503|Failed to load resource")
                trouble = page.locator(".trouble li")
                source.answer = status(500)
                await expect(trouble.filter(has_text="configuration could not be refreshed")).to_be_visible(
                    timeout=60_000
                )
                proxy.refuses = True
                proxy.cut()
                await asyncio.to_thread(own_kafka.kill)
                for text in ("Kafka cannot be reached", "the database is slow or does not answer"):
                    await expect(trouble.filter(has_text=text).first).to_be_visible(timeout=60_000)
                await expect(
                    page.locator(".status-part", has_text="Broker").locator(".status-bad").first
                ).to_be_visible()
                await expect(page.locator("#status-stale")).to_be_hidden()
                assert await violations(page, axe, least=5) == []
                await picture(page, tmp_path, "away")
