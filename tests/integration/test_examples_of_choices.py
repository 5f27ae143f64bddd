"""The programs in examples/ that choose events, and what all of them make of an end and of checkpoints."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.around.chromium import skip
from tests.support.client.examples import COMMANDS, EXAMPLES, SECONDS, Program, examples, is_missing
from tests.support.site import Site
from tests.support.site.serving import serving

HOUR_MS = 3_600_000
START = 1_600_002_000_000 // HOUR_MS * HOUR_MS


def change(n: int, wiki: str = "enwiki", kind: str = "new", **more: Any) -> dict[str, Any]:
    meta = {"domain": "test.example"}
    return {"meta": meta, "n": n, "title": f"Event {n}", "wiki": wiki, "type": kind, "namespace": 0, **more}


@pytest.fixture
async def topic(kafka: Any) -> str:
    name = f"examples.{uuid.uuid4().hex}"
    await create_topics(kafka.bootstrap, {name: 2}, KEEP)
    return name


@pytest.fixture
async def site(kafka: Any, topic: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(tmp_path, kafka.bootstrap, {"test": [topic]}, drain_seconds=0.1) as site:
        yield site


async def started(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=PIPE)


async def test_one_hour_is_downloaded_whole_and_then_the_program_ends(site: Site, topic: str, kafka: Any) -> None:
    inside = [START, START + 1, START + HOUR_MS // 2, START + HOUR_MS - 1]
    broker = Broker(kafka.bootstrap)
    await broker.send(topic, Rec(change(-1), START - 1), *(Rec(change(n), ms) for n, ms in enumerate(inside)))
    await broker.send(topic, Rec({**change(-2), "meta": {"domain": "canary"}}, START + 5))
    await broker.send(topic, Rec(change(4), START + 7, 1), Rec(change(-3), START + HOUR_MS), Rec(change(-4)))
    for hour in ("2020-09-13T13:00Z", "2020-09-13T15:00:00+02:00"):
        program = await started(str(EXAMPLES / "one_hour.py"), hour, f"{site.url}/v2/stream/test")
        out, err = await asyncio.wait_for(program.communicate(), SECONDS)
        assert program.returncode == 0, err
        assert sorted(json.loads(line)["n"] for line in out.splitlines()) == [0, 1, 2, 3, 4]
        assert b"5 events" in err


async def test_one_hour_says_why_it_cannot(site: Site) -> None:
    program = await started(str(EXAMPLES / "one_hour.py"), "2020-09-13T12:00Z", f"{site.url}/v2/stream/lost")
    _, err = await asyncio.wait_for(program.communicate(), SECONDS)
    assert (program.returncode, b"Invalid streams: lost" in err) == (1, True)


async def test_new_pages_are_those_of_one_wiki_and_a_restart_resumes(
    site: Site, topic: str, kafka: Any, tmp_path: Path
) -> None:
    broker = Broker(kafka.bootstrap)
    others = [change(-1, "dewiki"), change(-2, kind="edit"), change(-3, namespace=1)]
    kept = tmp_path / "id"
    command = [str(EXAMPLES / "new_pages.py"), "enwiki", f"{site.url}/v2/stream/test", str(kept)]
    titles: list[str] = []
    for first in (0, 2):
        program = await started(*command)
        assert program.stdout is not None
        if not first:
            async with asyncio.timeout(SECONDS):
                while not site.metric("eventstreams_connected_clients"):
                    await asyncio.sleep(0.05)
        await broker.send(topic, *map(Rec, others), Rec(change(first)), Rec(change(first + 1), partition=1))
        async with asyncio.timeout(SECONDS):
            while len(titles) < first + 2:
                titles.append((await program.stdout.readline()).decode().strip())
            # It prints before it keeps the id, so that of the second event may come a moment later.
            places = [f':{first * 2 + 4}"', f':{first // 2 + 1}"']
            while not kept.exists() or not all(place in kept.read_text() for place in places):
                await asyncio.sleep(0.05)
        program.kill()
        await program.wait()
    assert sorted(titles) == [f"Event {n}" for n in range(4)]


@pytest.mark.slow
async def test_every_example_ends_where_its_stream_does_and_ignores_checkpoints(
    site: Site, topic: str, kafka: Any, tmp_path: Path
) -> None:
    """A checkpoint within the first seconds; then the end; and 204 for one that is started again."""
    broker = Broker(kafka.bootstrap)
    await broker.send(topic, *(Rec(change(n), START + n) for n in range(3)), Rec(b"no event", START + 3))
    await broker.send(topic, Rec(change(9), START + HOUR_MS))
    names = [name for name in COMMANDS if is_missing(name) is None]
    query = f"since={START}&until={START + HOUR_MS}&checkpoint=5"
    programs = [Program(name, f"{site.url}/v2/stream/test?{query}", tmp_path / name) for name in names]
    for _ in range(2):  # the second time, with the id of the end
        await asyncio.gather(*(program.start() for program in programs))
        statuses = await asyncio.gather(*(program.ends() for program in programs))
        assert dict(zip(names, statuses, strict=True)) == dict.fromkeys(names, 0)
        for program in programs:
            assert await program.numbers() == [0, 1, 2], await program.said()


@pytest.mark.slow
async def test_a_checkpoint_moves_the_id_of_an_example_and_is_not_shown(
    site: Site, topic: str, kafka: Any, tmp_path: Path
) -> None:
    broker = Broker(kafka.bootstrap)
    names = [name for name in ("curl", "requests-sse", "httpx-sse") if is_missing(name) is None]
    url = f"{site.url}/v2/stream/test?wiki=enwiki&checkpoint=5"
    programs = [Program(name, url, tmp_path / name) for name in names]
    await asyncio.gather(*(program.start() for program in programs))
    async with asyncio.timeout(SECONDS):
        while site.metric("eventstreams_connected_clients") < len(programs):
            await asyncio.sleep(0.05)
        await broker.send(topic, Rec(change(0, "dewiki")), Rec(change(1, "dewiki")))
        while not all(program.has_kept(2) for program in programs):
            await asyncio.sleep(0.1)
        await broker.send(topic, Rec(change(2)))
        while not all([await program.numbers() == [2] for program in programs]):
            await asyncio.sleep(0.1)
    await asyncio.gather(*(program.stop() for program in programs))


@pytest.mark.slow
async def test_the_event_source_of_a_browser_stops_at_204_by_itself(
    site: Site, topic: str, kafka: Any, tmp_path: Path
) -> None:
    """A bare one, that does nothing at `end`: it reconnects with the id of the end, and that is the last time."""
    wanted = is_missing("EventSource of Chromium")
    if wanted is not None:
        skip(wanted)
    await Broker(kafka.bootstrap).send(topic, *(Rec(change(n), START + n) for n in range(3)))
    async with examples(site.url, tmp_path) as running:
        page = running["EventSource of Chromium"]._page  # type: ignore[attr-defined]
        await page.goto(f"{site.url}/v2/stream/lost")
        states = await page.evaluate(
            """url => new Promise(resolve => {
                const source = new EventSource(url), seen = [];
                for (const kind of ["message", "checkpoint", "end", "open", "error"])
                    source.addEventListener(kind, () => {
                        seen.push(kind);
                        if (source.readyState === EventSource.CLOSED) setTimeout(() => resolve(seen), 5000);
                    });
            })""",
            f"{site.url}/v2/stream/test?since={START}&until={START + HOUR_MS}",
        )
    assert states == ["open", *["message"] * 3, "end", "error", "error"]
