"""The longest event that clients read, as docs/clients.md has it, and a client that gives up."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.request
from pathlib import Path

import httpx
import httpx_sse
import pytest
import requests_sse

from streams.local.processes import free_port
from tests.integration.kit import Broker, Feed, Rec
from tests.support.around.chromium import skip
from tests.support.site import ROOT, Site

SIZES = (60_000, 66_000, 120_000, 900_000)
"""Characters of the events' titles; Kafka's own default bounds a message by 1 MB."""
SCANNER = """
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(answer.Body)
	if len(os.Args) > 2 {
		lines.Buffer(nil, 16<<20)
	}
	events := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: {\\"title\\"") {
			events++
		}
	}
	fmt.Println(events, lines.Err())
}
"""
COUNT = """
const { EventSource } = process.argv[3] ? await import(process.argv[3]) : globalThis;
const source = new EventSource(process.argv[2]);
let events = 0;
source.onmessage = () => events++;
source.addEventListener("end", () => {
  source.close();
  console.log(events);
});
"""
STATE = """
const source = new EventSource(process.argv[2]);
const look = setInterval(() => {
  if (source.readyState !== EventSource.CLOSED) return;
  console.log("given up");
  clearInterval(look);
}, 50);
"""


@pytest.fixture
async def url(site: Site, one: Feed, broker: Broker) -> str:
    """Of four events, and an end."""
    await broker.send(one.topic, *(Rec({"title": "x" * size}) for size in SIZES))
    return f"{site.url}{one.path}?since=0&limit={len(SIZES)}"


def node(folder: Path, code: str, *arguments: str) -> str:
    if shutil.which("node") is None:
        skip("needs Node.js")
    program = folder / "program.mjs"
    program.write_text(code)
    command = ["node", "--experimental-eventsource", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


async def test_clients_of_python_read_events_of_any_length_but_asyncio(url: str) -> None:
    def read() -> list[int]:
        with urllib.request.urlopen(url, timeout=20) as answer:
            bare = sum(line.startswith(b'data: {"title"') for line in answer)
        with requests_sse.EventSource(url, timeout=20, max_connect_retry=0) as source:
            by_requests = sum(1 for event, _ in zip(source, SIZES, strict=False) if event.type == "message")
        with httpx.Client(timeout=20) as client, httpx_sse.connect_sse(client, "GET", url) as source:
            by_httpx = sum(1 for event in source.iter_sse() if event.event == "message")
        return [bare, by_requests, by_httpx]

    assert await asyncio.to_thread(read) == [len(SIZES)] * 3
    host, port = httpx.URL(url).host, httpx.URL(url).port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET %s HTTP/1.0\r\n\r\n" % httpx.URL(url).raw_path)
    seen: list[int] = []
    with pytest.raises(ValueError, match="longer than limit"):
        await _to_the_end(reader, seen)
    writer.close()
    assert SIZES[0] < max(seen) < 2**16, "the limit of a StreamReader"


async def _to_the_end(reader: asyncio.StreamReader, seen: list[int]) -> None:
    while line := await reader.readline():
        seen.append(len(line))


@pytest.mark.slow
async def test_the_scanner_of_go_needs_a_larger_buffer(url: str, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        skip("needs Go")
    program = tmp_path / "main.go"
    program.write_text(SCANNER)

    def run(*arguments: str) -> str:
        command = [go, "run", str(program), url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()

    assert await asyncio.to_thread(run) == "1 bufio.Scanner: token too long"
    assert await asyncio.to_thread(run, "buffer") == f"{len(SIZES)} <nil>"


@pytest.mark.slow
@pytest.mark.parametrize("package", ["", "eventsource"])
async def test_an_event_source_of_node_reads_events_of_any_length(url: str, tmp_path: Path, package: str) -> None:
    modules = ROOT / "examples" / "node-eventsource" / "node_modules"
    if package and not (modules / package).is_dir():
        skip("needs the package eventsource: run `make eventsource`, for which npm must be installed")
    where = [str(modules / package / "dist" / "index.js")] if package else []
    assert await asyncio.to_thread(node, tmp_path, COUNT, url, *where) == str(len(SIZES))


@pytest.mark.slow
def test_the_event_source_of_node_20_gives_up_where_nothing_listens(tmp_path: Path) -> None:
    """A later version may well do better: docs/clients.md says which one does not."""
    version = subprocess.run(["node", "-p", "process.versions.undici"], capture_output=True, text=True).stdout
    if not version.startswith("6."):
        pytest.skip(f"Node.js has undici {version}, and the document is about 6")
    assert node(tmp_path, STATE, f"http://127.0.0.1:{free_port()}/") == "given up"
