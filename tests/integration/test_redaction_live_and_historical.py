"""The contract's table over a real socket: each event live and out of the history, as SSE and as NDJSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from redaction.check.verdict import find_leaks
from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.client import StreamClient
from tests.support.events.edits import RU, SHAPES, Edit, Who, page_change, recentchange, redacted, revision_create
from tests.support.site import Site

WHO = Who("Канарейка Примерная", 900_000_001)
BEFORE = Who("203.0.113.77", 900_000_002)
USER_PAGE = "Участник:HTriedman (WMF)/redacted page test"
# As the file has it: YAML's own types would make 7, false and 750 of three titles.
PAGES = f"""
mediawiki_redacted_pages:
  ru.wikipedia.org:
    - TUT.BY
    - {USER_PAGE}
    - И\u0306од и его соли
    - Straße
    - 007
    - No
    - 12:30
  be.wikipedia.org: [Толькі тут]
"""
STREAMS = ("page_change", "recentchange", "others")
FORMATS = ("text/event-stream", "application/json")
SSE, NDJSON = FORMATS


class Case(NamedTuple):
    """An event that is produced, and what is to arrive of it: None where it is withheld."""

    event: Any
    arrives: Any
    key: bytes | None = None
    key_arrives: str | None = None

    @property
    def stream(self) -> str:
        name = self.event["meta"].get("stream", "") if isinstance(self.event.get("meta"), dict) else ""
        return next((stream for stream in STREAMS if stream in name), "others")


def hidden(event: dict[str, Any], key: bytes | None = None, key_arrives: str | None = None) -> Case:
    return Case(event, redacted(event), key, key_arrives)


def untouched(event: dict[str, Any], key: bytes | None = None) -> Case:
    return Case(event, event, key, key.decode() if key else None)


def edit(title: str, domain: str = RU) -> Edit:
    return Edit(title, WHO, BEFORE, domain)


def without(event: dict[str, Any], *path: str, **added: Any) -> dict[str, Any]:
    """The event without one member of its `meta` or its own, and with others."""
    if len(path) == 2:
        event[path[0]] = {name: value for name, value in event[path[0]].items() if name != path[1]}
    return {name: value for name, value in event.items() if path != (name,)} | added


SPELLINGS = [
    *("TUT.BY", "tut.by", " TUT.BY_", USER_PAGE, USER_PAGE.replace(" ", "_"), USER_PAGE.replace(" ", "__").upper()),
    *("Йод_и_его_соли", "И\u0306од и его соли", "ЙОД И  ЕГО\u00a0СОЛИ", "STRASSE", "007", "No", "no", "12:30"),
]
OTHERS = ["7", "Нет", "False", "750", "TUT.BY.", "TUTBY", "Участник:HTriedman (WMF)", "Толькі тут", "TUT%2EBY"]
WITHHELD: list[dict[str, Any]] = [
    {"meta": {"domain": RU}, "title": 7, "user": WHO.name},
    {"meta": {"domain": RU}, "title": ["TUT.BY"], "user": WHO.name},
    {"meta": {"domain": RU}, "page": "TUT.BY", "performer": WHO.name},
    {"meta": {"domain": [RU]}, "title": "TUT.BY", "user": WHO.name},
    {"meta": {}, "prior_state": [WHO.name]},
    {"meta": {"domain": RU}, "title": "Old", "log_type": "move", "log_params": 7, "user": WHO.name},
]
DOMAINLESS = [
    without(recentchange(edit("TUT.BY")), "meta", "domain"),
    without(without(revision_create(edit("TUT.BY")), "meta", "domain"), "meta", "uri"),
    without(without(revision_create(edit("Толькі тут")), "meta", "domain"), "meta", "uri"),
    {"meta": None, "title": "TUT.BY", "user": WHO.name},
    {"title": "TUT.BY", "user": WHO.name},
    {"meta": {"uri": "https://RU.wikipedia.org:443/wiki/TUT.BY"}, "page_title": "TUT.BY", "user_id": WHO.id},
]
CASES = [
    *(hidden(shape(edit("TUT.BY"))) for shape in SHAPES.values()),
    *(hidden(page_change(edit(title))) for title in SPELLINGS),
    *(hidden(recentchange(edit(title))) for title in ("007", "No", USER_PAGE)),
    *(hidden(event) for event in DOMAINLESS),
    hidden(recentchange(edit("TUT.BY", "RU.Wikipedia.org:443"))),
    hidden(page_change(edit("TUT.BY")) | {"title": ""}),
    hidden(page_change(edit("TUT.BY")), b'{"wiki_id":"ruwiki","page_id":17}', '{"wiki_id":"ruwiki","page_id":17}'),
    hidden(page_change(edit("TUT.BY")), b'{"page_id":17,"user_id":900000001}', '{"page_id":17}'),
    hidden(recentchange(edit("TUT.BY")), WHO.name.encode()),
    *(Case(event, None) for event in WITHHELD),
    *(untouched(shape(edit("Nothing at all"))) for shape in SHAPES.values()),
    *(untouched(shape(edit("TUT.BY", "be.wikipedia.org"))) for shape in SHAPES.values()),
    *(untouched(page_change(edit(title))) for title in OTHERS),
    untouched(recentchange(edit("TUT.BY", "canary"))),
    untouched({"meta": {"domain": "en.wikipedia.org"}, "title": 7, "user": WHO.name}),
    untouched(recentchange(edit("Other")), WHO.name.encode()),
    *(untouched({"meta": {"domain": "end", "stream": stream}}) for stream in STREAMS),
]


class Redacted(NamedTuple):
    """A server with the list of pages, and the streams' topics, which hold all cases from before it started."""

    site: Site
    topics: dict[str, str]
    broker: Broker

    @property
    def path(self) -> str:
        return "/v2/stream/" + ",".join(STREAMS)

    async def produce(self) -> None:
        for stream in STREAMS:
            records = [
                Rec({"n": n, **case.event}, key=case.key) for n, case in enumerate(CASES) if case.stream == stream
            ]
            await self.broker.send(self.topics[stream], *records)

    def produced_once(self, topic: str) -> int:
        """Number of records of the topic that are one production of all cases."""
        return sum(self.topics[case.stream] == topic for case in CASES)

    def withheld(self) -> int:
        lines = self.site.metrics_text().splitlines()
        name = 'eventstreams_records_skipped_total{reason="withheld"} '
        return next((int(float(line.removeprefix(name))) for line in lines if line.startswith(name)), 0)


