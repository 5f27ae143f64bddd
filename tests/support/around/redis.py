"""A real Redis for the tests that need one: Debian's package, on a free port, with nothing on the disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from streams.local.processes import HOST, free_port, last_lines, spawn, terminate
from tests.support.around.chromium import skip

WANTED = "needs Redis: install it with `make packages`, then run `make test` again"
START_SECONDS = 20.0


class RedisServer:
    """One server."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.client = Redis(port=self.port, decode_responses=True)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = shutil.which("redis-server")
        if program is None:
            skip(WANTED)
        log = self._folder / f"redis-{self.port}.log"
        command = [program, "--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        self._process = spawn(command, log, cwd=self._folder)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.ping()
                return
            except RedisError:
                if time.monotonic() > deadline:
                    raise AssertionError(f"Redis does not start:\n{last_lines(log)}") from None
                time.sleep(0.02)

    def pause(self) -> None:
        """It accepts, and never answers (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it; what it held is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            terminate(self._process, 5)
            self._process = None

    def counts(self) -> dict[str, int]:
        """Connections by client address, over all hosts."""
        found: dict[str, int] = {}
        for host in self.client.smembers("{eventstreams}:hosts"):  # type: ignore[union-attr]
            for ip, count in self.client.hgetall(host).items():  # type: ignore[union-attr]
                found[ip] = found.get(ip, 0) + int(count)
        found.pop("", None)
        return found
