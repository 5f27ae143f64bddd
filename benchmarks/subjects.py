"""What is put under load: our server, or a peer; each with a way to publish the same events to it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from benchmarks.events import Send, to_kafka
from benchmarks.rig import ROOT, STREAM, Rig, Service, running
from streams.local.processes import HOST, free_port

NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"

_NGINX = """\
load_module {module};
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address} backlog=4096;
    keepalive_requests 1000000;
    location = /ready {{ return 200; }}
    location = /publish {{ nchan_publisher; nchan_channel_id events; nchan_message_buffer_length 100; }}
    location = /stream {{
      nchan_subscriber eventsource; nchan_channel_id events; nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
"""One worker, as there is one process of ours; messages come as fast as nchan can send them, from its memory."""


class Subject(NamedTuple):
    """A server, ready: the URL of its stream, its process, and what publishes to that stream."""

    url: str
    pid: int
    send: Send


@contextlib.asynccontextmanager
async def ours(rig: Rig) -> AsyncIterator[Subject]:
    """Run our server, with events from Kafka."""
    topics = await rig.topics()
    async with rig.server({STREAM: topics[0]}) as server, to_kafka(rig.bootstrap, topics) as send:
        yield Subject(server.stream(), server.pid, send)


@contextlib.asynccontextmanager
async def nchan(rig: Rig) -> AsyncIterator[Subject]:
    """Run nginx with nchan, of one worker; events are posted to it over one connection."""
    port, folder = free_port(), rig.file("nginx")
    folder.mkdir()
    config = folder / "nginx.conf"
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    config.write_text(_NGINX.format(module=NCHAN_MODULE, user=user, folder=folder, address=f"{HOST}:{port}"))
    command = [
        shutil.which("nginx") or "nginx",
        "-c",
        str(config),
        "-e",
        str(folder / "error.log"),
        "-g",
        "daemon off;",
    ]
    async with running(Service(command, folder / "nginx.log", port), "/ready") as server, posting(port) as send:
        yield Subject(f"{server.url}/stream", server.pid, send)


@contextlib.asynccontextmanager
async def django_eventstream(rig: Rig) -> AsyncIterator[Subject]:
    """Run django-eventstream on Daphne, of one process; events are posted to a view of it, which sends them on."""
    port = free_port()
    command = [str(PEERS_PYTHON), "-m", "daphne", "-b", HOST, "-p", str(port), "benchmarks.peer_site:application"]
    async with running(Service(command, rig.file("daphne.log"), port), "/ready") as server, posting(port) as send:
        yield Subject(f"{server.url}/stream", server.pid, send)


@contextlib.asynccontextmanager
async def posting(port: int) -> AsyncIterator[Send]:
    """Yield what publishes by POST /publish, over one connection; a slow peer does not slow the events down."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answered = asyncio.ensure_future(_take_answers(reader))

    async def send(_sequence: int, event: bytes) -> None:
        if answered.done():
            answered.result()
        writer.write(b"POST /publish HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (HOST.encode(), len(event)))
        writer.write(event)

    try:
        yield send
    finally:
        writer.close()
        answered.cancel()
        await asyncio.gather(answered, return_exceptions=True)


async def _take_answers(reader: asyncio.StreamReader) -> None:
    """Raises OSError for a status that is an error, and when the peer closes the connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 2"):
                raise OSError(f"The peer answered {head[:40]!r}")
            _, _, length = head.partition(b"content-length:")
            await reader.readexactly(int(length.split(b"\r\n")[0] or 0))
    except asyncio.IncompleteReadError:
        raise OSError("The peer closed the connection of the publisher") from None


Serving = Callable[[Rig], AbstractAsyncContextManager[Subject]]


class Peer(NamedTuple):
    """Another server that is measured beside ours."""

    serving: Serving
    installed: Path
    """The file that shows that it is (`make peers`)."""
    most: float
    """Deliveries per second that it is asked for: with many more than it can make, the machine does nothing else."""


PEERS = {
    "nchan": Peer(nchan, NCHAN_MODULE, float("inf")),
    "django-eventstream": Peer(django_eventstream, PEERS_PYTHON, 15_000),
}


def installed_peers() -> list[str]:
    """Return the peers that can run here."""
    return [name for name, peer in PEERS.items() if peer.installed.exists()]


def peer_versions() -> list[str]:
    """Return the versions of the peers that are installed, with their names."""
    said = []
    if NCHAN_MODULE.exists():
        query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", "nginx", "libnginx-mod-nchan"]
        said += subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    if PEERS_PYTHON.exists():
        listing = subprocess.run(
            [str(PEERS_PYTHON), "-m", "pip", "freeze"], capture_output=True, text=True, check=False
        ).stdout.splitlines()
        said += [line.replace("==", " ") for line in listing if line.startswith("django-eventstream==")]
    return said
