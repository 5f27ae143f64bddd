"""What a benchmark runs on: its own Kafka and servers, on loopback, and ssebench as the clients.

All of it lives in one temporary folder, on free ports, and ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka import LocalKafka
from streams.local.processes import HOST, free_port, last_lines, spawn, terminate

ROOT = Path(__file__).resolve().parent.parent
STREAM = "recentchange"
START_SECONDS = 30.0
MANAGE = (sys.executable, str(ROOT / "manage.py"))

AnyService = TypeVar("AnyService", bound="Service")

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BenchmarkError(Exception):
    """The benchmark cannot be run here; the text says what is missing, or what failed."""


def stream_path(*names: str, query: str = "") -> str:
    """Return the path of streams that are joined, at a server of ours."""
    return f"/v2/stream/{','.join(names)}{query}"


class Service:
    """A process that answers HTTP on its own port."""

    def __init__(self, command: Sequence[str], log: Path, port: int, environ: Mapping[str, str] = os.environ) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.log = log
        self.process = spawn(command, log, env=environ, cwd=ROOT)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def wait_ready(self, path: str) -> None:
        """Wait until it answers 200 there. Raises BenchmarkError."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.get(path)
                return
            time.sleep(0.05)
        raise BenchmarkError(f"The server was not ready after {START_SECONDS:g} s")

    def get(self, path: str) -> str:
        """Return the body of the answer. Raises OSError, which includes a status that is an error."""
        with _direct.open(self.url + path, timeout=10) as answer:
            text: str = answer.read().decode()
        return text


class Server(Service):
    """`manage.py serve` in its own process."""

    def stream(self, query: str = "") -> str:
        """Return the URL of the stream "recentchange"."""
        return self.url + stream_path(STREAM, query=query)

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        for line in self.get("/metrics").splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise BenchmarkError(f"/metrics has no {name}")


class Rig:
    """A running Kafka, a built ssebench, and servers as they are asked for. Use `rig()`."""

    def __init__(self, folder: Path, kafka: LocalKafka, ssebench: Path) -> None:
        self.folder = folder
        self.bootstrap = kafka.bootstrap
        self.shared: dict[str, str] = {}
        """Topics that several rows read, by what they are."""
        self._ssebench = ssebench

    async def topics(self, count: int = 1, prefix: str = "live") -> list[str]:
        """Make new topics with one partition each."""
        names = [f"{prefix}-{number}-{os.urandom(4).hex()}" for number in range(count)]
        await create_topics(self.bootstrap, dict.fromkeys(names, 1))
        return names

    def file(self, name: str) -> Path:
        """Return a path in the temporary folder that nothing has used before."""
        return self.folder / f"{os.urandom(4).hex()}-{name}"

    @contextlib.asynccontextmanager
    async def server(
        self, streams: Mapping[str, str], *, workers: int = 1, port: int | None = None, **settings: object
    ) -> AsyncIterator[Server]:
        """Run a fresh server, ready, that serves the streams, name to topic; `settings`: more configuration."""
        port = port or free_port()
        config = self.file("config.yaml")
        described = {name: {"topics": [topic]} for name, topic in streams.items()}
        kafka = {"metadata.broker.list": self.bootstrap}
        # JSON is YAML.
        config.write_text(json.dumps({"kafka": kafka, "stream_config_overrides": described, **settings}))
        command = [*MANAGE, "serve", "--host", HOST, "--port", str(port)]
        if workers > 1:
            command.append(f"--workers={workers}")
        environ = {**environment(self.folder), "EVENTSTREAMS_CONFIG": str(config)}
        async with running(Server(command, self.file("server.log"), port, environ), "/readyz") as server:
            yield server

    async def warm_up(self, url: str, pid: int) -> None:
        """Connect once: the first client of a server costs more."""
        await self.load(url, pid, n=1, warm="200ms", window="200ms")

    @contextlib.asynccontextmanager
    async def floor(self, rate: float, size: float, together: float) -> AsyncIterator[Service]:
        """Run the least that a server can do: events of `size` bytes to all sockets, `together` in a write."""
        port = free_port()
        flags = [f"-listen={HOST}:{port}", f"-rate={rate}", f"-size={size:.0f}", f"-together={together}"]
        service = Service([str(self._ssebench), "-mode=floor", *flags], self.file("floor.log"), port)
        try:
            await asyncio.to_thread(_listens, service)
            yield service
        finally:
            await asyncio.to_thread(terminate, service.process, 10)

    async def load(self, url: str, pid: int, paths: Sequence[str] = (), **options: object) -> dict[str, Any]:
        """Return what ssebench reports of its clients at `url`, or at the paths in turn; `options` are its flags.

        Raises BenchmarkError.
        """
        log = self.file("ssebench.log")
        if paths:
            listed = self.file("paths")
            listed.write_text("\n".join(paths))
            options["paths"] = listed
        flags = [f"-{name.replace('_', '-')}={value}" for name, value in options.items()]
        process = spawn([str(self._ssebench), f"-url={url}", f"-pids={pid}", *flags], log)
        try:
            while process.poll() is None:  # not in a thread: that could not be cancelled
                await asyncio.sleep(0.05)
        finally:
            terminate(process, 1)
        try:
            report: dict[str, Any] = json.loads(log.read_text())
        except ValueError:
            raise BenchmarkError(f"ssebench ended with {process.returncode}:\n{last_lines(log)}") from None
        return report


