"""Resuming by the id of an event: nothing lost and nothing repeated, wherever the connection broke."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, first_chunk, gap_of, ns, numbered, resume_at
from tests.support.client import SseEvent
from tests.support.site import Site

TEN_MINUTES = 600_000


def entries(event: SseEvent) -> dict[tuple[str, int], dict[str, Any]]:
    """The entries of an event's id, by topic and partition."""
    return {(item["topic"], item["partition"]): item for item in json.loads(event.id)}


def changed(event: SseEvent, **members: Any) -> dict[str, str]:
    """The header for an event's id, the entries of which get other members."""
    return resume_at(*({**item, **members} for item in json.loads(event.id)))


def cursor(event: SseEvent, offset: int) -> str:
    """A cursor of the cluster that the event is from."""
    cluster: str = json.loads(event.id)[0]["cursor"].partition(":")[0]
    return f"{cluster}:{offset}"


async def all_events(connect: Connect, site: Site, feed: Feed, count: int) -> list[SseEvent]:
    return await (await connect(site, f"{feed.path}?since=0")).take(count)


async def test_every_event_is_a_place_to_go_on_after(site: Site, connect: Connect, broker: Broker, three: Feed) -> None:
    """Several events of one partition in a millisecond, and timestamps out of order: the old service loses these."""
    for n, (partition, time_) in enumerate(
        [(0, 5), (0, 5), (1, 9), (0, 5), (1, 2), (2, 7), (0, 1), (1, 9), (2, 7), (0, 8), (2, 3), (1, 1)]
    ):
        await broker.send(three.topic, Rec({"n": n}, T0 + time_, partition))
    events = await all_events(connect, site, three, 12)
    assert sorted(ns(events)) == list(range(12))
    for number, event in enumerate(events[:-1]):
        client = await connect(site, three.path, resume_at(event.id))
        rest = await client.take(11 - number)
        assert sorted(ns(rest)) == sorted(ns(events[number + 1 :])), f"after event {number}"
        for partition in range(3):
            of_partition = [n for n in ns(events) if n in {e.json["n"] for e in rest if _partition(e) == partition}]
            assert [e.json["n"] for e in rest if _partition(e) == partition] == of_partition


def _partition(event: SseEvent) -> int:
    partition: int = event.json["meta"]["partition"]
    return partition


async def test_ids_of_live_events_are_exact_too(site: Site, connect: Connect, broker: Broker, one: Feed) -> None:
    client = await connect(site, one.path)
    await broker.send(one.topic, *numbered(5, 5, 1, 5))
    events = await client.take(4)
    resumed = [await connect(site, one.path, resume_at(event.id)) for event in events]
    await broker.send(one.topic, Rec({"n": 4}, T0))
    for number, client in enumerate(resumed):
        assert ns(await client.take(4 - number)) == list(range(number + 1, 5))


async def test_a_partition_that_was_silent_loses_nothing(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    await broker.send(three.topic, Rec({"n": 0}, T0 + 777, 1))
    before = int(time.time() * 1000)
    client = await connect(site, three.path)
    await broker.send(three.topic, Rec({"n": 1}, T0, 0))
    (event,) = await client.take(1)
    now = int(time.time() * 1000)
    ids = entries(event)
    assert ids[three.topic, 1]["timestamp"] == T0 + 777 + 1
    assert ids[three.topic, 1]["cursor"] == cursor(event, 1)
    assert before - TEN_MINUTES - 60_000 <= ids[three.topic, 2]["timestamp"] <= now - TEN_MINUTES + 1000
    assert ids[three.topic, 2]["cursor"] == cursor(event, 0)
    await client.close()
    # What comes while the client is away, with timestamps from before it left.
    await broker.send(three.topic, Rec({"n": 2}, T0, 2), Rec({"n": 3}, T0, 1), Rec({"n": 4}, T0, 2))
    again = await connect(site, three.path, resume_at(event.id))
    assert sorted(ns(await again.take(3))) == [2, 3, 4]


async def test_an_id_carries_what_old_clients_and_the_old_service_read(
    site: Site, connect: Connect, broker: Broker, pair: Feed
) -> None:
    for number, topic in enumerate(pair.topics):
        await broker.send(topic, *numbered(number, 10 + number))
    last = (await all_events(connect, site, pair, 4))[-1]
    for number, topic in enumerate(pair.topics):
        item = entries(last)[topic, 0]
        assert item["timestamp"] == T0 + 10 + number + 1
        assert item["cursor"] == cursor(last, 2)
        assert "offset" not in item
    cluster, _, offset = item["cursor"].partition(":")
    assert (len(cluster), offset) == (8, "2")


async def test_an_entry_without_a_cursor_goes_by_its_timestamp(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 0, 1))
    first = (await all_events(connect, site, one, 3))[0]
    (item,) = json.loads(first.id)
    del item["cursor"]
    client = await connect(site, one.path, resume_at(item))
    assert ns(await client.take(1)) == [2]


