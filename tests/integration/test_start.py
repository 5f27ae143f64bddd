"""Where a stream starts: at `since`, or at the end.

Ids are in `test_start_at_id.py`, gaps in `test_start_with_gap.py`.
"""

from __future__ import annotations

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, Rec, error_of, ns, numbered
from tests.support.site import Site

BIG = 2**63 - 1


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


async def test_all_that_is_produced_after_ok_is_delivered(
    site: Site, connect: Connect, broker: Broker, supply: Supply
) -> None:
    for _ in range(3):  # streams that the server does not read yet
        feed = supply.take("one")
        client = await connect(site, feed.path)
        await broker.send(feed.topic, *numbered(0, 0, 0))
        assert ns(await client.take(3)) == [0, 1, 2]
