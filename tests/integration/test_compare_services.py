"""`manage.py compare_services` with two real servers: it finds how they differ, and nothing else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.integration.kit import Broker, Rec
from tests.support.site import ROOT, Site
from tests.support.site.serving import serving

NAME = "Someone Secret"
PAGE = "Planted"
DOMAIN = "de.wikipedia.org"


def edit(number: int, title: str) -> Rec:
    who = {"user": NAME, "comment": f"by {NAME}"}
    return Rec({"n": number, "title": title, **who, "meta": {"domain": DOMAIN, "stream": "test"}}, key=NAME.encode())


async def compare(a: Site, b: Site, write: Callable[[], Any]) -> tuple[int, dict[str, Any], str]:
    """Compare while `write` writes; the exit status, the report and all that was printed."""
    command = ["manage.py", "compare_services", a.url, b.url, "--stream", "test", "--for", "6s", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--contact",
        "compare@example.org",
        cwd=ROOT,
        env=a.django_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while not all([await asyncio.to_thread(site.metric, "eventstreams_connected_clients") for site in (a, b)]):
            await asyncio.sleep(0.05)
    await write()
    out, err = await process.communicate()
    return process.returncode or 0, json.loads(out), (out + err).decode()


async def test_planted_differences_of_two_servers_are_found_and_nothing_else(
    kafka: Any, make_topic: Callable[..., str], broker: Broker, tmp_path: Path
) -> None:
    shared, lone = make_topic(), make_topic()
    async with AsyncExitStack() as ends:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        a = await ends.enter_async_context(serving(tmp_path / "a", kafka.bootstrap, [shared, lone]))
        b = await ends.enter_async_context(
            serving(tmp_path / "b", kafka.bootstrap, [shared], mediawiki_redacted_pages={DOMAIN: [PAGE]})
        )

        async def plain() -> None:
            await broker.send(shared, *(edit(n, "Another") for n in range(20)))

        status, report, printed = await compare(a, b, plain)
        assert (status, report["equal"]) == (0, True), printed
        assert report["events"] == {"a": 20, "b": 20, "both": 20}
        assert report["b_after_a_ms"] is not None
        assert NAME not in printed

        async def planted() -> None:
            await broker.send(shared, edit(20, "Another"), edit(21, PAGE), edit(22, "Another"))
            await broker.send(lone, edit(23, "Another"))

        status, report, printed = await compare(a, b, planted)
        assert (status, report["equal"]) == (1, False), printed
        found = {key: each["count"] for key, each in report.items() if isinstance(each, dict) and "count" in each}
        assert {key: count for key, count in found.items() if count} == {"only_a": 1, "shapes": 1}
        assert report["only_a"]["first"] == [{"topic": lone, "partition": 0, "offset": 0}]
        assert report["shapes"]["members"] == [
            {"path": "comment", "a": "text", "b": "empty text", "events": 1},
            {"path": "user", "a": "text", "b": "missing", "events": 1},
        ]
        assert NAME not in printed