async def test_another_cluster_goes_by_time_and_repeats_rather_than_loses(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 5, 5, 9))
    second = (await all_events(connect, site, one, 4))[1]
    client = await connect(site, one.path, changed(second, cursor="mirrored:900"))
    assert "eventstreams-gap" not in client.headers
    assert ns(await client.take(3)) == [1, 2, 3]


async def test_a_cursor_beyond_the_end_is_disbelieved(site: Site, connect: Connect, broker: Broker, one: Feed) -> None:
    await broker.send(one.topic, *numbered(0, 5, 5, 9))
    second = (await all_events(connect, site, one, 4))[1]
    client = await connect(site, one.path, changed(second, cursor=cursor(second, 900)))
    assert gap_of(client) == [{"topic": one.topic, "partition": 0, "asked": 900, "served": 1}]
    assert ns(await client.take(3)) == [1, 2, 3]


async def test_a_cursor_after_another_record_than_the_id_says_is_disbelieved(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 5, 5, 9))
    second = (await all_events(connect, site, one, 4))[1]
    client = await connect(site, one.path, changed(second, cursor=cursor(second, 4)))
    assert gap_of(client) == [{"topic": one.topic, "partition": 0, "asked": 4, "served": 1}]
    assert ns(await client.take(3)) == [1, 2, 3]


async def test_a_record_that_has_expired_proves_nothing_against_a_cursor(
    site: Site, connect: Connect, broker: Broker, one: Feed, supply: Supply
) -> None:
    await broker.send(one.topic, *numbered(0, 5, 5, 9))
    await broker.delete_before(one.topic, 2)
    ids: dict[str, Any] = {"topic": one.topic, "partition": 0, "timestamp": T0 + 6}
    client = await connect(
        site, one.path, resume_at({**ids, "cursor": await cursor_at(2, connect, site, broker, supply)})
    )
    assert "eventstreams-gap" not in client.headers
    assert ns(await client.take(2)) == [2, 3]


async def test_a_cursor_below_the_oldest_record_is_a_gap_in_offsets(
    site: Site, connect: Connect, broker: Broker, one: Feed, supply: Supply
) -> None:
    await broker.send(one.topic, *numbered(0, 5, 5, 9))
    await broker.delete_before(one.topic, 3)
    ids: dict[str, Any] = {"topic": one.topic, "partition": 0, "timestamp": T0 + 1}
    client = await connect(
        site, one.path, resume_at({**ids, "cursor": await cursor_at(1, connect, site, broker, supply)})
    )
    assert gap_of(client) == [{"topic": one.topic, "partition": 0, "asked": 1, "served": 3}]
    assert ns(await client.take(1)) == [3]


async def cursor_at(offset: int, connect: Connect, site: Site, broker: Broker, supply: Supply) -> str:
    """A cursor for a topic of which the server has been asked nothing yet."""
    other = supply.take("one")
    await broker.send(other.topic, Rec({"n": 0}))
    return cursor((await all_events(connect, site, other, 1))[0], offset)


async def test_transactions_leave_no_trace_but_their_committed_records(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    topic = three.topic
    live = await connect(site, three.path)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    async with producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b'{"n":0}', partition=0, timestamp_ms=T0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b'{"n":"aborted"}', partition=0, timestamp_ms=T0)
        await producer.abort_transaction()
    await broker.send(topic, Rec({"n": 1}, T0 + 1, 1), Rec({"n": 2}, T0 + 2, 1))
    assert ns(await live.take(3)) == [0, 1, 2]
    events = await all_events(connect, site, three, 3)
    assert ns(events) == [0, 1, 2]
    # Partition 0 ends with markers; whatever the ids say of it, nothing is lost and nothing is doubted.
    await broker.send(topic, Rec({"n": 3}, T0, 0))
    for number, event in enumerate(events):
        client = await connect(site, three.path, resume_at(event.id))
        assert "eventstreams-gap" not in client.headers
        assert sorted(ns(await client.take(3 - number))) == list(range(number + 1, 4))
    beyond = entries(events[2])
    beyond[topic, 0]["cursor"] = cursor(events[2], 4)  # after the marker of the transaction that was aborted
    client = await connect(site, three.path, resume_at(*beyond.values()))
    assert "eventstreams-gap" not in client.headers
    assert ns(await client.take(1)) == [3]