def _listens(service: Service) -> None:
    """Wait until it accepts connections. Raises BenchmarkError."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, service.port), 1):
            return
        time.sleep(0.05)
    raise BenchmarkError(f"{last_lines(service.log)}\nThe floor does not listen")


@contextlib.asynccontextmanager
async def running(service: AnyService, ready: str) -> AsyncIterator[AnyService]:
    """Run a service until the context ends, ready once it answers 200 at the path `ready`. Raises BenchmarkError."""
    try:
        await asyncio.to_thread(service.wait_ready, ready)
        yield service
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}\nThe server's log ends with:\n{last_lines(service.log)}") from None
    finally:
        await asyncio.to_thread(terminate, service.process, 10)


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Start Kafka and build ssebench; afterwards nothing is left. Raises BenchmarkError, LocalKafkaError."""
    with tempfile.TemporaryDirectory(prefix="eventstreams-bench-") as name:
        folder = Path(name)
        ssebench = build_ssebench(folder)
        make_database(folder)
        kafka = LocalKafka(folder / "kafka")
        try:
            kafka.start()
            yield Rig(folder, kafka, ssebench)
        finally:
            kafka.stop()


def environment(folder: Path) -> dict[str, str]:
    """Return what `manage.py` runs in: nothing of the surroundings, a database in the folder."""
    ours = ("EVENTSTREAMS_", "DJANGO_")
    own = {"DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}", "DJANGO_SECRET_KEY": "for-benchmarks-only"}
    return {name: text for name, text in os.environ.items() if not name.startswith(ours)} | own


def make_database(folder: Path) -> None:
    """Make the database that all servers read. Raises BenchmarkError."""
    command = [*MANAGE, "migrate", "--noinput"]
    made = subprocess.run(command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise BenchmarkError(f"The database could not be made:\n{made.stderr.strip()}")


def build_ssebench(folder: Path) -> Path:
    """Build the load generator. Raises BenchmarkError."""
    go = shutil.which("go")
    if go is None:
        raise BenchmarkError(
            "The benchmarks need Go (1.22 or newer) to build their load generator, and there is no `go` on the PATH. "
            "Install it (https://go.dev/dl/, or Debian's package golang-go) and run this again."
        )
    binary = folder / "ssebench"
    built = subprocess.run(
        [go, "build", "-o", str(binary), "."],
        cwd=ROOT / "benchmarks" / "ssebench",
        env={**os.environ, "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise BenchmarkError(f"Go could not build benchmarks/ssebench:\n{built.stderr.strip()}")
    return binary
