"""The two formats: what is negotiated, what is on the wire, and which records become events."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, chunks_of, first_chunk, ns, numbered
from tests.support.site import Site

SSE, JSON = "text/event-stream; charset=utf-8", "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, SSE),
        ("", SSE),
        ("text/event-stream", SSE),
        ("*/*", SSE),
        ("application/json", JSON),
        ("APPLICATION/Json", JSON),
        ("application/x-ndjson", "application/x-ndjson; charset=utf-8"),
        ("application/jsonl", "application/jsonl; charset=utf-8"),
        ("text/event-stream;q=0.4, application/json;q=0.5", JSON),
        ("application/json, text/event-stream", JSON),
        ("text/event-stream, application/json", SSE),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", SSE),
        ("image/png", SSE),
        ("application/json;q=0", SSE),
    ],
)
async def test_the_format_is_negotiated_and_the_body_begins_at_once(
    accept: str | None, content_type: str, site: Site, connect: Connect, supply_stream: Feed
) -> None:
    client = await connect(site, supply_stream.path, {} if accept is None else {"Accept": accept})
    assert client.status == 200
    assert client.headers["content-type"] == content_type
    assert "accept" in client.headers["vary"].lower()
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-accel-buffering"] == "no"
    async with asyncio.timeout(5):
        assert await first_chunk(client) == (b":ok\n\n" if content_type == SSE else b"\n")


@pytest.fixture(scope="module")
def supply_stream(supply: Supply) -> Feed:
    """A stream that nobody writes to."""
    return supply.take("one")


async def test_an_sse_event_is_three_lines_and_a_blank_one(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    client = await connect(site, one.path)
    chunks = chunks_of(client)
    assert await anext(chunks) == b":ok\n\n"
    await broker.send(one.topic, Rec(b'{"$schema":"/test/1.0.0","meta":{"dt":"now"}}', T0))
    chunk = (await anext(chunks)).decode()
    name, event_id, data, *rest = chunk.split("\n")
    assert rest == ["", ""]
    assert name == "event: message"
    assert event_id.startswith("id: [{")
    assert event_id.isascii()
    (entry,) = json.loads(event_id[4:])
    assert list(entry) == ["topic", "partition", "timestamp", "cursor"]
    assert {**entry, "cursor": None} == {"topic": one.topic, "partition": 0, "timestamp": T0 + 1, "cursor": None}
    assert entry["cursor"].endswith(":1")
    assert (
        data
        == f'data: {{"$schema":"/test/1.0.0","meta":{{"dt":"now","topic":"{one.topic}","partition":0,"offset":0}}}}'
    )


async def test_an_ndjson_event_is_one_line_and_has_no_id(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    client = await connect(site, one.path, {"Accept": "application/json"})
    chunks = chunks_of(client)
    assert await anext(chunks) == b"\n"
    await broker.send(one.topic, Rec(b'{"n":1}', T0))
    line = await anext(chunks)
    assert line == b'{"n":1,"meta":{"topic":"%s","partition":0,"offset":0}}\n' % one.topic.encode()


async def test_an_ndjson_client_resumes_by_offsets_of_its_own_making(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    for partition in range(3):
        await broker.send(three.topic, *numbered(0, 1, 2, partition=partition))
    client = await connect(site, f"{three.path}?since=0", {"Accept": "application/json"})
    first = await client.take_lines(5)
    # What follows in the same chunk has been read as well: this client forgets it.
    following = {(e["meta"]["partition"], e["meta"]["offset"]) for e in first}
    entries = [
        {
            "topic": three.topic,
            "partition": p,
            "offset": max((offset + 1 for partition, offset in following if partition == p), default=0),
        }
        for p in range(3)
    ]
    again = await connect(site, three.path, {"Accept": "application/json", "Last-Event-ID": json.dumps(entries)})
    rest = {(e["meta"]["partition"], e["meta"]["offset"]) for e in await again.take_lines(4)}
    assert following | rest == {(p, offset) for p in range(3) for offset in range(3)}


# As produced; and as it is sent, with {meta} where the service's own members go.
PASSED_THROUGH = [
    (b'{"meta":{}}', '{"meta":{{M}}}'),
    (b'{"meta":null,"a":null}', '{"meta":{{M}},"a":null}'),
    (b'{"z":1,"10":2,"2":3,"a":4}', '{"z":1,"10":2,"2":3,"a":4,"meta":{{M}}}'),
    (b'{"i":123456789012345678901234567890,"j":-9007199254740993}', None),
    (b'{"f":1.0,"g":1e5,"h":-0.0,"i":0.1000,"j":1E+2}', None),
    ('{"t":"Ünï 語 😀","u":"\\u00e9\\ud83d\\ude00\\/"}'.encode(), None),
    (b'{"control":"\\u0000\\t\\r\\n\\u001f"}', None),
    (b'{"nested":{"b":[1,{"a":{}}],"a":[]}}', None),
    (b'{"lone":"\\ud800","low":"\\uDFFF!","pair":"\\ud83d\\ude00","text":"\\\\ud800"}', None),
    ('{"s":"a\u2028b\u2029c\u0085d"}'.encode(), '{"s":"a\\u2028b\\u2029c\\u0085d","meta":{{M}}}'),
    (b'{\r\n  "a": [\r\n    1,\n\t2\n  ],\n  "s": "a  b"\n}\n', '{"a":[1,2],"s":"a  b","meta":{{M}}}'),
]


async def test_whatever_is_not_ours_passes_through_unchanged(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    live = await connect(site, one.path)
    await broker.send(one.topic, *(Rec(value, T0) for value, _ in PASSED_THROUGH))
    later = await connect(site, f"{one.path}?since=0")
    lines = await connect(site, f"{one.path}?since=0", {"Accept": "application/json"})
    expected = []
    for offset, (value, sent) in enumerate(PASSED_THROUGH):
        text = sent or f'{value.decode()[:-1]},"meta":{{{{M}}}}}}'
        expected.append(text.replace("{M}", f'"topic":"{one.topic}","partition":0,"offset":{offset}'))
    assert [event.data for event in await live.take(len(expected))] == expected
    assert [event.data for event in await later.take(len(expected))] == expected
    body, chunks = b"", chunks_of(lines)
    async with asyncio.timeout(10):
        while body.count(b"\n") <= len(expected):
            body += await anext(chunks)
    assert body.decode().split("\n") == ["", *expected, ""]


async def test_members_of_meta_that_are_ours_are_replaced_in_place(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    value = b'{"meta":{"offset":"mine","id":"1","key":[1,2],"topic":null,"dt":"x"},"n":0}'
    await broker.send(one.topic, Rec(value, T0, key=b"k"), Rec(value, T0))
    client = await connect(site, f"{one.path}?since=0")
    keyed, plain = [event.json["meta"] for event in await client.take(2)]
    assert list(keyed) == ["offset", "id", "key", "topic", "dt", "partition"]
    assert keyed == {"offset": 0, "id": "1", "key": "k", "topic": one.topic, "dt": "x", "partition": 0}
    assert plain == {**keyed, "offset": 1, "key": [1, 2]}


async def test_a_key_is_text_where_it_is_utf8_else_base64(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    keys = [b"plain", 'schlüssel "1"\n\u2028'.encode(), b"", b"\xff\x00\xfe", None]
    await broker.send(one.topic, *(Rec({"n": n}, T0, key=key) for n, key in enumerate(keys)))
    client = await connect(site, f"{one.path}?since=0")
    metas = [event.json["meta"] for event in await client.take(len(keys))]
    assert [meta.get("key") for meta in metas] == ["plain", 'schlüssel "1"\n\u2028', "", "/wD+", None]
    assert "key" not in metas[-1]


# The value, and the reason that the metric counts it under.
SKIPPED = [
    (None, "tombstone"),
    (b"", "empty"),
    (b" \n", "empty"),
    (b"some text", "not_json"),
    (b'"text"', "not_an_object"),
    (b"42", "not_an_object"),
    (b"null", "not_an_object"),
    (b'[{"n":1}]', "not_an_object"),
    (b'{"n":"\xff"}', "bad_utf8"),
    (b'{"n":"\xed\xa0\x80"}', "bad_utf8"),
    (b'{"n":1,"meta":[]}', "bad_meta"),
    (b'{"n":1,"meta":"x"}', "bad_meta"),
    (b'{"n":1,"meta":7}', "bad_meta"),
    (b'{"n":1', "not_json"),
    (b'{"n":1}{"n":2}', "not_json"),
    (b'{"n":NaN}', "not_json"),
    (b'{"n":"a\nb"}', "not_json"),
    (b"\xef\xbb\xbf{}", "not_json"),
    (b'{"n":' + b"[" * 100_000, "not_json"),
]


async def test_what_is_no_event_is_passed_over_and_counted(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    def counted(reason: str) -> float:
        return site.metric(f'eventstreams_records_skipped_total{{reason="{reason}"}}'.replace("{", r"\{"))

    reasons = {reason for _, reason in SKIPPED}
    before = {reason: counted(reason) for reason in reasons}
    live = await connect(site, one.path)
    records: list[Rec] = []
    for n, (value, _) in enumerate(SKIPPED):
        records += [Rec(value, T0 + n, key=b"k"), Rec({"n": n}, T0 + n)]
    await broker.send(one.topic, *records)
    numbers = list(range(len(SKIPPED)))
    assert ns(await live.take(len(SKIPPED))) == numbers
    grown = {reason: counted(reason) - before[reason] for reason in reasons}
    assert grown == {reason: sum(r == reason for _, r in SKIPPED) for reason in reasons}
    later = await connect(site, f"{one.path}?since=0", {"Accept": "application/json"})
    assert ns(await later.take_lines(len(SKIPPED))) == numbers


async def test_an_id_leads_on_over_what_was_passed_over(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, Rec({"n": 0}, T0), Rec(None, T0, key=b"k"), Rec(b"no", T0), Rec({"n": 1}, T0))
    client = await connect(site, f"{one.path}?since=0")
    first, second = await client.take(2)
    assert (first.id.count(':1"'), second.id.count(':4"')) == (1, 1)


async def test_a_large_event_is_one_chunk(site: Site, connect: Connect, broker: Broker, one: Feed) -> None:
    text = "x" * 900_000
    client = await connect(site, one.path)
    await broker.send(one.topic, Rec({"n": 0}, T0), Rec({"n": 1, "text": text}, T0), Rec({"n": 2}, T0))
    events = await client.take(3)  # the client checks the chunks
    assert ns(events) == [0, 1, 2]
    assert events[1].json["text"] == text
    later = await connect(site, f"{one.path}?since=0")
    assert [event.data for event in await later.take(3)] == [event.data for event in events]


@pytest.mark.parametrize(
    ("accept", "start", "comment"), [("text/event-stream", b":ok\n\n", b":\n"), ("application/json", b"\n", b"\n")]
)
async def test_a_silent_connection_is_sent_a_sign_of_life(
    accept: str, start: bytes, comment: bytes, strict_site: Site, connect: Connect, one: Feed, broker: Broker
) -> None:
    client = await connect(strict_site, one.path, {"Accept": accept})
    chunks = chunks_of(client)
    async with asyncio.timeout(15):
        assert [await anext(chunks) for _ in range(3)] == [start, comment, comment]
        await broker.send(one.topic, Rec({"n": 0}))
        while (chunk := await anext(chunks)) == comment:
            pass
    assert b'"n":0' in chunk


async def test_nothing_is_compressed_for_those_who_could_read_it(
    site: Site, connect: Connect, supply_stream: Feed
) -> None:
    client = await connect(site, supply_stream.path, {"Accept-Encoding": "gzip, br, deflate"})
    assert "content-encoding" not in client.headers
    assert await first_chunk(client) == b":ok\n\n"
