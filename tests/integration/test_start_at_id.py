"""Where a stream starts: at a `Last-Event-ID`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.conftest import Connect
from tests.integration.kit import T0, Broker, Feed, Rec, entry, error_of, ns, numbered, resume_at
from tests.support.site import Site

BIG = 2**63 - 1


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"offset": 0}, [0, 1, 2, 3]),
        ({"offset": 2}, [2, 3]),
        ({"offset": -2}, [0, 1, 2, 3]),
        ({"timestamp": 0}, [0, 1, 2, 3]),
        ({"timestamp": T0 + 1001}, [2, 3]),
        ({"offset": 3, "timestamp": T0}, [3]),
        ({"timestamp": T0, "offset": 3, "more": None}, [3]),
    ],
)
async def test_an_id_starts_at_its_offset_or_else_its_timestamp(
    where: dict[str, Any], numbers: list[int], site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, f"{written.path}?since={T0}", resume_at(entry(written, **where)))
    assert client.status == 200
    assert "eventstreams-gap" not in client.headers
    assert ns(await client.take(len(numbers))) == numbers


@pytest.mark.parametrize("where", [{"offset": -1}, {"offset": 10**6}, {"offset": BIG}, {"timestamp": BIG}])
async def test_an_id_beyond_the_end_starts_at_the_end(
    where: dict[str, Any], site: Site, connect: Connect, broker: Broker, at_end: Feed
) -> None:
    client = await connect(site, at_end.path, resume_at(entry(at_end, **where)))
    (number,) = await broker.send(at_end.topic, Rec({"n": 0}, T0))
    (event,) = await client.take(1)
    assert event.json["meta"]["offset"] == number


@pytest.mark.parametrize("name", ["lastEventId", "last-event-id", "last_event_id"])
async def test_a_polyfill_may_pass_the_id_as_a_parameter_and_the_header_wins(
    name: str, site: Site, connect: Connect, written: Feed
) -> None:
    def parameter(offset: int) -> str:
        return f"{written.path}?{name}={quote(json.dumps([entry(written, offset=offset)]))}"

    client = await connect(site, parameter(3))
    assert ns(await client.take(1)) == [3]
    client = await connect(site, parameter(3), {"Last-Event-ID": ""})
    assert ns(await client.take(1)) == [3]
    client = await connect(site, parameter(3), resume_at(entry(written, offset=1)))
    assert ns(await client.take(1)) == [1]
    client = await connect(site, f"{written.path}?{name}=[1]", resume_at(entry(written, offset=2)))
    assert ns(await client.take(1)) == [2]


async def test_an_empty_id_counts_as_none(site: Site, connect: Connect, written: Feed) -> None:
    for text in ("", " "):
        client = await connect(site, f"{written.path}?since={T0 + 3000}&lastEventId=", {"Last-Event-ID": text})
        assert ns(await client.take(1)) == [3]


@pytest.mark.parametrize("form", ["[{}]", "{}", " [ {} ] "])
async def test_a_bare_topic_starts_from_since_or_the_end(
    form: str, site: Site, connect: Connect, broker: Broker, pair: Feed
) -> None:
    a, b = pair.topics
    await broker.send(a, *numbered(0, 1000))
    await broker.send(b, Rec({"n": 9}, T0 + 1000))
    named = {"Last-Event-ID": form.format(json.dumps(a))}
    client = await connect(site, f"{pair.path}?since={T0 + 1}", named)
    assert ns(await client.take(1)) == [1]
    client = await connect(site, pair.path, named)
    await broker.send(b, Rec({"n": 10}))
    await broker.send(a, Rec({"n": 2}))
    assert ns(await client.take(1)) == [2]


async def test_an_id_replaces_the_topics_of_the_route(
    site: Site, connect: Connect, broker: Broker, pair: Feed, three: Feed
) -> None:
    for topic in (*pair.topics, three.topic):
        await broker.send(topic, *numbered(0, 1))
    await broker.send(three.topic, *numbered(2, 3, partition=1))
    ids = resume_at(
        {"topic": pair.topics[1], "partition": 0, "offset": 1}, {"topic": three.topic, "partition": 1, "offset": 0}
    )
    client = await connect(site, f"/v2/stream/{pair.stream},{three.stream}", ids)
    await broker.send(pair.topics[0], Rec({"n": 100}))
    await broker.send(three.topic, Rec({"n": 101}), Rec({"n": 102}, partition=1))
    events = await client.take(4)
    assert {(e.json["meta"]["topic"], e.json["meta"]["partition"]) for e in events} == {
        (pair.topics[1], 0),
        (three.topic, 1),
    }
    assert ns(events) == [1, 0, 1, 102]


async def test_an_id_may_name_a_topic_that_is_only_allowed(
    site: Site, connect: Connect, broker: Broker, failover: Feed
) -> None:
    here, there = failover.topics
    await broker.send(here, *numbered(0, 1))
    await broker.send(there, Rec({"n": 7}, T0))
    client = await connect(site, f"{failover.path}?since=0")
    assert ns(await client.take(2)) == [0, 1]
    client = await connect(site, failover.path, resume_at({"topic": there, "partition": 0, "timestamp": T0}))
    await broker.send(here, Rec({"n": 8}))
    await broker.send(there, Rec({"n": 9}))
    assert ns(await client.take(2)) == [7, 9]


async def test_a_partition_that_the_topic_does_not_have_is_ignored(site: Site, connect: Connect, written: Feed) -> None:
    ids = resume_at(entry(written, offset=2), {"topic": written.topic, "partition": 9, "offset": 0})
    client = await connect(site, written.path, ids)
    (event,) = await client.take(1)
    assert event.json["n"] == 2
    assert [item["partition"] for item in json.loads(event.id)] == [0]


TOPIC = '"topic":"t","partition":0'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "not JSON"),
        ("[", "not JSON"),
        ("7", "array"),
        ('{%s,"offset":1}' % TOPIC, "array"),
        ("null", "array"),
        ("[]", "no topic"),
        ("[7]", "entry 0"),
        ("[null]", "entry 0"),
        ('["t",[]]', "entry 1"),
        ('[{"partition":0,"offset":1}]', "entry 0"),
        ('[{"topic":7,"partition":0,"offset":1}]', "entry 0"),
        ('[{"topic":"","partition":0,"offset":1}]', "entry 0"),
        ('[{"topic":"a/b","partition":0,"offset":1}]', "a/b"),
        ('[{"topic":"t","offset":1}]', "partition"),
        ('[{"topic":"t","partition":"0","offset":1}]', "partition"),
        ('[{"topic":"t","partition":-1,"offset":1}]', "partition"),
        ('[{"topic":"t","partition":true,"offset":1}]', "partition"),
        ("[{%s}]" % TOPIC, "neither offset nor timestamp"),
        ('["t2",{%s,"offset":-3}]' % TOPIC, "entry 1: offset is -3"),
        ('[{%s,"offset":9223372036854775808}]' % TOPIC, "offset is 9223372036854775808"),
        ('[{%s,"offset":1.0}]' % TOPIC, "offset is 1.0"),
        ('[{%s,"offset":"1"}]' % TOPIC, 'offset is "1"'),
        ('[{%s,"offset":null}]' % TOPIC, "offset is null"),
        ('[{%s,"offset":true}]' % TOPIC, "offset is true"),
        ('[{%s,"offset":NaN}]' % TOPIC, "offset is NaN"),
        ('[{%s,"timestamp":-1}]' % TOPIC, "timestamp is -1"),
        ('[{%s,"timestamp":1e3}]' % TOPIC, "timestamp is 1000.0"),
        ('[{%s,"timestamp":"2020"}]' % TOPIC, "timestamp is"),
        ('[{%s,"timestamp":1,"cursor":7}]' % TOPIC, "cursor is 7"),
        ('[{%s,"timestamp":1,"cursor":"x"}]' % TOPIC, "cursor is"),
        ('[{%s,"timestamp":1,"cursor":"abcdefgh:-1"}]' % TOPIC, "cursor is"),
        ('[{%s,"offset":1},{%s,"offset":1}]' % (TOPIC, TOPIC), "entry 1: t partition 0 is listed twice"),
        ('["t","t"]', "entry 1: t is listed twice"),
        ('["t",{%s,"offset":1}]' % TOPIC, "entry 1: t partition 0 is listed twice"),
    ],
)
async def test_a_malformed_id_is_refused_and_the_entry_named(
    text: str, says: str, site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, written.path, {"Last-Event-ID": text, "Accept": "text/event-stream"})
    assert client.status == 400
    problem = await error_of(client)
    assert problem["type"] == "invalid_last_event_id"
    assert says in problem["detail"]


async def test_a_topic_outside_the_streams_is_not_available(
    site: Site, connect: Connect, written: Feed, failover: Feed, absent: Feed
) -> None:
    elsewhere = [failover.topics[1], "never.heard.of", absent.topic]
    for topic in elsewhere:
        for item in ({"topic": topic, "partition": 0, "offset": 0}, topic):
            client = await connect(site, written.path, resume_at(entry(written, offset=0), item))
            assert client.status == 404
            problem = await error_of(client)
            assert problem["type"] == "topic_not_available"
            assert topic in problem["detail"]


async def test_a_topic_of_the_streams_that_kafka_does_not_have_is_not_available_and_not_created(
    site: Site, connect: Connect, broker: Broker, written: Feed, absent: Feed
) -> None:
    ids = resume_at(entry(written, offset=0), {"topic": absent.topic, "partition": 0, "timestamp": T0})
    client = await connect(site, f"/v2/stream/{written.stream},{absent.stream}", ids)
    assert client.status == 404
    problem = await error_of(client)
    assert problem["type"] == "topic_not_available"
    assert absent.topic in problem["detail"]
    assert absent.topic not in await broker.topics()