@pytest.fixture(scope="module")
def service(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redacted]:
    topics = {stream: f"{uuid.uuid4().hex[:8]}.{stream}" for stream in STREAMS}
    broker = Broker(kafka.bootstrap)
    asyncio.run(create_topics(kafka.bootstrap, dict.fromkeys(topics.values(), 1), KEEP))
    configured = {stream: {"topics": [topic]} for stream, topic in topics.items()}
    site = Site(tmp_path_factory.mktemp("site"), kafka.bootstrap, configured, history_cache_bytes=1 << 20)
    with Path(site.django_env["EVENTSTREAMS_CONFIG"]).open("a", encoding="utf-8") as config:
        config.write(PAGES)
    service = Redacted(site, topics, broker)
    try:
        asyncio.run(service.produce())
        site.start()
        yield service
    finally:
        site.close()
        if kafka.lasting:
            asyncio.run(broker.drop(topics.values()))


async def received(client: StreamClient, count: int) -> tuple[bytes, list[bytes]]:
    """All bytes of a stream until it has brought `count` events (or none more for long), and the events."""
    body, events = b"", list[bytes]()
    with contextlib.suppress(TimeoutError):  # what is missing will be named
        async with asyncio.timeout(20):
            async for chunk in client.chunks():
                body += chunk
                events = [
                    line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith((b"data: ", b"{"))
                ]
                if len(events) >= count:
                    break
    return body, events


