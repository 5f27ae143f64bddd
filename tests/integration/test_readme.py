"""The README's Python example, run unchanged."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.support.site.serving import serving

README = Path(__file__).resolve().parents[2] / "README.md"
URL = "http://127.0.0.1:8092"


async def test_the_python_example_prints_events_and_loses_none_when_the_server_restarts(
    tmp_path: Path, kafka: Any, topic: str
) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code) == 1
    assert URL in code[0]
    assert "time.sleep(5)" in code[0]
    async with (
        serving(tmp_path, kafka.bootstrap, {"recentchange": [topic]}, drain_seconds=0.1) as site,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer,
    ):
        example = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code[0].replace(URL, site.url).replace("sleep(5)", "sleep(0.2)"), stdout=PIPE
        )
        assert example.stdout is not None
        try:
            async with asyncio.timeout(60):
                while site.metric("eventstreams_connected_clients") < 1:
                    await asyncio.sleep(0.05)
                await producer.send_and_wait(topic, _change("First"))
                assert await example.stdout.readline() == b"testwiki First\n"
                await asyncio.to_thread(site.stop)
                await producer.send_and_wait(topic, _change("Second"))
                await asyncio.to_thread(site.start)
                while (line := await example.stdout.readline()).startswith((b"reconnecting", b"ended by the server:")):
                    pass
                assert line == b"testwiki Second\n"
        finally:
            example.kill()
            await example.communicate()


def _change(title: str) -> bytes:
    return json.dumps({"wiki": "testwiki", "title": title, "meta": {"domain": "test"}, "at": time.time()}).encode()
