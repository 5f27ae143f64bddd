"""Choosing where to start: `Last-Event-ID`, `since`, neither; and the gaps that have to be said."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, error_of, first_chunk, gap_of, ns, numbered, resume_at
from tests.support.site import Site

BIG = 2**63 - 1


@pytest.fixture(scope="module")
def written(kafka: Any, supply: Supply) -> Feed:
    """A stream of four records, at T0, T0 + 1000, T0 + 2000 and T0 + 3000; tests here only read it."""
    feed = supply.take("one")
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0, 1000, 2000, 3000)))
    return feed


@pytest.fixture(scope="module")
def cut(kafka: Any, supply: Supply) -> Feed:
    """The same, of whose records Kafka keeps only the last two."""
    feed = supply.take("one")
    broker = Broker(kafka.bootstrap)

    async def write() -> None:
        await broker.send(feed.topic, *numbered(0, 1000, 2000, 3000))
        await broker.delete_before(feed.topic, 2)

    asyncio.run(write())
    return feed


def entry(feed: Feed, **where: Any) -> dict[str, Any]:
    return {"topic": feed.topic, "partition": 0, **where}


# since


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("0", 0),
        ("-5", 0),
        ("+", 0),  # a blank: the number 0, to JavaScript
        (f"{T0}", 0),
        (f"{T0 + 1}", 1),
        (f"{T0 + 1000}", 1),
        (f"{T0 + 1000}.9", 1),
        ("1.600000002e12", 2),
        (f"0x{T0 + 2001:x}", 3),
        ("2020-09-13T12:26:42Z", 2),
        ("2020-09-13T12:26:41.001", 2),
        ("2020-09-13T14:26:42%2B02:00", 2),
        ("2020-09-13T14:26:42+02:00", 2),
        ("Sun, 13 Sep 2020 12:26:43 GMT", 3),
        ("Sep+13,+2020+08:26:43+-0400", 3),
        ("2020-09-13", 0),
    ],
)
async def test_since_starts_at_the_first_record_of_that_time_or_later(
    since: str, first: int, site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, f"{written.path}?since={since.replace(' ', '%20')}")
    assert client.status == 200
    assert "eventstreams-gap" not in client.headers
    assert ns(await client.take(4 - first)) == list(range(first, 4))


@pytest.mark.parametrize(
    "query",
    ["", "since=", f"since={T0 + 3001}", "since=99999999999999", "since=1e300", f"since={BIG}", "since=2999-01-01"],
)
async def test_without_a_time_or_with_one_to_come_a_stream_starts_at_the_end(
    query: str, site: Site, connect: Connect, broker: Broker, at_end: Feed
) -> None:
    client = await connect(site, f"{at_end.path}?{query}")
    assert client.status == 200
    (number,) = await broker.send(at_end.topic, Rec({"n": 0}, T0))
    (event,) = await client.take(1)
    assert event.json["meta"]["offset"] == number


@pytest.fixture(scope="module")
def at_end(kafka: Any, supply: Supply) -> Feed:
    feed = supply.take("one")
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *numbered(0, 1000, 2000, 3000)))
    return feed


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2020-13-01",
        "since=NaN",
        "since=Infinity",
        "since=1&since=2",
        "since=&since=",
        "since=%00",
    ],
)
async def test_a_since_that_is_no_time_or_given_twice_is_refused(
    query: str, site: Site, connect: Connect, written: Feed
) -> None:
    client = await connect(site, f"{written.path}?{query}", {"Accept": "text/event-stream"})
    assert client.status == 400
    problem = await error_of(client)
    assert (problem["type"], problem["title"]) == ("invalid_timestamp", "Invalid timestamp")
    assert "since" in problem["detail"]


async def test_since_is_kafkas_own_lookup_also_where_timestamps_are_out_of_order(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 5000, 1000, 6000))
    client = await connect(site, f"{one.path}?since={T0 + 2000}")
    assert ns(await client.take(3)) == [1, 2, 3]


async def test_each_partition_starts_at_that_time_and_one_without_such_a_record_at_its_end(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    await broker.send(three.topic, Rec({"n": 0}, T0, 0), Rec({"n": 1}, T0 + 2000, 0), Rec({"n": 2}, T0 + 1000, 1))
    client = await connect(site, f"{three.path}?since={T0 + 1001}")
    await broker.send(three.topic, Rec({"n": 3}, T0, 1), Rec({"n": 4}, T0, 2))
    assert sorted(ns(await client.take(3))) == [1, 3, 4]


async def test_what_was_written_in_several_partitions_comes_in_the_order_of_time(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    for partition in (2, 0, 1):
        await broker.send(
            three.topic, *(Rec({"n": 3 * n + partition}, T0 + 3 * n + partition, partition) for n in range(20))
        )
    client = await connect(site, f"{three.path}?since={T0}")
    assert ns(await client.take(60)) == list(range(60))


# Last-Event-ID


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


# Neither


async def test_all_that_is_produced_after_ok_is_delivered(
    site: Site, connect: Connect, broker: Broker, supply: Supply
) -> None:
    for _ in range(3):  # streams that the server does not read yet
        feed = supply.take("one")
        client = await connect(site, feed.path)
        await broker.send(feed.topic, *numbered(0, 0, 0))
        assert ns(await client.take(3)) == [0, 1, 2]


# Gaps


GAPS = [
    ({"offset": 0}, 0, 2),
    ({"offset": 1}, 1, 2),
    ({"timestamp": T0}, T0, T0 + 2000),
    ({"timestamp": T0 + 1999}, T0 + 1999, T0 + 2000),
]


@pytest.mark.parametrize(("where", "asked", "served"), GAPS)
async def test_a_gap_is_said_in_the_head_and_after_ok_and_counted(
    where: dict[str, int], asked: int, served: int, site: Site, connect: Connect, cut: Feed
) -> None:
    before = site.metric("eventstreams_gaps_total")
    client = await connect(site, cut.path, resume_at(entry(cut, **where)))
    gap = [{"topic": cut.topic, "partition": 0, "asked": asked, "served": served}]
    assert gap_of(client) == gap
    start = await first_chunk(client)
    assert start.startswith(b":ok\n\n:gap [")
    comment, rest = start.removeprefix(b":ok\n\n:gap ").split(b"\n", 1)
    assert json.loads(comment) == gap
    assert rest == b""
    assert site.metric("eventstreams_gaps_total") == before + 1
    again = await connect(site, cut.path, resume_at(entry(cut, **where)))
    assert ns(await again.take(2)) == [2, 3]
    assert again.comments[0] == "ok"
    assert again.comments[1].startswith("gap ")


async def test_a_gap_before_since_is_said_in_milliseconds(site: Site, connect: Connect, cut: Feed) -> None:
    client = await connect(site, f"{cut.path}?since=2020-09-13T12:26:41Z")
    assert gap_of(client) == [{"topic": cut.topic, "partition": 0, "asked": T0 + 1000, "served": T0 + 2000}]
    assert ns(await client.take(2)) == [2, 3]


async def test_ndjson_says_a_gap_in_the_head_alone(site: Site, connect: Connect, cut: Feed) -> None:
    headers = {**resume_at(entry(cut, offset=1)), "Accept": "application/json"}
    client = await connect(site, cut.path, headers)
    assert gap_of(client) == [{"topic": cut.topic, "partition": 0, "asked": 1, "served": 2}]
    assert await first_chunk(client) == b"\n"
    assert ns(await (await connect(site, cut.path, headers)).take_lines(2)) == [2, 3]


@pytest.mark.parametrize(
    "where", [{"offset": 2}, {"offset": -2}, {"offset": 3}, {"timestamp": T0 + 2000}, {"timestamp": T0 + 3000}]
)
async def test_there_is_no_gap_where_nothing_is_missing(
    where: dict[str, int], site: Site, connect: Connect, cut: Feed
) -> None:
    client = await connect(site, cut.path, resume_at(entry(cut, **where)))
    assert "eventstreams-gap" not in client.headers
    assert (await client.take(1))[0].json["n"] in (2, 3)
    assert client.comments == ["ok"]
