"""The feed of one live client keeps nothing that it was given: what it does not take it reads from the rings."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from streams.core.filters.query import parse_filter
from streams.core.positions import TopicPartition
from streams.engine.memory import MemorySource
from tests.support.engine import eventually
from tests.support.engine.connection import Connection, QuickEngine, connected

MANY = 60
WIKIS = 3
IN_BOTH = {TopicPartition(topic, 0): list(range(MANY // 2)) for topic in "ab"}


@pytest.fixture
def source() -> MemorySource:
    source = MemorySource()
    source.create("a")
    source.create("b")
    return source


def add(source: MemorySource, number: int) -> None:
    source.append("ab"[number % 2], b'{"wiki":"w%d"}' % (number % WIKIS), number)


async def live(connection: Connection) -> None:
    """Pull until the connection follows its feed."""
    pulling = asyncio.ensure_future(connection.chunk())
    await eventually(lambda: connection.subscription.is_live)
    pulling.cancel()


@pytest.mark.parametrize("is_sse", [True, False])
async def test_what_the_only_client_was_given_is_not_kept(source: MemorySource, is_sse: bool) -> None:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(QuickEngine(source).running("a", "b"))
        only = await stack.enter_async_context(connected(engine, is_sse=is_sse, takes=lambda: True))
        for number in range(MANY):
            await live(only)
            add(source, number)
            await eventually(lambda upto=number: len(only.received.events) > upto)
        assert only.received.offsets == IN_BOTH
        assert only.feed.held_bytes == 0
        other = await stack.enter_async_context(connected(engine, is_sse=is_sse, takes=lambda: True))
        await live(other)
        add(source, MANY)
        await eventually(lambda: other.received.events and len(only.received.events) > MANY)
        assert only.feed is other.feed
        assert only.feed.held_bytes > 0, "the other one may need it, and so may who comes next"


async def test_a_client_that_takes_nothing_for_a_while_gets_all_of_it_once_and_in_order(source: MemorySource) -> None:
    takes = True
    async with QuickEngine(source).running("a", "b") as engine, connected(engine, takes=lambda: takes) as only:
        for number in range(MANY):
            await live(only)
            takes = number % 4 != 3
            add(source, number)
            await eventually(lambda upto=number: len(only.received.events) > upto or not only.subscription.is_live)
        takes = True
        got = await only.until(lambda got: len(got.events) == MANY)
        assert got.offsets == IN_BOTH
        assert engine.count("eventstreams_history_reads_total") == 0, "the rings have it"


async def test_feeds_of_filters_with_one_client_each_keep_nothing_either(source: MemorySource) -> None:
    async with QuickEngine(source).running("a", "b") as engine, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                connected(engine, wanted=parse_filter(b"wiki=w%d" % wiki), takes=lambda: True)
            )
            for wiki in range(WIKIS)
        ]
        for client in clients:
            await live(client)
        for number in range(MANY):
            add(source, number)
        for wiki, client in enumerate(clients):
            await eventually(lambda got=client.received: len(got.events) == MANY // WIKIS)
            wanted = {
                tp: [n for n in range(MANY // 2) if (2 * n + "ab".index(tp.topic)) % WIKIS == wiki] for tp in IN_BOTH
            }
            assert client.received.offsets == wanted
            await eventually(lambda feed=client.feed: feed.held_bytes == 0)
