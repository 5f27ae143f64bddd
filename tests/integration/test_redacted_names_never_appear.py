"""A name from events of a listed page is looked for wherever a server process could let it out, or keep it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.broken.searched import BOOM, CANARY_BACKWARDS
from tests.support.client import StreamClient
from tests.support.events.edits import RU, SHAPES, Edit, Who, recentchange
from tests.support.site import Site

LISTED = "TUT.BY"
CANARY = Who(CANARY_BACKWARDS[::-1], 981_354_702_117)
SPARROW = Who("Sparrow", 17)
"""Somebody who is seen: by their name we know that the search finds one."""
EDIT = Edit(LISTED, CANARY, CANARY)
NAME = CANARY.name.encode()
NEEDLES = (NAME, str(CANARY.id).encode(), base64.b64encode(b"\xff" + NAME)[4:-4], NAME.hex().encode())
FORMATS = ("text/event-stream", "application/json")


def malformed(event: dict[str, Any]) -> list[bytes | None]:
    """What becomes of an event that is cut, mixed up, or badly written."""
    text = json.dumps(event).encode()
    return [
        None,
        text[:-1],
        text[: text.index(NAME) + len(NAME)],
        NAME,
        json.dumps(CANARY.name).encode(),
        json.dumps([event]).encode(),
        text + text,
        b"\xef\xbb\xbf" + text,
        text.replace(NAME, NAME + b"\xff"),
        text.replace(NAME, NAME + b"\x00"),
        text.replace(NAME, NAME + b"\\x"),
        text.replace(NAME, NAME + b"\\ud800"),
        text.replace(b'"meta"', b'"meta": {}, "meta"'),
        json.dumps(event | {"meta": [CANARY.name]}).encode(),
        json.dumps(event | {"meta": CANARY.name}).encode(),
        json.dumps(event | {"title": [LISTED]}).encode(),
        json.dumps(event | {"page": LISTED}).encode(),
        json.dumps(event | {"prior_state": [LISTED]}).encode(),
        json.dumps(event | {"meta": {"domain": {"user": CANARY.name}}}).encode(),
        json.dumps(event | {"log_type": "move", "log_params": {"target": [CANARY.name]}}).encode(),
        json.dumps(event | {"deep": 0}).encode().replace(b'"deep": 0', b'"deep": ' + b"[" * 900 + b"]" * 900),
        json.dumps(event | {"deep": 0}).encode().replace(b'"deep": 0', b'"deep": ' + b"[" * 99_999 + b"]" * 99_999),
        json.dumps(event | {BOOM: 1}).encode(),
        json.dumps(event | {BOOM: 2, "meta": None}).encode(),
    ]


KEYS = (None, NAME, b"\xff" + NAME, json.dumps({"user": CANARY.name, "page_id": 17}).encode())
RECORDS = [
    *(Rec(shape(EDIT), key=key) for shape in SHAPES.values() for key in KEYS),
    *(Rec(value, key=NAME) for value in malformed(recentchange(EDIT))),
    *(Rec(value, key=None if value else NAME) for value in malformed(SHAPES["page_change"](EDIT))),
    *(Rec(shape(EDIT), key=None) for shape in SHAPES.values()),
]
LAST = "the last"
REASONS = ("tombstone", "bad_utf8", "not_json", "not_an_object", "bad_meta", "withheld", "error_ValueError")


class Loud(Site):
    """A server that logs all that it can, and whose memory can be searched."""

    @property
    def django_env(self) -> dict[str, str]:
        return super().django_env | {"DJANGO_LOG_LEVEL": "DEBUG", "PYTHONASYNCIODEBUG": "1"}

    def places(self) -> list[str]:
        """Where in the memory of the process the canary's name is."""
        config = Path(self.django_env["EVENTSTREAMS_CONFIG"])
        report = config.with_suffix(".found")
        report.unlink(missing_ok=True)
        config.with_suffix(".search").touch()
        deadline = time.monotonic() + 60
        while not report.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return report.read_text().splitlines()

    def said(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """The status of an answer, and all that it says."""
        status, answered, body = self.get(path, headers)
        return status, json.dumps(answered).encode() + body


class Aviary(NamedTuple):
    site: Loud
    broker: Broker
    topics: tuple[str, str]

    path = "/v2/stream/one,other"

    async def produce(self, records: list[Rec]) -> None:
        """To both topics; then to each an event that is seen, which says that the others have been read."""
        end = recentchange(Edit(LAST, SPARROW, SPARROW))
        for topic in self.topics:
            await self.broker.send(topic, *records, Rec(end))

    async def read(self, accept: str, query: str = "", count: int = 1) -> bytes:
        client = await StreamClient.connect(self.site.port, self.path + query, {"Accept": accept})
        return await until_last(client, 2 * count)


async def until_last(client: StreamClient, count: int) -> bytes:
    """All that a client gets until the last event has come this often."""
    body = json.dumps(client.headers).encode()
    try:
        async with asyncio.timeout(30):
            async for chunk in client.chunks():
                body += chunk
                if body.count(b'"title":"%s"' % LAST.encode()) >= count:
                    return body
    finally:
        await client.close()
    raise AssertionError("the stream ended")


@pytest.fixture
def aviary(kafka: Any, tmp_path: Path) -> Iterator[Aviary]:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    asyncio.run(create_topics(kafka.bootstrap, dict.fromkeys(topics, 1), KEEP))
    site = Loud(
        tmp_path,
        kafka.bootstrap,
        {"one": {"topics": [topics[0]]}, "other": {"topics": [topics[1]]}},
        command=("-m", "tests.support.broken.searched"),
        mediawiki_redacted_pages={RU: [LISTED]},
        drain_seconds=1,
    )
    broker = Broker(kafka.bootstrap)
    try:
        yield Aviary(site, broker, topics)
    finally:
        site.close()
        if kafka.lasting:
            asyncio.run(broker.drop(topics))


def wrong_requests(aviary: Aviary) -> list[tuple[str, dict[str, str]]]:
    """Requests that fail, those that point at a record among them."""
    one, other = aviary.topics
    stream = "/v2/stream/one"

    def at(*entries: Any) -> dict[str, str]:
        return {"Last-Event-ID": json.dumps(entries)}

    return [
        ("/v2/stream/" + LISTED, {}),
        ("/v2/stream/one,," + RU, {}),
        (stream + "?since=" + LISTED, {}),
        (stream, {"Last-Event-ID": "{"}),
        (stream, at({"topic": other, "partition": 0, "offset": 3})),
        (stream, at({"topic": one, "partition": 0, "offset": "3"})),
        (stream, at({"topic": one, "partition": 0, "offset": 3}, {"topic": one, "partition": 0, "offset": 4})),
        ("/v2/nothing", {"Accept": "text/html"}),
        ("/admin/", {}),
    ]


async def test_no_name_from_a_listed_page_is_in_what_leaves_in_the_log_or_in_memory(aviary: Aviary) -> None:
    site = aviary.site
    await aviary.produce(RECORDS)
    await asyncio.to_thread(site.start)
    said: dict[str, bytes] = {}
    for accept in FORMATS:
        said[f"history, {accept}"] = await aviary.read(accept, "?since=0")
    async with asyncio.TaskGroup() as group:
        live = {accept: group.create_task(aviary.read(accept)) for accept in FORMATS}
        await asyncio.sleep(0)
        while site.metric("eventstreams_connected_clients") < 4:  # counted once for each stream
            await asyncio.sleep(0.05)
        await aviary.produce(RECORDS)
    said |= {f"live, {accept}": task.result() for accept, task in live.items()}
    for accept in FORMATS:  # the rings have the second half
        said[f"both, {accept}"] = await aviary.read(accept, "?since=0", 2)
    for path, headers in wrong_requests(aviary):
        status, said[f"{path} {headers}"] = await asyncio.to_thread(site.said, path, headers)
        assert status >= 300, path
    for path in ("/metrics", "/readyz", "/healthz", "/_info", "/_info/name", "/", "/?doc", "/?spec"):
        _, said[path] = await asyncio.to_thread(site.said, path)
    said["metrics of now"] = (await asyncio.to_thread(site.metrics_text)).encode()
    for reason in REASONS:
        assert f'eventstreams_records_skipped_total{{reason="{reason}"}}'.encode() in said["metrics of now"]
    assert site.metric("eventstreams_history_cache_bytes") > 0
    places = await asyncio.to_thread(site.places)
    assert site.stop() == 0
    said["the log"] = site.log.read_bytes()
    assert re.search(rb" DEBUG \d+ __main__: Searching", said["the log"])
    for reason in REASONS:
        assert f": {reason} (further ones".encode() in said["the log"]

    for where, text in said.items():
        for needle in NEEDLES:
            assert needle.lower() not in text.lower(), where
    assert places == []
    for what in ("history", "live", "both"):
        for accept in FORMATS:
            assert SPARROW.name.encode() in said[f"{what}, {accept}"]


async def test_the_search_finds_a_name_that_is_in_memory(aviary: Aviary) -> None:
    """The same name from a page of no list: it is in rings, in the feed and in blocks of the history."""
    unlisted = [Rec(shape(EDIT._replace(title="Other"))) for shape in SHAPES.values()]
    site = aviary.site
    await aviary.produce(unlisted)
    await asyncio.to_thread(site.start)
    body = await aviary.read("text/event-stream", "?since=0")
    assert NAME in body
    # Two that stay: what only one client gets, the feed does not keep.
    staying = [await StreamClient.connect(site.port, aviary.path) for _ in range(2)]
    reading = asyncio.create_task(aviary.read("text/event-stream"))
    while site.metric("eventstreams_connected_clients") < 6:  # counted once for each stream
        await asyncio.sleep(0.05)
    await aviary.produce(unlisted)
    assert NAME in await reading
    places = await asyncio.to_thread(site.places)
    for holder in ("Ring", "Feed", "History"):
        assert any(f"< {holder}" in place for place in places), holder
    for client in staying:
        await client.close()
