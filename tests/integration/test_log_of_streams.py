"""The log of a supervised server, as JSON: who wrote a line, and the line of a stream that ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.local.processes import free_port
from tests.integration.kit import T0, Broker, Rec
from tests.support.client import StreamClient
from tests.support.site import SERVE, Site
from tests.support.site.supervised import Ops

QUERY = "?limit=3&user=A_secret_name&canary=true"


async def test_each_line_is_json_with_its_process_and_a_stream_that_ends_has_one(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic()
    await Broker(kafka.bootstrap).send(topic, *(Rec({"n": n}, T0 + n) for n in range(3)))
    port = free_port()
    command = (*SERVE, "--workers", "2", "--ops-port", str(port))
    site = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}}, command=command, log_format="json")
    try:
        await asyncio.to_thread(site.start)
        await Ops(port).all_workers_are_up(2)
        left = await StreamClient.connect(site.port, f"/v2/stream/test{QUERY}")
        assert left.status == 200
        await left.close()
        complete = await StreamClient.connect(site.port, f"/v2/stream/test?since={T0}&limit=2")
        assert len([event async for event in complete.events() if event.event == "message"]) == 2
        await complete.close()
        refused = await StreamClient.connect(site.port, "/v2/stream/absent")
        assert refused.status == 404
        await refused.close()
        async with asyncio.timeout(30):
            while site.log.read_text().count("A stream ended") < 2:
                await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(site.close)
    text = site.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line.get("worker") for line in lines} >= {"0", "1", "supervisor"}
    assert all(isinstance(line["pid"], int) for line in lines)
    ended = [line for line in lines if line["event"] == "A stream ended"]
    facts = sorted((line["reason"], line["filter"], line["events"]) for line in ended)
    assert facts == [("client", "user", 0), ("end", "", 2)]
    assert {line["address"] for line in ended} == {"127.0.0.0/24"}
    assert max(line["bytes"] for line in ended) > 100
    assert "A_secret_name" not in text
    assert "absent" not in text
    assert not [line for line in lines if line["level"] == "error"]
