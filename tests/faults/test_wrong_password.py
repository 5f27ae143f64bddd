"""A wrong password for Kafka, at the start: the log, `/readyz` and the metrics say so until it is right."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka_jars import LocalKafkaError
from tests.support.client.reading import SSE, Crowd
from tests.support.kafka.secured import USER, Secured, secured_kafka
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

TOPIC = "test.password"
WRONG = "62342108"
REASON = "it rejects sasl.username and sasl.password"


@pytest.fixture
def secured(tmp_path: Path) -> Any:
    try:
        with secured_kafka(tmp_path) as made:
            yield made
    except LocalKafkaError as error:
        if os.environ.get("EVENTSTREAMS_TEST_KAFKA"):
            pytest.skip(f"this test needs its own Kafka: {error}")
        raise


def lines(site: Site) -> list[str]:
    return [line for line in site.log.read_text().splitlines() if "Kafka cannot be reached" in line]


@pytest.mark.slow
async def test_a_wrong_password_is_said_at_once_and_everywhere_until_it_is_right(
    secured: Secured, tmp_path: Path
) -> None:
    await create_topics(secured.kafka.bootstrap, {TOPIC: 1})
    address = secured.address("sasl")
    expected = f"Kafka cannot be reached: {address}: {REASON}"
    for password, is_right in ((WRONG, False), (None, True)):
        kafka = secured.as_user(*([password] if password else []))
        async with serving(tmp_path, address, [TOPIC], ready=is_right, kafka=kafka) as site, Crowd() as crowd:
            if is_right:
                assert site.json("/readyz") == {"status": "ready"}
                assert site.metric("eventstreams_kafka_up") == 1
                await crowd.connect(site.port, PATH, SSE)
                assert lines(site) == []
                continue
            await asyncio.to_thread(site.wait_for, 200, "/healthz")
            async with asyncio.timeout(20):
                while not lines(site):
                    await asyncio.sleep(0.1)
            assert expected in lines(site)[0]
            status, _, body = site.get("/readyz")
            assert status == 503
            assert f"no metadata from Kafka yet: {address}: {REASON}" in body.decode()
            assert site.metric("eventstreams_kafka_up") == 0
            until = time.monotonic() + 5
            while time.monotonic() < until:
                assert site.get("/healthz")[0] == 200
                assert site.get("/readyz")[0] == 503
                await asyncio.sleep(0.2)
            assert len(lines(site)) == 1, "a line each minute, not one for each try"
            for text in (site.log.read_text(), body.decode(), site.get("/metrics")[2].decode()):
                assert WRONG not in text
                assert USER not in text