# Streams and topics that have changed since the id was made.


async def test_a_topic_that_the_streams_have_lost_is_a_gap_served_by_nothing(
    site: Site, connect: Connect, broker: Broker, one: Feed, absent: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 1))
    first = (await all_events(connect, site, one, 2))[0]
    lost = {"topic": "no.longer.there", "partition": 1, "timestamp": T0, "cursor": cursor(first, 17)}
    client = await connect(site, one.path, resume_at(*json.loads(first.id), lost))
    assert client.status == 200
    gap = [{"topic": "no.longer.there", "partition": 1, "asked": 17, "served": None}]
    assert gap_of(client) == gap
    (event,) = await client.take(1)
    assert event.json["n"] == 1
    assert [item["topic"] for item in json.loads(event.id)] == [one.topic]
    assert json.loads(client.comments[1].removeprefix("gap ")) == gap


async def test_a_topic_that_kafka_has_lost_is_a_gap_too(
    site: Site, connect: Connect, broker: Broker, one: Feed, absent: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 1))
    first = (await all_events(connect, site, one, 2))[0]
    lost = {"topic": absent.topic, "partition": 0, "timestamp": T0, "cursor": cursor(first, 3)}
    path = f"/v2/stream/{one.stream},{absent.stream}"
    client = await connect(site, path, resume_at(*json.loads(first.id), lost))
    assert gap_of(client) == [{"topic": absent.topic, "partition": 0, "asked": 3, "served": None}]
    assert ns(await client.take(1)) == [1]
    assert absent.topic not in await broker.topics()


async def test_a_lost_topic_is_a_gap_also_where_it_was_the_only_one(
    site: Site, connect: Connect, broker: Broker, one: Feed
) -> None:
    await broker.send(one.topic, *numbered(0, 100, 200))
    first = (await all_events(connect, site, one, 3))[0]
    lost = {"topic": "no.longer.there", "partition": 0, "timestamp": T0 + 100, "cursor": cursor(first, 17)}
    client = await connect(site, one.path, resume_at(lost))
    assert client.status == 200
    assert gap_of(client) == [{"topic": "no.longer.there", "partition": 0, "asked": 17, "served": None}]
    assert ns(await client.take(2)) == [1, 2]  # what the streams have now, from the newest time in the id on


async def test_a_topic_that_the_streams_have_gained_starts_at_the_newest_time_in_the_id(
    site: Site, connect: Connect, broker: Broker, pair: Feed
) -> None:
    old, gained = pair.topics
    await broker.send(old, *numbered(0, 500))
    await broker.send(gained, *(Rec({"n": n}, T0 + n) for n in (499, 500, 501, 502)))
    events = await all_events(connect, site, pair, 6)
    last_of_old = [event for event in events if event.json["meta"]["topic"] == old][-1]
    ids = [item for item in json.loads(last_of_old.id) if item["topic"] == old]
    assert [item["timestamp"] for item in ids] == [T0 + 501]
    client = await connect(site, pair.path, resume_at(*ids))
    event, *_ = got = await client.take(2)
    assert ns(got) == [501, 502]
    assert {item["topic"] for item in json.loads(event.id)} == {old, gained}
    assert "only" not in event.id


