"""Real clients with `compress=auto`: each shows every event when it comes, and the end of a stream is no error."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kit import Broker, Rec
from tests.support.client.examples import Example, Program, examples
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

SECONDS = 30.0
LONG, LONG_ONE = 35_000, 6
"""One event has 900 kB: docs/clients.md says which clients read events of any length."""
CURL = """
exec 3< <(exec curl -sSN --compressed "$0")
while IFS= read -r line <&3; do case $line in data:*) echo "${line#data: }";; esac; done
"""
FETCH = """
const response = await fetch(process.argv[1]);
let text = "";
for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
  text += piece;
  const lines = text.split("\\n");
  text = lines.pop();
  for (const line of lines) if (line.startsWith("data: ")) console.log(line.slice(6));
}
"""
GO = """
package main

import ("bufio"; "fmt"; "net/http"; "os"; "strings")

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil { panic(err) }
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if data, found := strings.CutPrefix(lines.Text(), "data: "); found { fmt.Println(data) }
	}
	if lines.Err() != nil { panic(lines.Err()) }
}
"""
URLLIB3 = """
import sys, urllib3
response = urllib3.PoolManager().request(
    "GET", sys.argv[1], headers={"Accept-Encoding": "gzip, zstd"}, preload_content=False
)
rest = b""
for piece in response.stream(decode_content=True):
    *lines, rest = (rest + piece).split(b"\\n")
    for line in lines:
        if line.startswith(b"data: "):
            print(line[6:].decode(), flush=True)
"""
CLIENTS = {
    "curl --compressed": ("zstd", "gzip"),
    "fetch of Node": ("gzip", "zstd"),
    "Go": ("gzip",),
    "urllib3": ("zstd",),
    "eventsource of Node": ("gzip", "zstd"),
    "requests-sse": ("zstd",),
    "httpx-sse": ("gzip", "zstd"),
    "Pywikibot": ("zstd",),
    "EventSource of Chromium": ("zstd", "gzip"),
    "curl": (None,),  # the example does without
}
"""With what each may be answered: what its version here can, and a later one."""


def own_programs(folder: Path) -> dict[str, tuple[str, ...]]:
    """Clients that are no example, those that can be run here."""
    found: dict[str, tuple[str, ...]] = {"urllib3": (sys.executable, "-c", URLLIB3)}
    if shutil.which("curl"):
        found["curl --compressed"] = ("bash", "-c", CURL)
    if shutil.which("node"):
        found["fetch of Node"] = ("node", "--input-type=module", "-e", FETCH)
    if shutil.which("go"):
        (folder / "main.go").write_text(GO)
        subprocess.run(["go", "build", "-o", str(folder / "client"), str(folder / "main.go")], check=True, cwd=folder)
        found["Go"] = (str(folder / "client"),)
    return found


def sent(site: Site) -> dict[str, float]:
    """Compressed bytes so far, by coding."""
    text = site.metrics_text()
    return {
        coding: float(value)
        for coding, value in re.findall(
            r'^eventstreams_compression_out_bytes_total\{coding="(\w+)"\} (\S+)$', text, re.M
        )
    }


@pytest.mark.slow
async def test_every_client_shows_each_event_when_it_comes(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic, broker = make_topic(), Broker(kafka.bootstrap)
    got: dict[str, str | None] = {}
    async with (
        serving(tmp_path, kafka.bootstrap, [topic], keepalive_seconds=0) as site,
        examples(site.url + PATH, tmp_path, "&compress=auto") as clients,
    ):
        url = f"{site.url}{PATH}?compress=auto"
        for name, command in own_programs(tmp_path).items():
            clients[name] = Program(command, url, tmp_path / name.replace(" ", "-"))
        try:
            for number, (name, client) in enumerate(clients.items()):
                before = sent(site)
                await client.start()
                await connected(site, number + 1)
                more = [coding for coding, nbytes in sent(site).items() if nbytes > before[coding]]
                got[name] = more[0] if more else None
            assert all(coding in CLIENTS[name] for name, coding in got.items()), got
            for n in range(12):
                value = {
                    "n": n,
                    "title": f"Event {n}",
                    "meta": {"domain": "x.example.org"},
                    "comment": "one of many that are alike" * (LONG if n == LONG_ONE else n % 3),
                }
                await broker.send(topic, Rec(value))
                await asyncio.gather(*(shown(name, client, n) for name, client in clients.items()))
        finally:
            await asyncio.gather(*(client.stop() for client in clients.values()))


async def connected(site: Site, number: int) -> None:
    async with asyncio.timeout(SECONDS):
        while site.metric("eventstreams_connected_clients") < number:
            await asyncio.sleep(0.05)


async def shown(name: str, client: Example, n: int) -> None:
    """It has shown all events up to that one, without waiting for the next."""
    try:
        async with asyncio.timeout(SECONDS):
            while await client.numbers() != list(range(n + 1)):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError((name, n, await client.numbers(), await client.said())) from None
