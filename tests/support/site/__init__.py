"""The service as it is deployed: `manage.py serve` in its own process, with a free port and a database."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streams.local.processes import free_port

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60.0
SERVE = ("manage.py", "serve", "--skip-checks")
"""Without Django's checks, which are of the code: `tests/unit/test_migrations.py` runs them once."""


class Site:
    """One server process. `streams` is stream name → its configuration (`topics`, `stream_aliases` …).

    `command` is what Python is to run; it is also given `--port`. `database` is an SQLite file, to be shared with
    another process, or the URL of another database; without it the process has an SQLite file to itself.
    """

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        streams: Mapping[str, Mapping[str, Any]],
        *,
        command: Sequence[str] = SERVE,
        database: Path | str | None = None,
        **settings: Any,
    ) -> None:
        self._command = command
        self.port = free_port()
        self.log = folder / f"server-{self.port}.log"
        self._config = folder / f"config-{self.port}.yaml"
        catalogue = folder / f"streams-{self.port}.yaml"
        catalogue.write_text(yaml.safe_dump(dict(streams)))
        defaults = {"kafka": {"metadata.broker.list": bootstrap}, "log_format": "text"}
        settings = {**defaults, "stream_config_uri": str(catalogue), **settings}
        self._config.write_text(yaml.safe_dump(settings, allow_unicode=True))
        if database is None:
            database = folder / f"database-{self.port}.sqlite3"
            shutil.copy(migrated_database(), database)
        self.database = database
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def django_env(self) -> dict[str, str]:
        """The environment in which the server runs, as in production."""
        return {**_environment(self.database), "EVENTSTREAMS_CONFIG": str(self._config)}

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside the server."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.django_env, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *, wait_ready: bool = True, stderr: int | None = None) -> Site:
        """`stderr` is a descriptor, where it is not to be the file `log`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._command, "--port", str(self.port)],
                cwd=ROOT,
                env=self.django_env,
                stdout=log if stderr is None else stderr,
                stderr=log if stderr is None else stderr,
            )
        if wait_ready:
            self.wait_for(200)
        return self

    def wait_for(self, status: int, path: str = "/readyz", seconds: float = START_SECONDS) -> None:
        """Wait until `path` answers with `status`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                if self.get(path)[0] == status:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer {status}:\n{self.log.read_text()[-4000:]}")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body of a small answer; redirects are not followed."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with _opener.open(request, timeout=10) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[2])

    def metrics_text(self) -> str:
        """The metrics of now: a client that asks often gets those of an earlier request, with their age."""
        deadline = time.monotonic() + 10
        while "age" in (got := self.get("/metrics"))[1]:
            assert time.monotonic() < deadline, "/metrics stays the text of an earlier request"
            time.sleep(0.02)
        return got[2].decode()

    def metric(self, name: str) -> float:
        """The sum of all samples of a metric."""
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.metrics_text(), re.MULTILINE)
        return sum(float(value) for value in values)

    def rss_mb(self) -> float:
        """Resident memory of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def descriptors(self) -> int:
        """Count those that are open, without the database's: SQLite keeps files of closed connections for later."""
        count = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += ".sqlite3" not in str(each.readlink())
        return count

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """End the process; its exit status."""
        assert self._process is not None
        self._process.send_signal(with_signal)
        return self.wait()

    def wait(self) -> int:
        """Wait until the process has ended; its exit status. It is killed if that takes long."""
        assert self._process is not None
        try:
            return self._process.wait(30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def _environment(database: Path | str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("EVENTSTREAMS_")},
        "DATABASE_URL": database if isinstance(database, str) else f"sqlite:///{database}",
        "DJANGO_DEBUG": "",
        "DJANGO_SECRET_KEY": "for-tests-only",
        "DJANGO_SETTINGS_MODULE": "eventstreams_site.settings",
    }


@cache
def migrated_database() -> Path:
    """An SQLite file as `manage.py migrate` makes it, once for all tests."""
    folder = tempfile.mkdtemp(prefix="eventstreams-database-")
    atexit.register(shutil.rmtree, folder)
    database = Path(folder) / "migrated.sqlite3"
    command = [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=_environment(database), check=True, timeout=120)
    return database


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
