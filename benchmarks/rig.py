"""What a benchmark runs on: a Kafka and a server of its own, on loopback, and ssebench as the clients.

All of it lives in one temporary folder, on free ports, and ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from streams.local_kafka import LocalKafka, create_topics
from streams.processes import HOST, free_port, last_lines, spawn, terminate

ROOT = Path(__file__).resolve().parent.parent
STREAM = "recentchange"
START_SECONDS = 30.0


class BenchmarkError(Exception):
    """The benchmark cannot be run here; the text says what is missing, or what failed."""


class Rig:
    """A running Kafka, a built ssebench, and servers as they are asked for. Use `rig()`."""

    def __init__(self, folder: Path, kafka: LocalKafka, ssebench: Path) -> None:
        self.folder = folder
        self.bootstrap = kafka.bootstrap
        self._ssebench = ssebench

    async def topic(self, name: str) -> str:
        """A topic with one partition."""
        await create_topics(self.bootstrap, {name: 1})
        return name

    @contextlib.asynccontextmanager
    async def server(self, topic: str) -> AsyncIterator[Server]:
        """A fresh server process, ready, that serves `topic` as the stream "recentchange"."""
        server = Server(self.folder, self.bootstrap, topic)
        try:
            await asyncio.to_thread(server.wait_ready)
            yield server
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}\nThe server's log ends with:\n{last_lines(server.log)}") from None
        finally:
            await asyncio.to_thread(terminate, server.process, 10)

    async def clients(self, server: Server, path: str, **options: object) -> dict[str, Any]:
        """What ssebench reports; `options` are its flags. Raises BenchmarkError."""
        log = self.folder / "ssebench.log"
        flags = [f"-{name.replace('_', '-')}={value}" for name, value in options.items()]
        command = [str(self._ssebench), f"-url={server.url}{path}", f"-pids={server.process.pid}", *flags]
        process = spawn(command, log)
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


class Server:
    """`manage.py serve` in a process of its own."""

    def __init__(self, folder: Path, bootstrap: str, topic: str) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.log = folder / f"server-{port}.log"
        config = folder / f"config-{port}.yaml"
        # JSON is YAML.
        config.write_text(
            json.dumps(
                {
                    "kafka": {"metadata.broker.list": bootstrap},
                    "stream_config_overrides": {STREAM: {"topics": [topic]}},
                }
            )
        )
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("EVENTSTREAMS_", "DJANGO_"))}
        environ |= {"EVENTSTREAMS_CONFIG": str(config), "DJANGO_SECRET_KEY": "for-benchmarks-only"}
        command = [sys.executable, str(ROOT / "manage.py"), "serve", "--host", HOST, "--port", str(port)]
        self.process = spawn(command, self.log, env=environ, cwd=ROOT)

    def wait_ready(self) -> None:
        """Wait until /readyz answers 200. Raises BenchmarkError."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), direct.open(f"{self.url}/readyz", timeout=2):
                return
            time.sleep(0.05)
        raise BenchmarkError(f"The server was not ready after {START_SECONDS:g} s")


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Kafka started, ssebench built; afterwards nothing is left. Raises BenchmarkError, LocalKafkaError."""
    with tempfile.TemporaryDirectory(prefix="eventstreams-bench-") as name:
        folder = Path(name)
        ssebench = build_ssebench(folder)
        kafka = LocalKafka(folder / "kafka")
        try:
            kafka.start()
            yield Rig(folder, kafka, ssebench)
        finally:
            kafka.stop()


def build_ssebench(folder: Path) -> Path:
    """The load generator, built. Raises BenchmarkError."""
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
