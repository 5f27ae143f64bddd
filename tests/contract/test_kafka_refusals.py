"""Why a Kafka cannot be reached, or does not let us read, is reported as a sentence: real brokers, different causes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.core.events import Record
from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import (
    Bounds,
    Found,
    NotAuthorizedError,
    PollResult,
    RecordSource,
    SourceUnavailableError,
)
from streams.engine.tuning import Tuning
from streams.local.kafka_jars import LocalKafkaError
from streams.local.processes import HOST, free_port
from tests.support.kafka.records import MUCH, new, offsets, poll_until
from tests.support.kafka.secured import PASSWORD, Secured, secured_kafka
from tests.support.kafka.sources import KafkaHarness, MemoryHarness, kafka_harness


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    try:
        with secured_kafka(tmp_path_factory.mktemp("secured")) as made:
            yield made
    except LocalKafkaError as error:
        if os.environ.get("EVENTSTREAMS_TEST_KAFKA"):
            pytest.skip(f"this test needs its own Kafka: {error}")
        raise


@asynccontextmanager
async def source_of(settings: dict[str, object]) -> AsyncIterator[KafkaSource]:
    source = KafkaSource(kafka_options(settings), tuning=Tuning(history_readers=1))
    try:
        yield source
    finally:
        await source.close()


async def refusal(settings: dict[str, object]) -> str:
    async with source_of(settings) as source:
        with pytest.raises(SourceUnavailableError) as first:
            await source.ping()
        with pytest.raises(SourceUnavailableError) as second:
            await source.refresh(["t"])
    assert PASSWORD not in f"{first.value!r} {second.value!r}"
    return str(first.value)


REFUSED = {
    "wrong password": ("it rejects sasl.username and sasl.password", "sasl", {"sasl_password": "wrong"}),
    "a mechanism that is not enabled": (
        "it does not support the configured sasl.mechanism",
        "sasl",
        {"sasl_mechanism": "SCRAM-SHA-512"},
    ),
    "an authority that is not known": ("its TLS certificate is not accepted (self-signed certificate", "tls", {}),
    "plain text where TLS is spoken": (
        "it closed the connection at once; check security.protocol, which is plaintext",
        "tls",
        {"security_protocol": "plaintext"},
    ),
    "plain text where a password is asked for": (
        "it closed the connection at once; check security.protocol, which is plaintext",
        "sasl",
        {"security_protocol": "plaintext"},
    ),
    "TLS where plain text is spoken": ("check security.protocol, which is ssl", "plain", {"security_protocol": "ssl"}),
    "a password where none is asked for": (
        "it expects no SASL; check security.protocol, which is sasl_plaintext",
        "plain",
        {"security_protocol": "sasl_plaintext"},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_broker_that_refuses_us_is_named_with_the_reason(secured: Secured, case: str) -> None:
    reason, listener, changed = REFUSED[case]
    protocol = {"tls": "ssl", "sasl": "sasl_plaintext", "plain": "plaintext"}[listener]
    settings = secured.settings(listener, **{"security_protocol": protocol, **changed})
    if str(settings["security.protocol"]).startswith("sasl"):
        login = {"sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": PASSWORD}
        settings = {**login, **settings}
    said = await refusal(settings)
    assert said.startswith(f"{secured.address(listener)}: ")
    assert reason in said


async def test_what_is_configured_right_is_let_in(secured: Secured) -> None:
    tls = secured.settings("tls", security_protocol="ssl", ssl_ca_location=str(secured.ca))
    tls["ssl.endpoint.identification.algorithm"] = "none"
    for settings in (secured.as_user(), tls, secured.settings("plain")):
        async with source_of(settings) as source:
            await source.ping()
            await source.refresh(["t"])


async def test_a_certificate_of_another_host_is_said(secured: Secured) -> None:
    said = await refusal(secured.settings("tls", security_protocol="ssl", ssl_ca_location=str(secured.ca)))
    assert "its TLS certificate is not accepted" in said
    assert "the host's name" in said


async def test_an_address_that_kafka_advertises_and_nobody_is_at_is_said(secured: Secured) -> None:
    said = await refusal_of_ping(secured.settings("far"))
    assert said == f"{secured.nobody}, as Kafka advertises it: connection refused: nothing listens there"


async def refusal_of_ping(settings: dict[str, object]) -> str:
    async with source_of(settings) as source:
        with pytest.raises(SourceUnavailableError) as caught:
            await source.ping()
    return str(caught.value)


async def test_a_port_that_is_closed_and_a_host_that_is_unknown_are_said() -> None:
    closed = f"{HOST}:{free_port()}"
    assert await refusal({"metadata.broker.list": closed}) == f"{closed}: connection refused: nothing listens there"
    assert "no-such-host.invalid:9092: " in await refusal({"metadata.broker.list": "no-such-host.invalid"})


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"\0\0\0\4junk"])
async def test_what_is_no_kafka_is_said(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    address = "%s:%d" % server.sockets[0].getsockname()[:2]
    try:
        said = await refusal({"metadata.broker.list": address})
        assert said.startswith(f"{address}: ")
    finally:
        server.close()


async def test_a_broker_that_says_nothing_does_not_keep_another_one_waiting(kafka: Any) -> None:
    held: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(silent, HOST, 0)
    address = "%s:%d" % server.sockets[0].getsockname()[:2]
    try:
        async with source_of({"metadata.broker.list": f"{address},{kafka.bootstrap}"}) as source:
            for _ in range(3):
                await source.ping()
                await source.refresh([])
        assert await refusal({"metadata.broker.list": address}) == f"{address}: no answer within 1 s"
    finally:
        server.close()
        for writer in held:
            writer.close()


# What may not be read, of a real Kafka and of the one in memory.


class Denied:
    """A source, its topic that may be read, and two that may not: one that is seen, and one that is not."""

    def __init__(self, source: RecordSource, topics: tuple[str, str, str]) -> None:
        self.source = source
        self.readable, self.unreadable, self.unseen = (TopicPartition(topic, 0) for topic in topics)


@pytest.fixture(params=["memory", "kafka"])
async def denied(request: pytest.FixtureRequest) -> AsyncIterator[Denied]:
    topics = "test.read", "test.unreadable", "test.unseen"
    harness: MemoryHarness | KafkaHarness
    if request.param == "memory":
        harness = MemoryHarness()
        for topic in topics:
            await harness.create(topic=topic)
            await harness.write(topic, new(3))
        harness.source.unreadable.add(topics[1])
        harness.source.unseen.add(topics[2])
        yield Denied(harness.source, topics)
        return
    secured: Secured = request.getfixturevalue("secured")
    async with kafka_harness(secured.kafka.bootstrap) as harness, source_of(secured.as_user()) as source:
        await create_topics(secured.kafka.bootstrap, dict.fromkeys(topics, 1), {"retention.ms": "-1"})
        harness.made.update(topics)
        for topic in topics:
            await harness.write(topic, new(3))
        await secured.deny(topics[1], sees=True)
        await secured.deny(topics[2], sees=False)
        async with asyncio.timeout(20):  # rules take effect in their own time
            while topics[2] not in source.denied:
                await source.refresh(topics)
        yield Denied(source, topics)


async def test_what_may_not_be_read_is_said_so_and_keeps_nothing_else_back(denied: Denied) -> None:
    source = denied.source
    all_three = [denied.readable, denied.unreadable, denied.unseen]
    await source.refresh([tp.topic for tp in all_three])
    assert dict(source.partitions) == {denied.readable.topic: 1, denied.unreadable.topic: 1}
    assert source.denied == {denied.unseen.topic}
    assert source.absent == set()
    bounds = await source.bounds(all_three)
    assert bounds[denied.readable] == bounds[denied.unreadable] == Bounds(0, 3), "looking at it is allowed"
    assert isinstance(bounds[denied.unseen], NotAuthorizedError)
    found = await source.offsets_for_times(dict.fromkeys(all_three, 0))
    assert found[denied.readable] == Found(0, 1_000)
    assert isinstance(found[denied.unseen], NotAuthorizedError)
    for tp in (denied.unreadable, denied.unseen):
        with pytest.raises(NotAuthorizedError, match=tp.topic):
            await source.read(tp, 0, MUCH)
    assert offsets((await source.read(denied.readable, 0, MUCH)).records) == [0, 1, 2]
    refused: set[TopicPartition] = set()

    def is_done(found: Sequence[Record], results: Mapping[TopicPartition, PollResult]) -> bool:
        refused.update(tp for tp, result in results.items() if isinstance(result, NotAuthorizedError))
        return len(found) == 3 and denied.unreadable in refused

    polled, _ = await poll_until(source, dict.fromkeys(all_three, 0), is_done)
    assert {record.topic for record in polled} == {denied.readable.topic}