async def test_a_partition_created_since_the_id_starts_at_its_oldest_event(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    topic = three.topic
    await broker.send(topic, Rec({"n": 0}, T0, 0), Rec({"n": 1}, T0, 1), Rec({"n": 2}, T0 - 1000, 2))
    last = (await all_events(connect, site, three, 3))[-1]
    ids = [item for item in json.loads(last.id) if item["partition"] != 2]
    client = await connect(site, three.path, resume_at(*ids))
    (event,) = await client.take(1)
    assert event.json["n"] == 2
    assert [item["partition"] for item in json.loads(event.id)] == [0, 1, 2]


async def test_partitions_and_topics_added_under_a_client_are_delivered_from_their_first_event(
    site: Site, connect: Connect, broker: Broker, one: Feed, supply: Supply
) -> None:
    absent = supply.take("absent")
    await broker.create(absent.topic)
    grown = await connect(site, one.path)
    async with asyncio.timeout(20):  # a topic that has just been created is found by one of the next requests
        while (gained := await connect(site, absent.path)).status == 503:
            await asyncio.sleep(0.2)
    await broker.grow(one.topic, 2)
    await broker.create(absent.topics[1])
    for topic, partition in ((one.topic, 1), (absent.topics[1], 0)):
        await broker.send(topic, *numbered(0, 1, 2, partition=partition))
    for client, topic, partition in ((grown, one.topic, 1), (gained, absent.topics[1], 0)):
        events = await client.take(3, seconds=60)
        assert [event.json["meta"]["offset"] for event in events] == [0, 1, 2]
        assert client.comments == ["ok"]
        assert entries(events[0])[topic, partition]["cursor"] == cursor(events[0], 1)
        assert entries(events[0])[topic, partition]["timestamp"] == T0 + 1


# Ids that list a part of the streams: a client that was restricted stays so.


async def test_who_listed_some_partitions_keeps_to_them_when_resuming(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    ids = resume_at({"topic": three.topic, "partition": 1, "offset": -2})
    for partition in range(3):
        await broker.send(three.topic, Rec({"n": partition}, T0, partition))
    (event,) = await (await connect(site, three.path, ids)).take(1)
    assert [(item["partition"], item["only"]) for item in json.loads(event.id)] == [(1, "partitions")]
    client = await connect(site, three.path, resume_at(event.id))
    await broker.send(three.topic, *(Rec({"n": 10 + p}, T0, p) for p in (0, 2, 1)))
    (event,) = await client.take(1)
    assert event.json["n"] == 11
    assert [(item["partition"], item["only"]) for item in json.loads(event.id)] == [(1, "partitions")]


async def test_who_failed_over_to_one_datacentre_keeps_to_it_when_resuming(
    site: Site, connect: Connect, broker: Broker, failover: Feed
) -> None:
    here, there = failover.topics
    await broker.send(there, Rec({"n": 0}, T0, 0))
    listed = [{"topic": there, "partition": partition, "timestamp": T0} for partition in (0, 1)]
    (event,) = await (await connect(site, failover.path, resume_at(*listed))).take(1)
    assert {(item["topic"], item["only"]) for item in json.loads(event.id)} == {(there, "topics")}
    client = await connect(site, failover.path, resume_at(event.id))
    await broker.send(here, Rec({"n": 1}))
    await broker.send(there, Rec({"n": 2}, partition=1))
    (event,) = await client.take(1)
    assert event.json["n"] == 2
    assert {(item["topic"], item["only"]) for item in json.loads(event.id)} == {(there, "topics")}


async def test_who_listed_one_of_two_topics_keeps_to_it_when_resuming(
    site: Site, connect: Connect, broker: Broker, pair: Feed
) -> None:
    a, b = pair.topics
    await broker.send(a, *numbered(0, 1))
    await broker.send(b, *numbered(0, 1))
    ids = resume_at({"topic": b, "partition": 0, "offset": 1})
    (event,) = await (await connect(site, pair.path, ids)).take(1)
    assert {(item["topic"], item["only"]) for item in json.loads(event.id)} == {(b, "topics")}
    client = await connect(site, pair.path, resume_at(event.id))
    assert await first_chunk(client) == b":ok\n\n"
    await broker.send(a, Rec({"n": 2}))
    await broker.send(b, Rec({"n": 3}))
    client = await connect(site, pair.path, resume_at(event.id))
    assert ns(await client.take(1)) == [3]


async def test_who_listed_all_that_there_is_follows_the_streams(
    site: Site, connect: Connect, broker: Broker, three: Feed
) -> None:
    await broker.send(three.topic, Rec({"n": 0}, T0, 2))
    listed = [{"topic": three.topic, "partition": partition, "offset": -2} for partition in range(3)]
    (event,) = await (await connect(site, three.path, resume_at(*listed))).take(1)
    assert len(json.loads(event.id)) == 3
    assert "only" not in event.id
