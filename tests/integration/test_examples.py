"""The programs in examples/: none of them misses or repeats an event, whatever happens to the server and to itself.

They all run at once, through one story (`_story`), since most of it is waiting for them to return.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.around.chromium import skip
from tests.support.client.examples import COMMANDS, NAMES, SECONDS, Example, Program, examples, is_missing
from tests.support.kafka.writing import meanwhile
from tests.support.site import Site
from tests.support.site.serving import serving

CLIENTS = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
AT_FIRST, IN_TROUBLE, WHILE_AWAY, AT_LAST = range(0, 10), range(10, 90), range(90, 95), range(95, 100)
"""The numbers of the events."""
ADVICE = "Have a cup of tea"
DRAINING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
    b':ok\n\nretry: 200\nevent: error\ndata: {"status":503,"type":"draining","title":"%s"}\n\n' % ADVICE.encode()
)
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Connection: close\r\n\r\n"
)


class Outcome(NamedTuple):
    """`refused`: how it ended, and what it said, where it asked for a stream that does not exist."""

    numbers: list[int]
    said: str
    refused: tuple[int, str] | None


@pytest.fixture(scope="module")
def outcomes(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """By name of the example."""
    return asyncio.run(_story(kafka.bootstrap, tmp_path_factory.mktemp("examples")))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    wanted = is_missing(request.param)
    if wanted is not None:
        skip(wanted)
    return str(request.param)


@pytest.mark.slow
def test_an_example_has_every_event_once_though_the_server_crashes_and_it_is_itself_started_again(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    assert outcomes[name].numbers == list(range(AT_LAST.stop))


@pytest.mark.slow
def test_an_example_tells_its_user_what_the_server_says(name: str, outcomes: dict[str, Outcome]) -> None:
    assert ADVICE in outcomes[name].said


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS, indirect=True)
def test_an_example_that_asks_for_a_stream_that_does_not_exist_says_so_and_ends(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    refused = outcomes[name].refused
    assert refused is not None
    assert refused[0] == 1
    assert "404" in refused[1]


def test_a_bot_that_names_streams_is_led_to_another_server_by_the_line_of_the_document(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", CLIENTS.read_text(), re.DOTALL)
    bot = """
import pywikibot
from pywikibot.comms.eventstreams import EventStreams

site = pywikibot.Site("test", "wikipedia", interface=pywikibot.site.BaseSite)  # the usual one would ask the wiki
print(EventStreams(streams=["recentchange", "page_change"], since="20260101000000", site=site).url)
"""
    environment = {**os.environ, "PYWIKIBOT_NO_USER_CONFIG": "2"}
    command = [sys.executable, "-c", code + bot]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    expected = "http://127.0.0.1:8092/v2/stream/recentchange,page_change?since=2026-01-01T00:00:00Z\n"
    assert done.stdout == expected, done.stderr


async def _story(bootstrap: str, folder: Path) -> dict[str, Outcome]:
    topic = f"examples.{uuid.uuid4().hex}"
    await create_topics(bootstrap, {topic: 1}, KEEP)
    broker = Broker(bootstrap)
    async with (
        serving(folder, bootstrap, {"test": [topic]}, drain_seconds=0.1) as site,
        examples(f"{site.url}/v2/stream/test", folder) as running,
    ):
        lost = [Program(name, f"{site.url}/v2/stream/lost", folder / f"lost {name}") for name in COMMANDS]
        await _start(running, site)
        await broker.send(topic, _canary(), *map(_event, AT_FIRST))
        await _until_all_have(running, AT_FIRST.stop)

        async with meanwhile(_write(broker, topic)):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(site.stop, signal.SIGKILL)
            async with _in_its_place(site.port) as answered:
                await _until(lambda: _are(all(answered.get(place, 0) > 1 for place in _places(running))), answered)
            await asyncio.to_thread(site.start)
        await _until_all_have(running, IN_TROUBLE.stop)

        offset = 1 + IN_TROUBLE.stop  # the canary is the first
        await _until(lambda: _are(all(example.has_kept(offset) for example in running.values())), "ids that are kept")
        await asyncio.gather(*(example.stop() for example in running.values()))
        await broker.send(topic, *map(_event, WHILE_AWAY))
        await asyncio.gather(*(program.start() for program in lost))
        await _start(running, site)
        await _until_all_have(running, WHILE_AWAY.stop)
        await broker.send(topic, *map(_event, AT_LAST), _canary())
        await _until_all_have(running, AT_LAST.stop)
        refused = {
            name: (await program.ends(), await program.said()) for name, program in zip(COMMANDS, lost, strict=True)
        }
        return {
            name: Outcome(await example.numbers(), await example.said(), refused.get(name))
            for name, example in running.items()
        }


async def _start(running: dict[str, Example], site: Site) -> None:
    await asyncio.gather(*(example.start() for example in running.values()))
    await _until(lambda: _are(site.metric("eventstreams_connected_clients") >= len(running)), "that all have connected")


async def _write(broker: Broker, topic: str) -> None:
    for start in range(IN_TROUBLE.start, IN_TROUBLE.stop, 5):
        await broker.send(topic, *map(_event, range(start, start + 5)))
        await asyncio.sleep(0.1)


async def _until_all_have(running: dict[str, Example], count: int) -> None:
    async def they_have() -> bool:
        return all([len(await example.numbers()) >= count for example in running.values()])

    try:
        await _until(they_have, f"{count} events")
    except TimeoutError:
        told = [f"{name}: {await each.numbers()}\n{await each.said()}" for name, each in running.items()]
        raise AssertionError("\n".join(told)) from None


async def _until(condition: Callable[[], Awaitable[bool]], wanted: object) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            while not await condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"waited in vain: {wanted}") from None


async def _are(condition: bool) -> bool:
    return condition


@asynccontextmanager
async def _in_its_place(port: int) -> AsyncIterator[dict[str, int]]:
    """What clients meet while a server starts: one that drains (its wait here is short), then a proxy's 503.

    By place of the example: how many answers it has had.
    """
    answered: dict[str, int] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"client=(\d+)", head)
        assert found, head
        place = found[1].decode()
        writer.write(UNAVAILABLE if answered.get(place) else DRAINING)
        await writer.drain()
        writer.close()
        answered[place] = answered.get(place, 0) + 1

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield answered


def _places(running: dict[str, Example]) -> list[str]:
    return [str(NAMES.index(name)) for name in running]


def _event(number: int) -> Rec:
    return Rec({"meta": {"domain": "test.example"}, "title": f"Event {number}", "n": number})


def _canary() -> Rec:
    return Rec({"meta": {"domain": "canary"}, "title": "Event -1", "n": -1})
