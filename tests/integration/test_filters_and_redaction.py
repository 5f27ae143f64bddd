"""No filter finds a redacted event by what redaction removed from it, live or from history."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from streams.engine.kafka.create_topics import create_topics
from tests.integration.conftest import Connect
from tests.integration.kit import KEEP, Broker, Rec, ns
from tests.support.client import SseEvent, StreamClient
from tests.support.site.serving import PATH, serving

DOMAIN = "en.wikipedia.org"
QUERIES = {
    "user=Alice": [1],
    "user=!Alice": [0],
    "where=performer.user_text=Alice": [1],
    "where=performer.user_text": [1],
    "where=!user": [0],
    "where=comment*=Alice": [1],
    'where=comment=""': [0],
    "where=log_params.target*=Alice": [1],
    "where=revision.editor.user_id=7": [1],
    "where=meta.key*=Alice": [1],
    "bot=true": [1],
    "title=secret": [0],
}
"""What each finds of a redacted event, 0, and of the same event of another page, 1."""


def change(n: int, title: str) -> dict[str, Any]:
    who = {"user_text": "Alice", "user_is_bot": True}
    return {
        **{"n": n, "meta": {"domain": DOMAIN}, "wiki": "enwiki", "title": title, "user": "Alice", "performer": who},
        **{"comment": "by Alice", "log_params": {"target": "Alice"}, "revision": {"editor": {"user_id": 7}}},
    }


@pytest.mark.parametrize("is_live", [True, False])
async def test_what_is_removed_cannot_be_asked_for(is_live: bool, kafka: Any, tmp_path: Path, connect: Connect) -> None:
    topic = f"filters.{uuid.uuid4().hex}"
    await create_topics(kafka.bootstrap, {topic: 1}, KEEP)
    now = int(time.time() * 1000)
    until = now + 900_000
    start = "" if is_live else f"&since={now}"
    key = b'{"user":"Alice"}'

    async def ended(client: StreamClient) -> list[SseEvent]:
        assert client.status == 200
        return [event async for event in client.events()]

    settings = {"mediawiki_redacted_pages": {DOMAIN: ["Secret"]}}
    async with serving(tmp_path, kafka.bootstrap, [topic], **settings) as site:
        broker = Broker(kafka.bootstrap)
        written = [Rec(change(0, "Secret"), now, 0, key), Rec(change(1, "Open"), now, 0, key)]
        if not is_live:
            await broker.send(topic, *written, Rec({}, until))
        clients = [await connect(site, f"{PATH}?until={until}{start}&{query}") for query in QUERIES]
        ending = asyncio.gather(*map(ended, clients))
        if is_live:
            control = await connect(site, f"{PATH}?limit=2&since={now}")
            await broker.send(topic, *written)
            await ended(control)
            await broker.send(topic, Rec({}, until))
        found = await asyncio.wait_for(ending, 30)
    assert {query: ns(events[:-1]) for query, events in zip(QUERIES, found, strict=True)} == QUERIES
    for events in found:
        assert all("Alice" not in event.data for event in events if '"n":0' in event.data)