def check(service: Redacted, body: bytes, events: Sequence[bytes]) -> None:
    """Each case has arrived as it is to arrive, and none that is to be withheld."""
    by_case = {json.loads(event)["n"]: event for event in events}
    assert len(by_case) == len(events)
    assert sorted(by_case) == [n for n, case in enumerate(CASES) if case.arrives is not None]
    for n, served in by_case.items():
        case = CASES[n]
        event = json.loads(served)
        meta = event.pop("meta")
        assert meta.pop("topic") == service.topics[case.stream]
        assert meta.pop("partition") == 0
        assert isinstance(meta.pop("offset"), int)
        assert meta.pop("key", None) == case.key_arrives
        wanted = {"n": n, **case.arrives}
        assert meta == (wanted.pop("meta", None) or {})
        assert event == wanted
        if case.arrives is not case.event:
            raw = json.dumps(case.event).encode()
            assert find_leaks(raw, served) == []
            assert find_leaks(raw, raw), "the check sees what is there to be seen"
            for who in (WHO, BEFORE):
                assert who.name not in served.decode()
                assert str(who.id).encode() not in served
    for case in CASES:
        if case.arrives is None:
            assert json.dumps(case.event)[:-1].encode() not in body


ARRIVING = sum(case.arrives is not None for case in CASES)


@pytest.mark.parametrize("accept", FORMATS)
async def test_out_of_the_history_no_event_of_a_listed_page_says_who_did_it(service: Redacted, accept: str) -> None:
    before = service.withheld()
    client = await StreamClient.connect(service.site.port, service.path + "?since=0", {"Accept": accept})
    try:
        check(service, *await received(client, ARRIVING))
    finally:
        await client.close()
    if accept == SSE:
        assert service.withheld() >= before + len(WITHHELD)


async def test_live_no_event_of_a_listed_page_says_who_did_it(service: Redacted) -> None:
    """Also to a client that resumes, and reads the same events from the rings."""
    async with AsyncExitStack() as stack:
        clients = []
        for accept in FORMATS:
            client = await StreamClient.connect(service.site.port, service.path, {"Accept": accept})
            stack.push_async_callback(client.close)
            clients.append(client)
        first = {topic: service.produced_once(topic) for topic in service.topics.values()}
        before = service.withheld()
        await service.produce()
        for client in clients:
            check(service, *await received(client, ARRIVING))
        assert service.withheld() == before + len(WITHHELD)
        position = [{"topic": topic, "partition": 0, "offset": offset} for topic, offset in first.items()]
        for accept in FORMATS:
            headers = {"Accept": accept, "Last-Event-ID": json.dumps(position)}
            client = await StreamClient.connect(service.site.port, service.path, headers)
            stack.push_async_callback(client.close)
            check(service, *await received(client, ARRIVING))


def texts(event: dict[str, Any], *path: str) -> list[str]:
    """The text at a path of an event, if there is one."""
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return [value] if isinstance(value, str) else []


FILTERS: dict[str, Callable[[dict[str, Any]], bool]] = {
    f"user={quote(WHO.name)}": lambda e: WHO.name in (texts(e, "user") or texts(e, "performer", "user_text")),
    f"where=user={quote(WHO.name)}": lambda e: WHO.name in texts(e, "user"),
    f"where=performer.user_text={quote(WHO.name)}": lambda e: WHO.name in texts(e, "performer", "user_text"),
    f"where=comment*={quote(WHO.name)}": lambda e: any(WHO.name in text for text in texts(e, "comment")),
    f"where=revision.editor.user_id={WHO.id}": lambda e: (
        isinstance(e.get("revision"), dict) and e["revision"].get("editor", {}).get("user_id") == WHO.id
    ),
}


@pytest.mark.parametrize("query", FILTERS)
async def test_a_filter_on_who_did_it_takes_no_event_of_a_listed_page(service: Redacted, query: str) -> None:
    """What would match as it was produced comes first in the topics, so that it would be seen."""
    wanted = FILTERS[query]
    right = [n for n, case in enumerate(CASES) if case.arrives is not None and wanted(case.arrives)]
    assert right
    assert len(right) < sum(wanted(case.event) for case in CASES), "there is something to tell"
    async with AsyncExitStack() as stack:
        for since in ("&since=0", ""):
            clients = []
            for accept in FORMATS:
                path = f"{service.path}?{query}{since}"
                client = await StreamClient.connect(service.site.port, path, {"Accept": accept})
                stack.push_async_callback(client.close)
                clients.append(client)
            if not since:
                await service.produce()
            for client in clients:
                _, events = await received(client, len(right))
                assert sorted(json.loads(event)["n"] for event in events[: len(right)]) == right
