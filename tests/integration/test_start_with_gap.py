"""A stream that cannot start where the client asked, since Kafka no longer has the records, says so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.conftest import Connect, Supply
from tests.integration.kit import T0, Broker, Feed, entry, first_chunk, gap_of, ns, numbered, resume_at
from tests.support.site import Site


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
